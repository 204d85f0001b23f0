"""The kernels as functions of tensors: shapes and strides in, new tensors out.

Results have the bits of the modules that they stand for, but for sums, which other kernels than
torch's add in another order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from uag.models.engines.fused.launcher import (
    FEW_QUERIES,
    QUERIES,
    THREADS,
    Argument,
    Launcher,
    Shape,
)
from uag.models.engines.fused.waiting import Kind, Postponed, Waiting
from uag.values import power_of_two

# The values of `kind` in `gated`, by the name of the activation's class in transformers.
ACTIVATIONS = {"SiLUActivation": 0, "SiLU": 0, "GELUActivation": 1, "GELUTanh": 2}
# Most ids of a pass whose matrix products are by `project`, so few that it takes about as long as
# reading the matrices: with tensor cores, by the kernels for up to so many ids, whose blocks have
# so many rows (of one matrix or of two) and threads; and without.
TILED = {8: (16, 512), 16: (16, 256)}
WIDEST = 2
# Packs of a row that each of the threads has which multiply it, at least.
LEAST_PACKS = 4
# Most packs of a vector that each warp of a product can normalize for itself (see `normed.cu`), and
# most numbers that all its warps normalize: beyond that, a kernel that does so once is faster.
MOST_PACKS = 4 * 32
MOST_NORMED = 2 << 20
# Most shares of the places that one attention is split into: as many results are put together.
MOST_SHARES = 64


@dataclass(frozen=True, slots=True)
class Places:
    """Where the ids of a pass are, for attention.

    Attributes:
        begins: the position of each row's first id, `[rows]` of int64.
        seen: how many places there are to attend to, at most.
        window: how many places an id attends to, its own included; 0 for all before it.
    """

    begins: Tensor
    seen: int
    window: int = 0


class Kernels:
    """Launches kernels for one type of numbers and one size of heads.

    Attributes:
        head, value: numbers of a head of keys and of values.
        dtype: the type of all tensors but `Places.begins`.
        widest: most ids of `project`.
        postpones: whether kernels wait for the next one where it can do their work.
        waiting: those that do.
    """

    def __init__(self, launcher: Launcher, dtype: torch.dtype, sizes: tuple[int, ...]) -> None:
        """`sizes`: what the launcher is compiled for (see `sizes_of`)."""
        self._launcher = launcher
        self.dtype = dtype
        _, self.head, self.value, self._keys, *_ = sizes
        self.pack = 16 // dtype.itemsize
        self.widest = max(TILED) if launcher.has_tiles else WIDEST
        self.postpones = False
        self.waiting = Waiting()

    def attends(self, queries: Tensor, keys: Tensor, values: Tensor) -> bool:
        """Whether `attend` and `store` are for tensors like these."""
        sizes = queries.shape[-1], keys.shape[-1], values.shape[-1]
        own = self.head, self.head, self.value
        return sizes == own and {queries.dtype, keys.dtype, values.dtype} == {self.dtype}

    def projects(self, x: Tensor) -> bool:
        """Whether there are so few ids that `project` is for them."""
        return x.numel() <= self.widest * x.shape[-1]

    def is_projected(self, layer: object) -> bool:
        """Whether `project` is for a layer: the usual one, with rows of whole packs."""
        return (
            type(layer) is nn.Linear
            and layer.weight.dtype == self.dtype
            and self.is_packed(layer.weight)
        )

    def is_packed(self, weight: Tensor) -> bool:
        """Whether the rows of a weight are of whole packs, and are where packs may be."""
        return _is_aligned(weight) and weight.shape[-1] % self.pack == 0

    def rms_norm(self, x: Tensor, weight: Tensor, eps: float, *, offset: bool) -> Tensor:
        """`x / sqrt(mean(x²) + eps) * weight`, over the last axis: `[..., size]`.

        With `offset` it is multiplied by `1 + weight`, before it is rounded to the dtype.
        """
        x, *added = self.waiting.take("sum", x) or [x.contiguous()]
        size = x.shape[-1]
        out = torch.empty_like(x)
        threads = self._threads_alone(size)
        given = x, *(added or [None, None]), weight, out, size, float(eps), int(offset)

        def launch() -> None:
            self._launch("rms_norm", (x.numel() // size, 1, 1), threads, *given)

        if added or x.numel() != size or size > MOST_PACKS * self.pack:
            launch()
        else:
            self._postpone("norm", out, (x, weight, out, float(eps), int(offset)), launch)
        return out

    def gated(self, gate: Tensor, up: Tensor, kind: int) -> Tensor:
        """`activation(gate) * up`, of any one shape whose last axis is of whole packs."""
        gate, up = gate.contiguous(), up.contiguous()
        out = torch.empty_like(gate)
        packs, threads = gate.numel() // self.pack, 128
        grid = -(-packs // threads), 1, 1
        self._launch("gated", grid, threads, gate, up, out, packs, kind)
        return out

    def adds(self, a: object, b: object) -> bool:
        """Whether `add` is for these: contiguous tensors of one shape, of whole packs."""
        if not isinstance(a, Tensor) or not isinstance(b, Tensor) or a.shape != b.shape:
            return False
        both = a, b
        return a.dim() > 0 and all(
            each.dtype == self.dtype and each.is_contiguous() and self.is_packed(each)
            for each in both
        )

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        """`a + b`, for what `adds` permits."""
        out = torch.empty_like(a)
        if a is b:
            self.waiting.flush()
        if product := self.waiting.take("product", a, b):
            x, layers, outs = product
            self._project(x, layers, outs, added=(b if outs[0] is a else a, out))
            return out
        packs, threads = a.numel() // self.pack, 128
        grid = -(-packs // threads), 1, 1
        self._postpone(
            "sum", out, (a, b, out), lambda: self._launch("add", grid, threads, a, b, out, packs)
        )
        return out

    def project(self, x: Tensor, layers: Sequence[nn.Linear]) -> list[Tensor]:
        """`layer(x)` of up to three layers, for up to `widest` ids: `[..., size]`."""
        norm = self._norm(x, sum(layer.out_features for layer in layers))
        x = x.contiguous()
        outs = [x.new_empty(*x.shape[:-1], layer.out_features) for layer in layers]
        if norm is None and len(layers) == 1 and not self._by_tiles(x):
            self._postpone(
                "product", outs[0], (x, layers, outs), partial(self._project, x, layers, outs)
            )
        else:
            self._project(x, layers, outs, norm)
        return outs

    def _project(
        self,
        x: Tensor,
        layers: Sequence[nn.Linear],
        outs: Sequence[Tensor],
        norm: tuple[Any, ...] | None = None,
        added: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        """Launch `project`.

        norm: what gives `x`; added: what is added to the result of a single layer, and their sum.
        """
        counts = [layer.out_features for layer in layers]
        absent = 3 - len(layers)
        matrices = (
            *(layer.weight for layer in layers), *[None] * absent,
            *(layer.bias for layer in layers), *[None] * absent,
            *outs, *[None] * absent, *counts, *[0] * absent, x.shape[-1],
        )  # fmt: skip
        rest = () if norm or self._by_tiles(x) else added or (None, None)
        self._multiply("project", sum(counts), x, *matrices, *rest, norm=norm)

    def project_gated(self, x: Tensor, gate: nn.Linear, up: nn.Linear, kind: int) -> Tensor:
        """`activation(gate(x)) * up(x)`, for up to `widest` ids: `[..., size]`."""
        norm = self._norm(x, count := gate.out_features)
        x = x.contiguous()
        out = x.new_empty(*x.shape[:-1], count)
        self._multiply(
            "project_gated", count,
            x, gate.weight, up.weight, out, count, x.shape[-1], kind, matrices=2, norm=norm,
        )  # fmt: skip
        return out

    def _norm(self, x: Tensor, rows: int) -> tuple[Any, ...] | None:
        """What gives `x`, where a product of so many rows is to do it: a warp of each does."""
        return self.waiting.take("norm", x) if rows * x.numel() <= MOST_NORMED else None

    def _by_tiles(self, x: Tensor) -> bool:
        """Whether products of these ids are by tensor cores."""
        return self._launcher.has_tiles and x.numel() > x.shape[-1]

    def _multiply(
        self,
        name: str,
        rows: int,
        x: Tensor,
        *args: Argument,
        matrices: int = 1,
        norm: tuple[Any, ...] | None = None,
    ) -> None:
        """Launch a product with so many `rows`, each of one or of two matrices.

        `norm`: what gives `x`, if that is launched nowhere else.
        """
        size = x.shape[-1]
        ids = x.numel() // size
        if norm is not None:
            whole, *other = norm
            blocks = -(-rows * 32 // THREADS)
            self._launch(f"{name}_normed", (blocks, 1, 1), THREADS, whole, *args, *other)
            return
        if self._by_tiles(x):
            most = next(most for most in TILED if ids <= most)
            each, threads = TILED[most]
            blocks = -(-rows * matrices // each)
            self._launch(f"{name}_up_to_{most}", (blocks, 1, 1), threads, x, *args, ids)
            return
        threads = self._threads(size)
        blocks = -(-rows * threads // THREADS)
        self._launch(f"{name}_{ids}", (blocks, 1, 1), THREADS, x, *args, threads)

    def _threads(self, size: int) -> int:
        """How many threads of a block multiply a row: as many as have a few packs each."""
        most = size // self.pack // LEAST_PACKS
        return next(each for each in (THREADS, THREADS // 2, 32) if each <= max(32, most))

    def _threads_alone(self, size: int) -> int:
        """How many threads a block has for a row of its own."""
        return min(1024, max(32, power_of_two(size // self.pack)))

    def angles(
        self, positions: Tensor, frequencies: Tensor, scaling: float
    ) -> tuple[Tensor, Tensor]:
        """The cosines and sines that `rotate` takes: `[rows, width]` -> `[rows, width, turned]`.

        frequencies: `[turned / 2]` of float32.
        """
        positions, half = positions.contiguous(), len(frequencies)
        shape = *positions.shape, 2 * half
        found = [positions.new_empty(shape, dtype=self.dtype) for _ in range(2)]
        self._launch(
            "angles", (positions.numel(), 1, 1), min(128, power_of_two(half)),
            positions, frequencies, *found, half, float(scaling),
        )  # fmt: skip
        return found[0], found[1]

    def mask(self, begins: Tensor, width: int, places: int, window: int) -> Tensor:
        """What is added to scores of ids at and after `begins`: `[rows, 1, width, places]`.

        window: as in `Places`.
        """
        rows = len(begins)
        out = begins.new_empty(rows, 1, width, places, dtype=self.dtype)

        def launch() -> None:
            self._launch(
                "masks", (width, rows, 1), min(512, power_of_two(places)),
                begins, out, places, window, torch.finfo(self.dtype).min,
            )  # fmt: skip

        if self.postpones:
            self.waiting.until_read(Postponed(out, launch))
        else:
            launch()
        return out

    def rotate(
        self, queries: Tensor, keys: Tensor, cosines: Tensor, sines: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Rotary position embedding, with the halves of a head as pairs.

        queries, keys: `[rows, heads, width, size]`, the last axis contiguous; cosines, sines:
        `[rows or 1, width, turned]`; beyond the first `turned` numbers nothing changes.
        """
        cosines, sines = cosines.contiguous(), sines.contiguous()
        out = queries.new_empty(queries.shape), keys.new_empty(keys.shape)
        given = queries, keys, cosines, sines, *out
        self._postpone("rotation", out[1], given, lambda: self._rotate(*given))
        return out

    def _rotate(
        self,
        queries: Tensor,
        keys: Tensor,
        cosines: Tensor,
        sines: Tensor,
        queries_out: Tensor,
        keys_out: Tensor,
        *stored: Tensor,
    ) -> None:
        """Launch `rotate`. `stored`: new values, both buffers, and the position of the new ids."""
        rows, heads, width, size = queries.shape
        kv_heads, turned = keys.shape[1], cosines.shape[-1]
        blocks = heads + (2 if stored else 1) * kv_heads
        self._launch(
            "rotate", (width, blocks, rows), min(128, power_of_two(turned // 2)),
            queries, keys, cosines, sines, queries_out, keys_out, *(stored or [None] * 4),
            heads, kv_heads, size, turned, *queries.stride()[:3], *keys.stride()[:3],
            0 if cosines.shape[0] == 1 else cosines.stride(0),
            *(stored[0].stride()[1:3] if stored else (0, 0)), stored[1].shape[2] if stored else 0,
        )  # fmt: skip

    def store(self, new: tuple[Tensor, Tensor], held: tuple[Tensor, Tensor], begin: Tensor) -> None:
        """Write the keys and values of new ids to buffers, from the position `begin` on.

        new: each `[1, heads, width, size]`; held: `[1, heads, places, size]`, contiguous.
        """
        if rotation := self.waiting.take("rotation", new[0]):
            given = *rotation, new[1], *held, begin
            queries, keys, cosines, sines, queries_out, *_ = given
            if self._turns(queries, keys, new[1], cosines, sines):
                self._postpone("storing", queries_out, given, lambda: self._rotate(*given))
            else:
                self._rotate(*given)
            return
        _, heads, width, _ = new[0].shape
        self._launch(
            "store", (width, heads, 1), min(128, power_of_two(max(self.head, self.value))),
            *new, *held, begin, held[0].shape[2], *new[0].stride()[1:3], *new[1].stride()[1:3],
        )  # fmt: skip

    def attend(
        self, queries: Tensor, keys: Tensor, values: Tensor, places: Places, scaling: float
    ) -> Tensor:
        """Attention to the places before each id and its own: `[rows, width, heads, value]`.

        queries: `[rows, heads, width, head]`; keys, values: `[rows, heads of keys, places, size]`,
        the last axis contiguous. What waits to be rotated and stored is so by the same kernel.
        """
        brought: tuple[Argument, ...] = (None,) * 4 + (0,) * 5
        if given := self.waiting.take("storing", queries):
            queries, new, cosines, sines, _, _, value, *_ = given
            strides = *new.stride()[1:3], *value.stride()[1:3]
            brought = new, value, cosines, sines, *strides, cosines.shape[-1]
        elif not _is_aligned(queries):
            queries = queries.clone(memory_format=torch.contiguous_format)
        rows, heads, width, _ = queries.shape
        kv_heads = keys.shape[1]
        groups = heads // kv_heads
        share = self._keys * -(-places.seen // (self._keys * MOST_SHARES))
        shares = -(-places.seen // share)
        asked = rows * heads * width
        parts, scales = (
            queries.new_empty(shares, asked, size, dtype=torch.float32) for size in (self.value, 2)
        )
        few = groups * width <= FEW_QUERIES and FEW_QUERIES * self._keys >= THREADS
        held = FEW_QUERIES if few else QUERIES
        tiles = -(-groups * width // held)
        self._launch(
            f"attend_{held}", (shares, rows * kv_heads, tiles), THREADS,
            queries, keys, values, places.begins, parts, scales, kv_heads, groups, width, share,
            *queries.stride()[:3], *keys.stride()[:3], *values.stride()[:3], places.window,
            float(scaling), *brought,
        )  # fmt: skip
        out = queries.new_empty(rows, width, heads, self.value)
        self._launch(
            "join", (asked, 1, 1), min(THREADS, power_of_two(self.value)),
            parts, scales, out, places.begins, share, heads, width, places.window,
        )  # fmt: skip
        return out

    def _turns(self, queries: Tensor, keys: Tensor, values: Tensor, *angles: Tensor) -> bool:
        """Whether `attend` can rotate and store these: their halves are of whole packs.

        queries, keys, values: `[1, heads, width, size]`; angles: `[1, width, turned]`.
        """
        return angles[0].shape[-1] % (2 * self.pack) == 0 and all(
            each.data_ptr() % 16 == 0
            and each.stride(-1) == 1
            and all(stride % self.pack == 0 for stride in each.stride()[:-1])
            for each in (queries, keys, values, *angles)
        )

    def most_likely(self, logits: Tensor) -> Tensor:
        """The index of the largest logit: `[1, vocabulary]` -> `[1]`."""
        out, count = logits.new_empty(1, dtype=torch.long), logits.shape[1]
        threads = self._threads_alone(count)
        return self._chosen(out, "most_likely", threads, logits, out, count)

    def draw(
        self,
        scores: Tensor,
        ids: Tensor,
        names: tuple[Tensor, Tensor],
        key: Tensor,
        position: Tensor,
    ) -> Tensor:
        """Of some ids the one whose score with its noise is the largest: `[1]`.

        The noise is that of `uag.sampling.noise`, the same but for rounding. The position moves on
        by the length of the id.

        scores, ids: `[ids]`, of float32 and int64; names: the key and the length of each id of the
        vocabulary, each `[rows]`; key: of the generation, without axes; position: `[1]`.
        """
        out = ids.new_empty(1)
        threads = max(32, power_of_two(len(ids)))
        given = scores.contiguous(), ids.contiguous(), *names, key, position, out, len(ids)
        return self._chosen(out, "draw", threads, *given)

    def chooses(self, logits: object) -> bool:
        """Whether `most_likely` is for these."""
        return (
            isinstance(logits, Tensor)
            and logits.shape[:-1] == (1,)
            and logits.dtype == self.dtype
            and _is_aligned(logits)
        )

    def end_step(self, chosen: Tensor, *step: Tensor) -> None:
        """Have the next step of a draft begin with the id that was chosen, `[1]`.

        step: what it reads, `[1]`; where the ids go that are chosen, `[most steps]`; how many
        there are, `[1]`; and the position of what it reads, without axes.
        """
        if given := self.waiting.take("choice", chosen):
            (choose,) = given
            choose(*step)
        else:
            self._launch("end_step", (1, 1, 1), 1, chosen, *step)

    def _chosen(self, out: Tensor, name: str, threads: int, *given: Argument) -> Tensor:
        """Launch what chooses the id `out`, or have it wait for the end of a step."""

        def launch(*step: Tensor) -> None:
            self._launch(name, (1, 1, 1), threads, *given, *(step or [None] * 4))

        self._postpone("choice", out, (launch,), launch)
        return out

    def _launch(self, name: str, grid: Shape, block: int, *args: Argument) -> None:
        """Launch a kernel after what waits for it."""
        self.waiting.flush()
        self._launcher.launch(name, grid, block, *args)

    def _postpone(
        self, kind: Kind, out: Tensor, given: tuple[Any, ...], launch: Callable[[], None]
    ) -> None:
        """Launch a kernel, or have it wait for the next one, which may take `out` from it."""
        if self.postpones:
            self.waiting.postpone(Postponed(out, launch, kind, given))
        else:
            launch()


def _is_aligned(x: Tensor) -> bool:
    """Whether a tensor can be read by packs from its beginning on."""
    return x.data_ptr() % 16 == 0 and x.is_contiguous()
