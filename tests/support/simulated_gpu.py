"""Two models on a GPU as seconds and chances, for a lookahead to be tried in.

The milliseconds are those of an H200, by captured graphs. An eager pass is bound by its launches.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate, takewhile
from math import ceil
from random import Random

from uag.lookahead.auto import Auto
from uag.lookahead.schedules import Fixed
from uag.models.engines.graphs import MOST_CAPTURED, WIDTHS
from uag.stats import Round

WIDEST = WIDTHS[-1]
# Ids of a prompt, which are read eagerly.
PROMPT = 1000
# Beside the models' passes.
HOST = 0.02


@dataclass(frozen=True)
class Pair:
    """Milliseconds of a target's and an assistant's passes.

    Attributes:
        passes: the target's over each of `WIDTHS`.
        eager_pass: the target's over more ids than are captured.
        read: the assistant's over what it has not read.
        eager_read: the same over more ids than are captured.
        step: the assistant's over the id that it chose.
    """

    passes: tuple[float, ...]
    eager_pass: float
    read: float
    eager_read: float
    step: float

    def drafted(self, unread: int, k: int, cold: tuple[float, float]) -> list[float]:
        """What each id of a draft seems to take in seconds, as `CachedLM.draft` tells it."""
        captured = unread <= MOST_CAPTURED
        read = (self.read * ceil(unread / WIDEST) if captured else self.eager_read) + cold[0]
        return [read / 1000] + [(self.step + cold[1] / (k - 1)) / 1000 for _ in range(1, k)]

    def verified(self, ids: int) -> tuple[int, float]:
        """The width of the target's pass over so many ids, and its seconds."""
        if ids > MOST_CAPTURED:
            return ids, self.eager_pass / 1000
        full, rest = divmod(ids - 1, WIDEST)
        each = zip(WIDTHS, self.passes, strict=True)
        width, last = next((width, spent) for width, spent in each if width > rest)
        return full * WIDEST + width, (full * self.passes[-1] + last) / 1000


# Targets of 8 and 3 billion parameters with an assistant of 70 million.
ASSISTANT: dict[str, float] = {"read": 0.33, "eager_read": 11.0, "step": 0.22}
LARGE = Pair((4.3, 4.94, 4.98, 5.11, 5.53, 6.84, 8.33), 30.0, **ASSISTANT)
MIDDLE = Pair((1.98, 2.25, 2.33, 2.42, 2.96, 4.14, 4.85), 38.0, **ASSISTANT)


def slow_assistant(cost: float) -> Pair:
    """The larger target with an assistant whose step costs this many of its passes."""
    plain = LARGE.passes[0]
    return replace(LARGE, read=1.2 * cost * plain, eager_read=LARGE.eager_pass, step=cost * plain)


@dataclass
class SimulatedGPU:
    """Texts, one after another.

    Attributes:
        right: the chance that an id of the assistant is accepted, after so many tokens.
        pair: what the models' passes take.
        found: the chances of the ids that a lookup finds.
        finds: how often it finds any.
        sizes: of how many ids of the target each id of the assistant may be.
        cold: milliseconds of what the first draft sets up: in its first step, and in the others.
        asked: in how many rounds the assistant drafted so far.
    """

    right: Callable[[int], float]
    pair: Pair = LARGE
    found: tuple[float, ...] = ()
    finds: float = 0.0
    sizes: tuple[int, ...] = (1,)
    cold: tuple[float, float] = (0.0, 0.0)
    random: Random = field(default_factory=lambda: Random(0), repr=False)
    asked: int = 0

    def speed(self, lookahead: Auto | Fixed, tokens: int) -> float:
        """Tokens a second over a text of so many tokens, after its prompt."""
        lookahead.start()
        emitted, spent = 0, 0.0
        for done in self._rounds(lookahead):
            lookahead.update(done)
            emitted += len(done.tokens)
            spent += sum(done.seconds.values())
            if emitted >= tokens:
                return emitted / spent
        raise AssertionError

    def _rounds(self, lookahead: Auto | Fixed) -> Iterator[Round]:
        unread, emitted = PROMPT, 0
        drafting = verifying = "prefill"
        while True:
            k = lookahead.next_k()
            judge = lookahead if isinstance(lookahead, Auto) and lookahead.looks_up() else None
            chances = self._looked_up(judge) if judge else []
            looked_up, steps = len(chances), list[float]()
            if k and not looked_up:
                cold = (0.0, 0.0) if self.asked else self.cold
                chances, steps = [self.right(emitted)] * k, self.pair.drafted(unread, k, cold)
                self.asked += 1
            ends = [*accumulate(self._size() if steps else 1 for _ in chances)]
            right = sum(1 for _ in takewhile(lambda each: self.random.random() < each, chances))
            read = self._read(lookahead, 1 + max(ends, default=0), looked_up) - 1
            accepted = min(read, ends[right - 1] if right else 0)
            width, seconds = self.pair.verified(1 + read)
            done = Round(
                tokens=[0] * (accepted + 1),
                accepted=accepted,
                drafted=len(chances),
                drafted_accepted=sum(end <= accepted for end in ends),
                candidates=read,
                width=width,
                looked_up=looked_up,
                seconds={drafting: HOST / 1000, verifying: 0.0},
                confidences=chances[:looked_up],
                draft_seconds=steps,
                searched=judge is not None,
            )
            done.seconds[drafting] += sum(steps)
            done.seconds[verifying] += seconds
            yield done
            emitted += len(done.tokens)
            unread = 1 + (right == k) if steps else unread + len(done.tokens)
            drafting, verifying = ("draft" if chances else drafting), "verify"

    def _size(self) -> int:
        return self.random.choice(self.sizes) if len(self.sizes) > 1 else self.sizes[0]

    @staticmethod
    def _read(lookahead: Auto | Fixed, ids: int, looked_up: int) -> int:
        """How many of so many ids the pass reads."""
        return lookahead.fit(ids, bool(looked_up)) if isinstance(lookahead, Auto) else ids

    def _looked_up(self, auto: Auto) -> list[float]:
        """The chances of the ids that are looked up in this round, rather than drafted."""
        found = auto.reach(self.found) if self.random.random() < self.finds else []
        return found if found and auto.prefers(found) else []
