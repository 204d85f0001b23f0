"""What other threads ask of the engine's thread, in all processes that share a model."""

import pickle
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from queue import Empty, SimpleQueue
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import torch
import torch.distributed

from uag.errors import OptionError
from uag.requests.prompts.ids import Prompt
from uag.requests.request import Request
from uag.serving.reply import Event, Reply

# Most seconds between two exchanges of processes that share a model, also if nobody asks.
BEAT = 20.0
# After which a process that hears nothing gives up.
SILENCE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Job:
    """A request as it was made.

    Attributes:
        prompt, options, count, owner: see `ServingEngine.submit`.
        seed: the same; drawn if none was given and tokens are sampled.
    """

    prompt: Prompt
    options: dict[str, Any]
    count: int
    seed: int | None
    owner: str


class Mute:
    """In place of a `Reply` in a process that answers nobody."""

    cancelled = False

    def __init__(self, count: int) -> None:
        self.count = count

    def put(self, event: Event) -> None:
        """Tell nobody an event."""

    def fail(self, error: BaseException) -> None:
        """Tell nobody an error."""


@dataclass(slots=True, eq=False)
class Asked:
    """A request.

    Attributes:
        reply: for its texts.
        job: what is asked.
        requests: the job after it was read; `None` if that is still to be done.
        wanted: whether it was wanted when it was taken.
        packed: the job, for other processes.
    """

    reply: Reply | Mute
    job: Job
    requests: Sequence[Request] | None = None
    wanted: bool = True
    packed: bytes = b""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Nobody wants the rest of a reply."""

    reply: Reply | Mute


@dataclass(frozen=True, slots=True)
class Stop:
    """End all texts, and the thread."""


@dataclass(frozen=True, slots=True)
class Wake:
    """Look how things are."""


Message = Asked | Cancelled | Stop | Wake


class Inbox:
    """Messages to the engine's thread, in the order in which they came.

    >>> inbox = Inbox()
    >>> inbox.put(Stop())
    >>> inbox.take(wait=True), inbox.take(wait=False)
    ([Stop()], [])

    Attributes:
        shared: whether other processes take the same messages.
    """

    shared = False

    def __init__(self) -> None:
        self._messages: SimpleQueue[Message] = SimpleQueue()

    def put(self, message: Message) -> None:
        """Leave a message; called by any thread."""
        self._messages.put(message)

    def take(self, *, wait: bool) -> list[Message]:
        """All messages since the last time; `wait` for the first."""
        return self._taken(None if wait else 0.0)

    def rest(self) -> list[Message]:
        """What came too late to be taken."""
        return self._taken(0.0)

    def agreed(self, number: int) -> int:
        """A number that all processes use: that of the first."""
        return number

    def _taken(self, seconds: float | None) -> list[Message]:
        taken: list[Message] = []
        with suppress(Empty):
            while True:
                message = self._messages.get(seconds != 0.0, seconds)
                if isinstance(message, Asked):
                    message.wanted = not message.reply.cancelled
                taken.append(message)
                seconds = 0.0
        return taken


class SharedInbox(Inbox):
    """The inbox where processes share a model: all take what the first takes, at the same time.

    The first process tells the others what it has taken, before each step of the engine: a number
    if that is nothing, so that a step costs one broadcast.

    Attributes:
        leads: whether this is the first process.
    """

    shared = True

    def __init__(self) -> None:
        """All processes of `torch.distributed` must do this at the same time."""
        super().__init__()
        self._distributed: Any = torch.distributed
        self.leads: bool = self._distributed.get_rank() == 0
        self._group = self._distributed.new_group(backend="gloo", timeout=SILENCE)
        self._numbers: WeakKeyDictionary[Reply | Mute, int] = WeakKeyDictionary()
        self._mutes: WeakValueDictionary[int, Mute] = WeakValueDictionary()
        self._asked = 0

    def put(self, message: Message) -> None:
        """Leave a message; called by any thread of the first process.

        Raises:
            OptionError: for a request that cannot be told to other processes.
        """
        if isinstance(message, Asked):
            message.packed = _packed(message.job)
        super().put(message)

    def take(self, *, wait: bool) -> list[Message]:
        """All messages since the last time; `wait` for the first, but not for long."""
        if not self.leads:
            return self._heard(pickle.loads(told) if (told := self._tell(b"")) else [])  # noqa: S301 # the first process's
        messages = self._taken(BEAT if wait else 0.0)
        said = [each for message in messages if (each := self._said(message))]
        self._tell(pickle.dumps(said) if said else b"")
        return messages

    def agreed(self, number: int) -> int:
        return pickle.loads(self._tell(pickle.dumps(number)))  # noqa: S301 # the first process's

    def _said(self, message: Message) -> tuple[str, int, bytes] | None:
        """A message as others are told it; `None` for what does not concern them."""
        match message:
            case Asked(wanted=True):
                self._asked += 1
                self._numbers[message.reply] = self._asked
                return "asked", self._asked, message.packed
            case Cancelled() if message.reply in self._numbers:
                return "cancelled", self._numbers[message.reply], b""
            case Stop():
                return "stop", 0, b""
            case _:
                return None

    def _heard(self, said: list[tuple[str, int, bytes]]) -> list[Message]:
        messages: list[Message] = []
        for kind, number, packed in said:
            if kind == "asked":
                job: Job = pickle.loads(packed)  # noqa: S301 # the first process's
                mute = self._mutes[number] = Mute(job.count)
                messages.append(Asked(mute, job))
            elif kind == "stop":
                messages.append(Stop())
            elif (known := self._mutes.get(number)) is not None:
                messages.append(Cancelled(known))
        return messages

    def _tell(self, told: bytes) -> bytes:
        """What the first process tells, in all of them."""
        size = torch.tensor([len(told)])
        self._distributed.broadcast(size, group=self._group, group_src=0)
        if not (length := int(size)):
            return b""
        sent = bytearray(told) if self.leads else bytearray(length)
        data = torch.frombuffer(sent, dtype=torch.uint8)
        self._distributed.broadcast(data, group=self._group, group_src=0)
        return bytes(sent)


def _packed(job: Job) -> bytes:
    if "max_time" in job.options:
        raise OptionError(
            "max_time: the clocks of processes that share a model differ; leave it out"
        )
    try:
        return pickle.dumps(job)
    except Exception as error:
        raise OptionError(
            "the request has an option that cannot be sent to the other processes that share the "
            f"model ({error}); leave it out"
        ) from error
