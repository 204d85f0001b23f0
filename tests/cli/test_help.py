"""`--help`, for every command and option that there is."""

import pytest

from tests.support.command_line import run
from tests.support.commands import COMMANDS, ROOT, options_of
from uag.cli.help import BESIDE, OTHER

PAGES = {"": ROOT} | COMMANDS
EXAMPLES = ("Example:", "Examples:", "Try first")


def page(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, columns: int
) -> tuple[list[str], list[str]]:
    """The lines of a page before the examples, and those of the examples."""
    monkeypatch.setenv("COLUMNS", str(columns))
    status, out, err = run(capsys, *filter(None, [name]), "--help")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith(EXAMPLES))
    return lines[:start], lines[start:]


@pytest.mark.parametrize("columns", [50, 60, 80, 120])
@pytest.mark.parametrize("name", PAGES)
def test_every_name_is_whole_at_any_width(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, columns: int
) -> None:
    lines, examples = page(capsys, monkeypatch, name, columns)
    assert max(map(len, lines)) <= columns and "…" not in "\n".join(lines)
    rows = [line.split("   ")[0].split() for line in lines if line.startswith("  ")]
    words = {word.strip(",") for row in rows for word in row}
    for option in options_of(PAGES[name]):
        assert {*option.opts, *option.secondary_opts} - {option.name} <= words
        assert option.is_eager or option.metavar is None or option.metavar in words
    assert examples == page(capsys, monkeypatch, name, 200)[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_in_a_group_and_has_a_sentence(name: str) -> None:
    for option in options_of(COMMANDS[name]):
        assert (option.rich_help_panel or OTHER) != OTHER or option.name == "help"
        assert option.help.endswith(".")


def test_a_short_name_and_its_sentence_share_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, _ = page(capsys, monkeypatch, "plot", 80)
    [row] = [line for line in lines if line.startswith("  --out FILE")]
    assert row[BESIDE:].startswith("The file to write")
    lines, _ = page(capsys, monkeypatch, "plot", 60)
    assert lines[lines.index("  --out FILE") + 1].startswith("      The file to write")
