"""The cells of the matrix of losslessness: what is combined, what is refused, which are chosen."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from functools import cache
from itertools import combinations, product
from random import Random
from typing import Self

from fakes import ARCHITECTURES
from uag import OptionError, PromptError, UnsupportedModelError
from wording import TOKENIZERS

OWN = "own"
# Who drafts, but for a model of another kind.
RULES = ("itself", "lookup", "drafter", "nobody")
REAL = ("demo", "sparse-2M-tok4096", "babyllama-1M-tok361")
REAL_ASSISTANTS = ("demo-assistant", "stories260K-tok512", "babyllama-1M-tok361")
RECURRENT = ("mamba", "qwen3-next", "lfm2")
# transformers' `cache_implementation=`; uag keeps caches of its own and refuses these.
REFUSED_CACHES = (
    "static",
    "offloaded_static",
    "offloaded",
    "quantized",
    "sliding_window",
    "hybrid",
)
SEVERAL = ("several", "fewer", "rows")


@dataclass(frozen=True)
class Cell:
    """One combination. Its name has what differs from these defaults.

    Attributes:
        target: an architecture with random weights, or a trained model.
        assistant: the same, or one of `RULES`.
        lookup: "beside": a `Lookup` beside the assistant.
        tokenizer: the target's; "own" of a trained model.
        other: the assistant's.
        cache: "own": nothing is said; "default": the model's own generation defaults ask for a
            static cache; others are asked for by `cache_implementation=`.
        engine: "compiled": `compile="eager"`, which traces, over buffers of fixed size.
        lookahead: a number, a name, or "wild": an object whose drafts have any length, or none.
        draws: how ids are chosen.
        processor: what changes the scores.
        end: what ends the text.
        call: which of the ways to ask for it.
        texts: "several" of unlike length at once, "fewer" at a time than there are, "rows" of the
            same prompt, or "ids" that no tokenizer gives.
        seed: of weights and draws.

    >>> str(Cell(target="gemma2", lookahead="auto", seed=3))
    'target=gemma2 lookahead=auto seed=3'
    >>> Cell.named("target=gemma2 lookahead=auto seed=3").lookahead
    'auto'
    """

    target: str = "llama"
    assistant: str = "llama"
    lookup: str = "none"
    tokenizer: str = "gpt2"
    other: str = "llama2"
    cache: str = OWN
    engine: str = "eager"
    lookahead: str = "4"
    draws: str = "greedy"
    processor: str = "none"
    end: str = "length"
    call: str = "generate"
    texts: str = "one"
    seed: int = 0

    def __str__(self) -> str:
        values = ((field.name, getattr(self, field.name), field.default) for field in fields(self))
        words = [f"{name}={value}" for name, value, default in values if value != default]
        return " ".join(words) or "target=llama"

    @classmethod
    def named(cls, name: str) -> Self:
        """The cell with this name; a ValueError that says which part is wrong."""
        given = dict(word.partition("=")[::2] for word in name.split())
        seed = given.pop("seed", "0")
        for factor, value in given.items():
            known = FACTORS.get(factor, ())
            if value not in known:
                raise ValueError(f"{factor}={value}: it must be {_choice(known or FACTORS)}")
        if not seed.isdigit():
            raise ValueError(f"seed={seed}: it must be a number")
        return cls(**given, seed=int(seed))

    @property
    def drafts(self) -> bool:
        """Whether anything is proposed."""
        return self.assistant != "nobody" or self.lookup == "beside"

    @property
    def by_model(self) -> bool:
        """Whether a model drafts."""
        return self.assistant not in ("lookup", "drafter", "nobody")

    @property
    def by_rejection(self) -> bool:
        """Whether the text for a seed depends on drafts."""
        return self.draws == "rejection" and self.by_model


FACTORS: dict[str, tuple[str, ...]] = {
    "target": (*ARCHITECTURES, *REAL),
    "assistant": (*ARCHITECTURES, *RULES, *REAL_ASSISTANTS),
    "lookup": ("none", "beside"),
    "tokenizer": (*TOKENIZERS, OWN),
    "other": (*TOKENIZERS, OWN),
    "cache": (OWN, "dynamic", "default", *REFUSED_CACHES),
    "engine": ("eager", "compiled"),
    "lookahead": ("1", "4", "16", "heuristic", "auto", "wild"),
    "draws": ("greedy", "coupled", "top-p", "rejection"),
    "processor": ("none", "repetition", "ngrams", "bias", "allowed", "custom"),
    "end": ("length", "eos", "later eos", "stop", "criterion"),
    "call": ("generate", "trace", "stream", "streamer", "custom_generate"),
    "texts": ("one", "ids", *SEVERAL),
}
FACTORS["end"] = tuple(value.replace(" ", "-") for value in FACTORS["end"])


def _choice(values: object) -> str:
    return ", ".join(values)  # type: ignore[call-overload]


def makes_sense(cell: Cell) -> bool:
    """Whether the values of a cell can be told apart and asked for together."""
    custom = cell.call == "custom_generate"
    return not (
        (cell.target in REAL) != (cell.tokenizer == OWN)
        or (cell.assistant in REAL_ASSISTANTS) != (cell.other == OWN and cell.by_model
                                                  and cell.assistant != "itself")
        # A trained model and one with random weights have nothing to say to each other.
        or (cell.assistant in ARCHITECTURES and cell.target in REAL)
        or (cell.assistant in REAL_ASSISTANTS and cell.target not in REAL)
        # Without a vocabulary of its own, whoever drafts has the target's.
        or (cell.assistant in ("itself", "lookup", "nobody") and cell.other != cell.tokenizer)
        or (cell.other == OWN and cell.target not in REAL)
        # How far "auto" drafts depends on the clock, and the text on how far is drafted.
        or (cell.by_rejection and (cell.lookahead == "auto" or cell.lookup == "beside"))
        # A `Lookahead` given by the user is shared by texts, and so hangs on who else is there.
        or (cell.by_rejection and cell.lookahead == "wild" and cell.texts in SEVERAL)
        # transformers says itself how many rows there are and how many are decoded at a time.
        or (custom and cell.texts == "fewer")
        or (custom and cell.texts == "rows" and cell.draws == "greedy")
        # In transformers itself logits of padded rows are NaN, and these stop strings an error.
        or (custom and cell.target == "gemma2" and cell.texts in SEVERAL)
        or (cell.tokenizer == "wordpiece" and cell.end == "stop")
        # transformers has no such cache for these.
        or (custom and cell.target in RECURRENT and cell.cache not in (OWN, "dynamic"))
        # transformers needs another package for one, forgets that another was asked for, and makes
        # the others itself before it asks for ids, which it can on a GPU only.
        or (custom and cell.cache in ("quantized", "hybrid", "offloaded", "offloaded_static"))
    )  # fmt: skip


Refusal = tuple[type[Exception], str]


def refusals(cell: Cell) -> list[Refusal]:
    """What a cell is documented to be refused with: errors, and words of their messages."""
    greedy = cell.draws == "greedy"
    causes: list[tuple[bool, type[Exception], str]] = [
        (
            cell.assistant == "lookup" and cell.lookup == "beside",
            OptionError,
            "both assistant and lookup are lookups",
        ),
        (cell.target == "mamba" and cell.drafts, UnsupportedModelError, "reads one id at a time"),
        (
            cell.cache in REFUSED_CACHES,
            OptionError,
            f"cache_implementation='{cell.cache}': only the dynamic cache can be taken back",
        ),
        (
            cell.call == "stream" and cell.texts in ("several", "fewer"),
            PromptError,
            "to generate(), also a list of those",
        ),
        (
            cell.call == "stream" and cell.texts == "rows",
            OptionError,
            "give it to generate() itself",
        ),
        (
            cell.texts == "rows" and greedy and cell.call != "stream",
            OptionError,
            "add do_sample=True",
        ),
        (
            cell.call == "streamer" and cell.texts in SEVERAL,
            OptionError,
            "streamer",
        ),
    ]
    return [(error, words) for holds, error, words in causes if holds]


def chosen(seed: int, targets: tuple[str, ...], ways: int = 2) -> list[Cell]:
    """Cells that run, so that every `ways` values that can go together do so in one of them.

    Refusals are kept apart: a cell that is refused tests none of its other values.
    """
    random = Random(seed)
    factors = _of(targets)
    runs = list(_covering(factors, ways, random, lambda cell: not refusals(cell)))
    random.shuffle(runs)
    return runs


def refused(seed: int, targets: tuple[str, ...]) -> list[Cell]:
    """Each cause to be refused, by itself, with each target; other values at random."""
    random = Random(seed)
    factors = _of(targets)
    cells: dict[tuple[str, ...], Cell] = {}
    for _ in range(20_000):
        cell = _random(factors, random)
        if makes_sense(cell) and len(causes := refusals(cell)) == 1:
            cells.setdefault((causes[0][1], cell.target), cell)
    return list(cells.values())


def more(seed: int, targets: tuple[str, ...]) -> Iterator[Cell]:
    """Any cells that run, without end."""
    random = Random(f"{seed} more")
    factors = _of(targets)
    while True:
        cell = _random(factors, random)
        if makes_sense(cell) and not refusals(cell):
            yield cell


def _of(targets: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The factors without the trained models that are not there."""
    missing = {*REAL, *REAL_ASSISTANTS} - {*targets}
    return {
        name: tuple(value for value in values if value not in missing)
        for name, values in FACTORS.items()
    }


