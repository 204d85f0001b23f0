"""`uag compare`."""

import json
from collections.abc import Callable
from contextvars import copy_context
from itertools import count
from pathlib import Path
from shutil import copytree
from typing import Any
from weakref import ref

import pytest
import torch

import uag
from tests.support.command_line import run
from tests.support.tokenizers import PROMPT
from uag.benchmark.methods import TimedMethod
from uag.clock import set_clock
from uag.models.loading.by_name import load_model

DEMO = Path(uag.__file__).parent / "demo_pair"
TAUGHT = str(DEMO / "assistant")


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


def test_compare_has_transformers_prompt_lookup_beside_it(
    capsys: pytest.CaptureFixture[str], folder: str
) -> None:
    arguments = ["--target", folder, "--assistant", "lookup", "-n", "8", "--runs", "1", "--json"]
    status, out, _ = run(capsys, "compare", *arguments, "--limit", "1")
    assert status == 0
    assert '"transformers"' in out
    assert '"lookup": true' in out


def test_a_file_alone_drafts(
    capsys: pytest.CaptureFixture[str], folder: str, tmp_path: Path
) -> None:
    text = tmp_path / "old.txt"
    text.write_text(PROMPT)
    asked = ["--text", str(text), "--limit", "1", "-n", "8", "--runs", "1", "--json"]
    status, out, _ = run(capsys, "compare", "--target", folder, *asked)
    found = json.loads(out)
    assert status == 0 and found["lookup"] and found["identical"]
    assert found["assistant"] == "lookup"


def test_a_target_without_anything_that_drafts_is_a_mistake(
    capsys: pytest.CaptureFixture[str], folder: str
) -> None:
    status, _, err = run(capsys, "compare", "--target", folder)
    assert status == 2 and "--text" in err


