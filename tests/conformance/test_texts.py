"""Texts to compare tokenizers on: read from files, and cut from them at random."""

import lzma
from pathlib import Path

from tests.support.texts import DOCUMENTS
from uag.conformance.texts import random_texts, read_texts


def test_texts_are_read_and_never_cut_the_same_way(tmp_path: Path) -> None:
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
