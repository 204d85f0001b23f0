"""What `uag generate` continues, from wherever it comes; and streams that are closed or full."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import run
from tests.support.models import random_model
from tests.support.tokenizers import PROMPT, TOKENIZERS
from uag import SpeculativeDecoder

TEMPLATE = (
    "{% for message in messages %}[{{ message.role }}] {{ message.content }} {% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


@pytest.fixture(scope="module")
def chatty(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models") / "tiny-instruct"
    words: Any = TOKENIZERS["gpt2"]()
    words.chat_template = TEMPLATE
    model = random_model("llama", words)
    model.generation_config.eos_token_id = None
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return str(folder)


def test_a_file_and_standard_input_are_prompts(
    capsys: pytest.CaptureFixture[str],
    folder: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = ["generate", "--target", folder, "-n", "8"]
    plain = run(capsys, *asked, PROMPT)
    path = tmp_path / "prompt.txt"
    path.write_text(PROMPT)
    assert run(capsys, *asked, "--prompt-file", str(path)) == plain
    monkeypatch.setattr(sys, "stdin", io.StringIO(PROMPT))
    assert run(capsys, *asked, "-") == plain
    status, _, err = run(capsys, *asked)
    assert status == 2 and "no prompt: give a text or --prompt-file" in err
    status, _, err = run(capsys, *asked, "x", "--prompt-file", str(path))
    assert status == 2 and "both a prompt and --prompt-file: leave one out" in err


def test_a_chat(capsys: pytest.CaptureFixture[str], chatty: str) -> None:
    asked = ["generate", "--target", chatty, "-n", "8", "Who are you?"]
    decoder = SpeculativeDecoder.from_pretrained(chatty)
    question = {"role": "user", "content": "Who are you?"}
    _, out, err = run(capsys, *asked, "--chat")
    assert out == decoder.chat([question], max_new_tokens=8).text + "\n"
    assert "hint" not in err
    brief = {"role": "system", "content": "Be brief."}
    _, out, _ = run(capsys, *asked, "--system", "Be brief.")
    assert out == decoder.chat([brief, question], max_new_tokens=8).text + "\n"
    _, out, err = run(capsys, *asked)
    assert out == decoder.generate("Who are you?", max_new_tokens=8).text + "\n"
    assert "uag: hint: the target was trained for chats" in err


@pytest.mark.parametrize("option", [["--chat"], ["--system", "Be brief."]])
def test_a_chat_with_a_target_that_has_no_template(
    capsys: pytest.CaptureFixture[str], folder: str, option: list[str]
) -> None:
    status, _, err = run(capsys, "generate", "--target", folder, *option, "Who are you?")
    assert status == 1 and f"{option[0]}, but the target has no chat template" in err


def test_options_of_sampling_and_penalties(capsys: pytest.CaptureFixture[str], folder: str) -> None:
    asked = ["generate", "--target", folder, "-n", "8", PROMPT]
    decoder = SpeculativeDecoder.from_pretrained(folder)
    options: dict[str, Any] = {"max_new_tokens": 8, "repetition_penalty": 1.5}
    expected = decoder.generate(PROMPT, **options).text
    assert run(capsys, *asked, "--repetition-penalty", "1.5")[1] == expected + "\n"
    options |= {"do_sample": True, "seed": 3, "min_p": 0.2}
    expected = decoder.generate(PROMPT, **options).text
    extra = ["--repetition-penalty", "1.5", "--min-p", "0.2", "--seed", "3"]
    assert run(capsys, *asked, *extra)[1] == expected + "\n"


def started(*arguments: str, **streams: Any) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "uag", *arguments]
    environment = os.environ | {"PYTHONUNBUFFERED": "", "OMP_NUM_THREADS": "1"}
    # A job in the background of a shell ignores the signal, and so would what it starts.
    heard = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    return subprocess.Popen(command, env=environment, preexec_fn=heard, **streams)  # noqa: PLW1509


@pytest.mark.parametrize("streams", ["> /dev/full", "2> /dev/full", "> /dev/full 2>&1", "2>&-"])
def test_a_process_whose_streams_are_full(folder: str, streams: str) -> None:
    """Also what Python itself writes when it ends; `test_command_lines` has more, without that."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    line = f"{sys.executable} -m uag generate --target {folder} -n 4 Once {streams}"
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == (0 if streams.startswith("2>") else 1)
    assert all(each.startswith("uag: ") for each in done.stderr.splitlines())
    assert "uag: " not in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_ctrl_c_ends_the_line(folder: str) -> None:
    asked = ("generate", "--target", folder, "-n", "100000", "--no-lookup", "Once")
    with started(*asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.read(1)
        time.sleep(0.2)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    assert out.endswith(b"\n")
    assert b"Traceback" not in err and child.returncode != 0


def test_absurd_numbers_of_threads_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "compare", "--threads", "100000")
    assert status == 2 and "1024" in err
