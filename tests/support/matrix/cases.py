"""The cases of the matrix of losslessness: what is combined, what is refused, which are chosen."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from functools import cache
from itertools import combinations, product
from random import Random
from typing import Self

from tests.support.models import ARCHITECTURES
from tests.support.tokenizers import ALL_TOKENIZERS
from uag import OptionError, PromptError

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
class Case:
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
        tree: the most candidates of a tree; 0 for chains.
        draws: how ids are chosen.
        processor: what changes the scores.
        end: what ends the text.
        call: which of the ways to ask for it.
        texts: "several" of unlike length at once, "fewer" at a time than there are, "rows" of the
            same prompt, or "ids" that no tokenizer gives.
        seed: of weights and draws.

    >>> str(Case(target="gemma2", lookahead="auto", seed=3))
    'target=gemma2 lookahead=auto seed=3'
    >>> Case.named("target=gemma2 lookahead=auto seed=3").lookahead
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
    tree: str = "0"
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
        """The case with this name; a ValueError that says which part is wrong."""
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

    @property
    def branches(self) -> bool:
        """Whether drafts are trees, unless the target runs compiled."""
        chains = not self.by_model or self.by_rejection or self.texts in SEVERAL
        return self.tree != "0" and not (chains or self.target in RECURRENT)


FACTORS: dict[str, tuple[str, ...]] = {
    "target": (*ARCHITECTURES, *REAL),
    "assistant": (*ARCHITECTURES, *RULES, *REAL_ASSISTANTS),
    "lookup": ("none", "beside"),
    "tokenizer": (*ALL_TOKENIZERS, OWN),
    "other": (*ALL_TOKENIZERS, OWN),
    "cache": (OWN, "dynamic", "default", *REFUSED_CACHES),
    "engine": ("eager", "compiled"),
    "lookahead": ("1", "4", "16", "heuristic", "auto", "wild"),
    "tree": ("0", "31"),
    "draws": ("greedy", "coupled", "top-p", "rejection"),
    "processor": ("none", "repetition", "ngrams", "bias", "allowed", "custom"),
    "end": ("length", "eos", "later eos", "stop", "criterion"),
    "call": ("generate", "trace", "stream", "streamer", "custom_generate"),
    "texts": ("one", "ids", *SEVERAL),
}

FACTORS["end"] = tuple(value.replace(" ", "-") for value in FACTORS["end"])


def _choice(values: object) -> str:
    return ", ".join(values)  # type: ignore[call-overload]


def makes_sense(case: Case) -> bool:
    """Whether the values of a case can be told apart and asked for together."""
    custom = case.call == "custom_generate"
    return not (
        (case.target in REAL) != (case.tokenizer == OWN)
        or (case.assistant in REAL_ASSISTANTS) != (case.other == OWN and case.by_model
                                                  and case.assistant != "itself")
        # A trained model and one with random weights have nothing to say to each other.
        or (case.assistant in ARCHITECTURES and case.target in REAL)
        or (case.assistant in REAL_ASSISTANTS and case.target not in REAL)
        # Without a vocabulary of its own, whoever drafts has the target's.
        or (case.assistant in ("itself", "lookup", "nobody") and case.other != case.tokenizer)
        or (case.other == OWN and case.target not in REAL)
        # How far "auto" drafts depends on the clock, and the text on how far is drafted.
        or (case.by_rejection and (case.lookahead == "auto" or case.lookup == "beside"))
        # A `Lookahead` given by the user is shared by texts, and so hangs on who else is there.
        or (case.by_rejection and case.lookahead == "wild" and case.texts in SEVERAL)
        # transformers says itself how many rows there are and how many are decoded at a time.
        or (custom and case.texts == "fewer")
        or (custom and case.texts == "rows" and case.draws == "greedy")
        # In transformers itself logits of padded rows are NaN, and these stop strings an error.
        or (custom and case.target == "gemma2" and case.texts in SEVERAL)
        or (case.tokenizer == "wordpiece" and case.end == "stop")
        # transformers has no such cache for these.
        or (custom and case.target in RECURRENT and case.cache not in (OWN, "dynamic"))
        # transformers needs another package for one, forgets that another was asked for, and makes
        # the others itself before it asks for ids, which it can on a GPU only.
        or (custom and case.cache in ("quantized", "hybrid", "offloaded", "offloaded_static"))
    )  # fmt: skip


Refusal = tuple[type[Exception], str]


def refusals(case: Case) -> list[Refusal]:
    """What a case is documented to be refused with: errors, and words of their messages."""
    greedy = case.draws == "greedy"
    causes: list[tuple[bool, type[Exception], str]] = [
        (
            case.assistant == "lookup" and case.lookup == "beside",
            OptionError,
            "both assistant and lookup are lookups",
        ),
        (
            case.cache in REFUSED_CACHES,
            OptionError,
            f"cache_implementation='{case.cache}': only the dynamic cache can be rolled back",
        ),
        (
            case.call == "stream" and case.texts in ("several", "fewer"),
            PromptError,
            "to generate(), also a list of those",
        ),
        (
            case.call == "stream" and case.texts == "rows",
            OptionError,
            "give it to generate() itself",
        ),
        (
            case.texts == "rows" and greedy and case.call != "stream",
            OptionError,
            "add do_sample=True",
        ),
        (
            case.call == "streamer" and case.texts in SEVERAL,
            OptionError,
            "streamer",
        ),
    ]
    return [(error, words) for holds, error, words in causes if holds]


def chosen(seed: int, targets: tuple[str, ...], ways: int = 2) -> list[Case]:
    """Cells that run, so that every `ways` values that can go together do so in one of them.

    Refusals are kept apart: a case that is refused tests none of its other values.
    """
    random = Random(seed)
    factors = _of(targets)
    runs = list(_covering(factors, ways, random, lambda case: not refusals(case)))
    random.shuffle(runs)
    return runs


def refused(seed: int, targets: tuple[str, ...]) -> list[Case]:
    """Each cause to be refused, by itself, with each target; other values at random."""
    random = Random(seed)
    factors = _of(targets)
    cases: dict[tuple[str, ...], Case] = {}
    for _ in range(20_000):
        case = _random(factors, random)
        if makes_sense(case) and len(causes := refusals(case)) == 1:
            cases.setdefault((causes[0][1], case.target), case)
    return list(cases.values())


def more(seed: int, targets: tuple[str, ...]) -> Iterator[Case]:
    """Any cases that run, without end."""
    random = Random(f"{seed} more")
    factors = _of(targets)
    while True:
        case = _random(factors, random)
        if makes_sense(case) and not refusals(case):
            yield case


def _of(targets: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The factors without the trained models that are not there."""
    missing = {*REAL, *REAL_ASSISTANTS} - {*targets}
    return {
        name: tuple(value for value in values if value not in missing)
        for name, values in FACTORS.items()
    }


