"""A pass over an id that only the device knows yet gives what a pass after it gives."""

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
import torch
from transformers import LogitsProcessor

from tests.support.engines import WITH_GRAPHS, check, reader
from tests.support.models import plain_ids, random_model
from tests.support.recorded import RecordedGraphs
from tests.support.tokenizers import PROMPT, tokenizer
from uag import SpeculativeDecoder
from uag.models.cached_lm import CachedLM
from uag.models.engines.capture import CAPTURERS
from uag.models.engines.graphs import GraphRunner

VOCABULARY = tokenizer("qwen2")


@pytest.fixture(autouse=True)
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[RecordedGraphs]]:
    """Every capturer that was made; on a CPU there are stand-ins."""
    monkeypatch.setitem(CAPTURERS, "cpu", RecordedGraphs)
    RecordedGraphs.made.clear()
    yield RecordedGraphs.made
    RecordedGraphs.made.clear()


@pytest.mark.parametrize("architecture", WITH_GRAPHS)
def test_whatever_is_read_after_a_pass_ahead_is_read_right(architecture: str) -> None:
    """The id that was read ahead, another one, several, fewer than there were; drafts and trees."""
    model = random_model(architecture, VOCABULARY)
    random, lm = Random(0), reader(model, GraphRunner(model))
    lm.append([3, 4, 5])
    check(lm, model, 1)
    for _ in range(60):
        if len(lm.ids) > 200:
            lm.roll_back(20)
            check(lm, model, 1)
        ahead = random.randrange(300)
        assert lm.told(torch.tensor([ahead]), longest=250) == [ahead]
        match random.choice(["it", "it", "other", "several", "back", "back and it", "tree"]):
            case "it":
                lm.append([ahead])
            case "other":
                lm.append([(ahead + 1) % 300])
            case "several":
                lm.append([ahead, *(random.randrange(300) for _ in range(random.randrange(1, 9)))])
            case "back":
                lm.apply(max(1, len(lm.ids) - random.randrange(6)), [random.randrange(300)])
            case "back and it":  # the same id at the same place, after others
                place = len(lm.ids)
                lm.apply(max(1, place - 4), [random.randrange(300) for _ in range(place)][:3])
                lm.logits(1)
                lm.ids[len(lm.ids) :] = [random.randrange(300)] * (place - len(lm.ids))
                lm.append([ahead])
            case _:
                lm.append([ahead, 7, 8])
                lm.tree_logits([-1, -1])
                lm.keep_path([1])
                continue
        check(lm, model, 1)


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


def test_a_text_may_be_left_and_another_begun() -> None:
    decoder = plain(prefix_cache=10**8)
    whole = decoder.generate(PROMPT, max_new_tokens=20)
    for left in range(1, 8):
        stream = decoder.stream(PROMPT, max_new_tokens=20)
        for _ in range(left):
            next(stream)
        del stream
        out = decoder.generate(whole.text[:9], max_new_tokens=20)
        assert out.token_ids == plain().generate(whole.text[:9], max_new_tokens=20).token_ids
    assert decoder.generate(PROMPT, max_new_tokens=20).token_ids == whole.token_ids


def test_nothing_is_read_ahead_where_that_could_not_be_used() -> None:
    """With drafts; by an eager model; at the end; before all ids are read; beyond the positions."""
    model = random_model("gpt2", VOCABULARY, n_positions=50)
    lm = reader(model, GraphRunner(model))
    id = torch.tensor([5])
    lm.append([1] * 48)
    assert lm.told(id, longest=99) == [5] and lm.cache._ahead is None  # type: ignore[attr-defined]
    lm.logits(1)
    assert lm.told(id, longest=49) == [5] and lm.cache._ahead is None  # type: ignore[attr-defined]
    assert lm.told(id, longest=99) == [5] and lm.cache._ahead is not None  # type: ignore[attr-defined]
    lm.append([5])
    lm.logits(1)
    assert lm.told(id, longest=99) == [5] and lm.cache._ahead is not None  # type: ignore[attr-defined]
    lm.append([5])
    lm.logits(1)
    assert lm.told(id, longest=99) == [5] and lm.cache._ahead is None  # type: ignore[attr-defined]
    eager = CachedLM(model)
    eager.append([1] * 10)
    eager.logits(1)
    assert eager.told(id, longest=99) == [5]
    assert eager.forwards == 1
