"""A row of a table for each kind of target that reads images: what comes of each way to use it."""

from tests.support.architectures.checks import checked
from tests.support.architectures.images import CHECKS, Pictured
from tests.support.architectures.models import Weights
from tests.support.architectures.run import Task, run
from tests.support.architectures.verdicts import Finding

# The columns, and the checks of texts that they stand for.
COLUMNS = {
    "generate": "drafts of 4",
    "custom_generate": "custom_generate",
    "pipeline": "pipeline",
    "batch": "batch",
    "as assistant": "assists a Llama",
}

WEIGHTS = Weights(0.3)


def text_cells(kind: str) -> dict[str, Finding]:
    """The row of a kind with text alone; one cell, "made", if the class cannot be made."""
    found = {
        each.check: each for each in run(Task(kind, WEIGHTS, tuple(COLUMNS.values()))).findings
    }
    return {column: found[check] for column, check in COLUMNS.items() if check in found} or found


def image_cells(kind: str) -> dict[str, Finding]:
    """The row of a kind with an image. There is no cell for `uag.pipeline`, which reads texts.

    Raises:
        Exception: if the class cannot be made, or sees no form of an image.
    """
    subject = Pictured.of(kind, WEIGHTS)
    return {name: checked(subject, name, CHECKS) for name in CHECKS}
