"""The command line, run as a user runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import PROMPT, random_model, telling, tokenizer
from uag import SpeculativeDecoder
from uag.cli import main
from uag.cli.terminal import printable
from uag.report.tables import story


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("pair")
    for role, name in (("target", "gpt2"), ("assistant", "llama2")):
        random_model("llama", tokenizer(name)).save_pretrained(folder / role)
        tokenizer(name).save_pretrained(folder / role)
    return ["--target", str(folder / "target"), "--assistant", str(folder / "assistant")]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    out, err = capsys.readouterr()
    return int(stopped.value.code or 0), out, err


def test_generate_streams_the_text(capsys: pytest.CaptureFixture[str], pair: list[str]) -> None:
    status, out, _ = run(capsys, "generate", *pair, "-n", "12", PROMPT)
    expected = SpeculativeDecoder.from_pretrained(pair[1], None).generate(PROMPT, max_new_tokens=12)
    assert (status, out) == (0, expected.text + "\n")


def test_generate_prints_one_json_object(
    capsys: pytest.CaptureFixture[str], pair: list[str]
) -> None:
    status, out, _ = run(capsys, "generate", *pair, "-n", "12", "-k", "heuristic", "--json", PROMPT)
    described = json.loads(out)
    assert status == 0
    assert len(described["token_ids"]) == 12 == described["stats"]["tokens"]
    assert described["stats"]["engines"] == {"target": "eager", "assistant": "eager"}
    assert out.count("\n") == 1


MISTAKES = [
    (["generate", "--target", "/no/folder", "x"], "cannot load"),
    (["generate", "--target", "PAIR", "--lookahead", "0", "x"], "lookahead is 0"),
    (["generate", "--target", "PAIR", "--lookahead", "soon", "x"], "lookahead is 'soon'"),
    (["generate", "--target", "PAIR", ""], "prompt is empty"),
    (["generate", "--target", "PAIR", "word " * 500], "window is 256"),
    (["generate", "--target", "PAIR", "--dtype", "float99", "x"], "float99"),
    (["generate", "--target", "PAIR", "--device-map", "nowhere", "x"], "nowhere"),
    (["compare", "--prompts", "/no/file.txt"], "cannot read prompts from /no/file.txt"),
    (["compare", "--prompts", "/no/prompts.csv"], "end with .txt or .jsonl"),
    (["compare", "--target", "/no/folder", "--assistant", "PAIR"], "cannot load"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), MISTAKES, ids=[message for _, message in MISTAKES]
)
def test_a_mistake_is_one_line(
    capsys: pytest.CaptureFixture[str], pair: list[str], arguments: list[str], message: str
) -> None:
    status, out, err = run(
        capsys, *[pair[1] if argument == "PAIR" else argument for argument in arguments]
    )
    assert (status, out) == (1, "")
    assert err.startswith("uag: ") and err.count("\n") == 1 and message in err


def test_wrong_usage_has_status_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "generate", "x")[0] == 2
    assert run(capsys, "dance")[0] == 2
    assert run(capsys, "compare", "--target", "x")[0] == 2


def test_help_shows_examples_and_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "generate", "--help")
    assert status == 0 and "uag generate --target" in out
    status, out, _ = run(capsys, "--version")
    assert status == 0 and out.startswith("uag 0.") and out.count("\n") == 1


def test_the_module_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "uag", "--help"], capture_output=True, text=True, check=True
    )
    assert "demo" in done.stdout


def test_the_demo_tells_a_story_and_compares(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "demo", "-n", "16", "--runs", "1")
    assert (status, err) == (0, "")
    assert "Once, there was a happy girl" in out and "identical output: yes" in out


def test_two_models_are_compared_on_a_file_of_prompts(
    capsys: pytest.CaptureFixture[str], pair: list[str], tmp_path: Path
) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text(f"{PROMPT}\nThe dog\nnot read\n")
    asked = ["--prompts", str(prompts), "--limit", "2", "--runs", "1", "-n", "8", "--threads", "1"]
    status, out, err = run(capsys, "compare", *pair, *asked, "--json")
    described = json.loads(out)
    assert (status, out.count("\n")) == (0, 1) and "Traceback" not in err
    assert described["identical"] and described["prompts"] == 2 and described["threads"] == 1
    assert [method["name"] for method in described["methods"]] == ["plain", "transformers", "uag"]
    assert all(
        method["tokens"] == 16 and method["tokens_per_second"] > 0
        for method in described["methods"]
    )
    assert described["dtype"] == "float32" and described["methods"][2]["seconds"]["verify"] > 0


def test_the_demo_pair_is_compared(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "compare", "--limit", "1", "--runs", "1", "-n", "8")
    assert (status, err) == (0, "")
    assert "transformers" in out and "identical output: yes" in out


def test_a_story_marks_accepted_drafts_and_no_text_is_markup() -> None:
    target = tokenizer("gpt2")
    decoder = SpeculativeDecoder(telling(random_model("llama", target), target), target)
    out = decoder.generate("[bold]a\x1b[2J", max_new_tokens=6)
    shown = "".join(
        str(part) for part in story("[bold]", out, decoder.bridge.target, str).renderables
    )
    assert shown.startswith("[bold]") and out.text in shown


def test_control_characters_do_not_reach_a_terminal() -> None:
    assert printable("a\x1b[2J\tb\n\x07\x9b") == "a\ufffd[2J\tb\n\ufffd\ufffd"
