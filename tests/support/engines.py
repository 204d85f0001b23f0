"""What is checked of engines: compiled passes, captured ones on a stand-in, and on a GPU."""

from functools import partial
from random import Random

import pytest
import torch
from transformers import PreTrainedModel

from tests.support.kernels import HostLauncher
from tests.support.models import at_once
from tests.support.recorded import RecordedGraphs
from uag import UagWarning
from uag.batching.batch_cache import Batch, RowCache
from uag.batching.scheduler import Hub, run_together
from uag.models.cached_lm import CachedLM
from uag.models.caches.protocol import Choose
from uag.models.engines.capture import CAPTURERS
from uag.models.engines.fused.fusion import LAUNCHERS
from uag.models.engines.graphs import GraphCache, GraphRunner
from uag.models.properties import embedding_rows
from uag.sampling.alternatives import Alternatives
from uag.sampling.coupled import DraftSampling, DraftShape, TokenNames
from uag.sampling.greedy import MostLikely
from uag.sampling.noise import digest

WITH_GRAPHS = ["llama", "mistral-window", "mixtral", "gemma2", "gemma3", "qwen2", "qwen3", "phi3",
               "gpt2", "gpt-neox"]  # fmt: skip


def be_a_gpu(*, kernels: bool = True) -> None:
    """Have models on the CPU run as on a GPU from now on: by captured passes, and by kernels."""
    CAPTURERS["cpu"] = RecordedGraphs
    if kernels:
        LAUNCHERS["cpu"] = HostLauncher


def reader(model: PreTrainedModel, runner: GraphRunner) -> CachedLM:
    cache = runner.new_cache()
    assert isinstance(cache, GraphCache), str(runner)
    return CachedLM(model, cache=cache)


def check(lm: CachedLM, model: PreTrainedModel, positions: int) -> None:
    torch.testing.assert_close(
        lm.logits(positions), at_once(model, lm.ids)[-positions:], atol=2e-4, rtol=1e-4
    )


def check_giving_up(lm: CachedLM, model: PreTrainedModel, match: str) -> None:
    """In the middle of a text the engine gives up with a warning, and the text continues."""
    lm.append([5] * 40)
    check(lm, model, 1)
    lm.append([6, 7])
    with pytest.warns(UagWarning, match=match):
        check(lm, model, 2)
    lm.append([8])
    check(lm, model, 1)


def check_reading(model: PreTrainedModel, runner: GraphRunner) -> None:
    """Two texts in turn, each with memory of its own, read and rolled back at random."""
    random = Random(0)
    texts = [reader(model, runner), reader(model, runner)]
    for round_ in range(24):
        lm = texts[round_ % 2]
        added = [random.randrange(320) for _ in range(random.choice([1, 2, 3, 3, 5, 7, 30, 40]))]
        lm.apply(max(0, len(lm.ids) - random.choice([0, 0, 1, 2, 3, 5, 12, 40])), added)
        if len(lm.ids) < 250:  # of 256 positions
            check(lm, model, random.randint(1, min(4, len(lm.ids))))


def check_drafts(model: PreTrainedModel, runner: GraphRunner, choose: Choose, same: Choose) -> None:
    """Drafts that are rolled back in part, beside those of the eager engine."""
    lm, eager = reader(model, runner), CachedLM(model)
    for each in (lm, eager):
        each.append([7, 8, 9])
    for count, kept in ((20, 20), (9, 3), (1, 0), (40, 11), (2, 2)):
        drafted = lm.draft(count, choose)
        assert drafted.ids == eager.draft(count, same).ids
        assert len(drafted.seconds) == count
        assert lm.last is not None
        assert eager.last is not None
        torch.testing.assert_close(lm.last, eager.last, atol=2e-4, rtol=1e-4)
        for each in (lm, eager):
            each.apply(len(each.ids) - count + kept, [5])
    assert lm.forwards == eager.forwards


def check_ahead(model: PreTrainedModel, runner: GraphRunner) -> None:
    """After a pass ahead: the id that it read, another, several, fewer than there were, a tree."""
    random, lm = Random(0), reader(model, runner)
    lm.append([3, 4, 5])
    check(lm, model, 1)
    for _ in range(60):
        if len(lm.ids) > 200:
            lm.roll_back(20)
            check(lm, model, 1)
        ahead = random.randrange(300)
        assert lm.told(torch.tensor([ahead], device=model.device), 250, lambda: True) == [ahead]
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


