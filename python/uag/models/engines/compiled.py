"""A model whose forward passes have only a few shapes, so that each is compiled once.

States are in buffers of a fixed size, and ids are read in blocks of a few widths. A block that is
not full is padded, and the states of the padding are overwritten by the next pass. The position in
the sequence is a tensor, so the compiled code does not depend on it. gpt-fast decodes in this way.
Here it works for every model that transformers marks as compilable as a whole. `torch.compile` does
the work; on a GPU it also captures CUDA graphs.
"""

import warnings
from collections.abc import Hashable
from importlib import import_module
from typing import Any, cast
from weakref import finalize

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, StaticLayer

from uag.errors import UagWarning
from uag.models.adapters.acting import Adapters
from uag.models.caches.protocol import TOGETHER, Keepable, ModelCache, PreallocatedCache
from uag.models.check.way import way_of
from uag.models.engines.runner import BLOCK, ModelRunner
from uag.models.properties import context_window, text_config
from uag.models.reading import reading_of

# Numbers of ids in a compiled pass. A pass over more, such as a prompt's, runs eagerly.
WIDTHS = (1, 4, 8, 16, 32)
# Positions of the smallest buffer; a full one becomes twice as large.
LEAST = 256
# Stands for "no limit" where a number is needed: for torch.compile's limit of shapes of a function,
# beyond which it stops compiling, and for the window of a model that has none.
NO_LIMIT = 2**31 - 1
# The last one makes hooks work that are added after compiling: by default torch.compile does not
# check whether hooks have changed.
COMPILING = {
    "recompile_limit": NO_LIMIT,
    "accumulated_recompile_limit": NO_LIMIT,
    "skip_nnmodule_hook_guards": False,
}


class FixedLayer(StaticLayer):
    """The states of a full attention layer in a buffer of fixed size.

    `place`, the position that the next pass writes at, is a tensor that the owner sets.
    """

    keys: Any  # a tensor after the first pass
    values: Any

    def __init__(self, size: int, place: Tensor) -> None:
        cast("Any", super()).__init__(size)
        self.cumulative_length = place

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        del args, kwargs
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        width, device = key_states.shape[-2], key_states.device
        at = self.cumulative_length + torch.arange(width, device=device)
        self.keys.index_copy_(2, at, key_states)
        self.values.index_copy_(2, at, value_states)
        return self.keys, self.values


class Buffers:
    """The states of one generation, with room for `size` ids; later generations use them again.

    >>> buffers = Buffers(layers=2, device=torch.device("cpu"))
    >>> buffers.make_room(300)
    >>> buffers.size, buffers.empty
    (512, True)
    """

    def __init__(self, layers: int, device: torch.device, size: int = LEAST) -> None:
        self.size = size
        self.adapters = ""  # of the text, in words
        self.place = torch.zeros((), dtype=torch.long, device=device)
        self.layers = [FixedLayer(size, self.place) for _ in range(layers)]
        self.past = Cache(layers=[*self.layers])

    @property
    def empty(self) -> bool:
        """Whether there has been no pass yet, so that the layers have no memory."""
        return not all(layer.is_initialized for layer in self.layers)

    def make_room(self, size: int) -> None:
        """Grow to at least `size` ids, keeping the states."""
        if size <= self.size:
            return
        while self.size < size:
            self.size *= 2
        old, self.layers = self.layers, [FixedLayer(self.size, self.place) for _ in self.layers]
        self.past = Cache(layers=[*self.layers])
        for layer, small in zip(self.layers, old, strict=True):
            if small.is_initialized:
                layer.lazy_initialization(small.keys, small.values)
                layer.keys[:, :, : small.max_cache_len] = small.keys
                layer.values[:, :, : small.max_cache_len] = small.values


