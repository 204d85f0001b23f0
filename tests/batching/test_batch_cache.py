"""A cache for several texts: each row gives what its text gives when it is read at once."""

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from tests.support.engines import check_rows, check_taking_over
from tests.support.faults import (
    GREEDY,
    PROMPTS,
    Countdown,
    before_passes,
    expected,
    ids_of,
    models,
    pair,
)
from tests.support.models import ARCHITECTURES, at_once, random_model
from tests.support.tokenizers import tokenizer
from uag.batching.batch_cache import Batch, RowCache, reads_rows
from uag.batching.prefixes import Prefixes
from uag.batching.scheduler import Hub, PassRequest, run_together
from uag.models.cached_lm import CachedLM

VOCABULARY = tokenizer("qwen2")

# Caches of states that no mask can leave out.
RECURRENT = ("mamba", "qwen3-next", "lfm2")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_which_models_read_texts_together(architecture: str) -> None:
    assert reads_rows(random_model(architecture, VOCABULARY)) == (architecture not in RECURRENT)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name not in RECURRENT])
def test_any_rolling_back_and_reading_gives_what_each_text_gives_at_once(
    architecture: str, attention: str
) -> None:
    model = random_model(architecture, VOCABULARY)
    if attention != "eager" and model.config._attn_implementation == "eager":
        pytest.skip("it has no other attention")
    model.config._attn_implementation = attention
    check_rows(model, Batch(model))


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name not in RECURRENT])
def test_texts_that_begin_alike_take_over_states(architecture: str) -> None:
    model = random_model(architecture, VOCABULARY)
    check_taking_over(model, Batch(model, prefixes=Prefixes(10**8)))


def test_a_common_prompt_is_read_once() -> None:
    model, random = random_model("llama", VOCABULARY, max_position_embeddings=2048), Random(2)
    batch, read = Batch(model), list[int]()
    prompt = [random.randrange(len(VOCABULARY)) for _ in range(1200)]
    expected = at_once(model, prompt)[-1:]
    forward = batch.forward

    def watched(requests: Sequence[PassRequest]) -> list[torch.Tensor]:
        read.append(sum(len(each.ids) for each in requests))
        return forward(requests)

    batch.forward = watched  # type: ignore[method-assign]

    def tell() -> None:
        lm = CachedLM(model, cache=RowCache(batch))
        lm.append(prompt)
        torch.testing.assert_close(lm.logits(1), expected, atol=3e-4, rtol=2e-4)
        lm.append([5])
        lm.logits(1)

    run_together([tell] * 6, Hub([batch]))
    assert sum(read) == len(prompt) + 5 + 6
    assert not batch.bytes  # the buffers of an empty batch are given back


def test_a_model_that_misreads_rows_reads_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model: PreTrainedModel = random_model("llama", VOCABULARY)
    forward = model.forward

    def careless(position_ids: Any = None, **named: Any) -> Any:
        return forward(**named)  # counts from the longest

    monkeypatch.setattr(model, "forward", careless)
    assert not reads_rows(model)


@pytest.mark.parametrize("at", range(1, 7))
def test_a_model_that_fails_when_it_is_tried_with_rows(at: int) -> None:
    for part in (0, 1):
        decoder = pair(both=models())
        model = (decoder.model, decoder.assistant)[part]
        with before_passes(model, Countdown(RuntimeError("boom"), at)):
            read = reads_rows(model)
        assert read == (at > 5)
        want = expected(decoder, PROMPTS, GREEDY)
        assert ids_of(decoder.generate(PROMPTS, **GREEDY)) == want and reads_rows(model)


def test_a_row_whose_first_pass_failed_has_nothing_to_move() -> None:
    model = random_model("llama", VOCABULARY)
    batch = Batch(model)
    first, second = (RowCache(batch) for _ in range(2))
    ids = torch.arange(5, 9)
    batch.forward([PassRequest(first, ids, 1)])
    with (
        before_passes(model, Countdown(RuntimeError("boom"), 1, lasting=False)),
        pytest.raises(RuntimeError, match="boom"),
    ):
        batch.forward([PassRequest(second, ids, 1)])
    batch.leave(first)
    (logits,) = batch.forward([PassRequest(second, ids, 1)])
    torch.testing.assert_close(logits, at_once(model, ids.tolist())[-1:], atol=3e-4, rtol=2e-4)
