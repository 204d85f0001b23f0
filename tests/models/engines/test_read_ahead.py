"""A pass over an id that only the device knows yet gives what a pass after it gives."""

from itertools import islice
from typing import Any

import pytest
import torch
from transformers import LogitsProcessor

from tests.support.engines import WITH_GRAPHS, check_ahead, check_begun, reader
from tests.support.models import plain_ids, random_model
from tests.support.recorded import RecordedGraphs, recorded_graphs
from tests.support.tokenizers import PROMPT, TEXT, tokenizer
from uag import Lookup, SpeculativeDecoder
from uag.demo import demo_decoder
from uag.drafting.sides import ModelSide
from uag.lookahead.auto import Auto
from uag.models.cached_lm import CachedLM
from uag.models.engines.graphs import GraphRunner
from uag.models.properties import embedding_rows
from uag.sampling.coupled import TokenNames
from uag.translation.core_tokenizer import core_tokenizer

VOCABULARY = tokenizer("qwen2")


recorded = pytest.fixture(autouse=True)(recorded_graphs)


@pytest.mark.parametrize("architecture", WITH_GRAPHS)
def test_whatever_is_read_after_a_pass_ahead_is_read_right(architecture: str) -> None:
    model = random_model(architecture, VOCABULARY)
    check_ahead(model, GraphRunner(model))


def plain(architecture: str = "llama", **options: Any) -> SpeculativeDecoder:
    model = random_model(architecture, VOCABULARY)
    return SpeculativeDecoder(model, VOCABULARY, engine="graphs", **options)


@pytest.mark.parametrize("tokens", [1, 2, 30])
def test_plain_decoding_reads_each_id_once(
    recorded: list[RecordedGraphs], monkeypatch: pytest.MonkeyPatch, tokens: int
) -> None:
    decoder = plain()
    true = plain_ids(decoder.model, VOCABULARY(PROMPT)["input_ids"], max_new_tokens=tokens)
    read: list[int] = []
    whole = GraphRunner.read

    def counted(self: GraphRunner, text: Any, place: int, ids: Any, *more: Any) -> Any:
        read.append(place)
        return whole(self, text, place, ids, *more)

    monkeypatch.setattr(GraphRunner, "read", counted)
    out = decoder.generate(PROMPT, max_new_tokens=tokens)
    assert out.token_ids == true
    assert out.stats.target_forwards == len(read) == len(set(read)) == tokens
    assert recorded[0].copies == tokens - 1  # the last one is not read


def test_a_text_that_ends_early_is_the_same() -> None:
    decoder = plain()
    ids = VOCABULARY(PROMPT)["input_ids"]
    true = plain_ids(decoder.model, ids, max_new_tokens=30)
    end = true[11]
    out = decoder.generate(PROMPT, max_new_tokens=30, eos_token_id=end)
    assert out.token_ids == true[: true.index(end) + 1]
    assert decoder.generate(PROMPT, max_new_tokens=30).token_ids == true


class Shifted(LogitsProcessor):
    """Depends on all ids so far, and counts its calls."""

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        self.lengths.append(input_ids.shape[1])
        return scores.roll(int(input_ids.sum()) % 5, -1)


@pytest.mark.parametrize("options", [{}, {"do_sample": True, "seed": 3}])
def test_processors_see_what_they_see_without(options: dict[str, Any]) -> None:
    texts: list[list[int]] = []
    for engine in ("graphs", "eager"):
        model, shifted = random_model("llama", VOCABULARY), Shifted()
        decoder = SpeculativeDecoder(model, VOCABULARY, engine=engine)
        out = decoder.generate(PROMPT, max_new_tokens=20, logits_processor=[shifted], **options)
        texts += [out.token_ids, shifted.lengths]
    assert texts[:2] == texts[2:]


def leave(decoder: SpeculativeDecoder, prompt: str, pieces: int, tokens: int) -> None:
    """Read so many pieces of a text, and no more."""
    stream = decoder.stream(prompt, max_new_tokens=tokens)
    for _ in range(pieces):
        next(stream)


def test_a_text_may_be_left_and_another_begun() -> None:
    decoder = plain(prefix_cache=10**8)
    whole = decoder.generate(PROMPT, max_new_tokens=20)
    for left in range(1, 8):
        leave(decoder, PROMPT, left, 20)
        out = decoder.generate(whole.text[:9], max_new_tokens=20)
        assert out.token_ids == plain().generate(whole.text[:9], max_new_tokens=20).token_ids
    assert decoder.generate(PROMPT, max_new_tokens=20).token_ids == whole.token_ids


def test_nothing_is_read_ahead_where_that_could_not_be_used() -> None:
    """With drafts; by an eager model; at the end; before all ids are read; beyond the positions.

    Whether something will be drafted is asked only where the pass could begin.
    """
    asked: list[bool] = []

    def begins(lm: CachedLM, longest: int = 99, *, quiet: bool = True) -> bool:
        assert lm.told(torch.tensor([5]), longest, lambda: not asked.append(quiet) and quiet) == [5]
        return getattr(lm.cache, "_ahead", None) is not None

    model = random_model("gpt2", VOCABULARY, n_positions=50)
    lm = reader(model, GraphRunner(model))
    lm.append([1] * 48)
    assert not begins(lm)
    lm.logits(1)
    assert not begins(lm, longest=49)
    assert not asked
    assert not begins(lm, quiet=False)
    assert begins(lm)
    lm.append([5])
    lm.logits(1)
    assert begins(lm)
    lm.append([5])
    lm.logits(1)
    assert not begins(lm)
    eager = CachedLM(model)
    eager.append([1] * 10)
    eager.logits(1)
    asked.clear()
    assert not begins(eager) and not asked
    assert eager.forwards == 1


