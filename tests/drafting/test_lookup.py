"""The texts of a `Lookup`: kept, saved, searched, shared by threads."""

import threading
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.models import REPEATING, STORY, looping, plain_ids
from tests.support.tokenizers import PROMPT
from uag import Lookup, OptionError, SpeculativeDecoder
from uag._core import Search, Texts
from uag.errors import FileError


def test_texts_of_any_kind_draft_for_any_tokenizer() -> None:
    for text in ("Ünïcödé: café 日本語のテキスト。", b"\xff\xfe raw \x00 bytes \xf0\x9f"):
        whole = text if isinstance(text, bytes) else text.encode()
        search = Lookup([text]).search()
        search.append(whole[:8])
        assert whole[8:].split(b"\xff")[0].startswith(search.find(5, 2).data)


def test_generation_reads_the_texts_as_they_were() -> None:
    model, words = looping("gpt2")
    lookup = Lookup(["nothing of use"])
    decoder = SpeculativeDecoder(model, words, lookup, lookahead=4)
    pieces = decoder.stream(PROMPT, max_new_tokens=24)
    first = next(pieces)
    lookup.remember(REPEATING)
    rest = "".join(pieces)
    assert first + rest == decoder.generate(PROMPT, max_new_tokens=24).text
    assert lookup.texts == ["nothing of use", REPEATING]


@given(
    st.lists(st.binary(max_size=40), max_size=12),
    st.integers(1, 9),
    st.integers(40, 200),
)
def test_a_store_comes_back_from_its_file(
    tmp_path_factory: pytest.TempPathFactory, texts: list[bytes], min_match: int, max_bytes: int
) -> None:
    file = tmp_path_factory.mktemp("lookup") / "texts.uag"
    lookup = Lookup(texts, min_match=min_match, max_bytes=max_bytes)
    lookup.save(file)
    again = Lookup.load(file)
    assert (again.texts, again.min_match, again.max_bytes, again.size) == (
        lookup.texts,
        min_match,
        max_bytes,
        lookup.size,
    )
    assert [path.name for path in file.parent.iterdir()] == ["texts.uag"]


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "no" / "file", Path("/dev/full")):
        with pytest.raises(FileError, match="cannot write the lookup to"):
            Lookup([STORY]).save(path)
    assert [*tmp_path.iterdir()] == []


def test_a_damaged_or_foreign_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "texts.uag"
    Lookup([REPEATING, STORY]).save(file)
    sound = file.read_bytes()
    for at in range(0, len(sound), 7):
        file.write_bytes(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])
        with pytest.raises(FileError, match=r"texts\.uag is (damaged|no file)"):
            Lookup.load(file)
        file.write_bytes(sound[:at])
        with pytest.raises(FileError, match=r"texts\.uag is (damaged|no file)"):
            Lookup.load(file)
    with pytest.raises(FileError, match=r"cannot read .*No such file"):
        Lookup.load(tmp_path / "none")
    with pytest.raises(FileError, match="cannot read"):
        Lookup.load(tmp_path)


def test_a_text_may_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "old.py"
    path.write_text(STORY, encoding="utf-8")
    assert Lookup([path]).texts == [STORY]
    with pytest.raises(FileError, match="cannot read a text from"):
        Lookup([tmp_path / "none.py"])


def test_the_oldest_texts_leave() -> None:
    lookup = Lookup(["first text", "second text"], max_bytes=30)
    lookup.remember("third text")
    assert lookup.texts == ["second text", "third text"]
    search = lookup.search()
    search.append(b"the firs")
    assert not search.find(8, 4).data


def test_threads_share_a_store() -> None:
    model, words = looping("gpt2")
    lookup = Lookup([REPEATING], max_bytes=4000)
    decoder = SpeculativeDecoder(model, words, lookup, lookahead=5)
    expected = plain_ids(model, words(PROMPT)["input_ids"], max_new_tokens=24)
    wrong: list[object] = []

    def generate() -> None:
        out = decoder.generate(PROMPT, max_new_tokens=24)
        if out.token_ids != expected:
            wrong.append(out.token_ids)
        lookup.remember(out.text)

    def remember() -> None:
        for number in range(200):
            lookup.remember(f"{number} {REPEATING}")

    threads = [threading.Thread(target=each) for each in (generate, remember, generate, remember)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert lookup.size == sum(len(text.encode()) for text in lookup.texts) <= 4000


MISTAKES: list[tuple[Any, str]] = [
    (lambda: Lookup("one text"), "give a list"),
    (lambda: Lookup([cast("Any", 3)]), "a text is of type int; give str, bytes or a Path"),
    (lambda: Lookup(min_match=0), "min_match is 0"),
    (lambda: Lookup(max_bytes=0), "max_bytes is 0"),
    (lambda: Lookup(max_bytes=Texts.LIMIT + 1), f"from 1 to {Texts.LIMIT}"),
    (lambda: Lookup(["12345"], max_bytes=4), "has 5 bytes, but the lookup holds 4"),
]


@pytest.mark.parametrize(("make", "message"), MISTAKES)
def test_mistakes(make: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        make()


def test_a_search_has_read_what_it_was_given() -> None:
    search: Search = Lookup().search()
    search.append("日本".encode())
    assert (search.text, search.memory > 0, search.find(3, 1).matched) == ("日本".encode(), True, 0)
