"""Kernels give what the modules of transformers give, and attention what its definition says."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaConfig
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.llama.modeling_llama import (
    LlamaRMSNorm,
    LlamaRotaryEmbedding,
    apply_rotary_pos_emb,
)
from transformers.models.phi3.modeling_phi3 import apply_rotary_pos_emb as partly_rotated

from tests.support.kernels import on_gpu, on_host
from uag.models.engines.fused.kernels import Kernels, Places
from uag.models.masks import Masks
from uag.sampling.noise import digest, gumbel, step_keys

HEAD = 16
# Ids of products: each kind of kernel has some that are full, and some that are not.
COUNTS = (1, 2, 3, 8, 9, 16)
ON_HOST = [("cpu", torch.float32), ("cpu", torch.bfloat16)]
ON_GPU = [("cuda", torch.float32), ("cuda", torch.bfloat16), ("cuda", torch.float16)]
MAKERS = {"cpu": on_host, "cuda": on_gpu}


@pytest.fixture(params=[*ON_HOST, *(pytest.param(each, marks=pytest.mark.gpu) for each in ON_GPU)],
                ids=str)  # fmt: skip
def kernels(request: pytest.FixtureRequest) -> Iterator[Kernels]:
    """Kernels on a device, on which tensors are made."""
    device, dtype = request.param
    torch.manual_seed(0)
    with torch.no_grad(), torch.device(device):
        yield MAKERS[device](dtype, HEAD)


def same(got: Tensor, true: Tensor) -> None:
    """Equal, but for sums that are added in another order."""
    rounding = max(2 * torch.finfo(true.dtype).eps, 1e-5)
    torch.testing.assert_close(got, true, rtol=rounding, atol=rounding)


def skip_if_too_wide(kernels: Kernels, count: int) -> None:
    if count > kernels.widest:
        pytest.skip(f"up to {kernels.widest} ids of {kernels.dtype}")


@pytest.mark.parametrize("kind", [LlamaRMSNorm, GemmaRMSNorm])
@pytest.mark.parametrize("size", [8, 64, 1104])
def test_norms(kernels: Kernels, kind: Callable[..., nn.Module], size: int) -> None:
    module = kind(size, eps=1e-3).to(kernels.dtype)
    module.weight.data.normal_()  # type: ignore[operator, union-attr]
    x = 0.05 * torch.randn(1, 5, size).to(kernels.dtype)
    got = kernels.rms_norm(x, module.weight, 1e-3, offset=kind is GemmaRMSNorm)  # type: ignore[arg-type]
    same(got, module(x))


@pytest.mark.parametrize(
    ("kind", "activation"),
    [
        (0, functional.silu),
        (1, functional.gelu),
        (2, lambda x: functional.gelu(x, approximate="tanh")),
    ],
)
def test_gates(kernels: Kernels, kind: int, activation: Callable[[Tensor], Tensor]) -> None:
    gate, up = 3 * torch.randn(2, 3, 5, 1048).to(kernels.dtype)
    same(kernels.gated(gate, up, kind), activation(gate) * up)


def test_norms_of_sums(kernels: Kernels) -> None:
    a, b = 0.05 * torch.randn(2, 1, 5, 1104).to(kernels.dtype)
    weight = torch.randn(1104).to(kernels.dtype)
    true = kernels.rms_norm(a + b, weight, 1e-3, offset=False)
    kernels.postpones = True
    total = kernels.add(a, b)
    same(kernels.rms_norm(total, weight, 1e-3, offset=False), true)
    assert torch.equal(total, a + b)


@pytest.mark.parametrize("turned", [HEAD, 12])
def test_keys_that_are_rotated_and_stored(kernels: Kernels, turned: int) -> None:
    queries, keys, values = (
        torch.randn(1, 5, heads, HEAD).to(kernels.dtype).transpose(1, 2) for heads in (6, 2, 2)
    )
    cosines, sines = torch.randn(2, 1, 5, turned).to(kernels.dtype)
    held = torch.randn(2, 1, 2, 50, HEAD).to(kernels.dtype)
    expected = held.clone()
    true = kernels.rotate(queries, keys, cosines, sines)
    kernels.store((true[1], values), (expected[0], expected[1]), torch.tensor(7))
    kernels.postpones = True
    got = kernels.rotate(queries, keys, cosines, sines)
    kernels.store((got[1], values), (held[0], held[1]), torch.tensor(7))
    kernels.waiting.flush()
    assert all(map(torch.equal, (*got, held), (*true, expected)))


@pytest.mark.parametrize("turned", [HEAD, 12, 8])
@pytest.mark.parametrize(
    ("width", "begin", "window"), [(1, 0, 0), (1, 70, 0), (5, 62, 0), (9, 33, 4)]
)
@pytest.mark.parametrize("heads", [2, 6])
def test_attention_that_rotates_and_stores(
    kernels: Kernels, turned: int, width: int, begin: int, window: int, heads: int
) -> None:
    """The same bits, in the buffers as well: by `rotate`, or in the kernel that attends."""
    queries, keys, values = (
        torch.randn(1, width, count, HEAD).to(kernels.dtype).transpose(1, 2)
        for count in (heads, 2, 2)
    )
    cosines, sines = torch.randn(2, 1, width, turned).to(kernels.dtype)
    places = Places(torch.tensor([begin]), 80, window)
    before = torch.randn(2, 1, 2, 80, HEAD).to(kernels.dtype)
    before[:, :, :, begin:] = torch.nan  # places that are not to be read
    results: list[tuple[Tensor, Tensor]] = []
    for kernels.postpones in (False, True):
        held = before.clone()
        rotated = kernels.rotate(queries, keys, cosines, sines)
        kernels.store((rotated[1], values), (held[0], held[1]), torch.tensor(begin))
        results.append((kernels.attend(rotated[0], held[0], held[1], places, 0.3), held))
    assert all(torch.equal(*map(torch.nan_to_num, both)) for both in zip(*results, strict=True))
    assert not results[1][0].isnan().any()
    assert not results[1][1][:, :, :, : begin + width].isnan().any()


def test_what_waits_is_launched_before_the_next_kernel(kernels: Kernels) -> None:
    a, b = torch.randn(2, 1, 5, 32).to(kernels.dtype)
    kernels.postpones = True
    total = kernels.add(a, b)
    assert torch.equal(kernels.gated(total, total, 0), kernels.gated(a + b, a + b, 0))
    other = kernels.add(a, a)
    assert torch.equal(kernels.rms_norm(b, a[0, 0], 1e-3, offset=False),
                       kernels.rms_norm(b.clone(), a[0, 0], 1e-3, offset=False))  # fmt: skip
    assert torch.equal(other, a + a)
    last = kernels.add(a, b)
    kernels.waiting.flush()
    assert torch.equal(last, a + b)


def test_sums(kernels: Kernels) -> None:
    a, b = torch.randn(2, 1, 5, 1048).to(kernels.dtype)
    assert kernels.adds(a, b) and torch.equal(kernels.add(a, b), a + b)
    others = [a[0], a.double(), torch.ones(1, 1048, 5).to(a).mT, 1.0]
    assert not any(kernels.adds(a, other) for other in others)
    assert not kernels.adds(a[..., :3].contiguous(), b[..., :3].contiguous())


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("size", [32, 1600, 2064, 6400])
def test_products(kernels: Kernels, count: int, size: int) -> None:
    skip_if_too_wide(kernels, count)
    layers = [nn.Linear(size, out, bias=bias) for out, bias in ((33, True), (7, False), (9, True))]
    layers = [layer.to(kernels.dtype) for layer in layers]
    x = torch.randn(1, count, size).to(kernels.dtype)
    assert kernels.projects(x) and all(map(kernels.is_projected, layers))
    for some in (layers, layers[:2], layers[2:]):
        for got, layer in zip(kernels.project(x, some), some, strict=True):
            same(got, layer(x))


def test_products_are_for_a_few_ids_and_usual_layers(kernels: Kernels) -> None:
    assert kernels.projects(torch.zeros(1, kernels.widest, 8))
    assert not kernels.projects(torch.zeros(1, kernels.widest + 1, 8))
    layer = nn.Linear(16, 3).to(kernels.dtype)
    others = nn.Linear(15, 3).to(kernels.dtype), nn.Linear(16, 3).to(torch.float64), nn.ReLU()
    assert kernels.is_projected(layer) and not any(map(kernels.is_projected, others))


@pytest.mark.parametrize("count", COUNTS)
def test_products_with_a_gate(kernels: Kernels, count: int) -> None:
    skip_if_too_wide(kernels, count)
    gate, up = (nn.Linear(264, 19, bias=False).to(kernels.dtype) for _ in range(2))
    x = torch.randn(count, 264).to(kernels.dtype)
    got = kernels.project_gated(x, gate, up, kind=0)
    same(got, functional.silu(gate(x)) * up(x))


@pytest.mark.parametrize("kind", [LlamaRMSNorm, GemmaRMSNorm])
@pytest.mark.parametrize("size", [32, 264, 512, 768, 1024, 2048])
def test_products_of_what_is_normalized_first(
    kernels: Kernels, kind: Callable[..., nn.Module], size: int
) -> None:
    """Also the normal vector is there afterwards: others may read it."""
    norm = kind(size, eps=1e-3).to(kernels.dtype)
    norm.weight.data.normal_()  # type: ignore[operator, union-attr]
    layers = [nn.Linear(size, out, bias=out > 8).to(kernels.dtype) for out in (33, 7, 9)]
    gate, up = (nn.Linear(size, 19, bias=False).to(kernels.dtype) for _ in range(2))
    x = 0.05 * torch.randn(1, 1, size).to(kernels.dtype)
    true = norm(x)

    def normal() -> Tensor:
        return kernels.rms_norm(x, norm.weight, 1e-3, offset=kind is GemmaRMSNorm)  # type: ignore[arg-type]

    kernels.postpones = True
    for some in (layers, layers[:1]):
        read = normal()
        for got, layer in zip(kernels.project(read, some), some, strict=True):
            kernels.waiting.flush()
            same(got, layer(true))
        same(read, true)
    read = normal()
    same(kernels.project_gated(read, gate, up, kind=0), functional.silu(gate(true)) * up(true))
    same(read, true)
    read = normal()
    other = kernels.add(x, x)
    assert torch.equal(kernels.project(read, layers)[0], kernels.project(read.clone(), layers)[0])
    assert torch.equal(other, x + x)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("bias", [False, True])
def test_products_to_which_something_is_added(kernels: Kernels, count: int, bias: bool) -> None:
    skip_if_too_wide(kernels, count)
    layer = nn.Linear(2064, 40, bias=bias).to(kernels.dtype)
    x, residual = torch.randn(1, count, 2064), torch.randn(1, count, 40)
    x, residual = x.to(kernels.dtype), residual.to(kernels.dtype)
    (true,) = kernels.project(x, [layer])
    kernels.postpones = True
    for turned in (False, True):
        (product,) = kernels.project(x, [layer])
        total = kernels.add(product, residual) if turned else kernels.add(residual, product)
        kernels.waiting.flush()
        assert torch.equal(total, true + residual) and torch.equal(product, true)
    (product,) = kernels.project(x, [layer])
    twice = kernels.add(product, product)
    kernels.waiting.flush()
    assert torch.equal(twice, true + true)


@pytest.mark.parametrize("count", [1, 31, 64, 361, 5000, 33000])
def test_the_likeliest_id_is_torchs(kernels: Kernels, count: int) -> None:
    cases = [torch.randn(1, count) for _ in range(3)]
    cases.append(torch.randint(0, 3, (1, count)).float())  # ties
    cases.append(torch.full((1, count), -torch.inf))
    cases += [each.clone() for each in cases]
    for each in cases[-4:]:  # NaN is chosen, the first one
        each[0, torch.randint(0, count, (3,))] = torch.nan
    cases.append(torch.zeros(1, count))
    cases[-1][0, count // 2] = torch.inf
    for logits in (each.to(kernels.dtype) for each in cases):
        assert kernels.chooses(logits)
        assert kernels.most_likely(logits).tolist() == [int(logits.argmax(-1))]
    others = [torch.zeros(2, 8), torch.zeros(8), torch.zeros(1, 8, dtype=torch.float64), 1.0]
    assert not any(map(kernels.chooses, others))


@pytest.mark.parametrize("count", [1, 7, 50, 64])
def test_ids_are_drawn_with_the_noise_that_two_vocabularies_share(
    kernels: Kernels, count: int
) -> None:
    kernels.postpones = True
    keys, lengths = torch.randint(-(2**63), 2**63 - 1, (900,)), torch.randint(1, 9, (900,))
    for turn in range(40):
        key, position = torch.tensor(digest(turn)), torch.tensor([turn * 2**turn])
        scores, ids = torch.randn(count), torch.randperm(900)[:count]
        scores[1::3] = -torch.inf
        noise = gumbel(step_keys(key, position, scores.device), keys[ids])[0]
        true, place = int(ids[(scores + noise).argmax()]), int(position)
        id, drafted, step, begin = (torch.tensor(each) for each in ([5], [1, 2], [0], 40))
        drawn = kernels.draw(scores, ids, (keys, lengths), key, position)
        if turn % 2:
            kernels.end_step(drawn, id, drafted, step, begin)
            assert (int(id), drafted.tolist(), int(step), int(begin)) == (true, [true, 2], 1, 41)
        kernels.waiting.flush()
        assert int(drawn) == true and int(position) == place + int(lengths[true])


@pytest.mark.parametrize("postpones", [False, True])
@pytest.mark.parametrize("chosen_by_kernel", [False, True])
def test_a_step_ends(kernels: Kernels, postpones: bool, chosen_by_kernel: bool) -> None:
    kernels.postpones = postpones
    logits = torch.zeros(1, 90, dtype=kernels.dtype)
    logits[0, 77] = 1
    id, drafted, step, begin = (torch.tensor(each) for each in ([5], [1, 2, 3, 4], [2], 40))
    chosen = kernels.most_likely(logits) if chosen_by_kernel else torch.tensor([77])
    kernels.end_step(chosen, id, drafted, step, begin)
    kernels.waiting.flush()
    assert (id.tolist(), drafted.tolist(), chosen.tolist()) == ([77], [1, 2, 77, 4], [77])
    assert (step.tolist(), begin.tolist()) == ([3], 41)


@pytest.mark.parametrize("rows", [1, 3])
def test_rotating_has_the_bits_of_transformers(kernels: Kernels, rows: int) -> None:
    queries, keys = (
        torch.randn(rows, 5, heads, HEAD).to(kernels.dtype).transpose(1, 2) for heads in (6, 2)
    )
    cosines, sines = torch.randn(2, rows, 5, HEAD).to(kernels.dtype)
    got = kernels.rotate(queries, keys, cosines, sines)
    for one, other in zip(got, apply_rotary_pos_emb(queries, keys, cosines, sines), strict=True):
        assert torch.equal(one, other)
    part = cosines[..., :12].contiguous(), sines[..., :12].contiguous()
    got = kernels.rotate(queries, keys, *part)
    for one, other in zip(got, partly_rotated(queries, keys, *part), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("rope", [{}, {"rope_type": "llama3", "factor": 8.0,
    "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64},
    {"rope_type": "yarn", "factor": 4.0}], ids=["default", "llama3", "yarn"])  # fmt: skip
def test_angles(kernels: Kernels, rope: dict[str, Any]) -> None:
    config = LlamaConfig(
        hidden_size=64,
        num_attention_heads=2,
        rope_parameters={"rope_type": "default", "rope_theta": 1e4} | rope,
    )
    module = LlamaRotaryEmbedding(config)
    positions = torch.tensor([[0, 1, 2, 500], [7, 8, 9, 4000]])
    got = kernels.angles(positions, module.inv_freq, module.attention_scaling)  # type: ignore[arg-type]
    for each, true in zip(got, module(torch.zeros(1, dtype=kernels.dtype), positions), strict=True):
        same(each, true)


@pytest.mark.parametrize("window", [0, 4])
def test_masks(kernels: Kernels, window: int) -> None:
    masks = Masks([window or None], kernels.dtype)
    begins = torch.tensor([0, 5])
    true = masks(begins[:, None] + torch.arange(3), keys=40)
    assert torch.equal(kernels.mask(begins, 3, 40, window), true)  # type: ignore[arg-type]


def test_storing_changes_the_new_places_only(kernels: Kernels) -> None:
    held = torch.randn(2, 1, 2, 50, HEAD).to(kernels.dtype)
    new = torch.randn(2, 1, 5, 2, HEAD).to(kernels.dtype).transpose(2, 3)
    expected = held.clone()
    expected[:, :, :, 7:12] = new
    kernels.store((new[0], new[1]), (held[0], held[1]), torch.tensor(7))
    assert torch.equal(held, expected)


@pytest.mark.parametrize("window", [0, 1, 20])
@pytest.mark.parametrize(("rows", "width", "groups"), [(1, 1, 2), (1, 9, 3), (3, 4, 1), (2, 7, 4)])
@pytest.mark.parametrize("seen", [64, 300, 3000])
def test_attention(
    kernels: Kernels, rows: int, width: int, groups: int, window: int, seen: int
) -> None:
    keys, values = torch.randn(2, rows, 2, seen, HEAD).to(kernels.dtype)
    queries = torch.randn(rows, 2 * groups, width, HEAD).to(kernels.dtype)
    begins = torch.tensor([seen - 3 - width, 0, -2][:rows])
    got = kernels.attend(queries, keys, values, Places(begins, seen, window), 0.3)

    own = begins[:, None, None] + torch.arange(width)[:, None]
    places = torch.arange(seen)
    visible = (places <= own) & (places > own - window if window else places >= 0)
    scores = 0.3 * queries.float() @ keys.float().repeat_interleave(groups, 1).transpose(2, 3)
    weights = scores.masked_fill(~visible[:, None], -torch.inf).softmax(-1).nan_to_num(0)
    true = (weights @ values.float().repeat_interleave(groups, 1)).transpose(1, 2)
    same(got, true.to(kernels.dtype))

    keys[0, :, -3:], values[0, :, -3:] = torch.nan, torch.inf  # places after the last id
    again = kernels.attend(queries, keys, values, Places(begins, seen, window), 0.3)
    assert torch.equal(again, got)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("size", [8, 128, 256])
def test_attention_of_other_sizes(device: str, size: int) -> None:
    torch.manual_seed(0)
    kernels = MAKERS[device](torch.float32, size)
    with torch.device(device):
        keys, values = torch.randn(2, 1, 1, 70, size)
        queries = torch.randn(1, 3, 2, size)
        got = kernels.attend(queries, keys, values, Places(torch.tensor([60]), 70), 0.1)
        scores = 0.1 * queries @ keys.transpose(2, 3)
        seen = torch.arange(70) <= torch.tensor([[60], [61]])
        true = scores.masked_fill(~seen, -torch.inf).softmax(-1) @ values
    same(got, true.transpose(1, 2))
