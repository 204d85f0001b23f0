"""What tests/contents.py finds wrong with wheels that have too much or too little."""

from typing import Any

import pytest

from tests.contents import ABOUT, apart, sbom_problems, wheel_problems

INFO = "uag_decoding-0.1.0.dist-info"
NAME = "uag_decoding-0.1.0-cp311-abi3-manylinux_2_28_x86_64.whl"

TRACKED = ["python/uag/__init__.py", "python/uag/report/assets/page.css", "tests/fakes.py"]

FILES = {"uag/__init__.py", "uag/report/assets/page.css", "uag/_core.abi3.so"} | {
    f"{INFO}/{name}" for name in ABOUT
}

SBOM: dict[str, Any] = {
    "components": [
        {"name": "uag", "version": "0.1.0", "licenses": [{}]},
        {"name": "memchr", "version": "2.8.3", "licenses": [{}], "hashes": [{"content": "ab"}]},
    ]
}

LOCK: dict[str, Any] = {
    "package": [
        {"name": "uag", "version": "0.1.0"},
        {"name": "memchr", "version": "2.8.3", "checksum": "ab"},
    ]
}


def test_a_wheel_as_it_should_be() -> None:
    assert wheel_problems(NAME, FILES, TRACKED) == []
    assert wheel_problems(NAME, FILES - {"uag/_core.abi3.so"} | {"uag/_core.pyd"}, TRACKED) == []


@pytest.mark.parametrize(
    ("more", "less", "problem"),
    [
        ("tests/fakes.py", "", "tests/fakes.py is stray"),
        ("uag/notes.txt", "", "uag/notes.txt is stray"),
        ("uag/_core.pyd", "", "one extension module should be there"),
        ("", "uag/_core.abi3.so", "one extension module should be there, not []"),
        ("", "uag/report/assets/page.css", "uag/report/assets/page.css is missing"),
        (
            "",
            "uag_decoding-0.1.0.dist-info/sboms/uag-py.cyclonedx.json",
            "cyclonedx.json is missing",
        ),
        ("", f"{INFO}/licenses/LICENSE", "LICENSE is missing"),
    ],
)
def test_a_file_too_many_or_too_few(more: str, less: str, problem: str) -> None:
    (found,) = wheel_problems(NAME, FILES - {less} | ({more} - {""}), TRACKED)
    assert problem in found


def test_a_wheel_for_one_python_only() -> None:
    (found,) = wheel_problems(NAME.replace("cp311-abi3", "cp312-cp312"), FILES, TRACKED)
    assert found.startswith("cp312-cp312")


def test_sources() -> None:
    assert apart(["a", "b"], ["a", "b"]) == []


def test_a_list_of_components() -> None:
    crates = {("uag", "0.1.0"), ("memchr", "2.8.3")}
    assert sbom_problems(SBOM, crates, LOCK) == []
    (found,) = sbom_problems(SBOM, crates | {("serde", "1.0.0")}, LOCK)
    assert "serde 1.0.0 is missing" in found
    other = {"package": [LOCK["package"][0], LOCK["package"][1] | {"checksum": "cd"}]}
    (found,) = sbom_problems(SBOM, crates, other)
    assert "memchr 2.8.3 has another checksum" in found
    (found,) = sbom_problems(SBOM, crates, {"package": LOCK["package"][:1]})
    assert "memchr 2.8.3 is not in Cargo.lock" in found
    bare = {"components": [{"name": "uag", "version": "0.1.0"}]}
    (found,) = sbom_problems(bare, set(), LOCK)
    assert "has no licence" in found
