"""Attention of captured passes: by a kernel, or by torch's without copies of keys and values.

With a mask, transformers' SDPA repeats the keys and values of each group for its query heads: the
whole buffer, in each layer. Here the query heads of a group are more queries of one head instead.
"""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, cast

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    PreTrainedModel,
    masking_utils,
)
from transformers.integrations import sdpa_attention

from uag.models.engines.fused.kernels import Kernels, Places
from uag.models.properties import attention_of, text_config

sdpa_forward = cast("Any", sdpa_attention).sdpa_attention_forward
PACKED = "uag_packed"
# Options that change what is computed: they are left to transformers.
CHANGING = ("softcap", "position_bias", "cache", "s_aux")


class Buffered(Protocol):
    """What knows where the ids of a pass are."""

    def places(self, keys: Tensor) -> Places | None:
        """Where the new ids of the layer with these keys are; `None` if they are not its own."""
        ...


# What is read by the pass that this thread captures, and the kernels for it.
attending: ContextVar[tuple[Kernels, Buffered] | None] = ContextVar("attending", default=None)


def packed_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """As transformers' "sdpa": `[1, heads, ids, head size]` -> `[1, ids, heads, head size]`.

    Keys and values have fewer heads. Without a mask it is transformers' own.
    """
    groups = query.shape[1] // key.shape[1]
    asked = [name for name in CHANGING if options.get(name) is not None]
    if asked or attention_mask is None or attention_mask.shape[1] != 1:
        other = sdpa_forward(module, query, key, value, attention_mask, dropout, scaling, **options)
        return cast("tuple[Tensor, None]", other)
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    if (found := attending.get()) and (places := found[1].places(key)):
        kernels = found[0]
        if kernels.attends(query, key, value):
            return kernels.attend(query, key, value, places, scaling), None
    if groups == 1:
        other = sdpa_forward(module, query, key, value, attention_mask, dropout, scaling, **options)
        return cast("tuple[Tensor, None]", other)
    rows, heads, width, size = query.shape
    packed = query.reshape(rows, key.shape[1], groups * width, size)
    out = scaled_dot_product_attention(
        packed,
        key,
        value,
        attn_mask=attention_mask.repeat(1, 1, groups, 1),
        dropout_p=dropout,
        scale=scaling,
    )
    out = out.reshape(rows, heads, width, out.shape[-1])
    return out.transpose(1, 2).contiguous(), None


@contextmanager
def packed(model: PreTrainedModel) -> Generator[None]:
    """Inside the `with` block a model with SDPA attends by `packed_attention`."""
    config: Any = text_config(model)
    if attention_of(model) != "sdpa":
        yield
        return
    before = config._attn_implementation_internal
    config._attn_implementation_internal = PACKED
    try:
        yield
    finally:
        config._attn_implementation_internal = before


cast("Any", AttentionInterface).register(PACKED, packed_attention)
# Others who read the model meanwhile get the masks of "sdpa".
cast("Any", AttentionMaskInterface).register(PACKED, cast("Any", masking_utils).sdpa_mask)
