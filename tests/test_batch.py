"""Texts that are decoded together are those that each prompt gives alone."""

from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from itertools import cycle
from random import Random
from time import sleep
from typing import Any

import pytest
import torch
from fakes import ARCHITECTURES, PAIRS, PROMPT, plain_ids, random_model, telling, tokenizer
from test_lm import at_once
from transformers import PreTrainedModel, StoppingCriteria
from uag import OptionError, SpeculativeDecoder
from uag.batching.batch_cache import PIECE, Batch, RowCache, reads_rows
from uag.batching.scheduler import run_together
from uag.clock import now
from uag.models.cached_lm import CachedLM
from uag.models.properties import context_window

VOCABULARY = tokenizer("qwen2")
CASES = list(zip(ARCHITECTURES, cycle(PAIRS), strict=False))
# Caches of states that no mask can leave out.
RECURRENT = ("mamba", "qwen3-next", "lfm2")
STORY = "The dog and the girl went to the park, and they saw a big red ball. "


def pair(
    architecture: str = "llama", names: tuple[str, str] = ("gpt2", "llama2"), **options: Any
) -> SpeculativeDecoder:
    """A target whose story the assistant tells too, in double precision where it can be."""
    target, assistant = (tokenizer(name) for name in names)
    wide = {"max_position_embeddings": 2048} if architecture == "llama" else {}
    model = telling(random_model(architecture, target, **wide), target)
    if architecture not in ("mixtral", "qwen3-next"):  # experts are multiplied in single
        model = model.double()
    small = telling(random_model("llama", assistant, num_hidden_layers=1, **wide), assistant)
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


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_which_models_read_texts_together(architecture: str) -> None:
    assert reads_rows(random_model(architecture, VOCABULARY)) == (architecture not in RECURRENT)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name not in RECURRENT])
def test_any_rewinding_and_reading_gives_what_each_text_gives_at_once(
    architecture: str, attention: str
) -> None:
    model = random_model(architecture, VOCABULARY)
    if attention != "eager" and model.config._attn_implementation == "eager":
        pytest.skip("it has no other attention")
    model.config._attn_implementation = attention
    batch, random = Batch(model), Random(0)

    def tell(seed: int) -> int:
        random = Random(seed)
        lm, text = CachedLM(model, cache=RowCache(batch)), list[int]()
        for _ in range(random.randint(5, 25)):
            keep = max(0, len(text) - random.choice([0, 0, 1, 2, 3, 5, 12, 40]))
            count = random.choice([1, 1, 2, 6, 11, 70])
            added = [random.randrange(len(VOCABULARY)) for _ in range(count)]
            text = (text[:keep] + added)[:120]
            lm.apply(keep, text[keep:])
            positions = random.randint(1, min(4, len(text)))
            torch.testing.assert_close(
                lm.logits(positions), at_once(model, text)[-positions:], atol=3e-4, rtol=2e-4
            )
        return len(text)

    # More texts than there are at a time, of different lengths: rows leave and move.
    tasks = [partial(tell, random.randrange(1000)) for _ in range(7)]
    assert len(run_together(tasks, [batch], size=4)) == 7


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
def test_drawn_texts_are_those_of_each_prompt_alone(lookahead: Any, sampling: str) -> None:
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
    model = telling(random_model("gemma2", target), target).double()
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


def test_a_compiled_decoder_reads_batches_as_they_are() -> None:
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
    """Raises behind the third id of one text."""

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


def test_time_passes_for_one_text_at_a_time() -> None:
    model = random_model("llama", VOCABULARY)
    batch = Batch(model)

    def read(seconds: float) -> float:
        cache = RowCache(batch)
        start = now()
        cache.forward(torch.tensor([5, 6]), 1)
        sleep(seconds)
        cache.forward(torch.tensor([7]), 1)
        return now() - start

    short, long = run_together([partial(read, 0.0), partial(read, 0.5)], [batch])
    assert long > 0.5 and short < 0.4


def test_tasks_keep_their_context() -> None:
    from contextvars import ContextVar

    variable: ContextVar[int] = ContextVar("variable")
    variable.set(3)
    assert run_together([variable.get, variable.get], []) == [3, 3]


def test_a_batch_size_below_one_is_refused() -> None:
    with pytest.raises(OptionError, match="batch_size=0 is out of range: it must be at least 1"):
        pair().generate([PROMPT, "The"], batch_size=0)


def test_a_model_that_misreads_rows_reads_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model: PreTrainedModel = random_model("llama", VOCABULARY)
    forward = model.forward

    def careless(position_ids: Any = None, **named: Any) -> Any:
        return forward(**named)  # counts from the longest

    monkeypatch.setattr(model, "forward", careless)
    assert not reads_rows(model)
