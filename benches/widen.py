"""How does a large model decode real text? One made of a small trained one, with its logits.

    python -m benches.widen --model M --out FOLDER --hidden 1024 --layers 16 --intermediate 2816

It times nothing itself: the other benchmarks take its model, for realistic costs.

For Llama and what derives from it. The residual stream gets channels that stay zero. Additional
heads and MLP channels read with random weights and write with weights of zero; so do additional
layers. This changes the logits only by rounding, while the arithmetic and the bytes moved are those
of any dense model of the new size.
"""

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from transformers import LlamaForCausalLM, PreTrainedModel

from benches.common import Dtype, Seed, Trust, console
from uag.errors import OptionError, UagError, UnsupportedModelError
from uag.models.loading.by_name import load_model, load_tokenizer
from uag.models.properties import parameter_count

# The axes of each module's weight, rows first: those it writes to and those it reads from.
# A head's place follows its key-value head's, so query heads are split in two axes.
QUERIES = ("kv_heads", "group", "head_dim")
AXES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "embed_tokens": (("vocabulary",), ("hidden",)),
    "input_layernorm": (("hidden",), ()),
    "q_proj": (QUERIES, ("hidden",)),
    "k_proj": (("kv_heads", "head_dim"), ("hidden",)),
    "v_proj": (("kv_heads", "head_dim"), ("hidden",)),
    "o_proj": (("hidden",), QUERIES),
    "post_attention_layernorm": (("hidden",), ()),
    "gate_proj": (("intermediate",), ("hidden",)),
    "up_proj": (("intermediate",), ("hidden",)),
    "down_proj": (("hidden",), ("intermediate",)),
    "norm": (("hidden",), ()),
    "lm_head": (("vocabulary",), ("hidden",)),
}
# What these write is added to the residual stream, whose new channels must stay zero.
WRITERS = ("embed_tokens", "o_proj", "down_proj")
NORMS = ("input_layernorm", "post_attention_layernorm", "norm")


@dataclass(frozen=True, slots=True)
class Size:
    """The sizes that a Llama's weights follow from; `group` is query heads per key-value head."""

    vocabulary: int
    hidden: int
    layers: int
    intermediate: int
    kv_heads: int
    group: int
    head_dim: int

    @classmethod
    def of(cls, model: LlamaForCausalLM) -> "Size":
        config = model.config
        head_dim = config.head_dim or config.hidden_size // config.num_attention_heads
        return cls(
            config.vocab_size,
            config.hidden_size,
            config.num_hidden_layers,
            config.intermediate_size,
            config.num_key_value_heads,
            config.num_attention_heads // config.num_key_value_heads,
            head_dim,
        )

    def along(self, axes: tuple[str, ...]) -> list[int]:
        """The sizes of these axes."""
        return [getattr(self, axis) for axis in axes]


