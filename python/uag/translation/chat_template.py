"""A tokenizer's chat template: how it renders messages, and which token it puts after a reply."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import tokenizers
from transformers import PreTrainedTokenizerBase, ProcessorMixin

from uag.translation.tokenizers import AnyTokenizer, bare_ids, special_ids

Message = Mapping[str, Any]

# What templates raise for messages that they do not support: a template is a program, which may
# fail in any way.
UNRENDERED = (Exception,)
# A placeholder for a reply, to find out what a template puts after one.
REPLY = "Xyzzy."


def template_of(tokenizer: AnyTokenizer | ProcessorMixin) -> str | None:
    """The chat template that a tokenizer or processor comes with, or `None`.

    If it has several, this is the one called "default", or the first one.
    """
    if isinstance(tokenizer, tokenizers.Tokenizer):
        return None
    template = cast("str | dict[str, str] | None", getattr(tokenizer, "chat_template", None))
    if isinstance(template, dict):
        return template.get("default", next(iter(template.values()), None))
    return template


def render(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], options: Mapping[str, Any]
) -> str:
    """Render messages as text with the tokenizer's chat template.

    Raises:
        Exception: one of `UNRENDERED`, for messages that the template does not support.
    """
    return cast("Any", tokenizer).apply_chat_template(
        [*map(dict, messages)], tokenize=False, **options
    )


def turn_end(tokenizer: AnyTokenizer) -> int | None:
    """The special token that a tokenizer's chat template puts after a reply; `None` if none.

    It may differ from the end-of-text token: `<|im_end|>`, `<|eot_id|>`, `<end_of_turn>`.
    """
    if template_of(tokenizer) is None:
        return None
    own = cast("PreTrainedTokenizerBase", tokenizer)
    question, reply = {"role": "user", "content": "?"}, {"role": "assistant", "content": REPLY}
    try:
        text = render(own, [question, reply], {"add_generation_prompt": False})
    except UNRENDERED:
        return None
    after = text.rpartition(REPLY)[2]
    ids = bare_ids(own, after.lstrip()) if after.strip() else []
    special = set(own.all_special_ids) | special_ids(own)
    return ids[0] if ids and ids[0] in special else None
