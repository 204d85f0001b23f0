"""What a user sees at 60, 80 and 120 columns is what was last looked at."""

import pytest

from tests.support.screens import COLUMNS, FOLDER, screens

SCREENS = {path.name: (path, draw) for path, draw in screens().items()}


@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_is_as_its_file(name: str) -> None:
    """`python -m tests.support.screens` writes them: look at each that differs."""
    path, draw = SCREENS[name]
    assert draw() == path.read_text()


def test_there_are_no_other_files() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {*SCREENS}


@pytest.mark.parametrize("name", SCREENS)
def test_no_word_is_cut_and_no_table_is_wider(name: str) -> None:
    path, _ = SCREENS[name]
    columns = next(each for each in COLUMNS if path.stem.endswith(f"-{each}"))
    lines = path.read_text().splitlines()[1:]
    assert not [line for line in lines if "…" in line]
    drawn = [line for line in lines if line.startswith(tuple("┏┃┡│├└╭╰ ")) and "$" not in line]
    assert all(len(line) <= columns for line in drawn if not line.startswith("    "))
