"""What `uag generate` continues: a text from the command line, a file or standard input; a chat."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from uag.cli.options import Conflict
from uag.errors import PromptError

if TYPE_CHECKING:
    from uag.decoder import SpeculativeDecoder
    from uag.requests.prompts.chat import Chat

# Names of models that were trained to answer in a chat.
FOR_CHATS = re.compile(r"(?i)(^|[-_/.])(it|instruct|chat)([-_.]|$)")


def read_text(prompt: str | None, file: Path | None) -> str:
    """The text that is given in one of three places.

    Raises:
        PromptError: for standard input that is closed, or is no UTF-8.
        FileError: for a file that cannot be read.
    """
    if (prompt is None) == (file is None):
        both = "both a prompt and --prompt-file: leave one out"
        raise Conflict("no prompt: give a text or --prompt-file" if prompt is None else both)
    if file is not None:
        from uag.files import read_text as read_file

        return read_file(file, "the prompt")
    return _standard_input() if prompt == "-" else str(prompt)


def _standard_input() -> str:
    if sys.stdin is None:  # closed (`<&-`)
        raise PromptError("standard input is closed: give the prompt as an argument")
    data = getattr(sys.stdin, "buffer", None)
    if data is None:  # replaced by a stream of text
        return sys.stdin.read()
    try:  # in UTF-8 whatever the locale is, as files
        return cast("bytes", data.read()).decode()
    except UnicodeDecodeError as error:
        raise PromptError(
            f"the prompt on standard input is no UTF-8 text ({error.reason} at byte "
            f"{error.start}): convert it first"
        ) from error


def as_prompt(
    decoder: "SpeculativeDecoder", text: str, system: str | None, *, chat: bool
) -> "str | Chat":
    """The text itself, or what a user says in a chat.

    Raises:
        PromptError: for a chat with a target that has no chat template.
    """
    if not chat and system is None:
        return text
    from uag.translation.chat_template import template_of

    if template_of(decoder.tokenizer) is None:
        option = "--chat" if system is None else "--system"
        raise PromptError(f"{option}, but the target has no chat template: leave {option} out")
    from uag.requests.prompts.chat import Chat

    first = [] if system is None else [{"role": "system", "content": system}]
    return Chat([*first, {"role": "user", "content": text}])


def chat_hint(decoder: "SpeculativeDecoder", name: str) -> str:
    """That the target was trained for chats and gets plain text; empty if it was not."""
    from uag.translation.chat_template import template_of

    if template_of(decoder.tokenizer) is None or not FOR_CHATS.search(name):
        return ""
    return "the target was trained for chats, and gets plain text: --chat asks it in a chat"
