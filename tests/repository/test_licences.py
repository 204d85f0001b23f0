"""Rust dependencies have licences that deny.toml allows, and come from the registry.

`cargo deny check` says the same and knows advisories too; this needs nothing but cargo."""

import json
import re
import subprocess
import tomllib
from pathlib import Path
from shutil import which
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

ALLOWED = frozenset(tomllib.loads((ROOT / "deny.toml").read_text())["licenses"]["allow"])

WORD = re.compile(r"[()]|\b(?:AND|OR)\b|[\w.+-]+(?: WITH [\w.-]+)?")


def allowed(expression: str) -> bool:
    """Whether the licences of an SPDX expression are allowed; an old one says OR by a stroke."""
    words = WORD.findall(expression.replace("/", " OR "))
    kept = ("(", ")", "AND", "OR")
    said = " ".join(word.lower() if word in kept else str(word in ALLOWED) for word in words)
    return bool(eval(said))  # noqa: S307 - nothing but True, False, and, or, brackets


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("MIT/Apache-2.0", True),
        ("Unlicense OR MIT", True),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", True),
        ("(MIT OR Apache-2.0) AND GPL-2.0", False),
        ("MIT AND (GPL-2.0 OR Apache-2.0 WITH LLVM-exception)", True),
        ("GPL-2.0 WITH Classpath-exception-2.0", False),
    ],
)
def test_expressions(expression: str, expected: bool) -> None:
    assert allowed(expression) == expected


@pytest.mark.skipif(which("cargo") is None, reason="needs cargo")
def test_every_dependency_is_allowed() -> None:
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    packages: list[dict[str, Any]] = json.loads(listed)["packages"]
    assert len(packages) > 10
    refused = {each["name"]: each["license"] for each in packages if not allowed(each["license"])}
    assert not refused
    registry = "registry+https://"
    foreign = [
        each["name"] for each in packages if not (each["source"] or registry).startswith(registry)
    ]
    assert not foreign
