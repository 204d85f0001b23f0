"""Options of the benchmarks."""

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--tokenizers",
        type=Path,
        help="folder with one folder per tokenizer, each with a tokenizer.json",
    )
    parser.addoption("--corpus", type=Path, help="folder with texts in the languages to measure")


def given(request: pytest.FixtureRequest, option: str) -> Path:
    """The folder given on the command line; without one the benchmark is skipped."""
    folder = request.config.getoption(option)
    if folder is None:
        pytest.skip(f"needs {option} FOLDER")
    assert isinstance(folder, Path)
    return folder


@pytest.fixture(scope="session")
def tokenizer_folder(request: pytest.FixtureRequest) -> Path:
    return given(request, "--tokenizers")


@pytest.fixture(scope="session")
def corpus_folder(request: pytest.FixtureRequest) -> Path:
    return given(request, "--corpus")
