"""What the target emits of a draft, against one id at a time."""

from random import Random
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LogitsProcessorList, TemperatureLogitsWarper

from tests.support.models import cache_in, random_model
from tests.support.tokenizers import PROMPT, tokenizer
from uag import LogitsError, SpeculativeDecoder
from uag.decoding.verify import agreement, round_width, verifier
from uag.sampling.greedy import most_likely


@pytest.mark.parametrize("sampling", ["coupled", "rejection"])
@pytest.mark.parametrize("do_sample", [False, True])
@pytest.mark.parametrize("sound", [0, 4])
def test_nan_logits(do_sample: bool, sound: int, sampling: str) -> None:
    target = tokenizer("gpt2")
    model = random_model("llama", target)

    def spoil(_: object, __: object, named: dict[str, Any], output: Any) -> None:
        if cache_in(named).get_seq_length() > len(target(PROMPT)["input_ids"]) + sound:
            output.logits[:] = torch.nan

    hook = model.register_forward_hook(spoil, with_kwargs=True)
    decoder = SpeculativeDecoder(
        model, target, random_model("llama", target, seed=1), target, sampling=sampling
    )
    options = {"max_new_tokens": 12, "do_sample": do_sample}
    with pytest.raises(LogitsError, match=r"contain NaN.* load it in float32"):
        decoder.generate(PROMPT + " one", **options)
    hook.remove()
    assert len(decoder.generate(PROMPT, **options).token_ids) == 12


def one_by_one(scores: torch.Tensor, candidates: list[int]) -> list[int]:
    """What greedy decoding emits, an id at a time, as long as the candidates are right."""
    emitted: list[int] = []
    for row, candidate in zip(scores, [*candidates, None], strict=True):
        emitted.append(int(row.argmax()))
        if emitted[-1] != candidate:
            break
    return emitted


@given(st.integers(0, 999), st.lists(st.integers(0, 3), max_size=6), st.booleans())
def test_what_is_emitted_is_what_one_id_at_a_time_emits(
    seed: int, candidates: list[int], by_call: bool
) -> None:
    random = torch.Generator().manual_seed(seed)
    logits = torch.rand(len(candidates) + 1, 4, generator=random)
    processors, calls = LogitsProcessorList([TemperatureLogitsWarper(0.7)]), list[list[int]]()

    def note(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        calls.append(ids[0].tolist())
        return scores

    if by_call:
        processors.append(note)  # type: ignore[arg-type]
    before = [3, 1, 2]
    emitted = [*verifier(processors, most_likely)(logits, before + candidates, candidates)]
    assert emitted == one_by_one(logits, candidates)
    if by_call:  # a processor sees each text once, with nothing after it
        assert calls == [before + emitted[:count] for count in range(len(emitted))]


@pytest.mark.parametrize("warped", [False, True])
def test_nothing_is_said_about_a_place_that_is_not_asked_for(warped: bool) -> None:
    logits = torch.eye(4)[[1, 2, 3]]
    logits[2] = torch.nan  # after the end, say
    processors = LogitsProcessorList([TemperatureLogitsWarper(0.7)] if warped else [])
    emitted = verifier(processors, most_likely)(logits, [0, 1, 2], [1, 2])
    assert [next(emitted), next(emitted)] == [1, 2]
    with pytest.raises(LogitsError, match="after 3 ids contain NaN"):
        next(emitted)


def test_what_a_processor_keeps_can_be_trained_with() -> None:
    kept: list[torch.Tensor] = []

    def keep(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        kept.extend((ids, scores))
        return scores

    with torch.inference_mode():
        logits = torch.rand(2, 4)
    processors = LogitsProcessorList([keep])  # type: ignore[list-item]
    assert len([*verifier(processors, most_likely)(logits, [0, 1], [int(logits[0].argmax())])]) == 2
    weight = torch.ones((), requires_grad=True)
    sum((each * weight).sum() for each in kept).backward()  # type: ignore[union-attr]
    assert weight.grad is not None


@given(st.integers(1, 2000))
def test_a_usual_width_is_near_and_one_of_few(width: int) -> None:
    usual = round_width(width)
    assert round_width(usual) == usual <= width <= 1.5 * usual


@given(st.lists(st.integers(0, 2), max_size=5), st.lists(st.integers(0, 2), max_size=5))
def test_agreement_is_the_length_of_the_common_beginning(one: list[int], other: list[int]) -> None:
    length = agreement(one, other)
    assert one[:length] == other[:length]
    assert one[length : length + 1] != other[length : length + 1] or length == len(one) == len(
        other
    )


@given(st.integers(0, 999), st.integers(0, 7), st.booleans())
def test_a_tree_emits_what_one_id_at_a_time_emits(seed: int, size: int, by_call: bool) -> None:
    random = Random(seed)
    known: dict[tuple[int, int], int] = {}
    for _ in range(size):
        known.setdefault((random.randrange(-1, len(known)), random.randrange(4)), len(known))
    parents, candidates = [parent for parent, _ in known], [id for _, id in known]
    logits = torch.rand(len(known) + 1, 4, generator=torch.Generator().manual_seed(seed))
    processors, calls = LogitsProcessorList([TemperatureLogitsWarper(0.7)]), list[list[int]]()

    def note(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        calls.append(ids[0].tolist())
        return scores

    if by_call:
        processors.append(note)  # type: ignore[arg-type]
    before, node, expected = [3, 1, 2], -1, list[int]()
    while node is not None:
        expected.append(int(logits[node + 1].argmax()))
        node = known.get((node, expected[-1]))
    verify = verifier(processors, most_likely)
    assert [*verify(logits, before + candidates, candidates, parents)] == expected
    if by_call:
        assert calls == [before + expected[:count] for count in range(len(expected))]
