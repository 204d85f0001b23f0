"""What takes seconds to begin: transformers' static cache, compiled, and uag compiled."""

from collections.abc import Callable

from benches.gpu.engines import decoder
from benches.gpu.models import Setting
from benches.gpu.record import Record
from benches.gpu.texts import Plan, Way, plain_way, timed, uag_way


def measure(record: Record, setting: Setting) -> None:
    """The part "compiled": smaller targets first, as they may be all that there is time for."""
    tokenizers = setting.tokenizer("target"), setting.tokenizer("assistant")
    scale = setting.scale
    for name in reversed(list(scale.targets)):
        target = setting.wide("target", name)
        helper = next(iter(scale.assistants))
        assistant = setting.wide("assistant", helper)
        ways: dict[str, Callable[[], Way]] = {
            f"{name}: generate, static cache, compiled": lambda target=target: plain_way(
                target, cache_implementation="static"
            ),
            f"{name}: uag compiled, plain": lambda target=target: uag_way(
                decoder("compile", target, tokenizers[0], compile=scale.compile)
            ),
            f"{name} <- {helper}: uag compiled": lambda target=target, assistant=assistant: uag_way(
                decoder(
                    "compile", target, tokenizers[0], assistant, tokenizers[1],
                    compile=scale.compile,
                )
            ),
        }  # fmt: skip
        for way, make in ways.items():
            plan = Plan(make, scale.tokens, scale.warm)
            record.attempt(way, lambda plan=plan: timed(setting, plan))
