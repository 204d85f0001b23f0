"""Tokens a second with trees of drafts beside chains, greedily and drawn."""

from dataclasses import replace
from typing import Any

from benches.gpu.engines import decoder
from benches.gpu.models import Setting
from benches.gpu.record import Record, Values
from benches.gpu.texts import SEVERAL, Plan, timed, uag_way

# Most candidates of a pass; 0 are chains. With the id before them, each fills a captured width.
TREES = (0, 31, 15)
# Of each way to decode, in whole texts.
SECONDS = 1.0
# What is asked of `generate`.
HOW: dict[str, dict[str, Any]] = {
    "greedy": {},
    "T = 1": {"do_sample": True, "temperature": 1.0, "top_k": 0, "seed": 1},
}


def measure(record: Record, setting: Setting) -> None:
    """The part "trees": the two largest targets with the smallest assistant."""
    scale = setting.scale
    helper = next(iter(scale.assistants))
    setting = replace(setting, scale=replace(scale, seconds=min(SECONDS, scale.seconds)))
    for name in list(scale.targets)[:2]:
        record.attempt(
            f"{name} <- {helper}", lambda name=name: compared(record, setting, name, helper)
        )


def compared(record: Record, setting: Setting, target: str, assistant: str) -> Values:
    """Trees of each size by times of chains; lookahead "auto", without lookups."""
    scale = setting.scale
    parts = (
        setting.wide("target", target),
        setting.tokenizer("target"),
        setting.wide("assistant", assistant),
        setting.tokenizer("assistant"),
    )
    made = {tree: decoder("graphs", *parts, lookup=False, tree=tree) for tree in TREES}
    found: Values = {}
    for how, options in HOW.items():
        speeds: dict[int, float] = {}
        for tree in TREES:
            plan = Plan(
                lambda tree=tree, options=options: uag_way(made[tree], **options),
                tokens=scale.tokens,
                warm=scale.warm,
                texts=SEVERAL,
            )
            name = f"{target} <- {assistant}: {how}, {f'tree {tree}' if tree else 'chain'}"
            values = record.attempt(name, lambda plan=plan: timed(setting, plan))
            if values and values.get("tokens_per_second"):
                speeds[tree] = values["tokens_per_second"]
        found |= {
            f"{how}, tree {tree} / chain": speed / speeds[0]
            for tree, speed in speeds.items()
            if tree and 0 in speeds
        }
    return found
