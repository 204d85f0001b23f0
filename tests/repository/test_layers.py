"""The packages stand in the order that a token passes them: each imports only from those before."""

import ast
from pathlib import Path

import pytest

import uag

PACKAGE = Path(uag.__file__).parent

ORDER = [
    # the ground: values that everything may use
    "_core", "errors", "values", "limits", "files", "clock", "draft", "stats",
    # a token's way
    "translation", "models", "lookahead", "sampling", "drafting", "decoding", "batching",
    "proposing", "requests", "engine", "decoder",
    # around the decoder
    "serving", "teaching", "inspection", "conformance", "benchmark", "report", "integrations",
    "demo", "cli",
]  # fmt: skip

# Doors into the house, which only point at what is inside.
DOORS = {"__init__", "__main__", "lm_eval", "vllm", "llama_cpp"}

MOST_FILES = 9

MODULES = sorted(
    str(path.relative_to(PACKAGE).with_suffix("")).replace("/", ".")
    for path in PACKAGE.rglob("*.py")
)


def imported(module: str) -> set[str]:
    """The modules of the package that a module imports anywhere, also for types only."""
    tree = ast.parse(PACKAGE.joinpath(*module.split(".")).with_suffix(".py").read_text())
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: imports are absolute"
            source = str(node.module)
            names = {f"{source}.{alias.name}" for alias in node.names}
            known = {name for name in names if name.removeprefix("uag.") in MODULES}
            found |= known or {source}
    return {name.removeprefix("uag.") for name in found if name.startswith("uag.")}


def place(module: str) -> int:
    return ORDER.index(module.partition(".")[0])


def test_every_module_has_a_place() -> None:
    tops = {module.partition(".")[0] for module in MODULES} - DOORS
    assert tops == set(ORDER) - {"_core"}


@pytest.mark.parametrize("module", [each for each in MODULES if each not in DOORS])
def test_a_module_imports_only_from_those_before_it(module: str) -> None:
    package = module.partition(".")[0]
    for other in imported(module):
        same = other.partition(".")[0] == package
        assert same or place(other) < place(module), f"{module} imports {other}"


def test_no_package_has_a_circle() -> None:
    """Kahn's algorithm over the modules: what is left after taking away leaves is in a circle."""
    left = {module: imported(module) & set(MODULES) - {module} for module in MODULES}
    while leaves := {module for module, needs in left.items() if not needs & set(left)}:
        for module in leaves:
            del left[module]
    assert not left


def test_a_package_can_be_looked_through() -> None:
    for folder in {path.parent for path in PACKAGE.rglob("*.py")} - {PACKAGE}:
        files = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(files) <= MOST_FILES, f"{folder.name} has {len(files)} modules: {files}"
