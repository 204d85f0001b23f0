"""Which parts of a model kernels stand for while its passes are captured: what was found to be so.

A part is taken only if its own code and the kernel gave the same for one input. The model is left
as it was after each capture, and code that reads it in another thread meanwhile runs its own.
"""

import sys
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from uag.errors import UagWarning
from uag.models.engines.fused.attention import Buffered, attending, packed
from uag.models.engines.fused.kernels import ACTIVATIONS, Kernels
from uag.models.engines.fused.launcher import CudaLauncher, Launcher, LaunchError, sizes_of
from uag.models.engines.fused.postponing import Postponing
from uag.models.properties import (
    attention_of,
    device_of,
    head_size,
    layer_configs,
    text_config,
)

# What launches kernels on a type of device; with ROCm, which torch also calls "cuda", nothing does.
LAUNCHERS: dict[str, Callable[[torch.device, tuple[int, ...]], Launcher]] = (
    {"cuda": CudaLauncher} if torch.version.cuda else {}
)
# By how many units in the last place a part may differ from the model's own.
ROUNDINGS = 4
SIBLINGS = ("q_proj", "k_proj", "v_proj")
ROTARY = "apply_rotary_pos_emb"
# Kinds of rotary embeddings whose frequencies change with the length of a text.
CHANGING = ("dynamic", "longrope")
# Where angles are tried.
POSITIONS = (0, 1, 777)
Function = Callable[..., Any]
# Makes the function that stands for a module's `forward`.
Maker = Callable[[Any], Function]


@dataclass(frozen=True, slots=True)
class Fusion:
    """What stands for the parts of one model.

    Attributes:
        kernels: what computes them.
        parts: an owner, the name of its function, and what is called instead: a module's
            `forward`, or the rotary embedding of a file of transformers.
        attends: whether attention is by a kernel, too.
    """

    kernels: Kernels
    parts: list[tuple[object, str, Function]]
    attends: bool

    @contextmanager
    def inside(self, text: Buffered) -> Generator[None]:
        """Inside the `with` block this thread's passes over `text` use the kernels."""
        with ExitStack() as stack:
            for owner, name, function in self.parts:
                stack.enter_context(_instead(owner, name, function, self.kernels.dtype))
            token = attending.set((self.kernels, text))
            stack.callback(attending.reset, token)
            stack.enter_context(Postponing(self.kernels))
            yield


@contextmanager
def fused(model: PreTrainedModel, fusion: Fusion | None, text: Buffered) -> Generator[None]:
    """Inside the `with` block passes of a model over `text` are as they are captured."""
    with packed(model), fusion.inside(text) if fusion else nullcontext():
        yield


@torch.no_grad()
def fusion_of(model: PreTrainedModel) -> Fusion | None:
    """The parts of a model that kernels stand for; `None`, with a warning, without kernels."""
    device, sizes = device_of(model), _sizes(model)
    if device.type not in LAUNCHERS or sizes is None:
        return None
    try:
        kernels = Kernels(LAUNCHERS[device.type](device, sizes), model.dtype, sizes)
        parts = [*_in_modules(model, kernels), *_in_files(model, kernels)]
        return Fusion(kernels, parts, sizes == _own_sizes(model) and attention_of(model) == "sdpa")
    except (ImportError, LaunchError) as error:
        remedy = "; `pip install cuda-bindings`" if isinstance(error, ImportError) else ""
        warnings.warn(
            f"passes of {type(model).__name__} are captured as the model computes them, which is "
            f"slower: uag's kernels cannot be compiled: {error}{remedy}",
            UagWarning,
            stacklevel=2,
        )
        return None


def _sizes(model: PreTrainedModel) -> tuple[int, ...] | None:
    """What kernels are compiled for; where no kernel attends to such heads, for the other parts."""
    return _own_sizes(model) or sizes_of(model.dtype, 16, 16)


def _own_sizes(model: PreTrainedModel) -> tuple[int, ...] | None:
    """Those of the heads that most layers have."""
    heads = Counter(map(head_size, layer_configs(text_config(model))))
    ((head, _),) = heads.most_common(1)
    return sizes_of(model.dtype, head, head)


