"""Tokens a second, end to end: plainly, assisted by transformers, and by each engine of uag.

A way is measured for about as many seconds as the setting says, in whole texts, after a short text
that is not counted. One that captures what it runs decodes a text or more before: what captures
take is a number of its own.
"""

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import Any, cast

from torch import nn
from transformers import PreTrainedModel

from benches.common import draft_always
from benches.gpu.clocks import wait
from benches.gpu.engines import SkippedError, decoder, generate_ids, stand_in
from benches.gpu.models import Setting
from benches.gpu.record import Record, Values
from benches.limits import mislead
from uag import SpeculativeDecoder
from uag.benchmark.compare import PROMPTS
from uag.stats import PHASES, Stats
from uag.translation.tokenizers import prompt_ids

SAMPLED: dict[str, Any] = {"do_sample": True, "temperature": 0.8, "seed": 1}
# Of what accepts more in some texts than in others: all of them.
SEVERAL = len(PROMPTS)
# The fixed lookahead of a pair if none was found to be the best.
USUAL = 5

Named = tuple[str, PreTrainedModel]
# A way to decode: (prompt, its ids, new tokens) -> new ids and the statistics of each text.
Way = Callable[[str, list[int], int], tuple[list[int], list[Stats]]]


@dataclass(frozen=True, slots=True)
class Plan:
    """A way to decode, and how it is measured.

    Attributes:
        make: gives the way; raises `SkippedError` if this version lacks it.
        tokens, warm: new ids of a text, and of the one that warms up.
        texts: how many different ones.
        before: how many of them are decoded once before, so that captures are not counted.
    """

    make: Callable[[], Way]
    tokens: int
    warm: int
    texts: int = 1
    before: int = 1


def measure(record: Record, setting: Setting) -> None:
    """The part "texts": by worth, for the first target with each assistant, then other targets."""
    targets, helpers = list(setting.scale.targets), list(setting.scale.assistants)
    target, *others = targets
    first = Pair(
        setting,
        (target, setting.wide("target", target)),
        (helpers[0], setting.wide("assistant", helpers[0])),
        learning=SEVERAL,
    )
    fixed = [f"uag graphs, {count}" for count in setting.scale.fixed]
    found = first.run(
        record,
        ["generate", "uag graphs, plain", "uag graphs", *fixed, "transformers assisted"],
    )
    best = best_of({way: found[way] for way in fixed if way in found})
    record(f"{first.name}: best fixed lookahead", way=best)
    never_slower(record, first)
    for helper in helpers[1:]:
        record.attempt(
            f"{target} <- {helper}",
            lambda helper=helper: other(
                record, setting, first.target, helper, ["uag graphs", best]
            ),
        )
    ways = ["uag graphs, plain", "uag graphs", best, "generate"]
    for name in others[:1]:
        record.attempt(name, lambda name=name: other(record, setting, name, helpers[0], ways))
    sampled = ["uag graphs, plain, sampled", "uag graphs, sampled"]
    first.run(record, ["uag eager", *sampled, "transformers assisted, 5 ids"])
    for name in others[1:]:
        record.attempt(name, lambda name=name: other(record, setting, name, helpers[0], ways))


def other(
    record: Record, setting: Setting, target: Named | str, assistant: str, ways: Sequence[str]
) -> Values:
    """Some ways for a pair with a model that is not there yet."""
    begun = perf_counter()
    if isinstance(target, str):
        target = target, setting.wide("target", target)
    pair = Pair(setting, target, (assistant, setting.wide("assistant", assistant)))
    built = perf_counter() - begun
    pair.run(record, ways)
    return {"built_s": built, "seconds": perf_counter() - begun}


def best_of(found: dict[str, Values]) -> str:
    """The way with the most tokens a second."""
    speeds = {way: values.get("tokens_per_second", 0) for way, values in found.items()}
    return max(speeds, key=lambda way: speeds[way], default=f"uag graphs, {USUAL}")


