"""Files that a user names: read whole, compressed or not, and written whole or not at all."""

import gzip
import lzma
import os
import zlib
from collections.abc import Generator
from contextlib import contextmanager, suppress
from errno import EACCES, EISDIR, ELOOP
from pathlib import Path
from secrets import token_hex
from stat import S_IMODE
from typing import BinaryIO

from uag.errors import FileError

COMPRESSED = (".gz", ".xz")


def is_file(path: str | Path) -> bool:
    """Whether there is such a file; a name that is too long for one is none."""
    with suppress(OSError):
        return Path(path).is_file()
    return False


def is_folder(path: str | Path) -> bool:
    """Whether there is such a folder; a name that is too long for one is none.

    >>> is_folder("."), is_folder("x" * 5000)
    (True, False)
    """
    with suppress(OSError):
        return Path(path).is_dir()
    return False


def read_bytes(path: Path, what: str) -> bytes:
    """The content of a file, decompressed if its name ends in `.gz` or `.xz`.

    Args:
        path: the file.
        what: what it contains, in words, for the error message.

    Raises:
        FileError: if it can't be read, or is damaged.
    """
    try:
        data = path.read_bytes()
        match path.suffix:
            case ".gz":
                return gzip.decompress(data)
            case ".xz":
                return lzma.decompress(data)
            case _:
                return data
    except OSError as error:
        raise FileError(f"cannot read {what} from {path}: {error.strerror or error}") from error
    except MemoryError as error:  # such as /dev/zero
        raise FileError(f"cannot read {what} from {path}: it does not fit the memory") from error
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        raise FileError(f"cannot read {what} from {path}: {error}") from error


def read_text(path: Path, what: str) -> str:
    """The content of a UTF-8 file as text; see `read_bytes`.

    Raises:
        FileError: if it can't be read, is damaged, or isn't UTF-8.
    """
    try:
        return read_bytes(path, what).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(f"{path} holds no UTF-8 text: {error}") from error


def kind_of(path: Path) -> str:
    """The suffix of a file's name, without that of its compression.

    >>> kind_of(Path("prompts.jsonl.gz")), kind_of(Path("story.txt"))
    ('.jsonl', '.txt')
    """
    return Path(path.stem).suffix if path.suffix in COMPRESSED else path.suffix


def write_bytes(path: Path, data: bytes, what: str) -> None:
    """Write a file in one step: if that fails, an existing one is as it was.

    A link stays, and what it points to is written. A device or a pipe is written to.

    Args:
        path: the file.
        data: its whole content.
        what: what it contains, in words, for the error message.

    Raises:
        FileError: if it can't be written.
    """
    try:
        if _is_stream(path):
            with path.open("ab") as stream:
                stream.write(data)
            return
        with _replacing(path) as file:
            file.write(data)
    except OSError as error:
        raise FileError(
            f"cannot write {what} to {path}: {error.strerror or error}; give another file"
        ) from error


def check_writable(path: Path) -> None:
    """Refuse a file that `write_bytes` can't write, before the work for it begins.

    Raises:
        FileError: naming the file.
    """
    try:
        if _is_stream(path):
            _check_access(path)
            return
        with suppress(_Unwanted), _replacing(path):
            raise _Unwanted
    except OSError as error:
        raise FileError(
            f"cannot write to {path}: {error.strerror or error}; give another file"
        ) from error


class _Unwanted(Exception):  # noqa: N818 - it is no error
    """The new file is not wanted after all."""


@contextmanager
def _replacing(path: Path) -> Generator[BinaryIO]:
    """A new file that takes the place of `path` at the end of the block, if that does not fail."""
    try:
        place = path.resolve()
    except RuntimeError as error:  # before Python 3.13
        raise OSError(ELOOP, os.strerror(ELOOP)) from error
    existing = place.stat() if place.exists() else None
    if existing is not None:
        _check_access(place)
    # In the same folder, so that a rename puts it in place. Its name may be longer than allowed.
    temporary = place.with_name(f".uag-{os.getpid()}-{token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if existing is not None:
            temporary.chmod(S_IMODE(existing.st_mode))
            with suppress(OSError, AttributeError):  # only root may give files away
                os.chown(temporary, existing.st_uid, existing.st_gid)
        temporary.replace(place)
    finally:
        temporary.unlink(missing_ok=True)


def _is_stream(path: Path) -> bool:
    """Whether a path is no place for a file: a device, a pipe, or one of this process's streams."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        return True
    return path.absolute().parts[1:2] in (("dev",), ("proc",)) and path.is_file()


def _check_access(path: Path) -> None:
    if path.is_dir():
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
    if not os.access(path, os.W_OK):  # a rename would replace it nevertheless
        raise PermissionError(EACCES, os.strerror(EACCES))
