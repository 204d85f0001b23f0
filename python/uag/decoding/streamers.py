"""transformers' streamers, fed as ids are accepted."""

from typing import Any, cast

import torch
from transformers.generation.streamers import BaseStreamer

from uag.decoding.output import Output, TextStream
from uag.errors import OptionError
from uag.translation.detokenizer import WholeCharacters


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
