"""The results of a generation: a stream of text, and the complete output."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn, Self

from uag.decoding.trace import Trace
from uag.errors import UagError
from uag.stats import Round, Stats
from uag.translation.detokenizer import OwnText, TextDecoder


@dataclass(frozen=True, slots=True)
class Output:
    """The result of one generation.

    >>> out = decoder.generate("Once upon a time", max_new_tokens=8)
    >>> len(out.token_ids), out.seed, out.stats.tokens
    (8, None, 8)

    Attributes:
        text: the new text, without the prompt and without special tokens.
        token_ids: the new ids of the target, including the end-of-text id if one was reached.
        seed: the seed that reproduces the output if tokens were sampled; `None` for greedy
            decoding.
        stats: counts of rounds, drafted and accepted ids, and seconds.
        trace: each round id by id, with `trace=True`; else `None`.
    """

    text: str
    token_ids: list[int]
    seed: int | None
    stats: Stats
    trace: Trace | None = None


class TextStream(Iterator[str]):
    """A generation in progress: an iterator over the new text, in pieces of whole characters.

    Each step decodes until the next piece is complete.

    >>> stream = decoder.stream("Once upon a time", max_new_tokens=8, do_sample=True)
    >>> options = {"max_new_tokens": 8, "do_sample": True, "seed": stream.seed}
    >>> "".join(stream) == decoder.generate("Once upon a time", **options).text
    True

    Attributes:
        seed: the seed that reproduces the text if tokens are sampled; `None` for greedy decoding.
        stats: counts and seconds of the rounds so far.
        prompt: the target ids of the prompt.
        trace: the rounds so far id by id, with `trace=True`; else `None`.
    """

    def __init__(
        self,
        rounds: Iterator[Round],
        text: TextDecoder | OwnText,
        stats: Stats,
        seed: int | None,
        prompt: list[int],
        trace: Trace | None = None,
    ) -> None:
        """`rounds` adds itself to `stats`; `text` decodes ids and already holds the prompt."""
        self.seed = seed
        self.stats = stats
        self.prompt = prompt
        self.trace = trace
        self._pieces = _pieces(rounds, text)
        self._given: list[str] = []

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied.

        Raises:
            UagError: saying what to do instead.
        """
        raise UagError(
            "a stream cannot be pickled or copied, as it decodes while it is read: finish() gives "
            "an Output, which can"
        )

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        self._given.append(piece := next(self._pieces))
        return piece

    def finish(self) -> Output:
        """Decode to the end and return the whole output, including pieces already read.

        >>> stream = decoder.stream("Once upon a time", max_new_tokens=8)
        >>> first = next(stream)
        >>> stream.finish().text.startswith(first)
        True
        """
        for _ in self:
            pass
        return Output("".join(self._given), self.stats.token_ids, self.seed, self.stats, self.trace)


def _pieces(rounds: Iterator[Round], text: TextDecoder | OwnText) -> Iterator[str]:
    for done in rounds:
        if piece := text.add(done.tokens):
            yield piece
    if piece := text.end():
        yield piece
