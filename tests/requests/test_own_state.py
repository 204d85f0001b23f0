"""Several texts: each has processors and criteria of its own, which may have a memory."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Lock
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
    StopStringCriteria,
)

from tests.support.models import random_model
from tests.support.tokenizers import PROMPT, tokenizer
from tests.support.transformers_calls import decoder as shared_decoder
from tests.support.transformers_calls import inputs
from uag import OptionError, SpeculativeDecoder
from uag.requests.own_state import own_objects

PROMPTS = [PROMPT, "Once", "One day, the dog"]


@pytest.fixture(scope="module")
def decoder() -> SpeculativeDecoder:
    target, assistant = tokenizer("gpt2"), tokenizer("llama2")
    models = random_model("llama", target), random_model("llama", assistant)
    return SpeculativeDecoder(models[0], target, models[1], assistant, lookahead=4)


class InList(LogitsProcessor):
    """Favours an id by how often the last one came before; it remembers the ids in a list."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        last = int(input_ids[0, -1])
        scores = scores.clone()
        scores[:, 40 + self.seen.count(last) % 50] += 4
        self.seen.append(last)
        return scores


class Counter(LogitsProcessor):
    """Allows ids of one class modulo seven, the next one each time."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        others = torch.arange(scores.shape[-1]) % 7 != self.calls % 7
        self.calls += 1
        return scores.masked_fill(others, -torch.inf)


class InTensor(LogitsProcessor):
    """The same with counts in a tensor, inside a dictionary."""

    def __init__(self) -> None:
        self.state = {"counts": torch.zeros(1000, dtype=torch.long)}

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        last, counts = int(input_ids[0, -1]), self.state["counts"]
        scores = scores.clone()
        scores[:, 40 + int(counts[last]) % 50] += 4
        counts[last] += 1
        return scores


class Random(LogitsProcessor):
    """Favours an id that its own generator chooses."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(5)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        scores = scores.clone()
        scores[:, int(torch.randint(90, (), generator=self.generator))] += 4
        return scores


class After(StoppingCriteria):
    """Ends a text at its eighth new id, counted by the criterion itself."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> bool:
        self.calls += 1
        return self.calls >= 8


@pytest.mark.parametrize("kind", [Counter, InList, InTensor, Random])
def test_a_processor_remembers_each_text_alone(
    decoder: SpeculativeDecoder, kind: type[LogitsProcessor]
) -> None:
    """The law: a text of several is the one that its prompt gives alone."""
    alone = [
        decoder.generate(
            prompt, max_new_tokens=16, logits_processor=LogitsProcessorList([kind()])
        ).token_ids
        for prompt in PROMPTS
    ]
    together = decoder.generate(
        PROMPTS, max_new_tokens=16, logits_processor=LogitsProcessorList([kind()])
    )
    assert [out.token_ids for out in together] == alone
    assert len({tuple(ids) for ids in alone}) > 1


def test_so_do_continuations_of_one_prompt(decoder: SpeculativeDecoder) -> None:
    options: dict[str, Any] = {"do_sample": True, "seed": 3, "max_new_tokens": 12}
    first = decoder.generate(
        PROMPT, logits_processor=LogitsProcessorList([InList()]), **options
    ).token_ids
    outs = decoder.generate(
        PROMPT,
        num_return_sequences=2,
        logits_processor=LogitsProcessorList([InList()]),
        **options,
    )
    assert outs[0].token_ids == first


def test_so_do_criteria(decoder: SpeculativeDecoder) -> None:
    criteria = StoppingCriteriaList([After()])
    outs = decoder.generate(PROMPTS, max_new_tokens=16, stopping_criteria=criteria)
    assert [len(out.token_ids) for out in outs] == [8, 8, 8]


def test_what_the_caller_gave_is_not_changed_by_several_texts(decoder: SpeculativeDecoder) -> None:
    processor = InList()
    options: dict[str, Any] = {"logits_processor": LogitsProcessorList([processor])}
    decoder.generate(PROMPTS, max_new_tokens=4, **options)
    assert processor.seen == []
    # With one text it is the caller's own object, as in transformers.
    decoder.generate(PROMPT, max_new_tokens=4, **options)
    assert len(processor.seen) >= 4


def test_models_and_tokenizers_are_not_copied() -> None:
    class Holds:
        def __init__(self) -> None:
            self.tokenizer = tokenizer("gpt2")
            self.model = random_model("llama", self.tokenizer)
            self.seen: list[int] = [1]

    original = Holds()
    (copied,), _ = own_objects([original], 2)
    assert copied.model is original.model and copied.tokenizer is original.tokenizer
    assert copied.seen == [1] and copied.seen is not original.seen


def test_nor_are_those_deep_inside() -> None:
    model = random_model("llama", tokenizer("gpt2"))

    class Scorer:
        def __init__(self) -> None:
            self.parts: dict[str, Any] = {"models": [model], "read": model.forward}
            self.tokenizers = (tokenizer("gpt2").backend_tokenizer,)

    (copied,), _ = own_objects([holder := Holder(Scorer())], 2)
    assert copied.held is not holder.held
    assert copied.held.parts["models"][0] is model
    assert copied.held.parts["read"].__self__ is model


class Holder:
    def __init__(self, held: Any) -> None:
        self.held = held


def test_what_two_objects_share_their_copies_share() -> None:
    state = Holder(0)
    (one, two), _ = own_objects([Holder(state), Holder(state)], 2)
    assert one.held is two.held is not state


def test_what_remembers_nothing_is_shared() -> None:
    criterion = StopStringCriteria(tokenizer("gpt2"), ["a"])
    assert own_objects([criterion], 2)[0] == [criterion]


def test_what_cannot_be_copied_is_refused_by_name(decoder: SpeculativeDecoder) -> None:
    class Locked(LogitsProcessor):
        def __init__(self) -> None:
            self.lock = Lock()

        def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
            return scores

    processors = LogitsProcessorList([Locked()])
    with pytest.raises(OptionError, match=r"Locked cannot be copied .* one prompt at a time"):
        decoder.generate(PROMPTS, max_new_tokens=4, logits_processor=processors)
    assert decoder.generate(PROMPT, max_new_tokens=4, logits_processor=processors).token_ids


class Uncopied(InList):
    """Remembers, and cannot be copied: native code does its work."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = Lock()


