"""Log-probabilities of the tokens of a text, recorded while it is decoded."""

from dataclasses import dataclass
from threading import Lock
from typing import Any, NamedTuple

from torch import Tensor
from transformers import LogitsProcessor

from uag.models.cached_lm import id_list
from uag.serving.processors.following import Following


class Likelihood(NamedTuple):
    """How likely a token was, and which ones were the likeliest.

    Attributes:
        logprob: of the token itself.
        top: (id, log-probability) of the likeliest, the first one first.
    """

    logprob: float
    top: list[tuple[int, float]]


@dataclass(slots=True)
class _Position:
    """Log-probabilities after some ids, and how many texts have not yet read them."""

    row: Tensor
    top: list[tuple[int, float]]
    readers: int


class Record:
    """What was likely after the ids that a request's texts have so far.

    Texts of the same ids share a position: their distributions are the same.

    Attributes:
        top: how many of the likeliest ids are kept of each position.
    """

    def __init__(self, top: int) -> None:
        self.top = top
        self._positions: dict[int, _Position] = {}
        self._lock = Lock()

    def write(self, path: int, scores: Tensor) -> None:
        """Keep the scores `[vocabulary]` after the ids that `path` stands for."""
        row = scores.float().log_softmax(-1).cpu()
        values, ids = row.topk(min(self.top, len(row)))
        top = [*zip(id_list(ids), map(float, values), strict=True)]
        with self._lock:
            before = self._positions.get(path)
            readers = 1 if before is None else before.readers + 1
            self._positions[path] = _Position(row, top, readers)

    def read(self, path: int, id: int) -> Likelihood | None:
        """How likely an id was after those of `path`; `None` if nothing was recorded there."""
        with self._lock:
            position = self._positions.get(path)
            if position is None:
                return None
            position.readers -= 1
            if not position.readers:
                del self._positions[path]
        return Likelihood(float(position.row[id]), position.top)


class Recorder(Following):
    """Writes the target's own distribution at each position into a record, and changes nothing.

    >>> record = Record(top=1)
    >>> recorder = Recorder(record)
    >>> scores = recorder(torch.tensor([[7]]), torch.tensor([[0.0, 0.0]]))
    >>> likely = record.read(0, 1)
    >>> round(likely.logprob, 3), len(likely.top)
    (-0.693, 1)
    """

    def __init__(self, record: Record) -> None:
        super().__init__()
        self._record = record
        self._path = 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride]
        """The same scores `[1, vocabulary]`."""
        for id in id_list(self.new(input_ids)):
            self._path = extended(self._path, id)
        self._record.write(self._path, scores[0])
        return scores

    def __deepcopy__(self, memo: dict[int, Any]) -> "Recorder":
        """Another text's recorder, which writes into the same record."""
        copied = Recorder(self._record)
        copied._path, copied._seen = self._path, self._seen
        return copied

    def __reduce__(self) -> "tuple[type[Unrecorded], tuple[()]]":
        """What stands for it in another process, where nobody reads the record."""
        return Unrecorded, ()


class Unrecorded(LogitsProcessor):
    """Changes nothing.

    >>> int(Unrecorded()(torch.tensor([[7]]), torch.tensor([[1, 2]])).sum())
    3
    """

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride]
        """The same scores."""
        del input_ids
        return scores


def extended(path: int, id: int) -> int:
    """What stands for the ids of a path and one more; 0 stands for none."""
    return hash((path, id))
