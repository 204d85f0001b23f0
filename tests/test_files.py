"""Files of the user: what was written is read, and what cannot be is named."""

import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uag.errors import FileError
from uag.files import check_writable, kind_of, read_bytes, read_text

WRITERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes, ".gz": gzip.compress, ".xz": lzma.compress,
}  # fmt: skip


@given(st.text(), st.sampled_from([*WRITERS]), st.booleans())
def test_text_comes_back(
    tmp_path_factory: pytest.TempPathFactory, text: str, suffix: str, mark: bool
) -> None:
    path = tmp_path_factory.mktemp("files") / f"text.txt{suffix}"
    text = text.encode(errors="ignore").decode().removeprefix("\ufeff")
    data = text.encode("utf-8-sig" if mark else "utf-8")
    path.write_bytes(WRITERS[suffix](data))
    assert (read_bytes(path, "it"), read_text(path, "it"), kind_of(path)) == (data, text, ".txt")


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
def test_a_file_that_is_damaged_anywhere_is_named(tmp_path: Path, suffix: str) -> None:
    path, sound = tmp_path / f"text.txt{suffix}", WRITERS[suffix](b"Once upon a time")
    for at in range(len(sound)):
        path.write_bytes(sound[:at])
        if at:
            with pytest.raises(FileError, match=r"cannot read a text from .*text\.txt"):
                read_text(path, "a text")


def test_a_file_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    known = tmp_path / "known.txt"
    known.write_text("content")
    check_writable(known)
    check_writable(tmp_path / "new.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["known.txt"]
    assert known.read_text() == "content"
    for path in (tmp_path, tmp_path / "no" / "file"):
        with pytest.raises(FileError, match=r"cannot write to .*; give another file"):
            check_writable(path)
