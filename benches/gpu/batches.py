"""Tokens a second of several texts at once, beside `model.generate` on the padded batch."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from benches.batches import plain
from benches.gpu.engines import decoder
from benches.gpu.models import Setting
from benches.gpu.record import Record
from benches.gpu.texts import Plan, Way, timed
from uag import SpeculativeDecoder
from uag.benchmark.compare import PROMPTS

# Of different lengths, and more than any batch has.
TEXTS = (*PROMPTS, *(f"{one} {other}" for one, other in pairwise(PROMPTS)))


def measure(record: Record, setting: Setting) -> None:
    """The part "batches": the largest target with the smallest assistant, and alone."""
    scale = setting.scale
    (name, *_), (helper, *_) = scale.targets, scale.assistants
    target, assistant = setting.wide("target", name), setting.wide("assistant", helper)
    own, other = setting.tokenizer("target"), setting.tokenizer("assistant")
    made = decoder("graphs", target, own, assistant, other)
    for size in scale.batches:
        ways: dict[str, Callable[[], Way]] = {
            f"{name} <- {helper}: uag, {size} at once": lambda size=size: uag_way(made, size),
            f"{name}: generate, {size} at once": lambda size=size: padded_way(made, size),
        }
        for way, make in ways.items():
            # `generate` takes as long for every id, so that fewer tell as much.
            own_way = way.startswith(f"{name} <-")
            tokens = (scale.tokens // 2, scale.warm) if own_way else (scale.warm, scale.warm_few)
            plan = Plan(make, *tokens, before=0)
            record.attempt(way, lambda plan=plan: timed(setting, plan))


def uag_way(made: SpeculativeDecoder, size: int) -> Way:
    """So many texts in one call of uag; the given one is none of them."""

    def decode(text: str, ids: list[int], tokens: int) -> Any:
        del text, ids
        outs = made.generate(list(TEXTS[:size]), max_new_tokens=tokens, do_sample=False)
        return [id for out in outs for id in out.token_ids], [out.stats for out in outs]

    return decode


def padded_way(made: SpeculativeDecoder, size: int) -> Way:
    """So many texts in one call of `model.generate`, padded on the left."""
    prompts = [made.tokenizer(text)["input_ids"] for text in TEXTS[:size]]

    def decode(text: str, ids: list[int], tokens: int) -> Any:
        del text, ids
        rows = plain(made, prompts, tokens)
        return [id for row in rows for id in row if id], []  # 0 is what rows are filled up with

    return decode