class CompiledRunner(ModelRunner):
    """Runs one model through torch.compile, or eagerly where that is not possible.

    >>> str(CompiledRunner(target, backend="inductor"))
    'compiled'

    Attributes:
        window: most ids that a sequence can have.
    """

    engine = "compiled"

    def __init__(self, model: PreTrainedModel, backend: str) -> None:
        """`backend`: one of torch.compile's."""
        super().__init__(model)
        self.reason = _obstacle(model)
        # A padded block must not reach beyond the window: the model may have no positions there.
        self.window = context_window(model) or NO_LIMIT
        self._reading = reading_of(model)
        self._free: list[Buffers] = []
        self._shapes: set[tuple[Hashable, ...]] = set()
        self._graphs = model.device.type == "cuda" and backend in ("inductor", "cudagraphs")
        if not self.reason and not self._reads_blocks():
            self._give_up("it gives other logits in a block with padding")
        if not self.reason:
            settings = {"mode": "reduce-overhead"} if backend == "inductor" and self._graphs else {}

            # Our own function: transformers' functions may also be compiled by the user.
            def forward(**inputs: Any) -> Tensor:
                return cast("Any", model)(**inputs).logits

            # torch.compile stores its results by code object. With the same one, models that differ
            # only in what guards do not check would share a result.
            forward.__code__ = forward.__code__.replace()
            self._compiled = cast("Any", torch).compile(
                forward, fullgraph=True, dynamic=False, backend=backend, **settings
            )

    def new_cache(self, longest: int = 0) -> ModelCache:
        return super().new_cache(longest) if self.reason else FixedCache(self)

    def lend(self, borrower: "FixedCache") -> Buffers:
        """Lend buffers to a cache; they come back when it is garbage-collected."""
        buffers = self._free.pop() if self._free else self._new_buffers()
        # Passes with other adapters are compiled apart.
        buffers.adapters = str(Adapters(self.model).acting)
        finalize(borrower, self._free.append, buffers).atexit = False
        return buffers

    def run(self, ids: Tensor, buffers: Buffers, count: int) -> Tensor:
        """Run a compiled forward pass: `[ids]` -> `[ids, vocabulary]`.

        The first `count` ids are those of the text, the others padding. The caller must copy the
        logits: the next pass may overwrite them.
        """
        inputs = self._inputs(ids, buffers, count)
        shape = len(ids), buffers.size, buffers.adapters
        if shape not in self._shapes:
            return self._first_run(shape, inputs)
        if self._graphs:
            torch.compiler.cudagraph_mark_step_begin()
        return cast("Tensor", self._compiled(**inputs))[0]

    def run_eagerly(self, ids: Tensor, buffers: Buffers, positions: int) -> Tensor:
        """Run an eager forward pass of any width: `[ids]` -> `[positions, vocabulary]`."""
        inputs = self._inputs(ids, buffers, len(ids), positions)
        return cast("Any", self.model)(**inputs).logits[0, -positions:]

    def _inputs(
        self, ids: Tensor, buffers: Buffers, count: int, logits: int | None = None
    ) -> dict[str, Any]:
        # Positions of padding are that of the last id: longer ones could change what all ids get.
        steps = torch.arange(len(ids), device=ids.device).clamp(max=count - 1)
        places = (buffers.place + steps)[None]
        inputs = self._reading.inputs(ids[None], positions=places, logits=logits)
        return inputs | {self._reading.cache_name: buffers.past}

    def _new_buffers(self) -> Buffers:
        layers = DynamicCache(config=text_config(self.model)).layers
        return Buffers(len(layers), self.model.device)

    def _give_up(self, reason: str) -> None:
        """Run the model eagerly from now on, and say why."""
        self.reason = reason
        warnings.warn(
            f"{type(self.model).__name__} cannot be compiled and runs eagerly: {reason}",
            UagWarning,
            stacklevel=3,
        )

    def _reads_blocks(self) -> bool:
        """Whether a padded block gives the logits of its ids without padding; tried eagerly."""
        buffers = self._new_buffers()

        def read(ids: Tensor, place: int) -> Tensor:
            buffers.place.fill_(place)
            inputs = self._inputs(pad(ids, (0, BLOCK - len(ids))), buffers, len(ids))
            return cast("Any", self.model)(**inputs).logits[0, : len(ids)]

        return self.reads_blocks(read)

    def _first_run(self, shape: tuple[Hashable, ...], inputs: dict[str, Any]) -> Tensor:
        """Compile for a shape and run; if that fails, the model runs eagerly from now on."""
        config = cast("Any", import_module("torch._dynamo.config"))
        try:
            with self.setting_up(), config.patch(**COMPILING):
                logits = cast("Tensor", self._compiled(**inputs))
        except RuntimeError as error:
            # The first line of the message names the backend, the second gives its error.
            cause = " ".join(str(error).split("\n")[:2]).strip()
            self._give_up(f"{type(error).__name__}: {cause}")
            logits = cast("Tensor", cast("Any", self.model)(**inputs).logits)
        self._shapes.add(shape)
        return logits[0]


class FixedCache(PreallocatedCache, Keepable):
    """A `ModelCache` in the fixed-size `Buffers` of a `CompiledRunner`."""

    def __init__(self, runner: CompiledRunner) -> None:
        """An empty cache; it borrows buffers at its first pass."""
        super().__init__()
        self._runner = runner
        self._buffers: Buffers | None = None

    def held_bytes(self) -> int:
        """The memory that is borrowed."""
        layers = self._buffers.layers if self._buffers and not self._buffers.empty else ()
        return sum(each.nbytes for layer in layers for each in (layer.keys, layer.values))

    @torch.no_grad()
    def forward(self, ids: Tensor, positions: int) -> Tensor:
        """Run a forward pass; see `ModelCache.forward`."""
        # Borrowed only now: of several generations, those still waiting need no buffers.
        self._buffers = buffers = self._buffers or self._runner.lend(self)
        count = len(ids)
        width = next((width for width in WIDTHS if width >= count), count)
        buffers.make_room(self.length + width)
        buffers.place.fill_(self.length)
        fits = width <= WIDTHS[-1] and self.length + width <= self._runner.window
        # The first pass allocates the buffers, which must not happen in compiled code.
        self.width = width
        if not fits or buffers.empty or self._runner.reason:
            self.width = count
            logits = self._runner.run_eagerly(ids, buffers, positions)
        else:
            block = pad(ids, (0, width - count))
            logits = self._runner.run(block, buffers, count)[count - positions : count]
        self.length += count
        # The next pass may overwrite these logits.
        return logits.clone()


def _obstacle(model: PreTrainedModel) -> str:
    """Why a model cannot be compiled; empty if nothing prevents it."""
    if not getattr(model, "_can_compile_fullgraph", False):
        return f"transformers does not compile {type(model).__name__}"
    if len(devices := {parameter.device for parameter in model.parameters()}) > 1:
        return f"the model is spread over {len(devices)} devices"
    for layer in DynamicCache(config=text_config(model)).layers:
        if type(layer) is not DynamicLayer:
            return f"a {type(layer).__name__} has no buffer of fixed size that can be rolled back"
    if reading_of(model).regimes.drift is not None:
        return "its dynamic rope is computed anew for each length"
    if (way := way_of(model)) != TOGETHER:
        return way.reason or (
            "it keeps no KV cache" if way.whole else "its prompt needs a pass of its own"
        )
    return ""
