"""What an engine made of the campaigns' texts, and a table of that."""

from dataclasses import dataclass

import typer

# Openings of stories; characters of several bytes, a text that repeats itself, two that are equal.
TEXTS = [
    "Once upon a time",
    "One day, Lily and Tim went to the park",
    "naïve 🦊🦊 fox",
    "One day, 漢字 and Tim",
    "Once upon a time, there was a little girl named Lily. She 🎉",
    "Tim and Lily went to the park. They saw a big dog. " * 3,
    "Once upon a time",
    "The dog",
]
# Ids of each output.
LENGTH = 64
# Most candidates of a text in a pass.
CANDIDATES = 5


@dataclass(frozen=True)
class Decoded:
    """Outputs, and what they took.

    Attributes:
        ids: of each text, `LENGTH` of them.
        passes: of the target, over all texts.
        proposed: how many candidates it verified.
        accepted: how many of them were right, as far as the engine counts it.
    """

    ids: list[list[int]]
    passes: int
    proposed: int
    accepted: int

    @property
    def tokens_per_pass(self) -> float:
        """How many ids a pass of the target gave, on average."""
        return sum(map(len, self.ids)) / self.passes

    def equal(self, plain: list[list[int]]) -> int:
        """How many outputs are those without drafts."""
        return sum(one == other for one, other in zip(self.ids, plain, strict=True))


class Lines:
    """A table in Markdown, line by line as they come."""

    def __init__(self, *columns: str) -> None:
        self.add(*columns)
        self.add(*["---"] * len(columns))

    def add(self, *cells: object) -> None:
        """One more line."""
        typer.echo(f"| {' | '.join(map(str, cells))} |")