class Pair:
    """A target, an assistant and the decoders that were made of them.

    Attributes:
        learning: how many texts "auto" decodes before those that are counted.
    """

    def __init__(
        self, setting: Setting, target: Named, assistant: Named, *, learning: int = 1
    ) -> None:
        self.setting = setting
        self.target = target
        self.assistant = assistant
        self.learning = learning
        self.tokenizers = setting.tokenizer("target"), setting.tokenizer("assistant")
        self.name = f"{target[0]} <- {assistant[0]}"
        self._made: dict[str, SpeculativeDecoder] = {}

    def run(self, record: Record, ways: Sequence[str]) -> dict[str, Values]:
        """Measure some ways; what was found of those that could be."""
        found: dict[str, Values] = {}
        for way in ways:
            measured = record.attempt(
                f"{self.name}: {way}", lambda way=way: timed(self.setting, self.plan(way))
            )
            if measured is not None:
                found[way] = measured
        return found

    def plan(self, way: str) -> Plan:
        """The plan of a way, by its name."""
        scale, model, sampled = self.setting.scale, self.target[1], "sampled" in way
        options = SAMPLED if sampled else {}
        slow = partial(Plan, tokens=scale.few, warm=scale.warm_few, before=0)
        quick = partial(Plan, tokens=scale.tokens, warm=scale.warm)
        texts = 1 if sampled else SEVERAL
        match way.removesuffix(", sampled"):
            case "generate":
                plan = slow(lambda: plain_way(model))
            case "transformers assisted":
                plan = slow(lambda: self._assisted(None))
            case "transformers assisted, 5 ids":
                plan = slow(lambda: self._assisted(5))
            case "uag eager":
                plan = slow(lambda: uag_way(self._decoder("eager", drafts=True)))
            case "uag graphs, plain":
                plan = quick(lambda: uag_way(self._decoder("graphs"), **options), texts=texts)
            case "uag graphs":
                plan = quick(
                    lambda: uag_way(self._decoder("graphs", drafts=True), **options),
                    texts=texts,
                    before=1 if sampled else self.learning,
                )
            case fixed:
                count = int(fixed.rpartition(" ")[2])
                plan = quick(lambda: self._fixed(count), texts=texts)
        return plan

    def _assisted(self, count: int | None) -> Way:
        return assisted_way(self.target[1], self.assistant[1], self.tokenizers, count)

    def _decoder(self, engine: str, *, drafts: bool = False, **options: Any) -> SpeculativeDecoder:
        """A decoder with the target alone, or that also `drafts`; the one that was made before."""
        key = f"{engine} {drafts} {options}"
        if key not in self._made:
            helper = (self.assistant[1], self.tokenizers[1]) if drafts else ()
            self._made[key] = decoder(
                engine, self.target[1], self.tokenizers[0], *helper, **options
            )
        return self._made[key]

    def _fixed(self, count: int) -> Way:
        """Always `count` ids of the assistant; all counts share what was captured."""
        made = self._decoder("graphs", drafts=True, lookup=False)
        made.lookahead = count
        return uag_way(made)


def never_slower(record: Record, pair: Pair) -> None:
    """With an assistant that is always wrong, and with one as large as the target.

    Plain decoding is measured before and after, as a machine's speed may change.
    """
    name, model = pair.target
    own, other_ = pair.tokenizers
    usual = pair.plan("uag graphs")

    def wrong() -> Way:
        helper = cast("PreTrainedModel", stand_in(pair.assistant[1]))
        mislead(cast("nn.Module", helper), "wrong")
        return uag_way(decoder("graphs", model, own, helper, other_))

    def as_large() -> Way:
        return uag_way(decoder("graphs", model, own, stand_in(model), own))

    def plain(when: str) -> None:
        plan = replace(pair.plan("uag graphs, plain"), before=0, texts=1)
        record.attempt(f"{name}: plain, {when}", lambda: timed(pair.setting, plan))

    plain("before")
    for case, make in {"always wrong": wrong, "as large as the target": as_large}.items():
        plan = replace(usual, make=make, texts=1, before=1)
        record.attempt(f"{name}: assistant {case}", lambda plan=plan: timed(pair.setting, plan))
    plain("after")


def plain_way(model: PreTrainedModel, **options: Any) -> Way:
    """`model.generate`."""
    return lambda _, ids, tokens: (generate_ids(model, ids, tokens, **options), [])


def assisted_way(
    model: PreTrainedModel, assistant: PreTrainedModel, tokenizers: Any, count: int | None
) -> Way:
    """transformers' assisted generation, with its own schedule or always `count` ids."""
    helper = stand_in(assistant)
    helper.generation_config = copy.deepcopy(helper.generation_config)
    if count is not None:
        draft_always(helper, count)
    given: dict[str, Any] = {"assistant_model": helper}
    if tokenizers[0].get_vocab() != tokenizers[1].get_vocab():
        given |= {"tokenizer": tokenizers[0], "assistant_tokenizer": tokenizers[1]}
    return plain_way(model, **given)


