"""Tokens a second, end to end: plainly, assisted by transformers, and by each engine of uag."""

import copy
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, cast

import torch
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
from uag.translation.tokenizers import prompt_ids

SAMPLED: dict[str, Any] = {"do_sample": True, "temperature": 0.8, "seed": 1}
# With another assistant, what does not depend on it is not measured again.
WITH_LARGER = ("uag graphs", "uag graphs, 5 ids", "transformers assisted", "uag eager")
# A way to decode: (prompt, its ids, new tokens) -> new ids and what else is known.
Way = Callable[[str, list[int], int], tuple[list[int], Values]]


def measure(record: Record, setting: Setting) -> None:
    """The part "texts": pairs by worth."""
    targets, helpers = list(setting.scale.targets), list(setting.scale.assistants)
    for name in targets:
        target = setting.wide("target", name)
        first = setting.wide("assistant", helpers[0])
        pair(record, setting, (name, target), (helpers[0], first))
        if name == targets[0]:
            never_slower(record, setting, (name, target), first)
            for helper in helpers[1:]:
                larger = setting.wide("assistant", helper)
                pair(record, setting, (name, target), (helper, larger), WITH_LARGER)
                del larger
        del target, first
        if setting.device.type == "cuda":
            torch.cuda.empty_cache()


Named = tuple[str, PreTrainedModel]


def pair(
    record: Record, setting: Setting, target: Named, assistant: Named, only: Sequence[str] = ()
) -> None:
    """Every way for one pair, greedily, the best ones sampled too; or `only` some."""
    tokenizers = setting.tokenizer("target"), setting.tokenizer("assistant")
    helper = assistant[1], tokenizers[1]
    model = target[1]

    def by_uag(engine: str, *with_: Any, sampled: bool = False, **built: Any) -> Callable[[], Way]:
        options = SAMPLED if sampled else {}
        return lambda: uag_way(decoder(engine, model, tokenizers[0], *with_, **built), **options)

    ways: dict[str, Callable[[], Way]] = {
        "generate": lambda: plain_way(model),
        "uag graphs, plain": by_uag("graphs"),
        "uag graphs": by_uag("graphs", *helper),
        "uag graphs, 5 ids": by_uag("graphs", *helper, lookahead=5, lookup=False),
        "uag eager": by_uag("eager", *helper),
        "transformers assisted": lambda: assisted_way(model, assistant[1], tokenizers, None),
        "transformers assisted, 5 ids": lambda: assisted_way(model, assistant[1], tokenizers, 5),
        "uag graphs, plain, sampled": by_uag("graphs", sampled=True),
        "uag graphs, sampled": by_uag("graphs", *helper, sampled=True),
        "uag eager, plain": by_uag("eager"),
    }
    for way, make in ways.items():
        if only and way not in only:
            continue
        record.attempt(
            f"{target[0]} <- {assistant[0]}: {way}",
            lambda make=make, way=way: timed(setting, make, captures="graphs" in way),
        )


def never_slower(
    record: Record, setting: Setting, target: Named, assistant: PreTrainedModel
) -> None:
    """With an assistant that is always wrong, and with one as large as the target."""
    tokenizers = setting.tokenizer("target"), setting.tokenizer("assistant")
    wrong = cast("PreTrainedModel", stand_in(assistant))
    mislead(cast("nn.Module", wrong), "wrong")
    name, model = target
    engine = "graphs"
    cases = {
        "always wrong": (wrong, tokenizers[1]),
        "as large as the target": (stand_in(model), tokenizers[0]),
    }
    for case, helper in cases.items():
        record.attempt(
            f"{name}: uag {engine}, assistant {case}",
            lambda helper=helper: timed(
                setting,
                lambda: uag_way(decoder(engine, model, tokenizers[0], *helper)),
                captures=True,
            ),
        )


def plain_way(model: PreTrainedModel, **options: Any) -> Way:
    """`model.generate`."""
    return lambda _, ids, tokens: (generate_ids(model, ids, tokens, **options), {})


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
    """Our own, with what its statistics say."""

    def decode(text: str, ids: list[int], tokens: int) -> tuple[list[int], Values]:
        del ids
        out = made.generate(text, max_new_tokens=tokens, **{"do_sample": False} | options)
        stats = out.stats
        return out.token_ids, {
            "forwards": stats.target_forwards,
            "rounds": stats.rounds,
            "drafted": stats.drafted,
            "by_assistant": stats.drafted - stats.looked_up,
            "accepted": sum(done.drafted_accepted for done in stats.history),
            "widths": sum(done.width for done in stats.history),
            "setting_up_s": stats.compile_seconds,
            "engines": stats.engines,
            **{f"{phase}_s": seconds for phase, seconds in stats.seconds.items()},
        }

    return decode


def timed(setting: Setting, make: Callable[[], Way], *, captures: bool = False) -> Values:
    """Tokens a second over all prompts, after a short text that is not counted.

    If the way `captures` what it runs, all texts are decoded once before: the seconds of captures
    are a number of their own.
    """
    try:
        way = make()
    except SkippedError as error:
        return {"skipped": str(error)}
    scale, tokenizer = setting.scale, setting.tokenizer("target")
    prompts = [(text, prompt_ids(tokenizer, text)) for text in PROMPTS[: scale.prompts]]
    begun = perf_counter()
    way(*prompts[0], scale.warm)
    wait(setting.device)
    first = perf_counter() - begun
    for prompt in prompts if captures else ():
        way(*prompt, scale.tokens)
    tokens, seconds, sums = 0, 0.0, dict[str, Any]()
    for prompt in prompts:
        begun = perf_counter()
        ids, more = way(*prompt, scale.tokens)
        wait(setting.device)
        seconds += perf_counter() - begun
        tokens += len(ids)
        for key, value in more.items():
            sums[key] = value if isinstance(value, dict) else sums.get(key, 0) + value
    found: Values = {"tokens_per_second": tokens / seconds, "tokens": tokens, "first_text_s": first}
    if sums.get("forwards"):
        found["tokens_per_forward"] = tokens / sums["forwards"]
    return found | sums
