"""What can this card do, without any model: bandwidth, launches, synchronisation, attention?"""

import itertools
import platform
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from time import perf_counter
from typing import Any

import torch
import transformers
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention as sdpa

from benches.gpu.clocks import Run, captured, device_ms, host_ms, wait, wall_ms
from benches.gpu.engines import without_cudnn
from benches.gpu.models import Setting
from benches.gpu.record import Record, Values
from uag.models.engines.fused.kernels import Kernels, Places
from uag.models.engines.fused.launcher import CudaLauncher, sizes_of

# Shapes of Llama-3.1-8B's attention.
HEADS, KV_HEADS, HEAD = 32, 8, 128
# How many are captured together.
TEN = 10
PACKAGES = ("torch", "transformers", "tokenizers", "huggingface-hub", "greenlet", "uag-decoding")


def measure(record: Record, setting: Setting) -> None:
    """The part "card"."""
    record.attempt("versions", versions)
    device = setting.device
    if device.type == "cuda":
        record.attempt("device", lambda: properties(device))
    record.attempt("bandwidth", lambda: bandwidth(setting))
    record.attempt("launch", lambda: launches(setting))
    record.attempt("host waits", lambda: waits(setting))
    record.attempt("attention chosen", lambda: chosen(device))
    for width in (1, 8):
        for keys in setting.scale.keys:
            record.attempt(
                f"attention, {width} ids, {keys} keys",
                lambda width=width, keys=keys: attention(setting, width, keys),
            )
    for size, out in setting.scale.products:
        for width in (1, 2, 4, 8, 16):
            record.attempt(
                f"product, {size} to {out}, {width} ids",
                lambda size=size, out=out, width=width: products(setting, size, out, width),
            )
    record.attempt("attention at new lengths", lambda: new_lengths(setting))
    with without_cudnn():
        record.attempt("attention at new lengths, cuDNN off", lambda: new_lengths(setting))