def uag_way(made: SpeculativeDecoder, **options: Any) -> Way:
    """Our own, with its statistics."""

    def decode(text: str, ids: list[int], tokens: int) -> tuple[list[int], list[Stats]]:
        del ids
        out = made.generate(text, max_new_tokens=tokens, **{"do_sample": False} | options)
        return out.token_ids, [out.stats]

    return decode


@dataclass(frozen=True, slots=True)
class Decoded:
    """A text: which it is, its new ids, the seconds that they took, and the statistics of uag."""

    place: int
    tokens: int
    seconds: float
    stats: list[Stats]

    @property
    def setting_up(self) -> float:
        """Seconds of captures, which no later text has: texts at once all wait for them."""
        return max((stats.compile_seconds for stats in self.stats), default=0.0)


def timed(setting: Setting, plan: Plan) -> Values:
    """Tokens a second of a plan, and of its texts when they are decoded for the second time.

    The first number is without captures, all others are with them.
    """
    try:
        way = plan.make()
    except SkippedError as error:
        return {"skipped": str(error)}
    tokenizer = setting.tokenizer("target")
    prompts = [(text, prompt_ids(tokenizer, text)) for text in PROMPTS[: plan.texts]]

    def decoded(place: int, tokens: int = plan.tokens) -> Decoded:
        begun = perf_counter()
        ids, stats = way(*prompts[place], tokens)
        wait(setting.device)
        return Decoded(place, len(ids), perf_counter() - begun, stats)

    short = decoded(0, plan.warm)
    before = [decoded(place) for place in range(plan.before)]
    done = list(until(setting.scale.seconds, decoded, plan.texts))
    found: Values = {
        "tokens_per_second": speed(done, warm=True),
        "first_texts_tokens_per_second": speed(turn(1, [*before, *done])),
        "second_texts_tokens_per_second": speed(turn(2, [*before, *done])),
        "texts": len(done),
        "tokens": sum(text.tokens for text in done),
        "seconds": sum(text.seconds for text in done),
        "first_text_s": short.seconds,
        "each_tokens_per_second": [speed([text]) for text in [*before, *done]],
    }
    if every := [stats for text in done for stats in text.stats]:
        found |= totals(every) | {"setting_up_s": sum(text.setting_up for text in done)}
    return found


def until(seconds: float, decode: Callable[[int], Decoded], texts: int) -> Iterator[Decoded]:
    """Texts in turn until they took so many seconds: each as often as the others."""
    spent, turns = 0.0, 0
    while not turns or spent < seconds:
        turns += 1
        for place in range(texts):
            text = decode(place)
            spent += text.seconds
            yield text


def turn(number: int, texts: Sequence[Decoded]) -> list[Decoded]:
    """Of each text the first time, or the second, that it was decoded."""
    places = [text.place for text in texts]
    return [text for at, text in enumerate(texts) if places[: at + 1].count(text.place) == number]


def speed(texts: Sequence[Decoded], *, warm: bool = False) -> float | None:
    """Tokens a second, as if all were captured if `warm`; `None` without texts."""
    seconds = sum(text.seconds - warm * text.setting_up for text in texts)
    return sum(text.tokens for text in texts) / seconds if seconds else None


def totals(every: Sequence[Stats]) -> Values:
    """What the statistics of texts say together; nothing without any.

    `passes`: how many of the target's passes after the prompt had each width.
    """
    if not every:
        return {}
    rounds = [done for stats in every for done in stats.history]
    later = [done for stats in every for done in stats.history[1:]]
    forwards = sum(stats.target_forwards for stats in every)
    return {
        "tokens_per_forward": sum(stats.tokens for stats in every) / forwards,
        "forwards": forwards,
        "rounds": len(rounds),
        "ms_a_round": {
            phase: 1e3 * sum(done.seconds.get(phase, 0.0) for done in rounds) / len(rounds)
            for phase in PHASES
        },
        "prefill_s": sum(stats.seconds["prefill"] for stats in every),
        "drafted": sum(stats.drafted for stats in every),
        "by_assistant": sum(stats.drafted - stats.looked_up for stats in every),
        "accepted": sum(stats.drafted_accepted for stats in every),
        "passes": dict(sorted(Counter(done.width for done in later).items())),
        "setting_up_s": sum(stats.compile_seconds for stats in every),
        "engines": every[-1].engines,
    }
