"""Options of loading reach the models, tokenizers and configurations that they are meant for."""

from typing import Any

import pytest

from tests.support.command_line import run
from uag.cli.loading import FILES, OWN

GIVEN = {
    "revision": "v2",
    "subfolder": "inner",
    "token": "secret",
    "cache_dir": "/kept",
    "gguf_file": "a.gguf",
    "dtype": "float64",
    "device_map": "cpu",
}


class Reached(Exception):  # noqa: N818 - says that the work would begin now
    pass


def words(options: dict[str, str], prefix: str = "--") -> list[str]:
    return [
        word for name, value in options.items() for word in (prefix + name.replace("_", "-"), value)
    ]


@pytest.mark.parametrize("command", ["generate", "compare"])
def test_options_of_both_models(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reached: list[dict[str, Any]] = []

    def load(*_: Any, **named: Any) -> None:
        reached.append(named)
        raise Reached

    monkeypatch.setattr("uag.requests.named_models.load_pair", load)
    own = {name: f"own-{name}" for name in OWN}
    line = [command, "--target", "a/b", "--assistant", "c/d", "--local-files-only"]
    line += [*words(GIVEN), *words(own, "--assistant-"), "--no-use-safetensors"]
    with pytest.raises(Reached):
        run(capsys, *line, *(["Once"] if command == "generate" else []))
    [named] = reached
    flags = {"local_files_only": True, "trust_remote_code": False, "use_safetensors": False}
    options = {name: str(value) for name, value in named["options"].items() if name in GIVEN}
    assert options == GIVEN
    assert named["options"].items() >= flags.items()
    assert named["assistant_options"] == own


def test_a_command_that_reads_no_weights(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reached: list[tuple[str, dict[str, Any]]] = []

    def load(name: str, **options: Any) -> Any:
        reached.append((name, options))
        if name == "c/d":
            raise Reached
        from tests.support.tokenizers import tokenizer

        return tokenizer("gpt2")

    monkeypatch.setattr("uag.inspection.model_facts.load_tokenizer", load)
    monkeypatch.setattr("uag.inspection.model_facts._config", lambda *_: None)
    monkeypatch.setattr("uag.inspection.model_facts._generation_defaults", lambda *_: None)
    files = {name: value for name, value in GIVEN.items() if name in FILES}
    with pytest.raises(Reached):
        run(capsys, "inspect", "a/b", "c/d", *words(files), "--assistant-revision", "w")
    (_, target), (_, assistant) = reached
    assert {name: str(target[name]) for name in files} == files
    assert assistant["revision"] == "w" and "subfolder" not in assistant
    assert assistant["token"] == GIVEN["token"] and not assistant["trust_remote_code"]


@pytest.mark.parametrize(
    "wrong",
    [
        ["--lookahead", "0"],
        ["--tree", "32"],
        ["--tree", "1"],
        ["--engine", "steam"],
        ["--engine", "eager", "--compile"],
        ["--temperature", "nan"],
        ["--min-p", "2"],
        ["--seed", "-1"],
        ["--repetition-penalty", "0"],
        ["--stop", ""],
    ],
)
def test_values_are_checked_before_models_are_loaded(
    capsys: pytest.CaptureFixture[str], wrong: list[str]
) -> None:
    asked = ["generate", "--target", "/no/folder", *wrong, "Once"]
    status, out, err = run(capsys, *asked)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert wrong[0][2:].split("-")[0] in err and "folder" not in err


@pytest.mark.parametrize("assistant", [[], ["--assistant", "lookup"]])
@pytest.mark.parametrize("name", OWN)
def test_options_of_an_assistant_that_is_not_loaded(
    capsys: pytest.CaptureFixture[str], name: str, assistant: list[str]
) -> None:
    option = f"--assistant-{name.replace('_', '-')}"
    for asked in (["generate", "x", "--target", "y"], ["compare", "--target", "y", "--lookup"]):
        status, _, err = run(capsys, *asked, *assistant, option, "z")
        assert status == 2 and f"{option}, but no assistant is loaded" in err
    status, _, err = run(capsys, "compare", option, "z")
    assert status == 2 and f"{option}, but no assistant is loaded" in err


def test_what_is_loaded_is_said(capsys: pytest.CaptureFixture[str], pair: list[str]) -> None:
    _, _, err = run(capsys, "generate", *pair, "-n", "4", "Once")
    assert err.splitlines()[:2] == [
        f"uag: loading the {role} from {name}"
        for role, name in (("target", pair[1]), ("assistant", pair[3]))
    ]
