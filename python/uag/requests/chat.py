"""Chats as prompts: each model gets the chat in the format that it was trained on.

A chat format consists of special tokens and fixed phrases of one model, which other models do not
know. So a chat is rendered twice, by each tokenizer's own template, and only the reply is
translated.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard, cast

import tokenizers
from transformers import PreTrainedTokenizerBase
from transformers.utils import chat_template_utils

from uag.errors import OptionError, PromptError, warn_once
from uag.translation.chat_template import REPLY, UNRENDERED, Message, plain_ids, render, template_of
from uag.translation.tokenizers import AnyTokenizer, open_prompt_ids
from uag.values import is_text, shown, texts_in

# Arguments of `apply_chat_template`; any other option is a variable of a template.
RENDERING = (
    "tools",
    "documents",
    "chat_template",
    "add_generation_prompt",
    "continue_final_message",
    "sanitize_control_tokens",
)
# Those that apply to the target's tokenizer only.
TARGETS_OWN = ("chat_template", "sanitize_control_tokens")


@dataclass(frozen=True, slots=True, init=False)
class Chat:
    """A chat with options for its templates, as a prompt for `generate` and `stream`.

    >>> chat = Chat([{"role": "user", "content": "Hi!"}], enable_thinking=False)
    >>> len(chat.messages), chat.options
    (1, {'enable_thinking': False})

    Attributes:
        messages: dicts with "role" and "content", as for `tokenizer.apply_chat_template`. If the
            last one has the role "assistant", it is continued.
        options: options of `apply_chat_template` (`tools`, `documents`; `chat_template` for the
            target only), and variables of the templates.
    """

    messages: Sequence[Message]
    options: Mapping[str, Any]

    def __init__(self, messages: Sequence[Message], **options: Any) -> None:
        object.__setattr__(self, "messages", messages)
        object.__setattr__(self, "options", options)


def is_chat(prompt: object) -> TypeGuard[Sequence[Message] | Chat]:
    """Whether a prompt is a chat rather than text or ids."""
    if isinstance(prompt, Chat):
        return True
    if not isinstance(prompt, list | tuple):
        return False
    messages = cast("Sequence[object]", prompt)
    return bool(messages) and all(isinstance(message, Mapping) for message in messages)


def chat_ids(
    prompt: Sequence[Message] | Chat, tokenizer: AnyTokenizer, assistant_tokenizer: AnyTokenizer
) -> tuple[list[int], list[int]]:
    """The prompt of a chat, up to the reply: the target's ids, and the assistant's ids.

    Raises:
        PromptError: for a message without role, or with something other than text; if the target
            has no template, its template does not support the given `tools`,
            or it cannot render the messages.
        OptionError: for an option that no template knows.
    """
    chat = prompt if isinstance(prompt, Chat) else Chat(prompt)
    _check_messages(chat)
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
    """The assistant's ids by its own template; as plain text if it has none that can do it."""
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
    """A chat as plain text, for a model without a chat template.

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


def _check_messages(chat: Chat) -> None:
    messages: Any = chat.messages
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise PromptError("a chat is a list of messages, and must have at least one")
    for message in cast("Sequence[Any]", messages):
        if not isinstance(message, Mapping) or not _has_role(cast("Message", message)):
            raise PromptError(
                f"the message {shown(cast('object', message))} is not a dict with a role; give "
                '{"role": "user", "content": "..."}'
            )
        for part in _parts(cast("Message", message)):
            if not _is_text_part(part):
                raise PromptError(
                    f"a message has the part {shown(part)}, but a decoder reads text only; "
                    'leave it out, or give {"type": "text", "text": "..."}'
                )
    if not all(map(is_text, texts_in([cast("object", messages), chat.options]))):
        raise PromptError(
            "the chat has a lone surrogate (half of a character in UTF-16), which no tokenizer can "
            "read; replace it"
        )


def _parts(message: Message) -> Sequence[object]:
    """The parts of a message's content, if it is given in parts."""
    content: Any = message.get("content")
    if isinstance(content, list | tuple):
        return cast("Sequence[object]", content)
    if isinstance(content, dict) and "type" in content:
        return [cast("object", content)]
    return []


def _has_role(message: Message) -> bool:
    return isinstance(message.get("role"), str)


def _is_text_part(part: object) -> bool:
    match part:
        case {"text": str()}:
            return cast("Message", part).get("type", "text") == "text"
        case _:
            return False


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
    except UNRENDERED as error:
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
    """Whether the last message is continued, decided as in transformers' pipelines."""
    asked = options.get("continue_final_message")
    if asked is None:
        return not options.get("add_generation_prompt") and messages[-1]["role"] == "assistant"
    return bool(asked)


def _filled(messages: Sequence[Message], options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, with those about the reply filled in by the last message's role if missing."""
    continues = _continues(messages, options)
    return {"continue_final_message": continues, "add_generation_prompt": not continues} | dict(
        options
    )


def _opened(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], options: dict[str, Any]
) -> str:
    """The text up to the reply, including white space that the template puts before a reply.

    Another model's replies do not begin with that space, so it must be part of the prompt.
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
    """The messages for a template without system role: its content is put before the next one's."""
    if messages[0]["role"] != "system" or len(messages) == 1:
        return [*messages]
    first = dict(messages[1])
    first["content"] = f"{_content(messages[0])}\n\n{_content(messages[1])}"
    return [first, *messages[2:]]


def _content(message: Message) -> str:
    if parts := cast("Sequence[Mapping[str, str]]", _parts(message)):
        return "".join(part["text"] for part in parts)
    content = message.get("content") or ""
    # What a tool returns may be any value.
    return content if isinstance(content, str) else json.dumps(content, default=str)