def versions() -> Values:
    return {
        "python": platform.python_version(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "transformers file": transformers.__file__,
        **{name: version(name) for name in PACKAGES},
    }


def properties(device: torch.device) -> Values:
    found = torch.cuda.get_device_properties(device)
    free, total = torch.cuda.mem_get_info(device)
    return {
        "card": found.name,
        "multiprocessors": found.multi_processor_count,
        "l2_bytes": found.L2_cache_size,
        "free_gib": free / 2**30,
        "total_gib": total / 2**30,
        "kernel": platform.release(),
    }


def copy_bandwidth(setting: Setting) -> float:
    """Bytes a second of a large copy, read and written ones both counted."""
    count = setting.scale.copy // 2
    source = torch.ones(count, dtype=torch.uint8, device=setting.device)
    target = torch.zeros_like(source)
    target.copy_(source)
    ms = device_ms(lambda: target.copy_(source), setting.device, max(3, setting.scale.repeats))
    return 2e3 * count / ms


def bandwidth(setting: Setting) -> Values:
    """Of a copy; and of reading alone, by a matrix times a vector, as decoding does."""
    copied = copy_bandwidth(setting)
    side = max(64, int((setting.scale.copy / 8) ** 0.5) // 64 * 64)
    matrix = torch.randn(side, side, device=setting.device).bfloat16()
    vector = torch.randn(side, 1, device=setting.device).bfloat16()
    ms = device_ms(lambda: matrix @ vector, setting.device, max(3, setting.scale.repeats))
    return {"copy_gb_s": copied / 1e9, "matrix_vector_gb_s": matrix.nbytes / ms / 1e6}


def launches(setting: Setting) -> Values:
    """Microseconds of a kernel that does nothing much: launched, and in a graph."""
    device, count = setting.device, setting.scale.launches
    x = torch.zeros(1, device=device)

    def many() -> None:
        for _ in range(count):
            x.add_(1)

    many()
    eager = wall_ms(many, device, 3)
    replay = captured(many, device)
    replay()
    return {
        "eager_us": 1e3 * eager / count,
        "host_us": 1e3 * host_ms(many, device, 3) / count,
        "in_graph_us": 1e3 * wall_ms(replay, device, 3) / count,
        "replay_host_us": 1e3 * host_ms(replay, device, 3),
    }


def waits(setting: Setting) -> Values:
    """Microseconds of what makes the host wait for the device, or copies to or from it."""
    device, repeats = setting.device, max(5, setting.scale.repeats)
    x = torch.zeros(8, dtype=torch.long, device=device)
    kept: list[Tensor] = []
    pinned = torch.zeros(8, dtype=torch.long, pin_memory=device.type == "cuda")

    def round_trip() -> None:
        x.copy_(pinned, non_blocking=True)
        pinned.copy_(x, non_blocking=True)
        wait(device)

    runs: dict[str, Run] = {
        "synchronize": lambda: wait(device),
        "launch_and_synchronize": lambda: (x.add_(1), wait(device)),
        "tolist": x.tolist,
        "tensor_of_list": lambda: kept.append(torch.tensor([1, 2, 3, 4], device=device)),
        "pinned_round_trip": round_trip,
    }
    for run in runs.values():
        run()
    return {f"{name}_us": 1e3 * wall_ms(run, device, repeats) for name, run in runs.items()}


def states(
    device: torch.device, width: int, keys: int, head: int = HEAD, dtype: Any = torch.bfloat16
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, `[1, heads, ids, head size]`."""

    def drawn(heads: int, ids: int) -> Tensor:
        return torch.randn(1, heads, ids, head, device=device).to(dtype)

    return drawn(HEADS, width), drawn(KV_HEADS, keys), drawn(KV_HEADS, keys)


def masks(device: torch.device, width: int, keys: int) -> dict[str, Tensor | None]:
    """No mask, one of booleans and an additive one; the last half of the keys is unread."""
    begin = keys // 2 - width
    at = torch.arange(begin, begin + width, device=device)
    seen = (torch.arange(keys, device=device) <= at[:, None])[None, None]
    numbers = torch.zeros(seen.shape, dtype=torch.bfloat16, device=device)
    return {"none": None, "bool": seen, "additive": numbers.masked_fill(~seen, -torch.inf)}


def chosen(device: torch.device) -> Values:
    """Which implementation `scaled_dot_product_attention` takes."""
    names = {int(each.value): name for name, each in SDPBackend.__members__.items()}
    found: Values = {}
    for dtype in (torch.bfloat16, torch.float32):
        for head in (8, 16, 32, 64, 128, 256):
            for width in (1, 8):
                query, key, value = states(device, width, 256, head, dtype)
                key, value = (each.repeat_interleave(HEADS // KV_HEADS, 1) for each in (key, value))
                for kind, mask in masks(device, width, 256).items():
                    own = mask.to(dtype) if mask is not None and kind == "additive" else mask
                    number = torch._fused_sdp_choice(query, key, value, attn_mask=own)
                    name = f"{dtype} head {head}, {width} ids, mask {kind}".removeprefix("torch.")
                    found[name] = names.get(int(number), int(number))
    return found


def new_lengths(setting: Setting) -> Values:
    """Milliseconds on the host for attention whose number of keys is new in each call."""
    device, found = setting.device, dict[str, Any]()
    for width, masked in ((1, False), (5, True)):
        times: list[float] = []
        for keys in range(300, 300 + 8 * setting.scale.lengths, 8):
            query, key, value = states(device, width, keys + width)
            key, value = (each.repeat_interleave(HEADS // KV_HEADS, 1) for each in (key, value))
            mask = masks(device, width, keys + width)["bool"] if masked else None
            wait(device)
            start = perf_counter()
            sdpa(query, key, value, attn_mask=mask)
            times.append(1e3 * (perf_counter() - start))
        wait(device)
        times.sort()
        name = f"{width} ids, {'masked' if masked else 'no mask'}"
        found[name] = {"median_ms": times[len(times) // 2], "max_ms": times[-1]}
    return found


def ways(device: torch.device, width: int, keys: int) -> Iterator[tuple[str, Run]]:
    """Ways to attend from a block of ids to a buffer of which the first half is filled."""
    query, key, value = states(device, width, keys)
    mask = masks(device, width, keys)
    groups = HEADS // KV_HEADS

    def packed(of: Tensor | None) -> Tensor:
        ids = query.reshape(1, KV_HEADS, groups * width, HEAD)
        return sdpa(ids, key, value, attn_mask=None if of is None else of.repeat(1, 1, groups, 1))

    def repeated() -> Tensor:
        many = (each.repeat_interleave(groups, 1) for each in (key, value))
        return sdpa(query, *many, attn_mask=mask["bool"])

    def by(kernel: SDPBackend) -> Run:
        def run() -> None:
            with sdpa_kernel([kernel]):
                packed(mask["additive"])

        return run

    yield "repeated, bool mask (transformers)", repeated
    yield "packed, additive mask", lambda: packed(mask["additive"])
    yield "packed, efficient", by(SDPBackend.EFFICIENT_ATTENTION)
    yield "packed, cuDNN", by(SDPBackend.CUDNN_ATTENTION)
    yield "packed, math", by(SDPBackend.MATH)
    if device.type == "cuda":
        for name, length in (("half", keys // 2), ("all", keys)):
            yield f"flash by length, {name}", by_length(query, key, value, length)
    kernels = kernels_of(device)
    places = Places(torch.tensor([keys // 2 - width], device=device), keys)
    yield "uag's kernel", lambda: kernels.attend(query, key, value, places, HEAD**-0.5)
    exact = [each[:, :, : keys // 2] for each in (key, value)]
    yield "exact slice, causal", lambda: sdpa(query, *exact, is_causal=True, enable_gqa=True)


def by_length(query: Tensor, key: Tensor, value: Tensor, length: int) -> Run:
    """torch's flash attention, told by a tensor how many keys there are."""
    width, keys = query.shape[2], key.shape[2]
    flat = [each[0].transpose(0, 1).contiguous() for each in (query, key, value)]
    ends = [torch.tensor([0, n], dtype=torch.int32, device=query.device) for n in (width, keys)]
    used = torch.tensor([length], dtype=torch.int32, device=query.device)

    def run() -> object:
        return torch.ops.aten._flash_attention_forward(
            *flat, *ends, width, keys, 0.0, True, False, seqused_k=used
        )

    return run


def kernels_of(device: torch.device) -> Kernels:
    """Kernels for bfloat16 and these heads."""
    sizes = sizes_of(torch.bfloat16, HEAD, HEAD)
    assert sizes is not None
    if device.type == "cpu":  # a rehearsal
        from tests.support.kernels import HostLauncher

        return Kernels(HostLauncher(device, sizes), torch.bfloat16, sizes)
    return Kernels(CudaLauncher(device, sizes), torch.bfloat16, sizes)


def attention(setting: Setting, width: int, keys: int) -> Values:
    """Microseconds of each way, in a graph of ten; or why it does not run."""
    return in_graphs(setting, ways(setting.device, width, keys))


def products(setting: Setting, size: int, out: int, width: int) -> Values:
    """The same for a linear layer, and for two with a gate: by torch, and by kernels.

    Each of the ten has weights of its own: one layer's would stay in the card's cache.
    """
    device, kernels = setting.device, kernels_of(setting.device)
    x = torch.randn(1, width, size, device=device).bfloat16()
    layers = [
        torch.nn.Linear(size, out, bias=False, device=device, dtype=torch.bfloat16)
        for _ in range(TEN)
    ]
    turn = itertools.cycle(layers)
    runs: list[tuple[str, Run]] = [
        ("torch", lambda: next(turn)(x)),
        ("uag's kernel", lambda: kernels.project(x, [next(turn)])),
    ]
    if out > size:
        gated = torch.nn.functional.silu
        runs += [
            ("torch, gated", lambda: gated(next(turn)(x)) * next(turn)(x)),
            ("uag's kernel, gated", lambda: kernels.project_gated(x, next(turn), next(turn), 0)),
        ]
    return in_graphs(setting, runs)


@torch.no_grad()
def in_graphs(setting: Setting, runs: Iterable[tuple[str, Run]]) -> Values:
    """Microseconds of each run, in a graph of ten; or why it does not run."""
    device, found = setting.device, dict[str, Any]()
    for name, run in runs:

        def ten(run: Run = run) -> None:
            for _ in range(TEN):
                run()

        try:
            replay = captured(ten, device)
            replay()
            ms = device_ms(replay, device, max(3, setting.scale.repeats // 3))
            found[name] = 1e3 / TEN * ms
        except Exception as error:
            found[name] = (str(error).strip() or type(error).__name__).split("\n")[0][:90]
            if type(error).__name__ == "AcceleratorError":
                raise
    return found
