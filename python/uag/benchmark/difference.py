"""Where the output of a method first differs, and what that means."""

from dataclasses import dataclass
from typing import Any

HALVES = ("bfloat16", "float16")


@dataclass(frozen=True, slots=True)
class Margin:
    """The target's scores where two outputs part, read in one pass over the text before it.

    Attributes:
        best_two: the two best scores, after the processors of the target's own defaults.
        rounding: the distance of neighbouring numbers of the target's type at the best score.
        dtype: the target's number type.
        tie: whether the tokens of both outputs are as good as the best, up to what rounding in the
            passes before may change (`models/check/comparison.py` says how much that is).
    """

    best_two: tuple[float, float]
    rounding: float
    dtype: str
    tie: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """The first difference of a method's output from the one that it must reproduce.

    >>> first_difference("uag", 0, [5, 6, 7], [5, 8, 7])
    Difference(method='uag', prompt=0, position=1, expected=6, found=8, texts=('', ''), margin=None)

    Attributes:
        method: the name of the method.
        prompt: the number of the prompt, from 0.
        position: the number of the new id, from 0.
        expected, found: the two ids; `None` where an output has ended.
        texts: the two ids as text.
        margin: the target's scores there; `None` for sampled output, which noise decides too.
    """

    method: str
    prompt: int
    position: int
    expected: int | None
    found: int | None
    texts: tuple[str, str] = ("", "")
    margin: Margin | None = None

    @property
    def why(self) -> str:
        """What the difference means, in one or two sentences."""
        if self.margin is None:
            return "the scores there are not compared, as a seed's noise decides too"
        dtype = self.margin.dtype
        if not self.margin.tie:
            return (
                f"the rounding of {dtype} does not explain this: "
                f"please report it as a bug of {self.method}"
            )
        if dtype in HALVES:
            return (
                f"equal up to the rounding of {dtype}: passes of another width round differently, "
                "also those of plain decoding in a batch and of transformers' assisted "
                "generation; load the models in float32 to compare exactly"
            )
        return f"equal up to the rounding of {dtype} in passes of different widths"

    def as_dict(self) -> dict[str, Any]:
        """The difference as a dict of JSON values; prompt and position count from 0."""
        described: dict[str, Any] = {
            "method": self.method,
            "prompt": self.prompt,
            "position": self.position,
            "expected": {"id": self.expected, "text": self.texts[0]},
            "found": {"id": self.found, "text": self.texts[1]},
            "why": self.why,
        }
        if self.margin is not None:
            best, second = self.margin.best_two
            described |= {
                "margin": best - second,
                "best_logit": best,
                "rounding": self.margin.rounding,
                "dtype": self.margin.dtype,
                "explained_by_rounding": self.margin.tie,
            }
        return described


def first_difference(
    method: str, prompt: int, expected: list[int], found: list[int]
) -> Difference | None:
    """Where two outputs part; `None` if they are equal."""
    if expected == found:
        return None
    pairs = zip(expected, found, strict=False)
    parted = (at for at, (one, other) in enumerate(pairs) if one != other)
    at = next(parted, min(len(expected), len(found)))
    return Difference(method, prompt, at, _id_at(expected, at), _id_at(found, at))


def _id_at(ids: list[int], at: int) -> int | None:
    return ids[at] if at < len(ids) else None
