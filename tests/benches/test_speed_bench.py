"""SPEED-Bench's format: counts by category, in this process and of a server."""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from benches.speed_bench import main
from tests.support.asgi import serving
from tests.support.serving import running
from uag.demo import demo_decoder
from uag.serving.api.settings import Settings
from uag.serving.app import build

QUESTIONS = [
    {"question_id": "1", "category": "writing", "turns": ["Once upon a time", "The cat"]},
    {"question_id": "2", "category": "qa", "turns": ["Tom had a big red ball."]},
    {"question_id": "3", "category": "writing", "turns": ["One day, a boy"]},
]
app = typer.Typer()
app.command()(main)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "prompts.jsonl"
    file.write_text("\n".join(map(json.dumps, QUESTIONS)) + "\n")
    return file


@pytest.fixture(scope="module")
def url() -> Generator[str]:
    with (
        running(demo_decoder(lookahead=4)) as engine,
        serving(build(engine, Settings(name="demo"))) as url,
    ):
        yield f"{url}/v1"


def table(file: Path, *options: str) -> dict[str, dict[str, str]]:
    out = file.with_suffix(".json")
    arguments = [str(file), "--max-new-tokens", "24", "--json", str(out), *options]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return {row.pop("category"): row for row in json.loads(out.read_text())}


def test_counts_are_those_of_the_rounds(file: Path) -> None:
    decoder = demo_decoder(lookahead=4)
    one = decoder.generate("Once upon a time", max_new_tokens=24, do_sample=False)
    second = f"Once upon a time\n{one.text}\nThe cat"
    others = decoder.generate([second, "One day, a boy"], max_new_tokens=24, do_sample=False)
    outs = [one, *others]
    rounds = [done for out in outs for done in out.stats.history if done.candidates]
    accepted = sum(done.accepted for done in rounds)
    rows = table(file, "--lookahead", "4")
    assert [*rows] == ["qa", "writing", "overall"]
    found = rows["writing"]
    assert found["tokens"] == str(sum(len(out.token_ids) for out in outs))
    assert found["mean_acceptance_length"] == f"{1 + accepted / len(rounds):.3f}"
    rate = accepted / sum(done.candidates for done in rounds)
    assert found["draft_acceptance_rate"] == f"{rate:.3f}"


def test_a_server_reports_the_same(file: Path, url: str) -> None:
    here = table(file, "--lookahead", "4")
    there = table(file, "--url", url, "--completions")
    for rows in (here, there):
        for row in rows.values():
            assert float(row.pop("tokens/s")) > 0
    assert here == there


def test_categories_and_limits(file: Path) -> None:
    assert [*table(file, "--category", "qa")] == ["qa", "overall"]
    one, all_of_them = (table(file, "--limit", number)["writing"] for number in ("1", "9"))
    assert int(one["tokens"]) < int(all_of_them["tokens"])


def test_a_question_that_fails_is_left_out(file: Path, url: str) -> None:
    with file.open("a") as added:
        added.write(json.dumps({"category": "long", "turns": ["a b " * 600]}))
    rows = table(file, "--url", url, "--completions")
    assert rows["long"]["tokens"] == "0" and rows["overall"]["tokens"] != "0"


@pytest.mark.parametrize("line", ["{", "[]", '{"turns": ["a"]}', '{"category": "qa", "turns": 3}'])
def test_lines_that_are_no_questions(file: Path, line: str) -> None:
    file.write_text(json.dumps(QUESTIONS[0]) + "\n" + line)
    done: Any = CliRunner().invoke(app, [str(file)])
    assert done.exit_code == 2 and "line 2 of" in done.output
