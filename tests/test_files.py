"""Files of the user: what was written is read, and what cannot be is named."""

import errno
import gzip
import lzma
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uag.errors import FileError
from uag.files import check_writable, kind_of, read_bytes, read_text, write_bytes

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


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_existing_file_is_replaced_and_keeps_its_rights(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_bytes(path, b"first", "it")
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask()
    path.chmod(0o640)
    write_bytes(path, b"second", "it")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"second", 0o640)
    assert names(tmp_path) == ["page.html"]


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("existing", [True, False])
def test_a_link_stays_and_what_it_points_to_is_written(tmp_path: Path, existing: bool) -> None:
    (tmp_path / "folder").mkdir()
    real, link = tmp_path / "folder" / "real.txt", tmp_path / "link.txt"
    link.symlink_to("folder/real.txt")
    if existing:
        real.write_bytes(b"first")
    check_writable(link)
    assert real.exists() == existing
    write_bytes(link, b"second", "it")
    assert link.is_symlink() and real.read_bytes() == b"second"
    assert names(real.parent) == ["real.txt"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(b"first")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match=r"cannot write the page to .*No space left"):
        write_bytes(path, b"second", "the page")
    assert (path.read_bytes(), names(tmp_path)) == (b"first", ["page.html"])


def test_an_interrupt_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(b"first")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_bytes(path, b"second", "the page")
    assert (path.read_bytes(), names(tmp_path)) == (b"first", ["page.html"])


def test_devices_and_pipes_are_written_to_and_stay(tmp_path: Path) -> None:
    null, full, pipe = Path("/dev/null"), Path("/dev/full"), tmp_path / "pipe"
    for path in (null, full):
        check_writable(path)
    write_bytes(null, b"text", "it")
    with pytest.raises(FileError, match="No space left"):
        write_bytes(full, b"text", "it")
    assert null.is_char_device() and full.is_char_device()
    os.mkfifo(pipe)
    check_writable(pipe)  # waits for no reader
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_bytes(pipe, b"text", "it")
    assert os.read(reader, 9) == b"text" and pipe.is_fifo()
    os.close(reader)


@pytest.mark.parametrize("to_file", [True, False])
def test_what_was_written_to_a_stream_before_stays(tmp_path: Path, to_file: bool) -> None:
    work = (
        "from pathlib import Path; from uag.files import check_writable, write_bytes\n"
        "path = Path('/dev/stdout'); print('before', flush=True); check_writable(path)\n"
        "write_bytes(path, b'written', 'it')"
    )
    command, out = [sys.executable, "-c", work], tmp_path / "out"
    if to_file:
        with out.open("wb") as stream:
            subprocess.run(command, stdout=stream, check=True)
        told = out.read_bytes()
    else:
        told = subprocess.run(command, capture_output=True, check=True).stdout
    assert told == b"before\nwritten"


def test_a_long_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 255)
    check_writable(path)
    write_bytes(path, b"text", "it")
    assert path.read_bytes() == b"text"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anything")
def test_a_file_or_folder_that_is_read_only_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(b"first")
    path.chmod(0o400)
    for write in (check_writable, lambda at: write_bytes(at, b"second", "it")):
        with pytest.raises(FileError, match="Permission denied"):
            write(path)
    assert path.read_bytes() == b"first"


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("link")
    for refused in (lambda: check_writable(link), lambda: write_bytes(link, b"", "the page")):
        with pytest.raises(FileError, match="cannot write"):
            refused()