@pytest.mark.parametrize("drawn", [False, True])
@pytest.mark.parametrize("architecture", WITH_GRAPHS)
def test_a_draft_that_was_begun_is_the_draft(architecture: str, drawn: bool) -> None:
    model = random_model(architecture, VOCABULARY)
    tokens = TokenNames.of(core_tokenizer(VOCABULARY), embedding_rows(model), model.device)
    check_begun(model, GraphRunner(model), tokens if drawn else None)


def pair(**options: Any) -> SpeculativeDecoder:
    demo = demo_decoder()
    parts = demo.model, demo.tokenizer, demo.assistant, demo.assistant_tokenizer
    return SpeculativeDecoder(*parts, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"lookahead": 4},
        {"lookahead": "heuristic"},
        {"lookahead": "auto"},
        {"lookahead": 4, "lookup": True},
        {"lookahead": 4, "tree": 8},
        {"lookahead": 4, "sampling": "rejection"},
    ],
)
def test_what_is_begun_leaves_the_text(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    finished: list[int] = []
    finish = CachedLM._finish

    def counted(self: CachedLM, begun: Any, steps: int, ends: Any) -> Any:
        finished.append(steps)
        return finish(self, begun, steps, ends)

    monkeypatch.setattr(CachedLM, "_finish", counted)
    # As on a GPU, where nothing asks after each id.
    monkeypatch.setattr(ModelSide, "stops_early", property(lambda _: False, lambda *_: None))
    graphs, eager = pair(engine="graphs", **options), pair(engine="eager", **options)
    for asked in ({}, {"do_sample": True, "seed": 2}):
        for prompt in (PROMPT, "Once"):
            whole = {"max_new_tokens": 40} | asked
            one, other = (each.generate(prompt, **whole) for each in (graphs, eager))
            if options.get("sampling") != "rejection" or not asked:
                assert one.token_ids == other.token_ids
    begins = options == {"lookahead": 4} or options["lookahead"] == "heuristic"
    assert bool(finished) >= begins
    assert "tree" not in options or not finished


@pytest.mark.parametrize("lookup", [None, False, True])
def test_an_assistant_that_rests_leaves_the_device_no_rest(
    recorded: list[RecordedGraphs], monkeypatch: pytest.MonkeyPatch, lookup: bool | None
) -> None:
    """If it is known that nothing will be drafted, a pass begins before the host has its id.

    `lookup`: `None` without any; else whether one is due in each round, which finds nothing.
    """
    monkeypatch.setattr(Auto, "next_k", lambda _: 0)
    monkeypatch.setattr(Auto, "rests", True)
    monkeypatch.setattr(Auto, "looks_up", lambda _: lookup)
    monkeypatch.setattr(Auto, "reach", lambda *_: [])
    begun = count_passes_ahead(monkeypatch)
    decoder = pair(engine="graphs", lookup=lookup is not None)
    out = decoder.generate(PROMPT, max_new_tokens=30)
    ids = decoder.tokenizer(PROMPT)["input_ids"]
    assert out.token_ids == plain_ids(decoder.model, ids, max_new_tokens=30)
    assert out.stats.target_forwards == 30
    # One for each pass but the prompt's.
    assert sum(begun) == sum(each.copies for each in recorded) == 29


def count_passes_ahead(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each choice on the device whether a pass began before the host was told of it."""
    begun: list[bool] = []
    tell = CachedLM.told

    def counted(self: CachedLM, *asked: Any) -> list[int]:
        ids = tell(self, *asked)
        begun.append(getattr(self.cache, "_ahead", None) is not None)
        return ids

    monkeypatch.setattr(CachedLM, "told", counted)
    return begun


def test_lookups_while_the_device_reads_ahead_are_drafted_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Known text is drafted from its second id on, and the device waits only for such lookups."""
    demo = demo_decoder()
    whole = demo.generate(PROMPT, max_new_tokens=60)
    texts = Lookup([whole.text[80:]], min_match=12)
    begun = count_passes_ahead(monkeypatch)
    monkeypatch.setattr(Auto, "looks_up", lambda _: True)
    monkeypatch.setattr(Auto, "reach", lambda _, chances: [*islice(chances, 4)])
    decoder = SpeculativeDecoder(demo.model, demo.tokenizer, texts, engine="graphs")
    out = decoder.generate(PROMPT, max_new_tokens=60)
    assert out.token_ids == whole.token_ids
    assert out.stats.looked_up_accepted > 20
    # Where a pass began ahead, nothing is drafted; where something was found, none begins.
    history = out.stats.history
    assert not any(ahead and done.drafted for ahead, done in zip(begun, history[1:], strict=False))
    assert 5 < sum(begun) < len(history) - 5


def test_a_text_left_after_a_draft_was_begun_can_be_gone_on_from() -> None:
    decoder = pair(engine="graphs", lookahead=4, prefix_cache=10**8)
    prompt = f"{PROMPT} {TEXT}"[:200]
    whole = decoder.generate(prompt, max_new_tokens=30)
    for left in range(1, 6):
        leave(decoder, prompt, left, 30)
        out = decoder.generate(prompt, max_new_tokens=30)
        assert out.token_ids == whole.token_ids and out.stats.cached_tokens > 0
