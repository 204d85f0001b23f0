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
from transformers import PreTrainedTokenizerBase, ProcessorMixin
from transformers.utils import chat_template_utils

from uag.errors import OptionError, PromptError
from uag.translation.chat_template import REPLY, UNRENDERED, Message, render, template_of
from uag.translation.tokenizers import AnyTokenizer, bare_ids, open_prompt_ids
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
# Those that apply to the target only.
TARGETS_OWN = ("chat_template", "sanitize_control_tokens", "processor_kwargs")
# What to do where the last message, an assistant's, cannot be continued.
NOT_CONTINUED = (
    "; the last message is continued, as it is an assistant's: to have a new reply after it give "
    "add_generation_prompt=True, after tool calls add what the tools returned, and if the template "
    "strips its thinking, give the rendered text instead of messages"
)
# What renders a chat of the target: a processor, if the chat may have images.
Renderer = AnyTokenizer | ProcessorMixin


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
    return bool(messages) and all(
        isinstance(message, Mapping) and "input_ids" not in message for message in messages
    )


def chat_inputs(
    prompt: Sequence[Message] | Chat, renderer: Renderer, assistant_tokenizer: AnyTokenizer
) -> tuple[Mapping[str, Any], list[int], str]:
    """The prompt of a chat, up to the reply: the target's inputs, and the assistant's ids.

    Last comes what is wrong with the assistant's template, in a sentence; empty if nothing is.

    Args:
        prompt: the chat.
        renderer: the target's tokenizer, or its processor, which reads images as well.
        assistant_tokenizer: the assistant's.

    Raises:
        PromptError: for a message without role, or with something that the renderer cannot read; if
            the target has no template, its template does not support the given `tools`,
            or it cannot render the messages.
        OptionError: for an option that no template knows.
    """
    chat = prompt if isinstance(prompt, Chat) else Chat(prompt)
    reads_media = isinstance(renderer, ProcessorMixin)
    _check_messages(chat, reads_media=reads_media)
    _check(chat, renderer, assistant_tokenizer)
    options = _filled(chat.messages, chat.options)
    if reads_media:
        options |= {"return_tensors": "pt"}
    try:
        inputs = cast("Any", renderer).apply_chat_template(
            [*map(dict, chat.messages)], tokenize=True, return_dict=True, **options
        )
    except UNRENDERED as error:
        raise PromptError(
            f"the target's chat template cannot render these messages: {error}"
            + (NOT_CONTINUED if options.get("continue_final_message") else "")
        ) from error
    return inputs, *assistant_chat_ids(chat, assistant_tokenizer)


def assistant_chat_ids(chat: Chat, tokenizer: AnyTokenizer) -> tuple[list[int], str]:
    """The assistant's ids by its own template; as plain text if it has none that can do it.

    If it has one that cannot, the text says so.
    """
    options = {name: value for name, value in chat.options.items() if name not in TARGETS_OWN}
    template, hint = template_of(tokenizer), ""
    if template is not None:
        own, reason = cast("PreTrainedTokenizerBase", tokenizer), ""
        for messages in _forms(chat.messages):
            try:
                text = _opened(own, messages, options)
            except UNRENDERED as error:
                reason = f" ({error})"
            else:
                if _tells(text, chat.messages):
                    return bare_ids(own, text), ""
        hint = (
            f"the assistant's chat template cannot render these messages{reason}; it gets them "
            "as plain text, and may guess less well"
        )
    return open_prompt_ids(tokenizer, plain_text(chat)), hint


def _forms(messages: Sequence[Message]) -> list[Sequence[Message]]:
    """The messages as an assistant's template may know them: as given, and without system role.

    Templates take content as a text, or in parts. Of parts, an assistant gets those that are text.
    """
    forms: list[Sequence[Message]] = [messages]
    if any(map(_parts, messages)):
        read = [
            {**message, "content": [part for part in parts if _is_text_part(part)]}
            if (parts := _parts(message))
            else message
            for message in messages
        ]
        said = [{**each, "content": _content(each)} if _parts(each) else each for each in read]
        forms = [read, said]
    return [*forms, _without_system(forms[-1])]


def _tells(text: str, messages: Sequence[Message]) -> bool:
    """Whether a rendered chat has what was said in parts, and not the parts as Python.

    Of an assistant's earlier replies, a template may leave out a part.
    """
    said = [
        part["text"].strip()
        for message in messages
        if message["role"] == "user" or message is messages[-1]
        for part in cast("Sequence[Mapping[str, str]]", _parts(message))
        if _is_text_part(part)
    ]
    return all(each in text for each in said) and not (said and "'text':" in text)


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


def _check_messages(chat: Chat, *, reads_media: bool) -> None:
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
            if not (_is_text_part(part) or (reads_media and _is_media_part(part))):
                raise PromptError(
                    f"a message has the part {shown(part)}, but a decoder reads text only"
                    + (", images, videos and audio" if reads_media else "")
                    + '; leave it out, or give {"type": "text", "text": "..."}'
                    + (
                        ""
                        if reads_media
                        else ", or the target's processor in place of its tokenizer"
                    )
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


def _is_media_part(part: object) -> bool:
    kind: object = cast("Message", part).get("type") if isinstance(part, Mapping) else None
    return isinstance(kind, str) and kind.removesuffix("_url") in ("image", "video", "audio")


def _check(chat: Chat, tokenizer: Renderer, assistant_tokenizer: AnyTokenizer) -> None:
    own = chat.options.get("chat_template") or template_of(tokenizer)
    if own is None or isinstance(tokenizer, tokenizers.Tokenizer):
        tools = " (and tools need one)" if chat.options.get("tools") else ""
        raise PromptError(
            "messages were given, but the target's tokenizer has no chat template"
            f"{tools}; give a text, or set tokenizer.chat_template"
        )
    try:
        known = _variables(_named_template(chat, tokenizer))
    except UNRENDERED as error:
        raise PromptError(f"the target's chat template cannot be read: {error}") from error
    if chat.options.get("tools") and "tools" not in known:
        raise PromptError(
            "tools were given, but the target's chat template does not know any; leave them out, "
            "or set tokenizer.chat_template to one that does"
        )
    rendering = (
        (*RENDERING, "processor_kwargs") if isinstance(tokenizer, ProcessorMixin) else RENDERING
    )
    for name in chat.options:
        other = template_of(assistant_tokenizer)
        if name not in (*rendering, *known, *(_variables(other) if other else ())):
            raise OptionError(
                f"unknown option {name!r}: neither an option of model.generate nor a variable of "
                "the chat templates"
            )


def _named_template(chat: Chat, renderer: Renderer) -> str:
    """The target's template that the chat asks for, by name or whole, or its default."""
    own, named = cast("Any", renderer), chat.options.get("chat_template")
    if isinstance(renderer, ProcessorMixin):
        return own._resolve_chat_template(named)
    return own.get_chat_template(named, chat.options.get("tools"))


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
        return "".join(part["text"] for part in parts if _is_text_part(part))
    content = message.get("content") or message.get("tool_calls") or ""
    # What a tool returns may be any value.
    return content if isinstance(content, str) else json.dumps(content, default=str)
