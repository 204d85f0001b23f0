"""Lookahead schedules: fixed, heuristic, and the parsing of the `lookahead=` option."""

from dataclasses import dataclass
from numbers import Integral
from typing import Any

from uag.draft import GoesOn
from uag.errors import OptionError
from uag.lookahead.auto import Auto
from uag.lookahead.protocol import Lookahead, Sharing
from uag.stats import Round
from uag.values import shown


@dataclass(frozen=True, slots=True)
class Fixed:
    """Draft the same number of ids in every round.

    >>> Fixed(5).next_k()
    5
    """

    k: int

    def __post_init__(self) -> None:
        if self.k < 1:
            raise OptionError(
                f"lookahead is {self.k}, but a round drafts at least 1 id; "
                "to decode without drafts, pass assistant=None"
            )

    def start(self) -> None:
        pass

    def next_k(self) -> int:
        return self.k

    def goes_on(self) -> None:
        return None

    def update(self, done: Round) -> None:
        pass


@dataclass(slots=True)
class Heuristic:
    """Draft two ids more after a fully accepted draft, else one less: "heuristic" in transformers.

    >>> lookahead = Heuristic(5)
    >>> done = Round([7], accepted=1, drafted=5, drafted_accepted=5, candidates=1, seconds={})
    >>> lookahead.update(done); lookahead.next_k()
    7
    """

    k: int = 20

    def __post_init__(self) -> None:
        # The same bound and message as a fixed number of drafts.
        Fixed(self.k)

    def start(self) -> None:
        pass

    def next_k(self) -> int:
        return self.k

    def goes_on(self) -> None:
        return None

    def update(self, done: Round) -> None:
        if done.drafted:
            right = done.drafted_accepted == done.drafted
            self.k = self.k + 2 if right else max(1, self.k - 1)


@dataclass(frozen=True, slots=True)
class ReportingLookahead:
    """Runs the user's schedule and reports each round to `auto`, which decides about lookups."""

    lookahead: Lookahead
    auto: Sharing

    def start(self) -> None:
        self.lookahead.start()
        self.auto.start()

    def share(self, rows: int) -> None:
        self.auto.share(rows)

    def next_k(self) -> int:
        return self.lookahead.next_k()

    def goes_on(self) -> GoesOn | None:
        return self.lookahead.goes_on()

    def update(self, done: Round) -> None:
        self.lookahead.update(done)
        self.auto.update(done)


@dataclass(frozen=True, slots=True)
class NoLookahead:
    """Never drafts: "auto" where nothing drafts has nothing to measure.

    >>> NoLookahead().next_k()
    0
    """

    def start(self) -> None:
        pass

    def next_k(self) -> int:
        return 0

    def goes_on(self) -> None:
        return None

    def update(self, done: Round) -> None:
        pass


def parse_lookahead(option: int | str) -> int | str:
    """Parse a `lookahead=` option given as text, for example on the command line.

    >>> parse_lookahead("5"), parse_lookahead("auto")
    (5, 'auto')
    """
    try:
        return int(option)
    except ValueError:
        return option


def lookahead_from(option: "int | str | Lookahead") -> Lookahead:
    """The lookahead that an option stands for: a new one, or the object that was given.

    Raises:
        OptionError: for a number below 1 or an unknown name.

    >>> lookahead_from(3)
    Fixed(k=3)
    """
    given: Any = option
    match given:
        case bool():
            pass
        case Integral():  # numpy's numbers too
            return Fixed(int(given))
        case "auto":
            return Auto()
        case "heuristic":
            return Heuristic()
        case Lookahead():
            return given
        case _:
            pass
    raise OptionError(
        f"lookahead is {shown(option)}; give the number of ids to draft (5), 'auto', 'heuristic', "
        "or an object with the methods of uag.Lookahead"
    )


@dataclass(frozen=True, slots=True)
class Schedule:
    """A checked `lookahead=` option; makes the lookahead of each generation.

    >>> Schedule("auto").looks_up_by_default, Schedule(5).looks_up_by_default
    (True, False)

    Raises:
        OptionError: for a number below 1 or an unknown name.
    """

    option: int | str | Lookahead

    def __post_init__(self) -> None:
        lookahead_from(self.option)
        if isinstance(self.option, Integral):
            object.__setattr__(self, "option", int(self.option))

    @property
    def automatic(self) -> bool:
        """Whether `Auto` chooses the number of ids, by measured cost and acceptance."""
        return self.option == "auto"

    @property
    def looks_up_by_default(self) -> bool:
        """Whether lookups in the text so far draft beside an assistant model by default.

        With "auto" they do, since it can judge which of the two promises more. A number is a number
        of the assistant's ids, so nothing else drafts.
        """
        return self.automatic

    def for_call(self, auto: Sharing, *, drafts: bool, beside_lookups: bool) -> Lookahead | None:
        """The lookahead that all generations of a call share; `None` if each gets a new one.

        Args:
            auto: the decoder's `Auto`, for this call.
            drafts: whether anything drafts; otherwise `auto` would choose for nobody.
            beside_lookups: whether `auto` must choose between an assistant and lookups.
        """
        if self.automatic:
            return auto if drafts else NoLookahead()
        if beside_lookups:
            return ReportingLookahead(self.new(), auto)
        return None if isinstance(self.option, int | str) else self.option

    def new(self) -> Lookahead:
        """The lookahead of one generation: a new one, or the user's object."""
        return lookahead_from(self.option)
