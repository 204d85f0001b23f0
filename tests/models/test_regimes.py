"""No pass crosses a length at which the model begins to see a text otherwise."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, Phi3Config, PreTrainedModel

from tests.support.models import SMALL, drawn, plain_ids, random_model
from tests.support.recorded import RecordedGraphs
from tests.support.tokenizers import tokenizer
from tests.support.words import words
from uag import SpeculativeDecoder
from uag.models.cached_lm import CachedLM
from uag.models.engines.capture import CAPTURERS
from uag.models.regimes import Regimes, regimes_of

VOCABULARY = tokenizer("gpt2")
ORIGINAL, WINDOW, NEW = 16, 32, 40
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "short_factor": [1.0, 1.2, 1.3, 1.5],
    "long_factor": [1.0, 4.0, 9.0, 16.0],
    "original_max_position_embeddings": ORIGINAL,
}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}
# Any sequence of these is spelled as the tokenizer does, so that drafts can be right.
WORDS = words("gpt2")
# Shorter than where regimes change, by a few ids and by none; and longer.
PROMPTS = [WORDS[:count] for count in (9, ORIGINAL, ORIGINAL + 4, WINDOW - 1)]
OPTIONS: dict[str, Any] = {
    "max_new_tokens": NEW,
    "suppress_tokens": [id for id in range(len(VOCABULARY)) if id not in WORDS],
}


def made(kind: str) -> PreTrainedModel:
    settings: dict[str, Any] = SMALL | {"vocab_size": len(VOCABULARY), "eos_token_id": None}
    config: Any = {
        "phi3": lambda: Phi3Config(
            **settings,
            rope_parameters=LONGROPE,
            original_max_position_embeddings=ORIGINAL,
            pad_token_id=0,
        ),
        "longrope": lambda: LlamaConfig(**settings, rope_parameters=LONGROPE),
        "dynamic": lambda: LlamaConfig(
            **settings | {"max_position_embeddings": WINDOW}, rope_parameters=DYNAMIC
        ),
    }[kind]()
    return drawn(config, seed=3)


def nearly(model: PreTrainedModel) -> PreTrainedModel:
    """A copy that says the same most of the time."""
    other = deepcopy(model)
    torch.manual_seed(4)
    with torch.no_grad():
        head = other.get_output_embeddings().weight
        head += 0.04 * torch.randn_like(head)
    return other


def drafting(model: PreTrainedModel, lookahead: int, **options: Any) -> SpeculativeDecoder:
    """A decoder whose drafts are right most of the time."""
    return SpeculativeDecoder(
        model, VOCABULARY, nearly(model), VOCABULARY, lookahead=lookahead, **options
    )


@pytest.fixture(scope="module", params=["phi3", "longrope", "dynamic"])
def told(request: pytest.FixtureRequest) -> tuple[PreTrainedModel, list[list[int]]]:
    """A model, and what it says after each prompt when nothing was read before."""
    return made(request.param), [
        plain_ids(made(request.param), prompt, **OPTIONS) for prompt in PROMPTS
    ]


@pytest.mark.filterwarnings("ignore:the text is longer than the target's window")
@pytest.mark.parametrize("lookahead", [0, 1, 4, 16])
def test_texts_that_cross_the_line_are_generates(
    told: tuple[PreTrainedModel, list[list[int]]], lookahead: int
) -> None:
    model, wants = told
    decoder = drafting(model, lookahead) if lookahead else SpeculativeDecoder(model, VOCABULARY)
    for prompt, want in zip(PROMPTS, wants, strict=True):
        out = decoder.generate(prompt, **OPTIONS)
        assert out.token_ids == want
        # Below the line drafts are verified as ever.
        if lookahead == 4 and len(prompt) < ORIGINAL:
            assert 0 < out.stats.accepted < out.stats.candidates


@pytest.mark.filterwarnings("ignore:the text is longer than the target's window")
def test_a_batch_is_shared_only_below_the_line(
    told: tuple[PreTrainedModel, list[list[int]]],
) -> None:
    model, wants = told
    decoder = SpeculativeDecoder(model, VOCABULARY)
    outs = decoder.generate(PROMPTS, **OPTIONS)
    assert [out.token_ids for out in outs] == wants
    # All of these end below it.
    short = [prompt[:8] for prompt in PROMPTS[:1]] * 2
    outs = decoder.generate(short, max_new_tokens=6)
    assert outs[0].token_ids == outs[1].token_ids == plain_ids(model, short[0], max_new_tokens=6)


@pytest.mark.filterwarnings("ignore:the text is longer than the target's window")
def test_streams_in_turns_do_not_mix_their_lengths(
    told: tuple[PreTrainedModel, list[list[int]]],
) -> None:
    model, wants = told
    decoder = SpeculativeDecoder(model, VOCABULARY)
    streams = [decoder.stream(prompt, **OPTIONS) for prompt in PROMPTS]
    running = [*streams]
    while running:
        running = [stream for stream in running if next(stream, None) is not None]
    assert [stream.stats.token_ids for stream in streams] == wants


@pytest.mark.parametrize("kind", ["phi3", "longrope"])
@pytest.mark.parametrize(
    ("engine", "options"),
    [("compiled", {"compile": "eager"}), ("graphs", {"engine": "graphs"})],
)
def test_padding_of_blocks_does_not_count(
    kind: str, engine: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CAPTURERS, "cpu", RecordedGraphs)
    model = made(kind)
    prompt = PROMPTS[0]
    want = plain_ids(made(kind), prompt, max_new_tokens=12)
    out = drafting(model, 4, **options).generate(prompt, max_new_tokens=12)
    assert out.token_ids == want
    assert out.stats.engines["target"] == engine


@pytest.mark.parametrize("kind", ["phi3", "longrope"])
@pytest.mark.parametrize("length", [ORIGINAL, ORIGINAL + 4, WINDOW - 1])
def test_texts_that_cross_the_line_by_graphs(
    kind: str, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CAPTURERS, "cpu", RecordedGraphs)
    want = plain_ids(made(kind), WORDS[:length], max_new_tokens=12)
    model = made(kind)
    out = drafting(model, 4, engine="graphs").generate(WORDS[:length], max_new_tokens=12)
    assert out.token_ids == want
    assert out.stats.engines["target"] == "graphs"


@pytest.mark.parametrize(
    ("regimes", "sizes"),
    [
        (Regimes(), [20]),
        (Regimes(switches=(16,)), [6, 14]),
        (Regimes(switches=(12, 16)), [2, 4, 14]),
        (Regimes(drift=26), [16, 1, 1, 1, 1]),
        (Regimes(switches=(12,), drift=28), [2, 16, 1, 1]),
    ],
)
def test_pieces_lie_in_one_regime_each(regimes: Regimes, sizes: list[int]) -> None:
    assert regimes.pieces(10, 20) == sizes
    length = 10
    for size in sizes:
        assert len({regimes.of(at) for at in range(length + 1, length + size + 1)}) == 1
        room = regimes.room(length + 1)
        assert room is None or room >= size - 1
        length += size


def test_other_ropes_have_one_regime() -> None:
    assert not regimes_of(random_model("llama", VOCABULARY))
    assert regimes_of(made("phi3")) == Regimes(switches=(ORIGINAL,), rereads=True)
    assert regimes_of(made("longrope")) == Regimes(switches=(ORIGINAL,))
    assert regimes_of(made("dynamic")) == Regimes(drift=WINDOW)


def test_an_assistant_goes_on_after_the_line() -> None:
    lm = CachedLM(made("phi3"))
    lm.append(PROMPTS[0])
    for _ in range(8):
        drafted = lm.draft(6, lambda logits: logits.argmax(-1)).ids
        lm.roll_back(len(lm.ids) - len(drafted) // 2)
    assert len(lm.ids) > ORIGINAL
