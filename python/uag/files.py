"""Files that a user names."""

from pathlib import Path

from uag.errors import FileError


def read_file(path: Path, what: str) -> str:
    """A whole UTF-8 file, of which `what` is to be had.

    Raises:
        FileError: if it can't be read, or is no UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(f"{path} is no UTF-8 text: {error}") from error
    except OSError as error:
        raise FileError(f"cannot read {what} from {path}: {error.strerror or error}") from error


def check_writable(path: Path) -> None:
    """Refuse a file that can't be written before the work begins, not after it.

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