def test_compare_says_how_it_decodes(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["compare", "--limit", "1", "--runs", "1", "-n", "4"]
    for options, decoding in (
        ([], "greedy, as no temperature is given"),
        (["--greedy"], "greedy, as no temperature is given"),
        (["--no-do-sample"], "greedy, as no temperature is given"),
        (["--temperature", "0.5", "--seed", "7"], "sampled at temperature 0.5, uag with seed 7"),
    ):
        _, out, _ = run(capsys, *asked, *options)
        assert f"decoding: {decoding}" in out
        _, out, _ = run(capsys, *asked, *options, "--json")
        assert json.loads(out)["decoding"] == decoding
    status, _, err = run(capsys, *asked, "--greedy", "--temperature", "0.5")
    assert status == 2 and "--greedy, but --temperature samples" in err


Decode = Callable[[TimedMethod, tuple[str, list[int]]], None]


def interrupted(decode: Decode, at: int) -> Decode:
    """The same as `decode`, but for a Ctrl-C in one call, the first of which is 1."""
    runs = count(1)

    def instead(method: TimedMethod, text: tuple[str, list[int]]) -> None:
        if next(runs) == at:
            raise KeyboardInterrupt
        decode(method, text)

    return instead


@pytest.mark.parametrize(
    ("at", "shown", "not_run"), [(1, "after 0 of 6", 3), (4, "after 3 of 6", 3), (5, "4 of 6", 2)]
)
def test_an_interrupt_leaves_what_was_run(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    at: int,
    shown: str,
    not_run: int,
) -> None:
    decode = TimedMethod.decode_once
    page = tmp_path / "page.html"
    asked = ["compare", "--limit", "1", "--runs", "1", "-n", "4", "--report", str(page)]
    for options in ([], ["--json"]):
        monkeypatch.setattr(TimedMethod, "decode_once", interrupted(decode, at))
        status, out, _ = run(capsys, *asked, *options)
        assert status == 130 and not page.exists()
        if options:
            found = json.loads(out)
            assert found["complete"] is False and found["interrupted"] == {
                "done": at - 1,
                "total": 6,
            }
            assert sum("error" in method for method in found["methods"]) == not_run
        else:
            assert out.count("not run") == not_run and shown in out


@pytest.fixture(scope="module")
def worse(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The demo pair's assistant with weights that know nothing."""
    folder = copytree(TAUGHT, tmp_path_factory.mktemp("pair") / "worse")
    model: Any = load_model(TAUGHT)
    random = torch.Generator().manual_seed(0)
    for weights in model.parameters():
        weights.data.normal_(std=0.02, generator=random)
    model.save_pretrained(folder)
    return str(folder)


def several(*assistants: str) -> list[str]:
    named = [word for name in assistants for word in ("--assistant", name)]
    return ["compare", "--target", str(DEMO / "target"), *named, "--limit", "1", "-n", "12"]


def by_passes(monkeypatch: pytest.MonkeyPatch, capsys: Any, *words: str) -> tuple[int, str, str]:
    """Run on a clock by which a pass of the target takes 10 s, and one of an assistant 1 s."""
    time = [0.0]

    def load(name: str, **options: Any) -> Any:
        model: Any = load_model(name, **options)
        cost = 10.0 if Path(name).name == "target" else 1.0

        def spend(*_: object) -> None:
            time[0] += cost

        model.register_forward_hook(spend)
        return model

    def on_that_clock() -> tuple[int, str, str]:
        set_clock(lambda: time[0])
        return run(capsys, *words)

    monkeypatch.setattr("uag.requests.named_models.load_model", load)
    return copy_context().run(on_that_clock)


def test_the_better_of_two_assistants_is_recommended(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, worse: str
) -> None:
    asked = [*several(worse, TAUGHT), "--runs", "2", "-k", "3"]
    status, out, err = by_passes(monkeypatch, capsys, *asked, "--json")
    found = json.loads(out)
    assert status == 0 and found["complete"] and f"timing {TAUGHT}, 2 of 2" in err
    recommended = found["recommendation"]
    assert (recommended["assistant"], recommended["next"]) == (TAUGHT, worse)
    assert recommended["speedup"] > 1 and recommended["clear_of_next"]
    assert [each["assistant"] for each in found["assistants"]] == [worse, TAUGHT]
    _, out, _ = by_passes(monkeypatch, capsys, *asked)
    assert out.count("\n plain  ") == 1 and out.count("identical output: yes") == 2
    assert "".join(out.split()).endswith("".join(recommended["text"].split()))


def test_an_assistant_among_several_is_described_as_if_alone(
    capsys: pytest.CaptureFixture[str], worse: str
) -> None:
    _, out, _ = run(capsys, *several(TAUGHT), "--runs", "1", "--json")
    alone = json.loads(out)
    _, out, _ = run(capsys, *several(worse, TAUGHT, "lookup"), "--runs", "1", "--json")
    found = json.loads(out)
    assert list(found) == ["target", "complete", "assistants", "recommendation"]
    for each in found["assistants"]:
        assert list(each) == list(alone) and each["identical"]
        assert [method["name"] for method in each["methods"]] == ["plain", "transformers", "uag"]


def test_plain_decoding_is_recommended_where_no_assistant_pays(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, worse: str
) -> None:
    asked = [*several(worse, worse), "--runs", "2", "-k", "3"]
    status, out, _ = by_passes(monkeypatch, capsys, *asked)
    assert status == 0 and "none of them pays here: decode plainly" in out


@pytest.mark.parametrize("options", [[], ["--temperature", "0.7"]])
def test_two_models_at_a_time_are_in_memory(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    worse: str,
    options: list[str],
) -> None:
    held: list[ref[Any]] = []
    targets: list[str] = []

    def load(name: str, **given: Any) -> Any:
        model: Any = load_model(name, **given)
        if Path(name).name == "target":
            targets.append(name)
            return model
        assert not [each for each in held if each() is not None]
        held.extend((ref(model), ref(model.get_input_embeddings().weight)))
        return model

    monkeypatch.setattr("uag.requests.named_models.load_model", load)
    asked = [*several(TAUGHT, worse, TAUGHT), "--runs", "1", *options]
    status, _, _ = run(capsys, *asked)
    assert status == 0 and len(held) == 10 and len(targets) == 1


def test_a_later_assistant_that_cannot_be_loaded_is_told_before_any_is_timed(
    capsys: pytest.CaptureFixture[str], worse: str, tmp_path: Path
) -> None:
    broken = copytree(TAUGHT, tmp_path / "broken")
    (broken / "model.safetensors").unlink()
    for names in ((TAUGHT, str(tmp_path / "nowhere")), (TAUGHT, str(broken), worse)):
        status, out, err = run(capsys, *several(*names))
        last = err.splitlines()[-1]
        assert (status, out) == (1, "") and "timing" not in err
        assert last.startswith("uag: ") and names[1] in last


def test_a_page_shows_one_assistant(
    capsys: pytest.CaptureFixture[str], worse: str, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    status, _, err = run(capsys, *several(TAUGHT, worse), "--report", str(page))
    assert status == 2 and "--report shows one assistant" in err and not page.exists()


@pytest.mark.parametrize(("at", "begun"), [(5, 1), (8, 2)])
def test_an_interrupt_leaves_the_assistants_that_were_run(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    worse: str,
    at: int,
    begun: int,
) -> None:
    decode = TimedMethod.decode_once
    for options in ([], ["--json"]):
        monkeypatch.setattr(TimedMethod, "decode_once", interrupted(decode, at))
        status, out, _ = run(capsys, *several(TAUGHT, worse), "--runs", "1", *options)
        assert status == 130
        if options:
            found = json.loads(out)
            assert len(found["assistants"]) == begun
            assert found["recommendation"] is None and not found["complete"]
        else:
            assert "no recommendation, as not all was run" in out
