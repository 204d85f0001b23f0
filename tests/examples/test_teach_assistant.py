"""The example that teaches an assistant: a few steps on small models, and what it refuses."""

import copy
import importlib.util
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from typer.testing import CliRunner

import examples.teach_assistant as example
from tests.support.chats import CHATML
from tests.support.tokenizers import tokenizer
from uag.demo import demo_decoder
from uag.teaching.sampling import written_texts
from uag.teaching.texts_file import TextsFile

DEMO = Path(example.__file__).parents[1] / "python" / "uag" / "demo_pair"
PROMPTS = ["Once upon a time", "One day, a cat", "Lily and Tom", "There was a dog"]
HELD_OUT = ["The happy bird", "One day, a little boy"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts of the demo pair's target, held-out prompts, and an assistant that knows nothing."""
    folder = tmp_path_factory.mktemp("teaching")
    texts = TextsFile(folder / "texts.jsonl", PROMPTS, "a1", samples=4)
    options = {"do_sample": True, "seed": 0, "temperature": 0.5, "max_new_tokens": 32}
    written = written_texts(demo_decoder(), PROMPTS, options, samples=4)
    for prompt, several in zip(PROMPTS, written, strict=True):
        texts.add(prompt, several)
    (folder / "held-out.txt").write_text("\n".join(HELD_OUT) + "\n")
    shutil.copytree(DEMO / "assistant", folder / "assistant")
    torch.manual_seed(0)
    new = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder / "assistant"))
    new.save_pretrained(folder / "assistant")
    return folder


def teach(files: Path, *more: str) -> tuple[int, str]:
    words = [str(DEMO / "target"), str(files / "assistant"), "--texts", str(files / "texts.jsonl")]
    words += ["--held-out", str(files / "held-out.txt"), "--output", str(files / "taught")]
    words += ["--threads", "1", "--max-new-tokens", "24", "--batch", "8", *more]
    app = example.typer.Typer()
    app.command()(example.main)
    done = CliRunner().invoke(app, words)
    return done.exit_code, done.output


@pytest.fixture(autouse=True)
def _own_console(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example.console, "_file", None)


TRAINERS = [
    pytest.param(
        kind,
        marks=pytest.mark.skipif(
            kind == "trl" and importlib.util.find_spec("trl") is None, reason="TRL is not installed"
        ),
    )
    for kind in ("trl", "transformers")
]


@pytest.mark.filterwarnings("ignore")  # of trainers, about versions to come
@pytest.mark.parametrize("kind", TRAINERS)
@pytest.mark.parametrize("lora", ["0", "4"])
def test_a_taught_assistant_accepts_more_and_the_text_stays(
    files: Path, monkeypatch: pytest.MonkeyPatch, kind: str, lora: str
) -> None:
    if kind == "transformers":
        monkeypatch.setitem(sys.modules, "trl", None)
    asked = ["--steps", "30", "--rate", "1e-2", "--temperature", "0", "--lora", lora]
    status, said = teach(files, *asked)
    assert status == 0, said
    assert kind in said and "2 of 2 identical" in said and "+" in said
    assert (files / "taught" / "model.safetensors").exists()
    shutil.rmtree(files / "taught")


def test_an_assistant_that_accepts_no_more_is_not_written(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(example, "train", lambda learner, *_: learner)
    status, said = teach(files, "--temperature", "0")
    assert status == 1 and "not written" in said
    assert not (files / "taught").exists()


@pytest.mark.parametrize("held_out", [PROMPTS[:1], PROMPTS])
def test_texts_that_begin_as_held_out_prompts_are_left_out(
    files: Path, held_out: list[str]
) -> None:
    rows = example.read_texts([files / "texts.jsonl"])
    if held_out == PROMPTS:
        with pytest.raises(example.typer.BadParameter, match="no texts are left"):
            example.apart(rows, held_out)
    else:
        kept = example.apart(rows, held_out)
        assert {row["prompt"] for row in kept} == {*PROMPTS} - {*held_out}


def test_texts_with_a_passage_of_a_held_out_text_are_left_out(files: Path) -> None:
    rows = example.read_texts([files / "texts.jsonl"])
    text = rows[0]["completion"]
    kept = example.without_passages(rows, ["It said: " + text[10:40]], 30)
    assert [row for row in rows if text[10:40] not in row["completion"]] == kept
    assert example.without_passages(rows, [text[10:39]], 30) == rows
    with pytest.raises(example.typer.BadParameter, match="no texts are left"):
        example.without_passages(rows, [row["completion"] for row in rows], 5)


@pytest.mark.parametrize("length", ["1", "1000"])
def test_a_passage_is_as_long_as_was_asked(
    files: Path, monkeypatch: pytest.MonkeyPatch, length: str
) -> None:
    monkeypatch.setattr(example, "train", lambda learner, *_: learner)
    _, said = teach(files, "--temperature", "0", "--passage", length)
    assert ("no texts are left" in said) == (length == "1")
    assert ("not written" in said) == (length == "1000")


def learned(row: dict[str, Any], words: Any) -> tuple[str, str]:
    """The whole text that is read, and the end of it that is learned."""
    ids = example.ids_of(row, words, words.eos_token_id)
    labels = ids["labels"]
    assert len(labels) == len(ids["input_ids"])
    own = [id for id in labels if id != example.NOT_LEARNED]
    assert labels[len(labels) - len(own) :] == own == ids["input_ids"][len(labels) - len(own) :]
    return words.decode(ids["input_ids"]), words.decode(own)


@pytest.mark.parametrize("name", ["gpt2", "llama2"])
def test_what_the_target_wrote_is_learned(name: str) -> None:
    words = tokenizer(name)
    end = words.eos_token
    row = {"prompt": "The dog ran", "completion": " away. 日本", "finish_reason": "eos"}
    whole, own = learned(row, words)
    assert whole.endswith("The dog ran away. 日本" + end)
    assert own.lstrip() == "away. 日本" + end
    cut = row | {"finish_reason": "length"}
    assert not learned(cut, words)[0].endswith(end)


def test_a_chat_is_read_in_the_assistants_own_format() -> None:
    words = copy.deepcopy(tokenizer("gpt2"))
    words.chat_template = CHATML
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "The dog"}]
    for reason in ("eos", "length"):
        whole, own = learned({"messages": messages, "finish_reason": reason}, words)
        closed = words.apply_chat_template(messages, tokenize=False)
        assert own.startswith("The dog") and closed.startswith(whole)
        assert (whole == closed) == (reason == "eos")