def _in_modules(model: PreTrainedModel, kernels: Kernels) -> Iterator[tuple[object, str, Function]]:
    """Norms, gated MLPs, angles and linear layers; each kind of norm and MLP is tried once."""
    makers: dict[tuple[type, int], Maker | None] = {}
    done: set[nn.Module] = set()
    for module in cast("Any", model).modules():
        for size_of, find in ((_size_of_norm, _norm), (_size_of_gate, _gate)):
            size = size_of(module)
            if size == 0 or size % kernels.pack:
                continue
            kind = module.__class__, size
            if kind not in makers:
                makers[kind] = find(kernels, module)
            if maker := makers[kind]:
                yield module, "forward", maker(module)
        if (angles := _angles(kernels, module)) is not None:
            yield module, "forward", angles
        layers: list[Any] = [getattr(module, name, None) for name in SIBLINGS]
        if all(map(kernels.is_projected, layers)):
            done.update(layers)
            yield from _siblings(kernels, layers)
    for module in cast("Any", model).modules():
        if kernels.is_projected(module) and module not in done:
            yield from _siblings(kernels, [module])


def _siblings(kernels: Kernels, layers: list[Any]) -> Iterator[tuple[object, str, Function]]:
    """Linear layers that read the same: the first one called computes all, the others take it."""
    ready: dict[nn.Linear, tuple[Tensor, Tensor]] = {}

    def forward(layer: nn.Linear, x: Tensor) -> Tensor:
        if not kernels.projects(x):
            return nn.functional.linear(x, layer.weight, layer.bias)
        read, out = ready.pop(layer, (None, None))
        if read is not x or out is None:
            found = dict(zip(layers, kernels.project(x, layers), strict=True))
            ready.update({each: (x, found[each]) for each in layers if each is not layer})
            out = found[layer]
        return out

    for layer in layers:
        yield layer, "forward", partial(forward, layer)


def _size_of_norm(module: Any) -> int:
    weight: Any = getattr(module, "weight", None)
    is_norm = "RMSNorm" in type(module).__name__ and isinstance(weight, Tensor)
    return len(weight) if is_norm and weight.dim() == 1 else 0


def _norm(kernels: Kernels, module: Any) -> Maker | None:
    """What makes the `forward` of norms like `module`; `None` if no kernel gives the same."""
    x = _numbers(module.weight, 2, len(module.weight)) * 1e-3  # so small that `eps` counts
    if x.dtype != kernels.dtype or not kernels.is_packed(module.weight):
        return None
    for offset in (False, True):

        def maker(module: Any, *, offset: bool = offset) -> Function:
            eps = getattr(module, "variance_epsilon", getattr(module, "eps", None)) or 0.0

            def forward(x: Tensor) -> Tensor:
                return kernels.rms_norm(x, module.weight, eps, offset=offset)

            return forward

        if _is_same(maker(module), module, x):
            return maker
    return None


def _size_of_gate(module: Any) -> int:
    layers = [getattr(module, name, None) for name in ("gate_proj", "up_proj", "down_proj")]
    is_gate = all(isinstance(layer, nn.Linear) for layer in layers)
    return cast("Any", layers[0]).out_features if is_gate else 0


def _gate(kernels: Kernels, module: Any) -> Maker | None:
    """What makes the `forward` of gated MLPs like `module`; `None` if no kernel gives the same."""
    kind = ACTIVATIONS.get(type(getattr(module, "act_fn", None)).__name__)

    def maker(module: Any) -> Function:
        gate, up, down = module.gate_proj, module.up_proj, module.down_proj
        plain = all(kernels.is_projected(layer) and layer.bias is None for layer in (gate, up))

        def forward(x: Tensor) -> Tensor:
            if plain and kernels.projects(x):
                return down(kernels.project_gated(x, gate, up, cast("int", kind)))
            return down(kernels.gated(gate(x), up(x), cast("int", kind)))

        return forward

    weight = module.gate_proj.weight
    if kind is None or weight.dtype != kernels.dtype:
        return None
    x = _numbers(weight, 1, 2, module.gate_proj.in_features)
    return maker if _is_same(maker(module), module, x) else None


