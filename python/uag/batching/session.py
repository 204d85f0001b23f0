"""The generations of one call, and the caches and lookahead that they share."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from typing import TypeVar

from transformers import PreTrainedModel

from uag.batching.batch_cache import Batch, RowCache, id_bytes, reads_rows, rows_fault
from uag.batching.prefixes import Prefixes
from uag.batching.row_graphs import RowGraphs
from uag.batching.scheduler import OUT_OF_MEMORY, Hub, Task, run_together
from uag.decoding.output import Output, TextStream
from uag.drafting.fallback import FaultPolicy
from uag.drafting.lookup_drafts import LookupJudge
from uag.errors import warn_once
from uag.lookahead.protocol import Lookahead, TreeJudge
from uag.lookahead.schedules import Schedule
from uag.lookahead.shared import RowLookahead, SharedLookahead
from uag.models.adapters.acting import Adapters, SameAdapters
from uag.models.caches.kept import KeptCaches
from uag.models.caches.protocol import Keepable, ModelCache
from uag.models.check.images import prefilled_cache
from uag.models.engines.graphs import GraphRunner
from uag.models.engines.runner import ModelRunner
from uag.models.prefill import Prefill
from uag.models.properties import is_sharded, weights_version
from uag.models.reading import reading_of

TARGET, ASSISTANT = "target", "assistant"
NOT_DONE = {"compiled": "compiled", "graphs": "captured"}
T = TypeVar("T")


class Session:
    """Creates the caches and lookaheads of generations, and runs these together.

    If the target cannot batch (`reads_rows`), the generations run one after the other. If only the
    assistant cannot, they share passes of the target, and each drafts with passes of its own.

    Attributes:
        size: how many generations may run at the same time.
        prefixes: by role, the states of ended texts that later ones may take over; none are kept
            until they get a budget.
    """

    def __init__(
        self,
        runners: Mapping[str, ModelRunner],
        schedule: Schedule,
        lookahead: Lookahead | None,
        judge: LookupJudge,
        size: int,
        longest: int,
        *,
        prompt_ids: int | None = None,
        kept: KeptCaches | None = None,
        tree_judge: TreeJudge | None = None,
    ) -> None:
        """For `size` generations at the same time; with 1 nothing is batched.

        None has more than `longest` ids. All of them share the `lookahead`; if it is `None`, each
        gets one of its own from the `schedule`. `judge` decides about lookups. `prompt_ids`: see
        `Hub`. `kept`: the caches of ended texts, for those that do not share passes; by default
        none. `tree_judge` decides about trees, if anything but their size does.
        """
        self.judge, self.tree_judge = judge, tree_judge
        # Processes that share a model all take part in every pass: none can continue alone.
        self.faults = FaultPolicy(raised=any(is_sharded(each.model) for each in runners.values()))
        self.size = 1
        self.prefixes = {role: Prefixes(budget=0) for role in runners}
        self._runners = runners
        self._schedule = schedule
        self._longest = longest
        self._kept = kept or KeptCaches()
        self._with_images = False
        self._batches: dict[str, Batch] = {}
        if size > 1 and _share_passes(runners[TARGET].model, longest):
            self.size = size
            # Where texts come and go, it is not known how long they will be.
            first = longest if prompt_ids is None else 0
            # In this order drafts are completed before they are verified.
            self._batches = {
                role: self._batch(role, longest, first)
                for role in (ASSISTANT, TARGET)
                if role in runners and reads_rows(runners[role].model)
            }
        batches = [*self._batches.values()]
        # Where texts come and go, an error is one text's, and not the whole call's.
        halved = OUT_OF_MEMORY if prompt_ids is None else (Exception,)
        halved = () if self.faults.raised else halved
        self._hub = hub = Hub(batches, prompt_ids=prompt_ids, halved=halved)
        shared = None if lookahead is None else SharedLookahead(lookahead, lambda: max(1, len(hub)))
        self._shared = shared

    def _batch(self, role: str, longest: int, first: int) -> Batch:
        runner = self._runners[role]
        captured = isinstance(runner, GraphRunner)
        graphs = RowGraphs(runner, self.size, longest, first) if captured else None
        return Batch(runner.model, prefixes=self.prefixes[role], graphs=graphs)

    def new_cache(
        self, role: str, prompt: Sequence[int], owner: str, prefill: Prefill | None = None
    ) -> ModelCache:
        """A cache of the target or the assistant for one generation.

        It may hold the beginning of the `prompt` already, from a generation of the same `owner`.
        `prefill`: what the model reads first, if its prompt is more than ids.
        """
        if prefill is not None:
            self._with_images = True
            return prefilled_cache(self._runners[role].model, prefill)
        if role in self._batches:
            self._runners[role].look()
            return RowCache(self._batches[role], self._key(role, owner))
        key = self._key(role, owner)
        cache = self._kept.take(key, prompt) or self._runners[role].new_cache(self._longest)
        if isinstance(cache, Keepable):
            cache.owner = key
        return cache

    def keep(self, role: str, cache: ModelCache) -> None:
        """Keep the cache of a generation that has ended, for later ones of the same owner.

        Rows of a batch keep theirs themselves.
        """
        if self._kept.budget and isinstance(cache, Keepable) and not isinstance(cache, RowCache):
            alike = cache.way.together and not reading_of(self._runners[role].model).regimes
            if alike:
                self._kept.put(cache)

    def _key(self, role: str, owner: str) -> Hashable:
        """Whose a cache is: states are those of a model with its present weights and adapters."""
        if not (self._kept.budget or self.prefixes[role].budget):
            return owner
        model = self._runners[role].model
        return role, owner, weights_version(model), str(Adapters(model).acting)

    @property
    def engines(self) -> dict[str, str]:
        """How each model runs, by role: see `Stats.engines`."""
        return {role: self._engine(role, runner) for role, runner in self._runners.items()}

    @property
    def compile_seconds(self) -> float:
        """What compiling the models has taken so far, in this call and earlier ones."""
        return sum(runner.seconds for runner in self._runners.values())

    def watch_adapters(self) -> list[SameAdapters]:
        """Watches for a text that begins now; none for models without adapters."""
        watches = [SameAdapters(each.model, role) for role, each in self._runners.items()]
        return [watch for watch in watches if watch]

    def new_lookahead(self) -> Lookahead:
        """The lookahead of one generation."""
        return RowLookahead(self._shared) if self._shared else self._schedule.new()

    def finish(self, texts: Sequence[TextStream]) -> list[Output]:
        """Decode all generations to their ends; their outputs, in the same order."""
        return run_together([text.finish for text in texts], self._hub, self.size)

    def id_bytes(self) -> dict[str, int]:
        """What an id takes in the caches of the models that read rows, in bytes, by role."""
        return {role: id_bytes(self._runners[role].model) for role in self._batches}

    def slots_for(self, rows: int, longest: int) -> int:
        """How many slots so many texts of up to so many ids take in the caches of a model."""
        return max(each.slots_for(rows, longest) for each in self._batches.values())

    def permit(self, slots: int) -> None:
        """Let the caches of each model have up to so many slots, also where fewer would do."""
        for batch in self._batches.values():
            batch.permit(slots)

    def begin(self, call: Callable[[], T], ended: Callable[[Future[T]], None]) -> Task:
        """Run a call, which reads one of the texts, together with those under way; see `Hub`."""
        return self._hub.begin(call, ended)

    def step(self) -> bool:
        """One forward pass for those under way; `False` if none waits for one."""
        return self._hub.step()

    def drop(self, task: Task) -> None:
        """End a call that `begin` began."""
        self._hub.drop(task)

    def _engine(self, role: str, runner: ModelRunner) -> str:
        if runner.reason or runner.engine not in NOT_DONE:
            return str(runner)
        if role == TARGET and self._with_images:
            return f"eager: a prompt with images is not {NOT_DONE[runner.engine]}"
        if role in self._batches and not isinstance(runner, GraphRunner):
            return f"eager: several texts at once are not {NOT_DONE[runner.engine]}"
        return str(runner)


def _share_passes(model: PreTrainedModel, longest: int) -> bool:
    """Whether texts of up to `longest` ids may be read in the same passes; warns if not.

    Where the longest text of a pass decides what all get, all must stay in the same regime.
    """
    fault = rows_fault(model)
    regimes = reading_of(model).regimes
    if not fault and regimes.of(longest) != regimes.of(0):
        fault = f"reads texts of more than {regimes.room(0)} ids otherwise than shorter ones"
    if fault:
        warn_once(
            f"{type(model).__name__} {fault}: the texts of a call are decoded one after the other"
        )
    return not fault
