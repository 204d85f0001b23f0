"""The table of classes that prepare a pass of `generate` in their own way is complete."""

from pathlib import Path

import pytest

from tests.support.preparations import Group, compare, installed, overrides, page, table

DOCS = Path(__file__).parents[2] / "docs"

SOURCE = '''
class NewForCausalLM(PreTrainedModel, GenerationMixin):
    @deprecate_kwarg("past_key_values", new_name="cache")
    def prepare_inputs_for_generation(self, input_ids, past_key_values: Cache | None = None):
        """Ids."""
        inputs = super().prepare_inputs_for_generation(input_ids, past_key_values)
        inputs["position_ids"] = None
        return inputs
'''

NAME = "NewForCausalLM.prepare_inputs_for_generation"


def found_in(folder: Path, source: str) -> str:
    """The fingerprint of the only override of a source."""
    (folder / "models/new").mkdir(parents=True, exist_ok=True)
    (folder / "models/new/modeling_new.py").write_text(source)
    (found,) = overrides(folder)
    assert (found.name, found.sets) == (NAME, ("position_ids",))
    return found.fingerprint


def group(prints: list[str]) -> Group:
    return Group(
        "Positions", "None are given.", "as generate", {NAME: prints, "Old.generate": ["1"]}
    )


def test_every_class_of_the_installed_transformers_is_in_the_table() -> None:
    unlike = compare(overrides(installed()), table())
    assert not unlike.new
    assert not unlike.changed


def test_the_table_is_in_the_documentation() -> None:
    """`python -m tests.campaigns.preparations --table > docs/preparations.md` writes it."""
    assert (DOCS / "preparations.md").read_text() == page(table())


def test_no_override_is_in_two_groups() -> None:
    names = [name for group in table() for name in group.overrides]
    assert len(names) == len({*names})


def test_a_new_override_and_a_changed_one_are_named(tmp_path: Path) -> None:
    known = found_in(tmp_path, SOURCE)
    there = overrides(tmp_path)
    assert [each.name for each in compare(there, []).new] == [NAME]
    same = compare(there, [group([known])])
    assert (same.new, same.changed, same.gone) == ([], [], ["Old.generate"])
    assert [each.name for each in compare(there, [group(["another"])]).changed] == [NAME]


@pytest.mark.parametrize(
    ("part", "other", "alike"),
    [
        ('"""Ids."""', '"""All of them."""', True),
        (": Cache | None = None", "=None", True),
        ('    @deprecate_kwarg("past_key_values", new_name="cache")\n', "", True),
        ("past_key_values", "cache", True),
        ('inputs["position_ids"] = None', 'inputs["position_ids"] = input_ids', False),
    ],
)
def test_a_fingerprint_is_of_what_a_method_does(
    tmp_path: Path, part: str, other: str, alike: bool
) -> None:
    first = found_in(tmp_path, SOURCE)
    assert (found_in(tmp_path, SOURCE.replace(part, other)) == first) is alike
