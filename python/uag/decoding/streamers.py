"""transformers' streamers: they get ids as soon as these are emitted."""

from typing import Any, cast

import torch
from transformers.generation.streamers import BaseStreamer

from uag.decoding.output import Output, TextStream
from uag.errors import OptionError
from uag.translation.detokenizer import WholeCharacters


def feed(streamer: BaseStreamer, text: TextStream, characters: WholeCharacters) -> Output:
    """Decode to the end, giving the streamer the new ids of each round.

    The streamer must have got the prompt (`put_prompt`). It only gets ids that spell whole
    characters.
    """
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
    """Check that a streamer gets only one generation.

    Raises:
        OptionError: if there are several.
    """
    if texts > 1:
        raise OptionError(
            f"a streamer gets one generation, but there are {texts}; "
            "leave streamer= out, or give one prompt at a time"
        )


def put_prompt(streamer: BaseStreamer, ids: list[int]) -> None:
    """Give a streamer the prompt, as a batch of one row, which transformers does first."""
    cast("Any", streamer).put(torch.tensor([ids]))


def _put(streamer: BaseStreamer, ids: list[int]) -> None:
    if ids:
        cast("Any", streamer).put(torch.tensor(ids))