def options_of(processor: LogitsProcessor) -> dict[str, Any]:
    return {"max_new_tokens": 12, "logits_processor": LogitsProcessorList([processor])}


def test_streams_in_turns_remember_each_their_own(decoder: SpeculativeDecoder) -> None:
    alone = [decoder.generate(prompt, **options_of(Counter())).token_ids for prompt in PROMPTS]
    shared = Counter()
    first = decoder.stream(PROMPTS[0], **options_of(shared))
    next(first)
    second = decoder.stream(PROMPTS[1], **options_of(shared))
    next(second)
    third = decoder.generate(PROMPTS[2], **options_of(shared)).token_ids
    next(first)
    assert [first.finish().token_ids, second.finish().token_ids, third] == alone
    # The first of them had the object itself.
    assert shared.calls == 12


def test_so_do_texts_of_two_threads(decoder: SpeculativeDecoder) -> None:
    alone = decoder.generate(PROMPT, **options_of(Counter())).token_ids
    target, shared, begun = decoder.tokenizer, Counter(), Barrier(2)
    others = [SpeculativeDecoder(decoder.model, target) for _ in range(2)]

    def generate(other: SpeculativeDecoder) -> list[int]:
        begun.wait()
        return other.generate(PROMPT, **options_of(shared)).token_ids

    with ThreadPoolExecutor(2) as threads:
        assert [*threads.map(generate, others)] == [alone, alone]


def test_so_do_a_stream_and_a_list(decoder: SpeculativeDecoder) -> None:
    alone = [decoder.generate(prompt, **options_of(Counter())).token_ids for prompt in PROMPTS]
    shared = Counter()
    stream = decoder.stream(PROMPTS[0], **options_of(shared))
    next(stream)
    together = decoder.generate(PROMPTS, **options_of(shared))
    assert [out.token_ids for out in together] == alone


