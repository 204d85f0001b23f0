"""`torchrun -m uag serve`: one model over several processes."""

import signal
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.command_line import run
from tests.support.models import random_model
from tests.support.server_process import SERVING
from tests.support.tokenizers import PROMPT, tokenizer
from tests.support.torchrun import torchrun
from uag import SpeculativeDecoder


def test_a_server_of_a_model_that_processes_share(tmp_path: Path) -> None:
    own = tokenizer("gpt2")
    model = random_model("llama", own)
    model.save_pretrained(tmp_path)
    own.save_pretrained(tmp_path)
    command, environment = torchrun("-m", "uag", "serve", str(tmp_path), "--port", "0")
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    said: list[str] = []
    try:
        for line in process.stderr or ():
            said.append(line)
            if found := SERVING.match(line.strip()):
                break
        else:
            raise AssertionError("".join(said))
        body: dict[str, Any] = {"prompt": PROMPT, "max_tokens": 12, "temperature": 0}
        with httpx.Client(base_url=found[2], timeout=60) as client:
            answer = client.post("/v1/completions", json=body).json()
            ready = client.get("/ready").status_code
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    expected = SpeculativeDecoder(model, own).generate(PROMPT, max_new_tokens=12, do_sample=False)
    assert answer["choices"][0]["text"] == expected.text and ready == 200


@pytest.mark.parametrize(
    ("words", "reason"),
    [((), "name a target"), (("./target", "--device-map", "cpu"), "leave it out")],
)
def test_what_torchrun_decides_cannot_be_asked_for(
    words: tuple[str, ...],
    reason: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    status, _, said = run(capsys, "serve", *words)
    assert status == 2 and reason in said