def widened(
    model: PreTrainedModel,
    *,
    hidden: int | None = None,
    layers: int | None = None,
    intermediate: int | None = None,
    heads: int | None = None,
    kv_heads: int | None = None,
    seed: int = 0,
) -> PreTrainedModel:
    """A model of the given size with the logits of `model`; what is not given stays unchanged.

    The heads' own size stays, since rotary positions depend on it: `heads` follows from `hidden` if
    it is not given, and `kv_heads` from `heads` in the old proportion.
    """
    if not isinstance(model, LlamaForCausalLM):
        raise UnsupportedModelError(
            f"{type(model).__name__} cannot be widened: only LlamaForCausalLM and its subclasses"
        )
    old = Size.of(model)
    hidden = hidden or old.hidden
    if kv_heads is None:
        asked = (heads or hidden // old.head_dim) // old.group
        kv_heads = asked if heads else max(asked, old.kv_heads)
    heads = heads or kv_heads * old.group
    if kv_heads < 1 or heads % kv_heads:
        raise OptionError(f"heads={heads} is no multiple of kv_heads={kv_heads}")
    new = Size(
        old.vocabulary,
        hidden,
        layers or old.layers,
        intermediate or old.intermediate,
        kv_heads,
        heads // kv_heads,
        old.head_dim,
    )
    for axis in ("hidden", "layers", "intermediate", "kv_heads", "group"):
        was, asked = getattr(old, axis), getattr(new, axis)
        if asked < was:
            raise OptionError(f"{axis}={asked} is less than the model's own {was}")
    wide = _untrained(model, old, new, seed)
    _copy(model, old, wide, new)
    _check(model, wide)
    return wide


def logits_difference(model: PreTrainedModel, wide: PreTrainedModel) -> float:
    """The largest difference between both models' logits, as a fraction of the largest logit."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(model.config.vocab_size, (2, 32), generator=generator).to(model.device)
    with torch.no_grad():
        expected, found = model(ids).logits, wide(ids).logits
    return ((found - expected).abs().max() / expected.abs().max()).item()


def _untrained(model: LlamaForCausalLM, old: Size, new: Size, seed: int) -> LlamaForCausalLM:
    """A model of the new size as its class makes it: with random weights, and norms of one."""
    config = copy.deepcopy(model.config)
    config.hidden_size = new.hidden
    config.num_hidden_layers = new.layers
    config.intermediate_size = new.intermediate
    config.num_attention_heads = new.kv_heads * new.group
    config.num_key_value_heads = new.kv_heads
    config.head_dim = new.head_dim
    # A norm's mean of squares is now over `new.hidden` channels, most of them zero: it is smaller
    # by this, and its root, which the output is divided by, by the root of this (see `_copy`).
    config.rms_norm_eps *= old.hidden / new.hidden
    # Made and drawn on the model's device: on a GPU that takes seconds less for each billion.
    with torch.random.fork_rng(), torch.device(model.device):
        torch.manual_seed(seed)
        wide = type(model)._from_config(config, dtype=model.dtype)
    wide.generation_config = copy.deepcopy(model.generation_config)
    return wide.to(model.device).eval()


@torch.no_grad()
def _copy(model: LlamaForCausalLM, old: Size, wide: LlamaForCausalLM, new: Size) -> None:
    """The trained weights into the first rows and columns; zeros where anything else would show."""
    trained = dict(model.named_parameters())
    for name, parameter in wide.named_parameters():
        *_, module, kind = name.split(".")
        if module not in AXES:
            raise UnsupportedModelError(f"{type(model).__name__} has an unknown parameter, {name}")
        rows, columns = AXES[module]
        axes = rows if kind == "bias" else rows + columns
        if module in WRITERS:
            parameter.zero_()
        if name not in trained:
            continue
        corner = tuple(slice(size) for size in old.along(axes))
        scale = math.sqrt(old.hidden / new.hidden) if module in NORMS else 1.0
        parameter.view(new.along(axes))[corner] = trained[name].view(old.along(axes)) * scale


def _check(model: LlamaForCausalLM, wide: LlamaForCausalLM) -> None:
    """A subclass may compute something else than Llama, where new channels do not stay zero."""
    # Norms are computed in float32 whatever the model's own type is.
    eps = max(torch.finfo(dtype).eps for dtype in (torch.float32, model.dtype))
    limit = min(1e4 * eps, 0.2)
    if not (difference := logits_difference(model, wide)) < limit:
        raise UnsupportedModelError(
            f"the widened {type(model).__name__} has other logits: a difference of {difference:.2g}"
        )


def main(
    model: Annotated[str, typer.Option(help="Name or folder of a trained Llama.")],
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder to write.")],
    hidden: Annotated[int | None, typer.Option(min=1, help="Channels.")] = None,
    layers: Annotated[int | None, typer.Option(min=1, help="Layers.")] = None,
    intermediate: Annotated[int | None, typer.Option(min=1, help="Channels of an MLP.")] = None,
    heads: Annotated[int | None, typer.Option(min=1, help="Query heads.")] = None,
    kv_heads: Annotated[int | None, typer.Option(min=1, help="Key-value heads.")] = None,
    dtype: Dtype = "float32",
    seed: Seed = 0,
    trust_remote_code: Trust = False,
) -> None:
    """Widen a model and save it with its tokenizer; what is not given stays unchanged."""
    try:
        tokenizer = load_tokenizer(model, trust_remote_code=trust_remote_code)
        small = load_model(model, dtype=dtype, trust_remote_code=trust_remote_code)
        wide = widened(
            small,
            hidden=hidden,
            layers=layers,
            intermediate=intermediate,
            heads=heads,
            kv_heads=kv_heads,
            seed=seed,
        )
    except UagError as error:
        raise typer.BadParameter(str(error)) from error
    wide.save_pretrained(out)
    tokenizer.save_pretrained(out)
    console.print(
        f"{parameter_count(small):,} parameters to {parameter_count(wide):,}; "
        f"logits differ by {logits_difference(small, wide):.2g} of the largest"
    )


if __name__ == "__main__":
    typer.run(main)
