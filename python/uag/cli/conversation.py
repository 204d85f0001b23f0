"""A chat in the terminal: what was said, what is being said, and commands that begin with /."""

import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from uag.cli.terminal import printable, tell
from uag.decoder import SpeculativeDecoder
from uag.decoding.output import TextStream
from uag.errors import PromptError, UagError
from uag.files import write_bytes
from uag.report.tables import DRAFTED
from uag.translation.detokenizer import text_decoder
from uag.translation.tokenizers import backend_of

# Begins and ends a message of several lines.
QUOTES = '"""'
HELP = """\
/reset          forget what was said
/system TEXT    what the system says before the user; forgets what was said
/drafts         mark what the assistant drafted, or stop marking it
/save FILE      write what was said to a file, as JSON messages
/help           this list
/exit           end; so does Ctrl-D
A message of several lines begins and ends with three double quotes.
Ctrl-C stops a reply; what it has said stays."""


class Conversation:
    """A chat with a decoder, of which everything that was said is kept.

    Attributes:
        messages: what was said, as `decoder.chat` takes it.
        marks: whether to mark what the assistant drafted.
    """

    def __init__(
        self,
        decoder: SpeculativeDecoder,
        system: str | None,
        options: dict[str, Any],
        *,
        marks: bool = False,
    ) -> None:
        """Begin a chat; `options` are those of `generate`."""
        self.marks = marks
        self._decoder = decoder
        self._options = options
        self._console = Console(highlight=False, soft_wrap=True)
        self._begin(system)

    def _begin(self, system: str | None) -> None:
        self._system = system
        self.messages = [] if system is None else [{"role": "system", "content": system}]
        # A chat is one text that grows. Its KV caches may be as large as they must.
        self._decoder.prefix_cache = 0
        self._decoder.prefix_cache = sys.maxsize

    def run(self, lines: Iterator[str]) -> None:
        """Answer messages, and do commands, until there are no more lines."""
        for said in _messages(lines):
            try:
                if not said.startswith("/"):
                    self._answer(said)
                elif self._obey(*said[1:].split(maxsplit=1)):
                    return
            except UagError as error:
                tell(str(error))

    def _obey(self, command: str = "", argument: str = "") -> bool:
        """Do a command; whether it ends the chat."""
        match command, argument:
            case "exit" | "bye" | "quit", _:
                return True
            case "help" | "?", _:
                self._console.print(HELP)
            case "reset", _:
                self._begin(self._system)
            case "system", _:
                self._begin(argument or None)
            case "drafts", _:
                self.marks = not self.marks
            case "save", "":
                tell("/save needs the name of a file")
            case "save", _:
                written = json.dumps(self.messages, ensure_ascii=False, indent=2)
                write_bytes(Path(argument), f"{written}\n".encode(), "the chat")
                tell(f"{len(self.messages)} messages are in {argument}")
            case _:
                tell(f"/{command} is no command; /help lists them")
        return False

    def _answer(self, said: str) -> None:
        """Reply to a message. After an error it is as if it had not been said."""
        stream = self._decoder.stream(
            [*self.messages, {"role": "user", "content": said}], **self._options
        )
        written: list[str] = []
        try:
            for text, drafted in _parts(self._decoder, stream):
                written.append(text)
                self._print(text, drafted=drafted)
        except KeyboardInterrupt:
            self._end_line()
            if not (reply := "".join(written)):
                tell("stopped before the reply began: the message was not said")
                return
        except BaseException:
            self._end_line()
            raise
        else:
            self._end_line()
            reply = stream.finish().text
            tell(stream.stats.summary())
        self.messages += [
            {"role": "user", "content": said},
            {"role": "assistant", "content": reply},
        ]

    def _print(self, text: str, *, drafted: bool) -> None:
        if self.marks:
            self._console.print(Text(printable(text), DRAFTED if drafted else ""), end="")
        else:
            sys.stdout.write(printable(text) if sys.stdout.isatty() else text)
        sys.stdout.flush()

    @staticmethod
    def _end_line() -> None:
        sys.stdout.write("\n")
        sys.stdout.flush()


def _messages(lines: Iterator[str]) -> Iterator[str]:
    """Messages and commands: a line each, or lines between quotes. Empty ones are left out."""
    for line in lines:
        said = line
        if line.lstrip().startswith(QUOTES):
            several = [line.lstrip().removeprefix(QUOTES)]
            while not several[-1].rstrip().endswith(QUOTES):
                if (more := next(lines, None)) is None:
                    break
                several.append(more)
            said = "\n".join(several).rstrip().removesuffix(QUOTES).strip("\n")
        if said.strip():
            yield said.strip()


def _parts(decoder: SpeculativeDecoder, stream: TextStream) -> Iterator[tuple[str, bool]]:
    """The reply as it is written, in parts that the assistant drafted or the target chose."""
    decode = text_decoder(decoder.bridge.target, backend_of(decoder.tokenizer))
    decode.add(stream.prompt)
    told = 0
    for _ in stream:
        rounds = stream.stats.history[told:]
        told += len(rounds)
        for done in rounds:
            for ids, drafted in done.by_writer:
                if text := decode.add(ids):
                    yield text, drafted
    if text := decode.end():
        yield text, False


def typed_lines() -> Iterator[str]:
    """Lines that a user types, with a prompt if it is a terminal; Ctrl-C empties the line.

    Raises:
        PromptError: for standard input that is closed, or is no UTF-8.
    """
    if sys.stdin is None:  # closed (`<&-`)
        raise PromptError("standard input is closed: a chat reads what you say from it")
    typing = sys.stdin.isatty() and sys.stdout.isatty()
    if typing:
        with suppress(ImportError):  # Windows has none
            import_module("readline")  # lines can be edited, and called back
        tell("/help lists commands, Ctrl-D ends")
    while True:
        try:
            yield input("> " if typing else "")
        except EOFError:
            if typing:
                sys.stdout.write("\n")
            return
        except KeyboardInterrupt:
            if not typing:
                raise
            sys.stdout.write("\n")
            tell("/exit or Ctrl-D ends the chat")
        except UnicodeDecodeError as error:
            raise PromptError(
                f"standard input is no UTF-8 text ({error.reason}): convert it first"
            ) from error