def check_begun(model: PreTrainedModel, runner: GraphRunner, tokens: TokenNames | None) -> None:
    """Drafts that were begun are those of the host, drawn if there are `tokens`.

    They are as long as was begun, if more is asked for; and if ids change, as if none had begun.
    """
    random, lm, host = Random(1), reader(model, runner), CachedLM(model)

    def choose(place: int) -> Choose:
        if tokens is None:
            return MostLikely()
        return DraftSampling(tokens, digest(5), DraftShape, lambda: place)()

    lm.append([3, 4, 5])
    lm.draft(3, MostLikely())
    used = 0
    for _ in range(40):
        keep = max(1, min(len(lm.ids), 150) - random.randrange(5))
        lm.apply(keep, [random.randrange(300) for _ in range(random.choice([1, 1, 2, 3, 12]))])
        begun, asked = random.randrange(1, 9), random.randrange(1, 9)
        state, passes = len(lm.ids), lm.forwards
        lm.begin(begun, choose(state))
        assert (len(lm.ids), lm.forwards) == (state, passes) and lm.cache.length < state
        if random.random() < 0.2:
            lm.append([7])
        started = lm._begun is not None
        used += started
        place = len(lm.ids)
        drafted = lm.draft(asked, choose(place))
        host.apply(0, lm.ids[:place])
        steps = min(asked, begun) if started else asked
        assert drafted.ids == host.draft(steps, choose(place)).ids
        assert lm.last is not None and len(drafted.seconds) in (0, len(drafted.ids))
    assert used > 20


def check_siblings(model: PreTrainedModel, runner: GraphRunner, tokens: TokenNames) -> None:
    """Combs of captured drafts, greedy and drawn, beside those that the host looks at."""
    lm, host = reader(model, runner), CachedLM(model)
    for each in (lm, host):
        each.append([7, 8, 9])
    shapes = [DraftShape(), DraftShape(0.5), DraftShape(0.4), DraftShape(0.7, top_k=5, top_p=0.8)]
    for seed, shape in enumerate(shapes):
        drawn = DraftSampling(tokens, digest(seed), lambda shape=shape: shape, lambda: 0)
        for choice in (MostLikely, drawn):
            score = Alternatives(shape)
            tree = lm.draft(7, choice(), score=score).tree
            true = host.draft(7, choice(), goes_on=lambda _: True, score=score).tree
            assert tree is not None and true is not None
            assert (tree.ids, tree.parents) == (true.ids, true.parents)
            assert tree.chances == pytest.approx(true.chances, rel=1e-3, abs=1e-5)
            assert len(tree.ids) > 10
            for each in (lm, host):
                each.roll_back(4)


def check_rows(model: PreTrainedModel, batch: Batch) -> None:
    """More texts than there are at a time, of different lengths, so that rows leave and move."""
    random, rows = Random(0), embedding_rows(model)

    def tell(seed: int) -> int:
        random = Random(seed)
        lm, text = CachedLM(model, cache=RowCache(batch)), list[int]()
        for _ in range(random.randint(5, 25)):
            keep = max(0, len(text) - random.choice([0, 0, 1, 2, 3, 5, 12, 40]))
            count = random.choice([1, 1, 2, 6, 11, 70])
            added = [random.randrange(rows) for _ in range(count)]
            text = (text[:keep] + added)[:120]
            lm.apply(keep, text[keep:])
            positions = random.randint(1, min(4, len(text)))
            torch.testing.assert_close(
                lm.logits(positions), at_once(model, text)[-positions:], atol=3e-4, rtol=2e-4
            )
        return len(text)

    tasks = [partial(tell, random.randrange(1000)) for _ in range(7)]
    assert len(run_together(tasks, Hub([batch]), size=4)) == 7


def check_taking_over(model: PreTrainedModel, batch: Batch) -> None:
    """Texts that begin alike, of two owners, in a batch that keeps ended ones."""
    random, rows = Random(1), embedding_rows(model)
    common = [random.randrange(rows) for _ in range(90)]
    caches: list[RowCache] = []

    def tell(seed: int) -> None:
        random = Random(seed)
        owner = "ab"[seed % 2]
        caches.append(cache := RowCache(batch, owner))
        lm = CachedLM(model, cache=cache)
        own = [random.randrange(rows) for _ in range(random.randint(1, 20))]
        text = common[: random.randint(50, 90)] + own
        for _ in range(3):
            keep = max(len(lm.ids) - 2, 0)
            lm.apply(keep, text[keep:])
            torch.testing.assert_close(
                lm.logits(2), at_once(model, text)[-2:], atol=3e-4, rtol=2e-4
            )
            text = [*text, *own[:3]]

    run_together([partial(tell, seed) for seed in range(10)], Hub([batch]), size=4)
    assert sum(cache.taken_over > 0 for cache in caches) == 8  # all but the first of each owner
    assert all(cache.taken_over <= 90 for cache in caches)
