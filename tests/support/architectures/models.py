"""Tiny models of every kind with random weights."""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    GenerationConfig,
    PreTrainedModel,
)

from tests.support.architectures.configs import tiny_config
from tests.support.architectures.kinds import MULTIMODAL, group_of
from tests.support.architectures.variants import VARIANTS

# Parameters of two dimensions that are no matrices of weights.
KEPT = (
    *("norm", "A_log", "dt_bias", "time_decay", "time_first", "decay", "slope", "rotary"),
    *("router_bias", "e_score_correction", "recurrent_param", "embed_positions.weights"),
    *("alt_up", "hc_", "igate", "fgate"),
)


# Weights of this deviation are drawn by the class itself. It is that of most matrices in most
# classes; others have more, without which a state hardly shows in the logits of a tiny model.
OWN = 0.02


@dataclass(frozen=True)
class Weights:
    """How a model's weights are drawn, and what is added to all of its logits."""

    std: float = 0.3
    offset: float = 0.0
    seed: int = 0

    def __str__(self) -> str:
        own = " (the class's own)" if self.std == OWN else ""
        return f"std {self.std:g}{own}" + (f", offset {self.offset:g}" if self.offset else "")


def tiny_model(
    kind: str, vocabulary: int, weights: Weights, *, reads_images: bool = False
) -> PreTrainedModel:
    """A model of a kind or variant that has drawn its weights.

    `reads_images`: of two classes of a kind, take the one for images and text.
    """
    name, changes = VARIANTS.get(kind, (kind, {}))
    config = tiny_config(name, vocabulary, **changes)
    for part in (config, *(getattr(config, part, None) for part in config.sub_configs)):
        if hasattr(part, "is_decoder") and not getattr(config, "is_encoder_decoder", False):
            part.is_decoder = True
    multimodal = reads_images or group_of(kind) == MULTIMODAL
    auto: Any = AutoModelForImageTextToText if multimodal else AutoModelForCausalLM
    torch.manual_seed(weights.seed)
    model: PreTrainedModel = auto.from_config(config, dtype=torch.float32).eval()
    if weights.std != OWN:
        _draw(model, weights.std)
    # Without what some classes always want: beams, forced tokens, a length.
    model.generation_config = GenerationConfig(
        eos_token_id=0, pad_token_id=1, decoder_start_token_id=1
    )
    if weights.offset:
        _add(model, Raised(weights.offset))
    return model


def fresh(model: PreTrainedModel) -> PreTrainedModel:
    """A copy of a model that has read nothing, with the same weights."""
    return deepcopy(model)


@dataclass
class Raised:
    """Adds a constant to every logit, which changes no probability."""

    by: float

    def __call__(self, logits: Tensor) -> Tensor:
        return logits + self.by


class Speaks:
    """Makes other ids than `words` rare, so that what a model says can be translated."""

    def __init__(self, words: list[int]) -> None:
        self._words = words

    def __call__(self, logits: Tensor) -> Tensor:
        said = logits * 0.1
        said[..., self._words] = logits[..., self._words]
        return said


def speaking(model: PreTrainedModel, words: list[int]) -> PreTrainedModel:
    """The model, saying `words` most of the time."""
    _add(model, Speaks(words))
    return model


def _add(model: PreTrainedModel, change: Any) -> None:
    """Change a model's logits in a hook."""

    def hook(_: Any, inputs: Any, output: Any) -> Any:
        output.logits = change(output.logits)
        return output

    model.register_forward_hook(hook)


@torch.no_grad()
def _draw(model: PreTrainedModel, std: float) -> None:
    for name, parameter in model.named_parameters():
        matrix = parameter.dim() > 1 and parameter.is_floating_point()
        if matrix and not any(part in name for part in KEPT):
            torch.nn.init.normal_(parameter, std=std)
