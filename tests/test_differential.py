"""The core against the tokenizers library as a command, and what the self-check finds at load."""

import json
import lzma
from pathlib import Path
from typing import Any

import fakes
import pytest
import tokenizers
from tampered import TAMPERINGS, Tampering, serialised
from tokenizers import AddedToken, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from uag import SpeculativeDecoder, _core
from uag.cli import main
from uag.conformance.laws import Laws, shrink
from uag.conformance.texts import random_texts, read_texts
from uag.inspection.spelling import sample_texts
from uag.translation import bridge
from uag.translation import core_tokenizer as reader
from uag.translation.self_check import disagreement

DOCUMENTS = [fakes.TEXT, *sample_texts().values()]
REFUSED = ["decoder that fuses", "decoder without spaces"]
BASES = ["llama3", "gpt2", "llama2", "llama2+metaspace", "unigram"]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["check-tokenizers", *arguments])
    out, err = capsys.readouterr()
    return int(stopped.value.code or 0), out, err


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tokenizers")
    for name in fakes.TOKENIZERS:
        (root / name).mkdir()
        fakes.tokenizer(name).backend_tokenizer.save(str(root / name / "tokenizer.json"))
    return root


def test_no_difference_in_our_own(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    status, out, _ = run(capsys, str(folder), "--bytes", "50_000", "--json")
    found = json.loads(out)["tokenizers"]
    assert status == 0
    assert [row["tokenizer"] for row in found] == sorted(fakes.TOKENIZERS)
    assert all(row["different"] == 0 and row["bytes"] >= 50_000 for row in found)
    assert {row["tokenizer"]: row["path"] for row in found} == dict.fromkeys(
        fakes.TOKENIZERS, "fast"
    ) | {"odd": "slow"}


def test_a_table(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    status, out, _ = run(capsys, str(folder), "--bytes", "1000")
    assert status == 0
    assert "0 bytes each" in out and "odd: slow: pre_tokenizer" in out


def test_a_planted_difference_is_found_and_made_short(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Read by another's file: one number a piece, where the tokenizer has three.
    spec = json.loads(fakes.tokenizer("llama3").backend_tokenizer.to_str())
    spec["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = fakes.QWEN2_SPLIT
    planted = _core.Tokenizer(json.dumps(spec))
    monkeypatch.setattr(reader, "core_tokenizer", lambda _: planted)
    status, out, _ = run(capsys, str(folder / "llama3"), "--bytes", "20_000", "--json")
    (row,) = json.loads(out)["tokenizers"]
    assert status == 1 and row["different"] > 0
    (ids,) = (one for one in row["differences"] if one["law"] == "ids")
    assert len(ids["text"]) <= 3 and ids["text"].isnumeric()
    status, out, _ = run(capsys, str(folder / "llama3"), "--bytes", "20_000")
    assert status == 1 and "llama3: ids:" in out


def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    status, out, err = run(capsys, str(tmp_path / "empty"))
    assert (status, out) == (1, "") and "no tokenizer.json in" in err and err.count("\n") == 1
    fakes.tokenizer("gpt2").backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    for name, content, message in (
        ("latin.txt", b"caf\xe9", "no UTF-8"),
        ("broken.json", b'["a"', "cannot read a text from"),
        ("none.txt", b"", "no text in"),
        ("cut.txt.xz", lzma.compress(b"text")[:-9], "cannot read a text from"),
        ("deep.json", b"[" * 100_000, "cannot read a text from"),
    ):
        (tmp_path / name).write_bytes(content)
        status, out, err = run(capsys, str(tmp_path), "--text", str(tmp_path / name))
        assert (status, out) == (1, "") and message in err and err.count("\n") == 1, err


def test_files_that_are_no_tokenizer_are_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    status, out, _ = run(capsys, str(tmp_path), "--bytes", "100", "--json")
    (row,) = json.loads(out)["tokenizers"]
    assert (status, row["path"]) == (1, "not compared") and row["reason"]


def test_texts_are_read_and_never_cut_alike(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "b.jsonl").write_text('{"x": "two"}\n\n{"y": ["three", {"z": "\\ud800four"}]}\n')
    (tmp_path / "c.txt.xz").write_bytes(lzma.compress(b"five"))
    (tmp_path / "d.bin").write_bytes(b"\xff")
    assert read_texts([tmp_path]) == ["one", "two", "three", "four", "five"]
    texts = list(random_texts(DOCUMENTS, 100_000, 1))
    assert 100_000 <= sum(len(text.encode()) for text in texts) < 200_000
    long = [text for text in texts if len(text) > 20]
    assert len(set(long)) == len(long) > 50
    assert (
        texts
        == list(random_texts(DOCUMENTS, 100_000, 1))
        != list(random_texts(DOCUMENTS, 100_000, 2))
    )


def test_shrinking_leaves_what_is_needed() -> None:
    text = "a" * 1000 + "<" + "b" * 500 + ">" + "c" * 77
    assert shrink(text, lambda text: "<" in text and ">" in text) == "<>"
    assert shrink("abc", lambda _: True) == ""
    assert shrink("abc", lambda text: len(text) == 3) == "abc"


# What the differential test found, on the smallest tokenizers that show it.


def compare(raw: tokenizers.Tokenizer, texts: list[str]) -> None:
    core = _core.Tokenizer(raw.to_str())
    tally = Laws(core, raw).compare(texts)
    assert core.fast and not tally.differences, tally.differences


@pytest.mark.parametrize("scheme", ["first", "always", "never"])
@pytest.mark.parametrize("normalized", [False, True])
def test_no_space_is_put_before_an_added_token(scheme: str, normalized: bool) -> None:
    raw = tokenizers.Tokenizer.from_str(serialised("llama2+metaspace"))
    raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    raw.add_tokens([AddedToken("<t>", normalized=normalized), AddedToken(" the", normalized=True)])
    compare(raw, ["<t>", "<t>x", "<t> x", "x<t>", "<t><t>", " <t>", "the", " the", "a the", "<"])
    for text in ("<t>", "x <t>", "<t><t>", "the"):
        stream = _core.IncrementalEncoder(_core.Tokenizer(raw.to_str()))
        stream.append(text.encode())
        assert stream.exact and stream.ids == raw.encode(text, add_special_tokens=False).ids


def test_a_space_that_is_there_behind_an_added_token_is_enough() -> None:
    raw = fakes.byte_level(fakes.GPT2_SPLIT, 420).backend_tokenizer
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    raw.add_tokens([AddedToken("<t>", normalized=False)])
    compare(raw, ["<t>", "<t> a", "a<t> b", "a<t>b", "<t>b"])
    stream = _core.IncrementalEncoder(_core.Tokenizer(raw.to_str()))
    stream.append(b"a<t>")
    assert stream.exact
    stream.append(b"b")
    assert not stream.exact, "it would get a space of its own"
    stream.truncate(4)
    stream.append(b" b")
    assert stream.exact and stream.ids == raw.encode("a<t> b").ids


def test_the_name_of_the_unknown_token_is_unknown_text() -> None:
    raw = tokenizers.Tokenizer.from_str(serialised("unigram"))
    compare(raw, ["<unk>", "<unk>灯", "灯<unk>", "灯<unk>灯 <unk> a"])


@pytest.mark.parametrize(
    "part", ["no pre tokenizer", "prepended twice", "split at spaces inverted"]
)
def test_what_was_misread_is_refused(part: str) -> None:
    (one,) = (one for one in TAMPERINGS if one.name == part)
    with pytest.raises(_core.UnsupportedTokenizer):
        _core.Tokenizer(one.json)


# Tampering.


@pytest.mark.parametrize("base", BASES)
def test_nothing_is_found_in_sound_tokenizers(base: str) -> None:
    raw = tokenizers.Tokenizer.from_str(serialised(base))
    core = _core.Tokenizer(serialised(base))
    assert core.fast and disagreement(core, raw) is None


@pytest.mark.parametrize("tampering", TAMPERINGS, ids=str)
@pytest.mark.filterwarnings("ignore:the fast path disagrees")
def test_a_file_that_was_tampered_with_is_read_as_it_is(tampering: Tampering) -> None:
    """Or by the tokenizer itself; or refused, if not even its decoder is known."""
    raw = tokenizers.Tokenizer.from_str(tampering.json)
    if tampering.name in REFUSED:
        with pytest.raises(_core.UnsupportedTokenizer, match="decoder"):
            reader.core_tokenizer(raw)
        return
    core = reader.core_tokenizer(raw)
    tally = Laws(core, raw).compare(random_texts(DOCUMENTS, 20_000, 0, ["<tool>", "xyz", "   "]))
    # The bytes of the slow path's tokens are those of its vocabulary, whatever its decoder does.
    assert not [one for one in tally.differences if core.fast or one.law != "bytes"]


@pytest.mark.parametrize("tampering", TAMPERINGS, ids=str)
def test_a_tokenizer_that_is_not_what_it_was_read_as_is_found(tampering: Tampering) -> None:
    core = _core.Tokenizer(serialised(tampering.base))
    raw: Any = tokenizers.Tokenizer.from_str(tampering.json)
    assert (disagreement(core, raw) is None) == tampering.harmless
    if tampering.harmless:
        texts = list(random_texts(DOCUMENTS, 20_000, 0, ["<tool>", "xyz", "   "]))
        assert not Laws(core, raw).compare(texts).differences


@pytest.mark.parametrize("name", ["merges reversed", "ids exchanged", "another known pattern"])
def test_ids_stay_the_targets_own_where_a_misreading_is_missed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the docs say of that which the self-check can't find."""
    (one,) = (one for one in TAMPERINGS if (one.base, one.name) == ("llama3", name))
    raw = tokenizers.Tokenizer.from_str(serialised("llama3"))
    target = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>", bos_token="<begin>")
    sound = fakes.tokenizer("gpt2")
    models = [
        fakes.telling(fakes.random_model("llama", tokenizer), tokenizer)
        for tokenizer in (target, sound)
    ]
    misread = {id(target): _core.Tokenizer(one.json)}
    read = reader.core_tokenizer
    monkeypatch.setattr(
        bridge, "core_tokenizer", lambda tokenizer: misread.get(id(tokenizer)) or read(tokenizer)
    )
    decoder = SpeculativeDecoder(models[0], target, models[1], sound, lookahead=4)
    out = decoder.generate(fakes.PROMPT, max_new_tokens=40)
    assert decoder.bridge.target is misread[id(target)] and out.stats.candidates > 0
    ids = target(fakes.PROMPT)["input_ids"]
    assert out.token_ids == fakes.plain_ids(models[0], ids, max_new_tokens=40)
