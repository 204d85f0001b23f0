"""Every class for images and text of the installed transformers, tiny, with an image.

    python -m tests.campaigns.images
    python -m tests.campaigns.images qwen2_vl gemma3

Each class is made with random weights and given a random image in the form that its processor
gives. `model.generate` of a copy that has read nothing says what is right. Prints a table.
"""

import resource
from typing import Annotated

import typer

from tests.support.architectures.cells import image_cells
from tests.support.architectures.images import CHECKS, KINDS
from tests.support.architectures.verdicts import Finding

# Bytes that a class may take: some have sizes that no tiny configuration reaches.
MEMORY = 14 << 30


def main(
    kind: Annotated[list[str] | None, typer.Argument(help="only these")] = None,
) -> None:
    """Check all kinds, and print a table."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    typer.echo(f"| class | {' | '.join(CHECKS)} | drafts accepted |")
    typer.echo(f"|---|{'---|' * len(CHECKS)}---|")
    tried: list[dict[str, Finding]] = []
    without: dict[str, str] = {}
    for each in kind or KINDS:
        try:
            found = image_cells(each)
        except Exception as error:  # noqa: BLE001 - any is a reason
            without[each] = f"{type(error).__name__}: {error!s:.120}"
            continue
        tried.append(found)
        verdicts = " | ".join(finding.verdict for finding in found.values())
        drafts = found["generate"]
        typer.echo(f"| {each} | {verdicts} | {drafts.accepted} of {drafts.drafted} |")
        for finding in found.values():
            if finding.message:
                typer.echo(f"{each}, {finding.check}: {finding.message}", err=True)
    typer.echo(f"\n{len(tried)} classes with an image; without: {without}")
    raise typer.Exit(any(each.verdict.failed for found in tried for each in found.values()))


if __name__ == "__main__":
    typer.run(main)
