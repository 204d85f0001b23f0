"""Texts that are decoded together are those that each prompt gives alone."""

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, StoppingCriteria

from tests.support.models import plain_ids, random_model, with_story
from tests.support.pairs import CASES
from tests.support.tokenizers import PROMPT, tokenizer
from uag import OptionError, SpeculativeDecoder, UagWarning, errors
from uag.batching.batch_cache import reads_rows
from uag.batching.scheduler import PIECE
from uag.batching.session import Session
from uag.clock import now
from uag.models.properties import context_window

STORY = "The dog and the girl went to the park, and they saw a big red ball. "


def pair(
    architecture: str = "llama", names: tuple[str, str] = ("gpt2", "llama2"), **options: Any
) -> SpeculativeDecoder:
    """A target whose story the assistant tells too, in double precision where it can be."""
    target, assistant = (tokenizer(name) for name in names)
    wide = {"max_position_embeddings": 2048} if architecture == "llama" else {}
    model = with_story(random_model(architecture, target, **wide), target)
    if architecture not in ("mixtral", "qwen3-next"):  # experts are multiplied in single
        model = model.double()
    small = with_story(random_model("llama", assistant, num_hidden_layers=1, **wide), assistant)
    return SpeculativeDecoder(model, target, small.double(), assistant, **options)


