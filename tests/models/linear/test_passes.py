from threading import Thread
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

import uag.models.linear.passes as module
from uag.models.cached_lm import CachedLM
from uag.models.linear.fastest import Fastest
from uag.models.linear.passes import fast_layers

SMALL = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 128,
}
IDS = torch.arange(5)[None]


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> LlamaForCausalLM:
    """A model all of whose linear layers count as large."""
    monkeypatch.setattr(module, "LARGE", 0)
    torch.manual_seed(0)
    return LlamaForCausalLM(cast("Any", LlamaConfig)(**SMALL)).eval().requires_grad_(False)


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The widths that layers were called with where a form was chosen."""
    widths: list[int] = []
    own = Fastest.__call__

    def called(self: Fastest, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        widths.append(len(rows))
        return own(self, rows, weight, bias)

    monkeypatch.setattr(Fastest, "__call__", called)
    monkeypatch.setattr(Fastest, "is_own", False)
    return widths


def layers(model: nn.Module) -> list[nn.Linear]:
    return [each for each in cast("Any", model).modules() if type(each) is nn.Linear]


def state(model: nn.Module) -> dict[str, Tensor]:
    return cast("Any", model).state_dict()


@torch.no_grad()
def read(model: Any, width: int = 5) -> Tensor:
    with fast_layers(model, width):
        return model(IDS[:, :width]).logits


def test_passes_give_the_same_logits(model: LlamaForCausalLM, chosen: list[int]) -> None:
    true = cast("Any", model)(IDS).logits
    for _ in range(40):  # while forms are tried, and after that
        torch.testing.assert_close(read(model), true, rtol=1e-4, atol=1e-5)
    assert chosen == [5] * len(layers(model)) * 40


def test_a_text_is_read_so(model: LlamaForCausalLM, chosen: list[int]) -> None:
    lm = CachedLM(model)
    lm.append([5, 6, 7])
    lm.logits(3)
    assert set(chosen) == {3}
    lm.append([8])
    chosen.clear()
    lm.logits(1)
    assert not chosen  # one id is read as `generate` reads it


def test_the_model_is_left_as_it_was(model: LlamaForCausalLM) -> None:
    before = {name: dict(vars(each)) for name, each in cast("Any", model).named_modules()}
    weights = {name: each.clone() for name, each in state(model).items()}
    read(model)
    with pytest.raises(ZeroDivisionError), torch.no_grad(), fast_layers(model, 5):
        _ = 1 / 0
    assert {name: dict(vars(each)) for name, each in cast("Any", model).named_modules()} == before
    assert all(each.equal(weights[name]) for name, each in state(model).items())


def test_hooks_run(model: LlamaForCausalLM, chosen: list[int]) -> None:
    seen: list[nn.Module] = []

    def hook(layer: nn.Module, _: object, output: Tensor) -> Tensor:
        seen.append(layer)
        return output * 0

    handle = model.lm_head.register_forward_hook(hook)
    assert not read(model).any()
    handle.remove()
    assert seen == [model.lm_head]
    assert len(chosen) == len(layers(model))


def test_another_thread_has_torch_s_own(model: LlamaForCausalLM, chosen: list[int]) -> None:
    true = cast("Any", model)(IDS).logits
    got: list[Tensor] = []
    with torch.no_grad(), fast_layers(model, 5):
        assert all("forward" in vars(layer) for layer in layers(model))
        thread = Thread(target=lambda: got.append(cast("Any", model)(IDS).logits))
        thread.start()
        thread.join()
    assert not chosen
    assert got[0].equal(true)


class Doubled(nn.Linear):
    """As layers that are quantised: of a class of their own."""

    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


def test_only_torch_s_own_layers_choose(model: LlamaForCausalLM, chosen: list[int]) -> None:
    first, second, *rest = layers(model)
    first.__class__ = Doubled

    def own(input: Tensor) -> Tensor:
        return 3 * nn.Linear.forward(second, input)

    second.forward = own
    true = cast("Any", model)(IDS).logits
    torch.testing.assert_close(read(model), true, rtol=1e-4, atol=1e-5)
    assert len(chosen) == len(rest)
    assert second.forward is own


@pytest.mark.parametrize("change", ["bfloat16", "autocast", "one id", "gradients", "small"])
def test_everything_else_is_torch_s_own(
    model: LlamaForCausalLM, chosen: list[int], change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if change == "small":
        monkeypatch.setattr(module, "LARGE", 2**20)
    if change == "bfloat16":
        read(model)  # of what is known of a model, nothing may hold for other weights
        chosen.clear()
        model.bfloat16()
    width = 1 if change == "one id" else 5
    with (
        torch.autocast("cpu", dtype=torch.bfloat16, enabled=change == "autocast"),
        torch.set_grad_enabled(change == "gradients"),
    ):
        true = cast("Any", model)(IDS[:, :width]).logits
        with fast_layers(model, width):
            assert cast("Any", model)(IDS[:, :width]).logits.equal(true)
    assert not chosen
