"""`uag generate`."""

import json
from pathlib import Path

import pytest

from tests.support.command_line import run
from tests.support.models import STORY
from tests.support.tokenizers import PROMPT
from uag import SpeculativeDecoder


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


def test_the_command_looks_up(
    capsys: pytest.CaptureFixture[str], folder: str, tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    text.write_text(STORY)
    plain = run(capsys, "generate", "--target", folder, "-n", "30", PROMPT)
    ways = ["--assistant", "lookup"], ["--lookup"], ["--no-lookup"], ["--text", str(text)]
    for extra in ways:
        assert run(capsys, "generate", "--target", folder, *extra, "-n", "30", PROMPT) == plain
    contradiction = ["--no-lookup", "--text", str(text)]
    status, _, err = run(capsys, "generate", "--target", folder, *contradiction, PROMPT)
    assert status == 2
    assert "leave one out" in err
    status, _, err = run(capsys, "generate", "--target", folder, "--text", "/no/file", PROMPT)
    assert (status, err.count("\n")) == (1, 1)
    assert "cannot read a text from /no/file" in err
