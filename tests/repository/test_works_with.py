"""docs/works-with.md says what its campaign finds: some rows are tried, all must be there."""

from pathlib import Path

import pytest

from tests.support.models import random_model
from tests.support.works_with.columns import EXACT, UNDRAFTED, WRONG, tried
from tests.support.works_with.rows import GROUPS, WORDS, Given, Row
from tests.support.works_with.table import line

PAGE = (Path(__file__).parents[2] / "docs" / "works-with.md").read_text().splitlines()

ROWS = {row.name: row for rows in GROUPS.values() for row in rows}
SAMPLE = [
    *("LoRA", "IA3", "aLoRA", "Prompt tuning", "DataParallel", "more tokens than rows"),
    *("llava", "qwen2_vl with an image"),
]

pytestmark = pytest.mark.filterwarnings("ignore")  # of PEFT and transformers, about tiny models


@pytest.mark.parametrize("name", SAMPLE)
def test_a_row_is_as_the_page_says(name: str) -> None:
    """`python -m tests.campaigns.works_with --table > docs/works-with.md` writes it."""
    if not ROWS[name].can_be_tried:
        pytest.skip(f"{ROWS[name].needs} is not installed")
    found = line(ROWS[name])
    assert not found.failed, found.notes
    of_it = (f"| {name} |", f"- **{name}**")
    assert [str(found), *found.notes] == [each for each in PAGE if each.startswith(of_it)]


def test_every_row_is_on_the_page_and_none_failed() -> None:
    table = [each for each in PAGE if each.startswith("| ") and not each.startswith("| |")]
    assert [each.split(" | ")[0][2:] for each in table] == [*ROWS]
    assert not [each for each in table if "FAILED" in each or WRONG in each]


def test_a_cell_says_what_is_found() -> None:
    model, other = (random_model("llama", WORDS, seed) for seed in (0, 1))
    assert tried("generate", Given(model)) == EXACT
    assert tried("generate", Given(model, generator=other)) == WRONG
    assert tried("as assistant", Given(other, target=model)) == UNDRAFTED
    assert tried("generate", Given(None)).startswith("refused: the target is a NoneType")
    assert tried("custom_generate", Given(model, prompts=[[5, 6], []])).startswith("FAILED: ")
    assert line(Row("mine", lambda: Given(model, generator=other))).failed
