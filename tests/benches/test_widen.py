"""Widening a model: other sizes, the same logits."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
import typer
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from typer.testing import CliRunner

from benches.widen import logits_difference, main, widened
from tests.support.models import SMALL, random_model
from tests.support.stories import MODELS
from tests.support.tokenizers import tokenizer
from uag.errors import UagError
from uag.models.loading.by_name import load_model
from uag.models.properties import parameter_count

BIG = {"hidden": 80, "layers": 3, "intermediate": 100}

# What is tied, grouped or has biases, and what it is widened to.
CASES: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "untied": ({"tie_word_embeddings": False}, BIG),
    "tied": ({}, BIG),
    "a head each": ({"num_key_value_heads": 4}, BIG),
    "larger groups": ({}, BIG | {"heads": 12, "kv_heads": 3}),
    "one group": ({"num_key_value_heads": 1}, BIG | {"heads": 6, "kv_heads": 1}),
    "biases": ({"attention_bias": True, "mlp_bias": True}, BIG),
    "layers only": ({}, {"layers": 4}),
}


def llama(**changes: Any) -> transformers.PreTrainedModel:
    torch.manual_seed(0)
    settings = SMALL | {"vocab_size": 64, "tie_word_embeddings": True} | changes
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**settings)).eval().double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, mean=float(parameter.dim() == 1), std=0.3)
    return model


def greedy(model: transformers.PreTrainedModel) -> list[int]:
    ids = torch.tensor([[5, 7, 11]])
    asked: dict[str, Any] = {"max_new_tokens": 20, "do_sample": False, "eos_token_id": None}
    out: torch.Tensor = model.generate(ids, attention_mask=torch.ones_like(ids), **asked)
    return out[0].tolist()


@pytest.fixture
def exact_norms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Norms in float64: transformers' own round to float32 in between."""

    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        return self.weight * x * (x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon).rsqrt()

    monkeypatch.setattr(LlamaRMSNorm, "forward", forward)


@pytest.mark.usefixtures("exact_norms")
@pytest.mark.parametrize("case", CASES)
def test_a_widened_model_has_the_same_logits(case: str) -> None:
    changes, size = CASES[case]
    model = llama(**changes)
    wide = widened(model, **size)
    assert logits_difference(model, wide) < 1e-12
    assert greedy(model) == greedy(wide)
    if case == "layers only":
        return
    # A small value in the residual stream shows whether the norms' epsilon is scaled.
    for each in (model, wide):
        each.get_input_embeddings().weight.data *= 1e-3
    assert logits_difference(model, wide) < 1e-12


def test_it_has_the_parameters_of_its_new_size_and_few_are_zero() -> None:
    model = llama(tie_word_embeddings=False)
    wide = widened(model, hidden=64, layers=5, intermediate=128, heads=16, kv_heads=8)
    attention, mlp = 2 * (16 * 8 * 64) + 2 * (8 * 8 * 64), 3 * 64 * 128
    assert parameter_count(wide) == 2 * 64 * 64 + 5 * (attention + mlp + 2 * 64) + 64
    readers = (
        "q_proj.weight",
        "k_proj.weight",
        "v_proj.weight",
        "gate_proj.weight",
        "lm_head.weight",
    )
    reads = [value for name, value in wide.named_parameters() if name.endswith(readers)]
    assert len(reads) == 4 * 5 + 1 and all((value != 0).all() for value in reads)
    assert wide.config.num_hidden_layers == 5 and wide.config.head_dim == model.config.head_dim
    assert wide.config.max_position_embeddings == model.config.max_position_embeddings


def test_the_given_model_is_unchanged() -> None:
    model = llama()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    config = model.config.to_dict()
    widened(model, **BIG)
    assert model.config.to_dict() == config
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"hidden": 16}, "hidden=16 is less than the model's own 32"),
        ({"layers": 1}, "layers=1 is less than"),
        ({"intermediate": 8}, "intermediate=8 is less than"),
        ({"heads": 2}, "kv_heads=1 is less than"),
        ({"heads": 8, "kv_heads": 8}, "group=1 is less than"),
        ({"heads": 1}, "heads=1 is no multiple of kv_heads=0"),
        ({"heads": 9, "kv_heads": 2}, "heads=9 is no multiple of kv_heads=2"),
    ],
)
def test_a_smaller_size_is_refused(size: dict[str, int], message: str) -> None:
    with pytest.raises(UagError, match=message):
        widened(llama(), **size)


def test_another_architecture_is_refused() -> None:
    with pytest.raises(UagError, match="GPT2LMHeadModel cannot be widened"):
        widened(random_model("gpt2", tokenizer("gpt2")), hidden=64)


class Shifted(LlamaRMSNorm):
    """Gives something where there was nothing."""

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return super().forward(hidden_states) + 1


class ShiftedLlama(transformers.LlamaForCausalLM):
    """A Llama by its class and weights, but not by what it computes."""

    def __init__(self, config: transformers.LlamaConfig) -> None:
        super().__init__(config)
        self.model.norm = Shifted(config.hidden_size, config.rms_norm_eps)
        for layer in self.model.layers:
            layer.input_layernorm = Shifted(config.hidden_size, config.rms_norm_eps)


def test_a_subclass_whose_new_channels_do_not_stay_zero_is_refused() -> None:
    model = ShiftedLlama(transformers.LlamaConfig(**SMALL, vocab_size=64)).eval()
    with pytest.raises(UagError, match="the widened ShiftedLlama has other logits"):
        widened(model, hidden=64)


def test_the_command_saves_a_model_that_loads(tmp_path: Path) -> None:
    random_model("llama", tokenizer("gpt2")).save_pretrained(tmp_path / "small")
    tokenizer("gpt2").save_pretrained(tmp_path / "small")
    app = typer.Typer()
    app.command()(main)
    names = [str(tmp_path / "small"), str(tmp_path / "wide")]
    asked = ["--model", names[0], "--out", names[1]]
    done = CliRunner().invoke(app, [*asked, "--hidden", "64"])
    assert done.exit_code == 0 and "parameters to" in done.output
    small, wide = (load_model(name) for name in names)
    assert logits_difference(small, wide) < 1e-5
    loaded = transformers.AutoTokenizer.from_pretrained(names[1])
    assert loaded("Once upon a time") == tokenizer("gpt2")("Once upon a time")
    refused = CliRunner().invoke(app, [*asked, "--hidden", "8"])
    assert refused.exit_code == 2 and "is less than" in refused.output


@pytest.mark.parametrize("name", ["babyllama-1M-tok361", "stories260K-tok512", "sparse-2M-tok4096"])
def test_a_trained_model_tells_the_same_story(name: str, tmp_path: Path) -> None:
    if not (MODELS / name).is_dir():
        pytest.skip(f"no {name} in {MODELS}")
    model = load_model(str(MODELS / name), trust_remote_code=True, dtype="float32")
    wide = widened(model, hidden=256, layers=8, intermediate=512)
    assert logits_difference(model, wide) < 1e-5
    wide.save_pretrained(tmp_path)
    again = load_model(str(tmp_path), trust_remote_code=True)
    assert type(again).__name__ == type(model).__name__
    assert greedy(model) == greedy(again)
