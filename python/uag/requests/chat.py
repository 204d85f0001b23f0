"""Chats: each model is prompted in the format it was trained on.

A chat format is made of special tokens and set phrases of one model; another model knows neither.
So a chat is rendered twice, by each tokenizer's own template, and translation starts at the reply.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard, cast

import tokenizers
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase
from transformers.utils import chat_template_utils

from uag.errors import OptionError, PromptError, warn_once
from uag.translation.chat_template import REPLY, UNRENDERED, Message, plain_ids, render, template_of
from uag.translation.tokenizers import AnyTokenizer, open_prompt_ids

# Arguments of `apply_chat_template`; other options are variables of a template.
RENDERING = (
    "tools",
    "documents",
    "chat_template",
    "add_generation_prompt",
    "continue_final_message",
    "sanitize_control_tokens",
)
# Those that say how the target's tokenizer is used.
TARGETS_OWN = ("chat_template", "sanitize_control_tokens")


@dataclass(frozen=True, slots=True, init=False)
class Chat:
    """Messages, and how their templates are to render them: a prompt for `generate` and `stream`.

    >>> chat = Chat([{"role": "user", "content": "Hi!"}], enable_thinking=False)
    >>> len(chat.messages), chat.options
    (1, {'enable_thinking': False})

    Attributes:
        messages: as `tokenizer.apply_chat_template` takes them. A last one of the role "assistant"
            is continued.
        options: `tools`, `documents`, `chat_template` (the target's) and the like, and variables of
            the templates.
    """

    messages: Sequence[Message]
    options: Mapping[str, Any]

    def __init__(self, messages: Sequence[Message], **options: Any) -> None:
        object.__setattr__(self, "messages", messages)
        object.__setattr__(self, "options", options)


def is_chat(prompt: object) -> TypeGuard[Sequence[Message] | Chat]:
    """Whether a prompt is a chat, not a text or ids."""
    if isinstance(prompt, Chat):
        return True
    if not isinstance(prompt, list | tuple):
        return False
    messages = cast("Sequence[object]", prompt)
    return bool(messages) and all(isinstance(message, Mapping) for message in messages)


def chat_ids(
    prompt: Sequence[Message] | Chat, tokenizer: AnyTokenizer, assistant_tokenizer: AnyTokenizer
) -> tuple[list[int], list[int]]:
    """The ids that the target reads, and those that the assistant reads, up to the reply.

    Raises:
        PromptError: if the target has no template, or it cannot render the messages.
        OptionError: for an option that no template knows.
    """
    chat = prompt if isinstance(prompt, Chat) else Chat(prompt)
    _check(chat, tokenizer, assistant_tokenizer)
    target = cast("Any", tokenizer)
    options = _filled(chat.messages, chat.options)
    try:
        encoded = target.apply_chat_template([*map(dict, chat.messages)], **options)
    except UNRENDERED as error:
        raise PromptError(
            f"the target's chat template cannot render these messages: {error}"
        ) from error
    return encoded["input_ids"], assistant_chat_ids(chat, assistant_tokenizer)


def assistant_chat_ids(chat: Chat, tokenizer: AnyTokenizer) -> list[int]:
    """By the assistant's own template; as plain text where it has none, or none that can."""
    options = {name: value for name, value in chat.options.items() if name not in TARGETS_OWN}
    template = template_of(tokenizer)
    if template is not None:
        own = cast("PreTrainedTokenizerBase", tokenizer)
        for messages in (chat.messages, _without_system(chat.messages)):
            try:
                return plain_ids(own, _opened(own, messages, options))
            except UNRENDERED as error:
                reason = error
        warn_once(
            f"the assistant's chat template cannot render these messages ({reason}); it gets them "
            "as plain text, and may guess less well"
        )
    return open_prompt_ids(tokenizer, plain_text(chat))


def plain_text(chat: Chat) -> str:
    """A chat for a model that knows no chats.

    >>> print(plain_text(Chat([{"role": "user", "content": "Hi!"}])).rstrip())
    user:
    Hi!
    <BLANKLINE>
    assistant:
    """
    parts = [f"{message['role']}:\n{_content(message)}" for message in chat.messages]
    if not _continues(chat.messages, chat.options):
        parts.append("assistant:\n")
    return "\n\n".join(parts)


def _check(chat: Chat, tokenizer: AnyTokenizer, assistant_tokenizer: AnyTokenizer) -> None:
    own = chat.options.get("chat_template") or template_of(tokenizer)
    if own is None or isinstance(tokenizer, tokenizers.Tokenizer):
        tools = " (and tools need one)" if chat.options.get("tools") else ""
        raise PromptError(
            "messages were given, but the target's tokenizer has no chat template"
            f"{tools}; give a text, or set tokenizer.chat_template"
        )
    try:
        named: str = cast("Any", tokenizer).get_chat_template(
            chat.options.get("chat_template"), chat.options.get("tools")
        )
        known = _variables(named)
    except (TemplateError, ValueError) as error:
        raise PromptError(f"the target's chat template cannot be read: {error}") from error
    if chat.options.get("tools") and "tools" not in known:
        raise PromptError(
            "tools were given, but the target's chat template does not know any; leave them out, "
            "or set tokenizer.chat_template to one that does"
        )
    for name in chat.options:
        other = template_of(assistant_tokenizer)
        if name not in (*RENDERING, *known, *(_variables(other) if other else ())):
            raise OptionError(
                f"unknown option {name!r}: neither an option of model.generate nor a variable of "
                "the chat templates"
            )


def _variables(template: str) -> frozenset[str]:
    return cast("Any", chat_template_utils)._get_template_variables(template)


def _continues(messages: Sequence[Message], options: Mapping[str, Any]) -> bool:
    """Whether the last message goes on, as in transformers' pipelines."""
    asked = options.get("continue_final_message")
    if asked is None:
        return not options.get("add_generation_prompt") and messages[-1]["role"] == "assistant"
    return bool(asked)


def _filled(messages: Sequence[Message], options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with what the last message's role says where they do not."""
    continues = _continues(messages, options)
    return {"continue_final_message": continues, "add_generation_prompt": not continues} | dict(
        options
    )


def _opened(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], options: dict[str, Any]
) -> str:
    """The text up to the reply, with the space that the template puts before one, if any.

    Where a model's replies begin with a space, another's text would lack it.
    """
    text = render(tokenizer, messages, _filled(messages, options))
    if _continues(messages, options):
        return text
    reply = {"role": "assistant", "content": REPLY}
    try:
        whole = render(tokenizer, [*messages, reply], {**options, "add_generation_prompt": False})
    except UNRENDERED:
        return text
    gap = whole.rpartition(REPLY)[0].removeprefix(text)
    return text + gap if gap.isspace() else text


def _without_system(messages: Sequence[Message]) -> list[Message]:
    """For templates that know no system: its words begin the user's first message."""
    if messages[0]["role"] != "system" or len(messages) == 1:
        return [*messages]
    first = dict(messages[1])
    first["content"] = f"{_content(messages[0])}\n\n{_content(messages[1])}"
    return [first, *messages[2:]]


def _content(message: Message) -> str:
    content: Any = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)
