"""What a KV cache of one text can do, and the ways in which a model can be read with one."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, cast, runtime_checkable

from torch import Tensor

from uag.models.caches.tree import Tree

# Chooses the next id: `[1, vocabulary]` -> `[1]`.
Choose = Callable[[Tensor], Tensor]


class StaticChoose(ABC):
    """A `Choose` that can be captured: what differs between drafts is in tensors, not in numbers.

    A class and no protocol, as others here that are asked for in each round: `isinstance` on a
    protocol takes longer than what it decides about.

    Attributes:
        kind: the same for all that do the same operations.
        state: the tensors that it reads, and changes where they are.
    """

    kind: Hashable
    state: Sequence[Tensor]

    @abstractmethod
    def __call__(self, logits: Tensor) -> Tensor:
        """Choose an id."""

    @abstractmethod
    def copy(self) -> Self:
        """Another one, with a state of its own."""


class Copied(Protocol):
    """Ids of a device on their way to the host, while it goes on with what was launched later.

    Attributes:
        is_there: whether they have arrived.
    """

    @property
    def is_there(self) -> bool: ...

    def wait(self) -> list[int]:
        """The ids, once they have arrived."""
        ...


@dataclass(frozen=True, slots=True)
class Way:
    """How a model can be read: found by its check.

    Attributes:
        prompt_alone: whether the prompt needs a pass of its own.
        together: whether one pass over several ids gives what one pass for each gives.
        whole: whether each pass reads the whole text, as the model keeps nothing of it (GPT-1).
        as_generate: whether only the steps of `generate` itself will do.
        reason: what fails if ids are read together; empty if nothing does.
    """

    prompt_alone: bool = False
    together: bool = True
    whole: bool = False
    as_generate: bool = False
    reason: str = ""


TOGETHER = Way()
PROMPT_ALONE = Way(prompt_alone=True)
WHOLE = Way(whole=True)
ONE_BY_ONE = Way(prompt_alone=True, together=False)
AS_GENERATE = Way(prompt_alone=True, together=False, as_generate=True)


class ModelCache(Protocol):
    """The KV cache of one model for one generation; its last ids can be rolled back.

    Attributes:
        length: number of ids that the cache holds.
        width: number of ids in the last forward pass, padding included.
        way: how passes may read ids.
    """

    length: int
    width: int
    way: Way

    def clear(self) -> None:
        """Remove every id."""
        ...

    def roll_back(self, length: int) -> None:
        """Roll back to at most `length` ids. It may be fewer: `self.length` says how many."""
        ...

    def should_read_first(self, count: int) -> bool:
        """Whether to read `count` certain ids in a pass of their own, before `checkpoint`."""
        ...

    def checkpoint(self) -> None:
        """Call this before a pass over ids that may be rolled back."""
        ...

    def forward(self, ids: Tensor, positions: int) -> Tensor:
        """Run a forward pass over `ids` and add them to the cache.

        `[ids]` -> `[positions, vocabulary]`: the logits at the last `positions` of them.
        """
        ...


@dataclass(frozen=True, slots=True)
class Rolled:
    """Ids that a device chose one after the other, without the host.

    Attributes:
        ids: the chosen ids, `[steps]`.
        logits: what the last ones were chosen from, `[positions, vocabulary]`.
        took: seconds of the device for all of them, once the host has the ids; `None` if nobody
            knows.
    """

    ids: Tensor
    logits: Tensor
    took: Callable[[], float] | None = None

    @property
    def step(self) -> float | None:
        """Seconds of the device for one of them, once the host has the ids."""
        return self.took() / self.ids.shape[0] if self.took else None


class SelfFeeding(ABC):
    """A `ModelCache` whose passes can choose the id that the next one reads.

    It takes ids from the host too, and copies them to its device without a wait.
    """

    @abstractmethod
    def roll(self, fed: Tensor, steps: int, choose: StaticChoose, positions: int) -> Rolled | None:
        """Read an id, choose the next one, and so on, without the host.

        Args:
            fed: the id to read first, `[1]`.
            steps: how many ids to choose.
            choose: chooses them; its own state does not change.
            positions: of how many logits are wanted: of the last one, or of all.

        Returns:
            What was chosen; `None` if it must be done step by step.
        """

    @abstractmethod
    def copied(self, ids: Tensor) -> Copied:
        """Begin to copy ids to the host."""


class ReadingAhead(ABC):
    """A `ModelCache` that can begin a pass over an id that may be next, before it is asked for."""

    @abstractmethod
    def read_ahead(self, id: Tensor) -> int | None:
        """Begin the pass over an id, `[1]`, on the host or not; the id, once the device has it.

        If `forward` reads that id next, the result is there, or will be soon. If not, it is as if
        there had been no such pass. `None` where it cannot be begun.
        """


@runtime_checkable
class TreeReading(ModelCache, Protocol):
    """A `ModelCache` whose passes can read a tree of ids."""

    def read_tree(self, ids: Tensor, tree: Tree, positions: int) -> Tensor:
        """Run a forward pass over `ids`, the last of which are the nodes of a tree.

        `[ids]` -> `[positions, vocabulary]`, as `forward`. Those before the tree are added to the
        cache, its nodes only if `keep` is called next.
        """
        ...

    def keep(self, path: Sequence[int]) -> None:
        """Add nodes of the tree that was read just now: those of a path, from its beginning on."""
        ...


class Keepable(ModelCache, ABC):
    """A `ModelCache` that a later text can go on from, if it begins alike.

    Attributes:
        text: the ids whose beginning the cache holds, as far as they are known. The `CachedLM` that
            uses the cache keeps them.
        taken_over: how many ids of the text did not have to be read.
        owner: whose it is: only a text of the same owner goes on from it.
    """

    owner: Hashable
    text: list[int]
    taken_over: int

    @abstractmethod
    def held_bytes(self) -> int:
        """The memory of the states."""


class PreallocatedCache(ModelCache):
    """A `ModelCache` in a preallocated buffer: rolling back only lowers `length`."""

    way = TOGETHER

    def __init__(self) -> None:
        """An empty cache."""
        self.length = self.width = self.taken_over = 0
        self.owner: Hashable = ""
        self.text: list[int] = []

    def clear(self) -> None:
        """Remove every id."""
        self.length = 0

    def roll_back(self, length: int) -> None:
        """Roll back to at most `length` ids."""
        self.length = min(self.length, length)

    def should_read_first(self, count: int) -> bool:
        """Return `False`: this cache makes no copies."""
        del count
        return False

    def checkpoint(self) -> None:
        """Do nothing: rolling back needs no copy."""


def pieces_of(
    ids: Tensor, sizes: Sequence[int], positions: int
) -> Iterator[tuple[Tensor, int, int]]:
    """Ids, `[ids]`, for passes of these sizes that give the logits at the last `positions`.

    Most often there is one piece, of which a view would only cost time between two passes.

    Yields:
        Each piece, `[size]`; how many logits its pass gives, at least one; and how many ids follow.

    >>> [*pieces_of(torch.tensor([5, 6, 7]), [2, 1], positions=2)]
    [(tensor([5, 6]), 1, 1), (tensor([7]), 1, 0)]
    """
    pieces: Sequence[Tensor] = [ids] if len(sizes) == 1 else cast("Any", ids).split([*sizes])
    left = ids.shape[0]
    for piece, size in zip(pieces, sizes, strict=True):
        left -= size
        yield piece, min(size, max(1, positions - left)), left
