"""Which engine a model runs with: what the options `engine=` and `compile=` stand for."""

from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import PreTrainedModel

from uag.errors import OptionError
from uag.models.engines.compiled import CompiledRunner
from uag.models.engines.graphs import GraphRunner, captures
from uag.models.engines.runner import ModelRunner
from uag.models.properties import device_of
from uag.values import shown

AUTO, EAGER, GRAPHS, COMPILE = ENGINES = ("auto", "eager", "graphs", "compile")


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """An engine by its name; for "compile", the backend of torch.compile.

    >>> str(EngineChoice("eager").runner(target))
    'eager'
    """

    name: str = AUTO
    backend: str | None = None

    @classmethod
    def of(cls, engine: str, compile: bool | str) -> "EngineChoice":
        """What the two options stand for together.

        Raises:
            OptionError: for an engine that there is not, a backend that torch does not know, or two
                different engines.

        >>> EngineChoice.of("auto", compile=True).name, EngineChoice.of("compile", False).backend
        ('compile', 'inductor')
        """
        backend = compile_backend(compile)
        if engine not in ENGINES:
            known = ", ".join(f"{name!r}" for name in ENGINES)
            raise OptionError(f"engine={shown(engine)}: it must be one of {known}")
        if backend is not None and engine not in (AUTO, COMPILE):
            raise OptionError(
                f"engine={engine!r} and compile={compile!r} are two engines; give one of them"
            )
        if engine == COMPILE or backend is not None:
            return cls(COMPILE, backend or compile_backend(option=True))
        return cls(engine)

    def runner(self, model: PreTrainedModel) -> ModelRunner:
        """What runs the model: "auto" captures graphs on devices that have them."""
        if self.backend is not None:
            return CompiledRunner(model, self.backend)
        if self.name == GRAPHS or (self.name == AUTO and captures(device_of(model))):
            return GraphRunner(model)
        return ModelRunner(model)


def compile_backend(option: bool | str) -> str | None:
    """The torch.compile backend that a `compile=` option stands for; `None` to run eagerly.

    Raises:
        OptionError: for a backend that torch does not know.

    >>> compile_backend(True), compile_backend(False)
    ('inductor', None)
    """
    if isinstance(option, bool):
        return "inductor" if option else None
    known = cast("list[str]", cast("Any", torch.compiler).list_backends(exclude_tags=()))
    if option not in known:
        raise OptionError(
            f"compile={shown(option)}: it must be True, False, or one of torch.compile's backends, "
            f"which are {', '.join(known)}"
        )
    return option
