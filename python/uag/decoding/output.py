"""What a generation gives: its text as it comes, and all of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from uag.decoding.trace import Trace
from uag.stats import Round, Stats
from uag.translation.detokenizer import TextDecoder


@dataclass(frozen=True, slots=True)
class Output:
    """A continuation.

    >>> out = decoder.generate("Once upon a time", max_new_tokens=8)
    >>> len(out.token_ids), out.seed, out.stats.tokens
    (8, None, 8)

    Attributes:
        text: the new text, without the prompt and without special tokens.
        token_ids: the new target ids, with the end-of-text id if one was reached.
        seed: what reproduces it, if tokens were drawn; `None` for greedy decoding.
        stats: rounds, drafted and accepted ids, seconds.
        trace: each round id by id, if it was asked for.
    """

    text: str
    token_ids: list[int]
    seed: int | None
    stats: Stats
    trace: Trace | None = None


class TextStream(Iterator[str]):
    """A continuation on its way: iterating gives its text in pieces of whole characters.

    >>> stream = decoder.stream("Once upon a time", max_new_tokens=8, do_sample=True)
    >>> options = {"max_new_tokens": 8, "do_sample": True, "seed": stream.seed}
    >>> "".join(stream) == decoder.generate("Once upon a time", **options).text
    True

    Attributes:
        seed: what reproduces the text, if tokens are drawn; `None` for greedy decoding.
        stats: the rounds so far.
        prompt: the target ids it continues.
        trace: the same, id by id, if it was asked for.
    """

    def __init__(
        self,
        rounds: Iterator[Round],
        text: TextDecoder,
        stats: Stats,
        seed: int | None,
        prompt: list[int],
        trace: Trace | None = None,
    ) -> None:
        """`rounds` are decoded by `text`, which has read the prompt, and entered into `stats`."""
        self.seed = seed
        self.stats = stats
        self.prompt = prompt
        self.trace = trace
        self._pieces = _pieces(rounds, text)
        self._given: list[str] = []

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        self._given.append(piece := next(self._pieces))
        return piece

    def finish(self) -> Output:
        """All of it, with what has been read before."""
        for _ in self:
            pass
        return Output("".join(self._given), self.stats.token_ids, self.seed, self.stats, self.trace)


def _pieces(rounds: Iterator[Round], text: TextDecoder) -> Iterator[str]:
    for done in rounds:
        if piece := text.add(done.tokens):
            yield piece
    if piece := text.end():
        yield piece