@contextmanager
def passes(model: PreTrainedModel) -> Generator[list[tuple[int, int]]]:
    """The shape of each forward pass: rows, and ids of each."""
    shapes: list[tuple[int, int]] = []

    def add(_: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        shapes.append(tuple(named["input_ids"].shape))

    with model.register_forward_pre_hook(add, with_kwargs=True):
        yield shapes


def prompts(decoder: SpeculativeDecoder) -> list[list[int]]:
    """Of 1 to 500 ids, as far as the target has positions; the first ones are those of a story."""
    ids: list[int] = decoder.tokenizer(PROMPT + STORY * 40)["input_ids"]
    window = context_window(decoder.model) or 600
    story = decoder.tokenizer(PROMPT)["input_ids"]
    return [story, *[ids[:length] for length in (1, 500, 3, 120, 40) if length + 40 < window]]


@pytest.mark.parametrize(("architecture", "names"), CASES)
def test_each_text_is_the_one_that_its_prompt_gives_alone(
    architecture: str, names: tuple[str, str]
) -> None:
    if architecture == "mamba":
        pytest.skip("no target for drafts")
    decoder = pair(architecture, names, lookahead=4)
    given = prompts(decoder)
    expected = [plain_ids(decoder.model, ids, max_new_tokens=30) for ids in given]
    outs = decoder.generate(given, max_new_tokens=30)
    assert [out.token_ids for out in outs] == expected
    assert 0 < sum(out.stats.accepted for out in outs) < sum(out.stats.candidates for out in outs)


@pytest.mark.parametrize("lookahead", [1, 7, "heuristic", "auto"])
@pytest.mark.parametrize("sampling", ["coupled", "rejection"])
def test_sampled_texts_are_those_of_each_prompt_alone(lookahead: Any, sampling: str) -> None:
    decoder = pair(names=("llama2", "gpt2"), lookahead=lookahead, sampling=sampling)
    options = {"do_sample": True, "temperature": 0.8, "top_k": 20, "max_new_tokens": 20}
    given = prompts(decoder)
    outs = decoder.generate(given, seed=5, **options)
    if sampling == "coupled":  # by rejection the text depends on drafts, and so on the lookahead
        alone = [decoder.generate(ids, seed=5, **options) for ids in given]
        assert [out.token_ids for out in outs] == [out.token_ids for out in alone]
    rows = decoder.generate(PROMPT, seed=5, num_return_sequences=3, **options)
    assert rows[0].token_ids == outs[0].token_ids
    assert len({tuple(row.token_ids) for row in rows}) == 3


@pytest.mark.parametrize("architecture", ["mamba", "lfm2"])
def test_an_assistant_that_reads_alone_drafts_for_a_batch(architecture: str) -> None:
    target, assistant = tokenizer("gpt2"), tokenizer("llama2")
    model = with_story(random_model("gemma2", target), target).double()
    small = random_model(architecture, assistant, seed=1).double()
    decoder = SpeculativeDecoder(model, target, small, assistant, lookahead=3)
    given = prompts(decoder)
    outs = decoder.generate(given, max_new_tokens=12)
    assert [out.token_ids for out in outs] == [
        plain_ids(model, ids, max_new_tokens=12) for ids in given
    ]


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_as_one_text_ends_the_next_begins(batch_size: int) -> None:
    decoder = pair(lookahead=3)
    given = prompts(decoder)
    with passes(decoder.model) as shapes:
        outs = decoder.generate(given, max_new_tokens=10, batch_size=batch_size)
    assert max(rows for rows, _ in shapes) == batch_size
    assert [out.token_ids for out in outs] == [
        plain_ids(decoder.model, ids, max_new_tokens=10) for ids in given
    ]


def test_a_text_that_ends_leaves_the_batch() -> None:
    decoder = pair(lookahead=2)
    first = plain_ids(decoder.model, decoder.tokenizer("The")["input_ids"], max_new_tokens=1)
    with passes(decoder.model) as shapes:
        decoder.generate(["The", PROMPT], max_new_tokens=30, eos_token_id=first[0])
    assert shapes[0][0] == 2 and shapes[-1][0] == 1


def test_a_compiled_decoder_reads_batches_eagerly() -> None:
    target, assistant = tokenizer("gpt2"), tokenizer("llama2")
    decoder = SpeculativeDecoder(
        random_model("llama", target),
        target,
        random_model("llama", assistant, num_hidden_layers=1),
        assistant,
        compile="eager",
        lookahead=3,
    )
    expected = [decoder.generate(ids, max_new_tokens=8).token_ids for ids in prompts(decoder)]
    outs = decoder.generate(prompts(decoder), max_new_tokens=8)
    assert [out.token_ids for out in outs] == expected
    assert outs[0].stats.engines["target"] == "eager: several texts at once are not compiled"


class Fails(StoppingCriteria):
    """Raises after the third id of one text."""

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> Any:
        if input_ids.shape[1] > 14:
            raise KeyboardInterrupt
        return torch.tensor([False])


def test_an_error_in_one_text_ends_all_and_the_next_call_works() -> None:
    decoder = pair(lookahead=3)
    given = [PROMPT, "The"]
    expected = [out.token_ids for out in decoder.generate(given, max_new_tokens=8)]
    with pytest.raises(KeyboardInterrupt):
        decoder.generate(given, max_new_tokens=8, stopping_criteria=[Fails()])
    assert [out.token_ids for out in decoder.generate(given, max_new_tokens=8)] == expected


def test_long_prompts_are_read_in_pieces() -> None:
    decoder = pair()
    long = (decoder.tokenizer(STORY * 100)["input_ids"])[: 2 * PIECE + 7]
    assert reads_rows(decoder.model)
    with passes(decoder.model) as shapes:
        outs = decoder.generate([long, PROMPT], max_new_tokens=4)
    assert [width for _, width in shapes[:2]] == [PIECE, PIECE]
    assert outs[0].token_ids == plain_ids(decoder.model, long, max_new_tokens=4)


def test_seconds_of_a_batch_are_shared_out() -> None:
    decoder = pair(lookahead=3)
    start = now()
    outs = decoder.generate([PROMPT, "The", "A girl"], max_new_tokens=20)
    spent = now() - start
    counted = sum(sum(out.stats.seconds.values()) for out in outs)
    assert 0.3 * spent < counted < spent


def test_a_batch_size_below_one_is_refused() -> None:
    with pytest.raises(OptionError, match="batch_size=0 is out of range: it must be at least 1"):
        pair().generate([PROMPT, "The"], batch_size=0)


def test_how_models_run_is_worked_out_once_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    words, others = tokenizer("gpt2"), tokenizer("llama2")
    models = random_model("llama", words), random_model("llama", others)
    decoder = SpeculativeDecoder(models[0], words, models[1], others, lookahead=3)
    asked: list[int] = []
    engines: Any = Session.engines
    monkeypatch.setattr(
        Session, "engines", property(lambda self: asked.append(1) or engines.fget(self))
    )
    out = decoder.generate(PROMPT, max_new_tokens=24)
    assert out.stats.rounds > 3 and len(asked) == 1
    assert out.stats.engines == {"target": "eager", "assistant": "eager"}


def test_a_call_whose_texts_cannot_share_passes_says_so_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(errors, "_warned", set[str]())
    vocabulary = tokenizer("gpt2")
    decoder = SpeculativeDecoder(random_model("lfm2", vocabulary), vocabulary)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        decoder.generate("One day", max_new_tokens=2)
        for _ in range(2):
            decoder.generate(["One day", "Once"], max_new_tokens=2)
    (said_once,) = [str(each.message) for each in said if each.category is UagWarning]
    assert said_once == (
        "Lfm2ForCausalLM keeps a LinearAttentionLayer, which has one text only: the texts of a "
        "call are decoded one after the other"
    )