def test_what_cannot_be_copied_serves_one_text_after_the_other(decoder: SpeculativeDecoder) -> None:
    shared = Uncopied()
    stream = decoder.stream(PROMPT, **options_of(shared))
    next(stream)
    with pytest.raises(OptionError, match=r"Uncopied cannot be copied .* a new Uncopied for each"):
        decoder.stream("Once", **options_of(shared))
    stream.finish()
    assert decoder.generate("Once", **options_of(shared)).token_ids
    # A stream that is left, and one that failed, have ended as well.
    left = decoder.stream(PROMPT, **options_of(shared))
    next(left)
    del left
    with pytest.raises(ZeroDivisionError) as failed:
        decoder.generate(PROMPT, stopping_criteria=[Fails()], **options_of(shared))
    assert decoder.generate("Once", **options_of(shared)).token_ids and failed


@pytest.mark.parametrize("held", [[[] for _ in range(10_000)], torch.zeros(10_000_000)])
def test_what_is_large_is_not_copied_for_one_text(decoder: SpeculativeDecoder, held: Any) -> None:
    large = InList()
    large.table = held  # type: ignore[attr-defined]
    stream = decoder.stream(PROMPT, **options_of(large))
    with pytest.raises(OptionError, match=r"InList: in use by a text .* make a new object"):
        decoder.generate("Once", **options_of(large))
    del stream  # before it began
    assert decoder.generate("Once", **options_of(large)).token_ids


class Fails(StoppingCriteria):
    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> bool:
        return bool(1 // 0)


@pytest.mark.parametrize(
    "given",
    [
        {"logits_processor": 5},
        {"logits_processor": [5]},
        {"stopping_criteria": After},
        {"stopping_criteria": "stop"},
        {"prefix_allowed_tokens_fn": [1]},
    ],
)
def test_what_is_no_processor_is_refused(
    decoder: SpeculativeDecoder, given: dict[str, Any]
) -> None:
    (name,) = given
    with pytest.raises(OptionError, match=f"^{name}=.*it must be a"):
        decoder.generate(PROMPT, max_new_tokens=2, **given)


@pytest.mark.parametrize("count", [None, 2])
def test_a_prefix_function_is_told_the_row(decoder: SpeculativeDecoder, count: int | None) -> None:
    told: set[tuple[int, int]] = set()

    def allowed(row: int, ids: Tensor) -> list[int]:
        told.add((row, len(ids)))
        return [id for id in range(400) if id % 5 == row]

    outs = decoder.generate(
        PROMPTS[:2],
        max_new_tokens=6,
        prefix_allowed_tokens_fn=allowed,
        num_return_sequences=count,
        do_sample=count is not None,
    )
    rows = [prompt for prompt in PROMPTS[:2] for _ in range(count or 1)]
    lengths = [len(decoder.tokenizer(prompt)["input_ids"]) for prompt in rows]
    for row, (out, length) in enumerate(zip(outs, lengths, strict=True)):
        assert {id % 5 for id in out.token_ids} == {row}
        assert {seen for each, seen in told if each == row} == {length + at for at in range(6)}


class Nested(InList):
    """The same, with its memory inside another object."""

    def __init__(self) -> None:
        self.held = Holder(InList())

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return self.held.held(input_ids, scores)


def test_what_is_deep_inside_is_remembered_for_each_row_apart() -> None:
    rows, generate = inputs(PROMPT, PROMPT), shared_decoder("itself").model.generate
    call: Any = generate
    ours = call(**rows, **options_of(Nested()), custom_generate=shared_decoder("itself"))
    alone = call(**inputs(PROMPT), **options_of(Nested()))
    assert torch.equal(ours, alone.repeat(2, 1))


class Counts(LogitsProcessor):
    """Remembers how often each row's last id came before."""

    def __init__(self, rows: int) -> None:
        self.before: list[list[int]] = [[] for _ in range(rows)]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        scores = scores.clone()
        for row, id in enumerate(input_ids[:, -1].tolist()):
            scores[row, 40 + self.before[row].count(id)] += 3
            self.before[row] = [*self.before[row], id]
        return scores


def test_a_processor_remembers_each_row_apart() -> None:
    rows = inputs(PROMPT, "Once", "One day, the")
    generate: Any = shared_decoder("itself").model.generate
    processors = [LogitsProcessorList([Counts(3)]) for _ in range(2)]
    ours = generate(
        **rows,
        max_new_tokens=20,
        logits_processor=processors[0],
        custom_generate=shared_decoder("itself"),
    )
    theirs = generate(**rows, max_new_tokens=20, logits_processor=processors[1])
    assert torch.equal(ours, theirs)
