"""Why a model's passes cannot be captured."""

from collections.abc import Iterator, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, cast

from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from uag.models.caches.protocol import TOGETHER
from uag.models.check.records import with_own_code
from uag.models.check.way import way_of
from uag.models.engines.capture import CAPTURERS
from uag.models.masks import FULL, SLIDING
from uag.models.properties import attention_of, device_of, text_config
from uag.models.reading import reading_of


def obstacle(model: PreTrainedModel) -> str:
    """Why a model's passes cannot be captured; empty if nothing is known to prevent it."""
    return next(chain(_on_device(model), _in_layers(model), _in_reading(model)), "")


def obstacle_now(modules: Sequence[Any]) -> str:
    """The same for what may change between two texts; `modules`: see `Modules.now`."""
    if others := with_own_code(modules):
        return f"its {type(others[0]).__name__} has hooks or code of its own"
    return "it is in training mode" if modules[0].training else ""


def state_of(modules: Sequence[Any]) -> tuple[object, ...]:
    """What captures depend on beside their inputs: where weights are, and which kernels."""
    model: PreTrainedModel = modules[0]
    config: Any = text_config(model)
    kernels = attention_of(model), getattr(config, "_experts_implementation", None)
    held = chain(map(attrgetter("_parameters"), modules), map(attrgetter("_buffers"), modules))
    tensors = [tensor for each in held if each for tensor in each.values() if tensor is not None]
    try:
        return (*kernels, *map(Tensor.data_ptr, tensors))
    except (RuntimeError, TypeError):  # of tensors that stand for several, as quantised ones do
        return (*kernels, *map(_address, tensors))


def _on_device(model: PreTrainedModel) -> Iterator[str]:
    device = device_of(model)
    if device.type not in CAPTURERS:
        yield f"graphs are captured on CUDA devices, and it is on {device}"
    devices = {parameter.device for parameter in model.parameters()}
    if devices != {device}:
        yield f"the model is spread over {len(devices | {device})} devices"
    if not getattr(model, "_can_compile_fullgraph", False):
        name = type(model).__name__
        yield f"transformers does not read {name} without waiting for the device"


def _in_layers(model: PreTrainedModel) -> Iterator[str]:
    for layer in DynamicCache(config=text_config(model)).layers:
        if type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer):
            yield f"a {type(layer).__name__} has no buffer of fixed size that can be rolled back"
    config: Any = text_config(model)
    for layer in getattr(config, "layer_types", None) or ():
        if layer not in (FULL, SLIDING):
            yield f"there is no mask for its {layer}"
    if attention_of(model) not in ("sdpa", "eager"):
        yield f"its {attention_of(model)} attention takes no mask"
    if has_experts(model) and config._experts_implementation == "eager":
        yield "its experts are read one by one, by what the host is told about them"


def _in_reading(model: PreTrainedModel) -> Iterator[str]:
    reading = reading_of(model)
    if reading.regimes.drift is not None:
        yield "its dynamic rope is computed anew for each length"
    if not reading.takes_positions:
        yield "it takes no positions"
    way = way_of(model)
    if way != TOGETHER or reading.places:
        yield way.reason or "a text is not read from its KV cache and ids alone"


def has_experts(model: PreTrainedModel) -> bool:
    """Whether how the experts are read can be chosen: any model names a way."""
    return bool(cast("Any", model)._can_set_experts_implementation())


def _address(tensor: Tensor) -> int:
    try:
        return tensor.data_ptr()
    except RuntimeError:
        return id(tensor)