def _random(factors: dict[str, tuple[str, ...]], random: Random, **fixed: str) -> Case:
    values = {name: random.choice(values) for name, values in factors.items()} | fixed
    case = Case(**values, seed=random.randrange(1000))
    # What goes together seldom would seldom be drawn.
    if "target" in fixed or "tokenizer" not in fixed:
        own = case.target in REAL
        names = [name for name in ALL_TOKENIZERS if not own] or [OWN]
        case = case if own == (case.tokenizer == OWN) else replace(
            case, tokenizer=random.choice(names)
        )  # fmt: skip
    if "other" not in fixed and not makes_sense(case):
        alike = case.assistant in ("itself", "lookup", "nobody")
        own = case.assistant in REAL_ASSISTANTS or (case.tokenizer == OWN and random.random() < 0.5)
        other = case.tokenizer if alike else OWN if own else random.choice([*ALL_TOKENIZERS])
        case = replace(case, other=other)
    return case


Values = tuple[tuple[str, str], ...]


@cache
def _values(case: Case, ways: int) -> frozenset[Values]:
    return frozenset(combinations(((name, getattr(case, name)) for name in FACTORS), ways))


def _covering(
    factors: dict[str, tuple[str, ...]], ways: int, random: Random, runs: Callable[[Case], bool]
) -> Iterator[Case]:
    """A covering design, greedily: of some cases with values that are wanted the one with most."""
    wanted = {
        tuple(zip(names, values, strict=True))
        for names in combinations(factors, ways)
        for values in product(*(factors[name] for name in names))
    }
    for values in sorted(wanted):
        if values not in wanted:
            continue
        drawn = (_random(factors, random, **dict(values)) for _ in range(400))
        fit = [case for case in drawn if makes_sense(case) and runs(case)][:20]
        if fit:
            best = max(fit, key=lambda case: len(wanted & _values(case, ways)))
            wanted -= _values(best, ways)
            yield best