def _angles(kernels: Kernels, module: Any) -> Function | None:
    """The angles of a rotary embedding that are the same for texts of any length, by a kernel."""
    frequencies = getattr(module, "inv_freq", None)
    changing = any(kind in str(getattr(module, "rope_type", CHANGING[0])) for kind in CHANGING)
    if changing or not isinstance(frequencies, Tensor):
        return None

    def forward(x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        del x  # it says what the numbers are
        return kernels.angles(position_ids, module.inv_freq.float(), module.attention_scaling)

    like = torch.empty(0, dtype=kernels.dtype, device=frequencies.device)
    positions = torch.tensor([POSITIONS], device=frequencies.device)
    return forward if _is_same(forward, module, like, positions) else None


def _in_files(model: PreTrainedModel, kernels: Kernels) -> Iterator[tuple[object, str, Function]]:
    """The rotary embedding of each file of transformers that the model's modules are from."""
    names = {type(module).__module__ for module in cast("Any", model).modules()}
    like = next(model.parameters())
    size = kernels.head
    for file in (sys.modules[name] for name in sorted(names)):
        if (own := vars(file).get(ROTARY)) is None:
            continue
        queries, keys = (_numbers(like, 1, 3, heads, size).transpose(1, 2) for heads in (4, 2))
        cosines, sines = _numbers(like, 2, 1, 3, size)
        function = partial(_rotate, kernels, own)
        if _is_same(function, own, queries, keys, cosines, sines):
            yield file, ROTARY, function


def _rotate(
    kernels: Kernels,
    own: Function,
    q: Tensor,
    k: Tensor,
    cos: Tensor,
    sin: Tensor,
    unsqueeze_dim: int = 1,
) -> tuple[Tensor, Tensor]:
    """As transformers' functions of that name; what is laid out in another way is for its `own`."""
    if unsqueeze_dim != 1 or q.stride(-1) != 1 or k.stride(-1) != 1:
        return own(q, k, cos, sin, unsqueeze_dim)
    return kernels.rotate(q, k, cos, sin)


@contextmanager
def _instead(owner: Any, name: str, function: Function, dtype: torch.dtype) -> Generator[None]:
    """Inside the `with` block `function` is called for an owner's own, if it is for this thread."""
    own, known = getattr(owner, name), (dtype, torch.long)
    is_its_own = name in vars(owner)

    def either(*args: Any, **options: Any) -> Any:
        tensors = [each for each in (*args, *options.values()) if isinstance(each, Tensor)]
        mine = attending.get() is not None and all(each.dtype in known for each in tensors)
        return (function if mine else own)(*args, **options)

    setattr(owner, name, either)
    try:
        yield
    finally:
        if is_its_own:
            setattr(owner, name, own)
        else:
            delattr(owner, name)


def _numbers(like: Tensor, *shape: int) -> Tensor:
    """Numbers of a tensor's kind that look random; torch's generators are not asked."""
    count = torch.Size(shape).numel()
    numbers = (torch.arange(count, device=like.device) * 12.9898).sin() * 1.7
    return numbers.to(like.dtype).view(shape)


def _is_same(function: Function, own: Function, *given: Tensor) -> bool:
    """Whether a function gives what a part's own code does; not if that takes something else."""
    try:
        true = own(*given)
    except Exception:  # noqa: BLE001 - a model's code may raise anything
        return False
    got, true = (_as_tuple(each) for each in (function(*given), true))
    return len(got) == len(true) and all(map(_is_rounding, got, true))


def _as_tuple(result: Any) -> tuple[Tensor, ...]:
    return cast("tuple[Tensor, ...]", result) if isinstance(result, tuple) else (result,)


def _is_rounding(got: Tensor, true: Tensor) -> bool:
    """Whether two results are the same, but for rounding."""
    allowed = ROUNDINGS * torch.finfo(true.dtype).eps * true.abs().amax()
    return got.shape == true.shape and bool((got - true).abs().amax() <= allowed)
