"""Models from anywhere: nothing of theirs runs unasked, and what they write commands nothing."""

import json
import sys
import unicodedata
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import uag
from tests.support.models import random_model
from tests.support.tokenizers import PROMPT, tokenizer
from uag import LoadError, SpeculativeDecoder, UagWarning
from uag.cli import main
from uag.cli.terminal import be_quiet, one_line, printable
from uag.models.loading.by_name import load_model, load_tokenizer

HOSTILE = "[red]\x1b[2J\x9b\u202eevil[/red]"


def folder(path: Path, name: str = "bytes", **changes: Any) -> Path:
    """A model, and its configuration with changes."""
    random_model("llama", tokenizer(name)).save_pretrained(path)
    tokenizer(name).save_pretrained(path)
    config = path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))
    return path


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    return int(left.value.code or 0)


def commands(text: str) -> list[str]:
    return [each for each in text if each not in "\n\t" and unicodedata.category(each) == "Cc"]


@pytest.fixture
def with_code(tmp_path: Path) -> Path:
    """A model that brings code, which leaves a file behind when it runs."""
    classes = {"AutoConfig": "code.C", "AutoModelForCausalLM": "code.M", "AutoTokenizer": "code.T"}
    path = folder(tmp_path / "with_code", model_type="nobody_knows", auto_map=classes)
    config = path / "tokenizer_config.json"
    settings = json.loads(config.read_text()) | {
        "auto_map": {"AutoTokenizer": ["code.T", None]},
        "tokenizer_class": "T",
    }
    config.write_text(json.dumps(settings))
    (path / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nC = M = T = None\n")
    return path


OPENED: dict[str, Callable[[str], Any]] = {
    "model": load_model,
    "tokenizer": load_tokenizer,
    "decoder": lambda path: SpeculativeDecoder.from_pretrained(path, path),
    "pipeline": lambda path: uag.pipeline(model=path, assistant_model=path),
    "inspect_pair": lambda path: uag.inspect_pair(path, path),
    "generate": lambda path: run("generate", "Once", "--target", path),
    "inspect": lambda path: run("inspect", path, path),
}


@pytest.mark.parametrize("way", OPENED)
def test_code_that_comes_with_a_model_does_not_run(
    way: str, with_code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody is asked at the terminal either.
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked"))
    with warnings.catch_warnings():
        try:
            assert OPENED[way](str(with_code)) in (0, 1) or way == "inspect_pair"
        except LoadError as error:
            assert "it is code of its repository" in str(error)  # noqa: PT017 - others must not fail
            assert "--trust-remote-code" in str(error)  # noqa: PT017
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def pickled(tmp_path: Path) -> Path:
    """A model whose weights are a pickle."""
    path = folder(tmp_path / "pickled")
    (path / "model.safetensors").unlink()
    model = random_model("llama", tokenizer("bytes"))
    torch.save(model.state_dict(), path / "pytorch_model.bin")
    return path


def test_pickles_are_read_only_if_asked_for(
    pickled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(LoadError, match=r"no safetensors can run code .* use_safetensors=False"):
        SpeculativeDecoder.from_pretrained(str(pickled), None)
    for asked in (False, None):
        decoder = SpeculativeDecoder.from_pretrained(str(pickled), None, use_safetensors=asked)
        assert len(decoder.generate(PROMPT, max_new_tokens=3).token_ids) == 3
    generate = "generate", "Once", "--target", str(pickled), "-n", "3"
    with warnings.catch_warnings():
        assert run(*generate) == 1 and "--no-use-safetensors" in capsys.readouterr().err
        assert run(*generate, "--no-use-safetensors") == 0


def test_pickles_are_allowed_and_not_asked_for(pickled: Path, tmp_path: Path) -> None:
    """A pair may have a model of each kind."""
    other = str(folder(tmp_path / "safe"))
    decoder = SpeculativeDecoder.from_pretrained(str(pickled), other, use_safetensors=False)
    assert decoder.generate("Once", max_new_tokens=2).stats.tokens == 2


def test_a_folder_without_weights_is_not_told_of_pickles(pickled: Path) -> None:
    (pickled / "pytorch_model.bin").unlink()
    with pytest.raises(LoadError, match=r"no file named model\.safetensors found in .*") as error:
        SpeculativeDecoder.from_pretrained(str(pickled), None)
    assert "use_safetensors" not in str(error.value)


def test_text_of_a_model_does_not_command_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(folder(tmp_path / "target"))
    # A random model of bytes writes many control characters.
    generate = "generate", "Once", "--target", path, "-n", "200", "--seed", "1"
    with warnings.catch_warnings():
        assert run(*generate, "--json") == 0
        printed = capsys.readouterr().out
        text = json.loads(printed)["text"]
        assert len(commands(text)) > 5 and not commands(printed)
        assert run(*generate) == 0
        assert capsys.readouterr().out == text + "\n"  # a file or a program gets it as it is
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        assert run(*generate) == 0
        shown = capsys.readouterr().out
    assert shown == printable(text) + "\n" and not commands(shown)


def test_names_do_not_command_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(folder(tmp_path / f"{HOSTILE.replace('/', '')}{number}")) for number in range(3)]
    said: list[str] = []
    with warnings.catch_warnings():
        for names in (paths, paths[:2], [paths[0], "no" + HOSTILE]):
            run("inspect", *names)
            said += capsys.readouterr()
        run("generate", "Once", "--target", HOSTILE)
        run("generate", "Once", "--target", paths[0], "--report", str(tmp_path / HOSTILE / "a"))
        run("compare", "--prompts", str(tmp_path / HOSTILE))
        run("plot", str(tmp_path / HOSTILE), "--out", "x.png")
        said += capsys.readouterr()
        run("generate", "Once", "--target", paths[0], "-n", "3", "--report", f"{paths[1]}.html")
        said.append(capsys.readouterr().err)
    whole = "".join(said)
    assert not commands(whole) and "\u202e" not in whole
    assert whole.count("[red]") >= 8  # and no markup was taken for such


def test_warnings_do_not_command_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        be_quiet()
        warnings.warn(f"first\n{HOSTILE}", UagWarning, stacklevel=1)
    said = capsys.readouterr().err
    assert said == "uag: warning: first [red]\ufffd[2J\ufffd\ufffdevil[/red]\n"


@given(st.text())
def test_what_is_printable_can_be_written_and_commands_nothing(text: str) -> None:
    text += "\ud800" + HOSTILE
    shown = printable(text)
    assert not commands(shown) and len(shown) == len(text) and "\u202e" not in shown
    shown.encode()
    assert "\n" not in one_line(text)
