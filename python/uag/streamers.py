"""transformers' streamers, fed as ids are accepted."""

import codecs
from typing import Any, cast

import torch
from transformers.generation.streamers import BaseStreamer

from uag._core import Tokenizer
from uag.errors import OptionError
from uag.output import Output, TextStream
from uag.text import TextBytes


class WholeCharacters:
    """Ids on their way to a decoder, held back until the characters they spell are complete."""

    def __init__(self, tokenizer: Tokenizer, prompt: list[int]) -> None:
        """Ids follow those of a prompt."""
        self._bytes = TextBytes(tokenizer)
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held: list[int] = []
        self.add(prompt)
        self._held = []  # the streamer has them, though the last may have begun a character

    def add(self, ids: list[int]) -> list[int]:
        """The ids, with those held back so far, up to the last that completes a character."""
        complete: list[int] = []
        for id in ids:
            self._held.append(id)
            self._utf8.decode(self._bytes.add([id]))
            if not self._utf8.getstate()[0]:
                complete += self._held
                self._held = []
        return complete

    def end(self) -> list[int]:
        """What is left when no more ids come."""
        return self._held


def feed(streamer: BaseStreamer, text: TextStream, characters: WholeCharacters) -> Output:
    """A text to its end; the streamer, which has the prompt, gets its ids a round at a time."""
    seen = 0
    for _ in text:
        rounds = text.stats.history[seen:]
        seen += len(rounds)
        _put(streamer, characters.add([id for done in rounds for id in done.tokens]))
    rest = [id for done in text.stats.history[seen:] for id in done.tokens]
    _put(streamer, characters.add(rest) + characters.end())
    streamer.end()
    return text.finish()


def check_one(texts: int) -> None:
    """Refuse to stream several texts at once.

    Raises:
        OptionError: saying how many there are.
    """
    if texts > 1:
        raise OptionError(
            f"a streamer hears one text, but there are {texts}; "
            "leave streamer= out, or give one prompt at a time"
        )


def put_prompt(streamer: BaseStreamer, ids: list[int]) -> None:
    """What a streamer gets first: the prompt, as a batch of one."""
    cast("Any", streamer).put(torch.tensor([ids]))


def _put(streamer: BaseStreamer, ids: list[int]) -> None:
    if ids:
        cast("Any", streamer).put(torch.tensor(ids))
