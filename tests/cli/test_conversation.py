"""A chat in the terminal: what was said is kept, each reply is the one of `decoder.chat`."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.chats import target_tokenizer
from tests.support.command_line import run
from tests.support.models import random_model
from tests.support.tokenizers import tokenizer
from uag import SpeculativeDecoder
from uag.cli.conversation import Conversation, _messages
from uag.cli.terminal import printable
from uag.decoding.output import TextStream

OPTIONS = {"max_new_tokens": 12, "do_sample": False}


@pytest.fixture(scope="module")
def decoder() -> SpeculativeDecoder:
    words = target_tokenizer()
    model = random_model("llama", words, max_position_embeddings=2048)
    model.generation_config.eos_token_id = words.convert_tokens_to_ids("<|stop|>")
    return SpeculativeDecoder(model, words, "lookup")


@pytest.fixture(scope="module")
def folder(decoder: SpeculativeDecoder, tmp_path_factory: pytest.TempPathFactory) -> str:
    place = tmp_path_factory.mktemp("chat")
    decoder.model.save_pretrained(place)
    decoder.tokenizer.save_pretrained(place)  # type: ignore[union-attr]
    return str(place)


def talk(decoder: SpeculativeDecoder, *lines: str, **options: Any) -> list[dict[str, str]]:
    conversation = Conversation(decoder, options.pop("system", None), OPTIONS, **options)
    conversation.run(iter(lines))
    return conversation.messages


def test_each_reply_is_the_one_of_chat_and_reads_only_what_is_new(
    decoder: SpeculativeDecoder, capsys: pytest.CaptureFixture[str]
) -> None:
    said = ["Tell me of a little girl and her dog in the park.", "And her cat?", "And then?"]
    found = talk(decoder, *said, system="Be brief, and always kind to everybody who asks.")
    assert [message["role"] for message in found] == ["system", *["user", "assistant"] * 3]
    decoder.prefix_cache = 0
    for index in (2, 4, 6):
        assert found[index]["content"] == decoder.chat(found[:index], **OPTIONS).text
    out, err = capsys.readouterr()
    assert out == "".join(found[index]["content"] + "\n" for index in (2, 4, 6))
    assert err.count("tokens/s") == 3
    conversation = Conversation(decoder, None, OPTIONS)
    conversation.run(iter(said))
    chat = [*conversation.messages, {"role": "user", "content": "Why?"}]
    out_of = decoder.chat(chat, **OPTIONS)
    assert out_of.stats.cached_tokens > 32


def test_commands(
    decoder: SpeculativeDecoder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "chat.json"
    lines = [
        "Hi!",
        f"/save {file}",
        "/reset",
        "/system Be brief.",
        "Who are you?",
        "/what",
        "/help",
    ]
    found = talk(decoder, *lines, "/save", "/save /no/such/folder/x", "/exit", "never said")
    assert [message["role"] for message in found] == ["system", "user", "assistant"]
    assert json.loads(file.read_text())[0]["content"] == "Hi!"
    out, err = capsys.readouterr()
    assert "/what is no command" in err and "/reset" in out
    assert "2 messages are in" in err and "/save needs" in err and "/no/such/folder" in err


def test_messages_of_several_lines() -> None:
    lines = ["one", "", '"""two', "three", 'four"""', '"""five"""', '"""six', "seven"]
    assert [*_messages(iter(lines))] == ["one", "two\nthree\nfour", "five", "six\nseven"]


def test_a_reply_that_is_stopped_stays_and_the_chat_goes_on(
    decoder: SpeculativeDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, pieces = TextStream.__next__, 0

    def interrupted(stream: TextStream) -> str:
        nonlocal pieces
        pieces += 1
        if pieces in (3, 4):
            raise KeyboardInterrupt
        return step(stream)

    monkeypatch.setattr(TextStream, "__next__", interrupted)
    found = talk(decoder, "Hi!", "Not said", "Still there?")
    assert [each["content"] for each in found if each["role"] == "user"] == ["Hi!", "Still there?"]
    assert found[1]["content"] and found[3]["content"]


def test_an_error_leaves_the_chat_as_it_was(
    decoder: SpeculativeDecoder, capsys: pytest.CaptureFixture[str]
) -> None:
    long = Conversation(decoder, None, {"max_length": 60, "do_sample": False})
    long.run(iter(["Hi!", "word " * 200, "You?"]))
    said = [each["content"] for each in long.messages if each["role"] == "user"]
    assert "word " * 200 not in said and said[0] == "Hi!"
    assert "leaves no room" in capsys.readouterr().err


def test_accepted_drafts_are_marked(
    decoder: SpeculativeDecoder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    (_, marked) = talk(decoder, "Tell me of a girl.", marks=True)
    out = capsys.readouterr().out
    plain = "".join(part.partition("m")[2] for part in ("m" + out).split("\x1b["))
    assert plain.rstrip("\n") == printable(marked["content"]).rstrip("\n")


def test_the_command(
    folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("Who are you?\nSince when?\n"))
    status, out, err = run(capsys, "chat", folder, "--assistant", "lookup", "-n", "5", "--greedy")
    assert status == 0 and len(out.splitlines()) >= 2 and err.count("tokens/s") == 2
    base = tmp_path / "base"
    random_model("llama", tokenizer("gpt2")).save_pretrained(base)
    tokenizer("gpt2").save_pretrained(base)
    status, out, err = run(capsys, "chat", str(base))
    assert status == 1 and "no chat template" in err and "Traceback" not in err
    monkeypatch.setattr(sys, "stdin", None)
    status, _, err = run(capsys, "chat", folder)
    assert status == 1 and "standard input is closed" in err


def test_lines_that_are_no_text(
    folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(b"Hi!\n\xff\xfe\n"), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", stream)
    status, _, err = run(capsys, "chat", folder, "-n", "3", "--greedy")
    assert status == 1 and "UTF-8" in err and "Traceback" not in err
