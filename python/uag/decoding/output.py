"""The results of a generation: a stream of text, and the complete output."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn, Self, cast

from uag.decoding.trace import Trace
from uag.errors import UagError
from uag.stats import Ending, Round, Stats
from uag.translation.detokenizer import OwnText, TextDecoder
from uag.values import shown


@dataclass(frozen=True, slots=True, repr=False)
class Output:
    """The result of one generation. Printed, it is one line; `print(out.text)` prints the text.

    >>> out = decoder.generate("Once upon a time", max_new_tokens=8)
    >>> len(out.token_ids), out.seed, out.stats.tokens, out.finish_reason
    (8, None, 8, 'length')
    >>> print(out)                                                      # doctest: +SKIP
    Output(' there was a little girl.', 8 tokens in 0.05 s, 160.7 tokens/s, 2.67 a pass, ...)

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

    @property
    def finish_reason(self) -> str:
        """Why the text ended: "eos" (an end-of-text id), "length", "stop_string" or "criterion"."""
        return self._ending.reason

    @property
    def stop_reason(self) -> int | str | None:
        """What ended it: the id, the stop string, or the criterion's class; `None` for "length"."""
        return self._ending.by

    def as_dict(self) -> dict[str, Any]:
        """The output as a dictionary for JSON, with the totals of its rounds."""
        return {
            "text": self.text,
            "token_ids": self.token_ids,
            "finish_reason": self.finish_reason,
            "stop_reason": self.stop_reason,
            "seed": self.seed,
            "stats": self.stats.as_dict(),
        }

    @property
    def _ending(self) -> Ending:
        return cast("Ending", self.stats.ending)

    def __repr__(self) -> str:
        return f"Output({shown(self.text)}, {self.stats.summary()})"


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

    def __repr__(self) -> str:
        return f"TextStream({shown(''.join(self._given))}, {self.stats.summary()})"

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