def _random(factors: dict[str, tuple[str, ...]], random: Random, **fixed: str) -> Cell:
    values = {name: random.choice(values) for name, values in factors.items()} | fixed
    cell = Cell(**values, seed=random.randrange(1000))
    # What goes together seldom would seldom be drawn.
    if "target" in fixed or "tokenizer" not in fixed:
        own = cell.target in REAL
        names = [name for name in TOKENIZERS if not own] or [OWN]
        cell = cell if own == (cell.tokenizer == OWN) else replace(
            cell, tokenizer=random.choice(names)
        )  # fmt: skip
    if "other" not in fixed and not makes_sense(cell):
        alike = cell.assistant in ("itself", "lookup", "nobody")
        own = cell.assistant in REAL_ASSISTANTS or (cell.tokenizer == OWN and random.random() < 0.5)
        other = cell.tokenizer if alike else OWN if own else random.choice([*TOKENIZERS])
        cell = replace(cell, other=other)
    return cell


Values = tuple[tuple[str, str], ...]


@cache
def _values(cell: Cell, ways: int) -> frozenset[Values]:
    return frozenset(combinations(((name, getattr(cell, name)) for name in FACTORS), ways))


def _covering(
    factors: dict[str, tuple[str, ...]], ways: int, random: Random, runs: Callable[[Cell], bool]
) -> Iterator[Cell]:
    """A covering design, greedily: of some cells with values that are wanted the one with most."""
    wanted = {
        tuple(zip(names, values, strict=True))
        for names in combinations(factors, ways)
        for values in product(*(factors[name] for name in names))
    }
    for values in sorted(wanted):
        if values not in wanted:
            continue
        drawn = (_random(factors, random, **dict(values)) for _ in range(400))
        fit = [cell for cell in drawn if makes_sense(cell) and runs(cell)][:20]
        if fit:
            best = max(fit, key=lambda cell: len(wanted & _values(cell, ways)))
            wanted -= _values(best, ways)
            yield best
