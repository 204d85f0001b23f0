"""Files that a user names: read whole, compressed or not, and checked before they are written."""

import gzip
import lzma
import zlib
from pathlib import Path

from uag.errors import FileError

COMPRESSED = (".gz", ".xz")


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


def check_writable(path: Path) -> None:
    """Refuse a file that can't be written, before the work for it begins.

    Raises:
        FileError: naming the file.
    """
    existed = path.exists()
    try:
        with path.open("a"):
            pass
    except OSError as error:
        raise FileError(
            f"cannot write to {path}: {error.strerror or error}; give another file"
        ) from error
    if not existed:
        path.unlink()
