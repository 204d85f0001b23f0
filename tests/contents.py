"""What is in a built wheel and in the sources: what should be, and nothing else.

    python tests/contents.py dist/*

The package's files are those that git knows, and the extension. The list of what the extension is
made of (an SBOM, PEP 770) must name every crate that is linked, as `cargo tree` and Cargo.lock have
it. Prints the wheel's size by kind.
"""

import json
import subprocess
import sys
import tarfile
import tomllib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any
from zipfile import ZipFile

import typer

ROOT = Path(__file__).parents[1]
EXTENSIONS = {"uag/_core.abi3.so", "uag/_core.pyd"}
SBOM = "sboms/uag-py.cyclonedx.json"
ABOUT = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", SBOM}
SOURCES = ("Cargo.lock", "Cargo.toml", "LICENSE", "README.md", "pyproject.toml", "python",
           "rust/uag", "rust/uag-py")  # fmt: skip
# Fuzzing is a workspace of its own, and its kept inputs are megabytes.
LEFT_OUT = ("rust/uag/fuzz/", "rust/uag/tests/corpus.rs")
KINDS = {
    ".safetensors": "the demo pair's weights",
    ".so": "the extension module",
    ".pyd": "the extension module",
    ".py": "Python and its type stub",
    ".pyi": "Python and its type stub",
}


def printed(*command: str) -> list[str]:
    """The lines that a command prints at the root of the repository."""
    return subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()


def apart(found: Iterable[str], expected: Iterable[str]) -> list[str]:
    """What is wrong with a list of files.

    >>> apart(["a", "notes.txt"], ["a", "b"])
    ['b is missing', 'notes.txt is stray']
    """
    found, expected = set(found), set(expected)
    return [f"{name} is missing" for name in sorted(expected - found)] + [
        f"{name} is stray" for name in sorted(found - expected)
    ]


def wheel_problems(name: str, files: Iterable[str], tracked: Iterable[str]) -> list[str]:
    """What is wrong with a wheel of this name and these files, where git knows the `tracked`."""
    distribution, version, python, abi, _ = name.removesuffix(".whl").split("-")
    about = f"{distribution}-{version}.dist-info/"
    files = set(files)
    extension = files & EXTENSIONS
    problems = apart(
        files - extension,
        {path.removeprefix("python/") for path in tracked if path.startswith("python/")}
        | {about + each for each in ABOUT},
    )
    if len(extension) != 1:
        problems.append(f"one extension module should be there, not {sorted(extension)}")
    if (python, abi) != ("cp311", "abi3"):
        problems.append(f"{python}-{abi}: the wheel should be for every Python from 3.11 on")
    return problems


def linked() -> set[tuple[str, str]]:
    """(name, version) of every crate that the extension is built from, for this machine."""
    tree = printed(
        "cargo", "tree", "--package", "uag-py", "--edges", "normal", "--prefix", "none",
        "--format", "{p}", "--locked",
    )  # fmt: skip
    words = [line.split() for line in tree if line]
    return {(name, version.removeprefix("v")) for name, version, *_ in words} - {
        (name, version.removeprefix("v")) for name, version, *_ in words if name == "uag-py"
    }


def sbom_problems(
    sbom: dict[str, Any], crates: set[tuple[str, str]], lock: dict[str, Any]
) -> list[str]:
    """What is wrong with a list of components: a crate, its licence or its checksum."""
    sums = {(each["name"], each["version"]): each.get("checksum") for each in lock["package"]}
    listed = {(each["name"], each["version"]): each for each in sbom["components"]}
    problems = [f"{SBOM}: {' '.join(crate)} is missing" for crate in sorted(crates - {*listed})]
    for crate, each in sorted(listed.items()):
        if not each.get("licenses"):
            problems.append(f"{SBOM}: {' '.join(crate)} has no licence")
        if sums.get(crate) not in {None, *(one["content"] for one in each.get("hashes", []))}:
            problems.append(f"{SBOM}: {' '.join(crate)} has another checksum than Cargo.lock")
        if crate not in sums:
            problems.append(f"{SBOM}: {' '.join(crate)} is not in Cargo.lock")
    return problems


def sizes(wheel: ZipFile) -> list[str]:
    """A table of sizes by kind, in KiB."""
    packed, unpacked, files = Counter[str](), Counter[str](), Counter[str]()
    for each in wheel.infolist():
        kind = KINDS.get(Path(each.filename).suffix, "")
        if not kind:
            of_pair = each.filename.startswith("uag/demo_pair/")
            about = ".dist-info/" in each.filename
            kind = "about the package, with the SBOM" if about else "the pages"
            kind = "the demo pair's tokenizers and configurations" if of_pair else kind
        for one in (kind, "all"):
            packed[one] += each.compress_size
            unpacked[one] += each.file_size
            files[one] += 1
    lines = ["| what | files | packed, KiB | unpacked, KiB |", "|---|---|---|---|"]
    for kind in sorted(packed, key=lambda kind: (kind == "all", -packed[kind])):
        sized = f"{packed[kind] / 1024:,.0f} | {unpacked[kind] / 1024:,.0f}"
        lines.append(f"| {kind} | {files[kind]} | {sized} |")
    return lines


def main(
    built: Annotated[list[Path], typer.Argument(help="Wheels and archives of sources.")],
) -> None:
    """Compare what was built with what should be in it."""
    tracked = printed("git", "ls-files")
    problems: list[str] = []
    for file in built:
        if file.suffix == ".whl":
            with ZipFile(file) as wheel:
                names = wheel.namelist()
                found = wheel_problems(file.name, names, tracked)
                lists = [json.loads(wheel.read(name)) for name in names if name.endswith(SBOM)]
                lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
                for sbom in lists:
                    found += sbom_problems(sbom, linked(), lock)
                typer.echo("\n".join([file.name, "", *sizes(wheel), ""]))
        else:
            with tarfile.open(file) as archive:
                top = file.name.removesuffix(".tar.gz")
                found = apart(
                    archive.getnames(),
                    {f"{top}/PKG-INFO"} | {
                        f"{top}/{name}" for name in tracked
                        if any(name == one or name.startswith(f"{one}/") for one in SOURCES)
                        and not name.startswith(LEFT_OUT)
                    },
                )  # fmt: skip
        problems += [f"{file.name}: {problem}" for problem in found]
    if problems:
        sys.exit("\n".join(problems))
    typer.echo(f"{len(built)} checked: nothing is missing, nothing is stray")


if __name__ == "__main__":
    typer.run(main)
