"""Why a model or tokenizer could not be loaded: which file of it is absent or damaged."""

import json
import os
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError
from safetensors import SafetensorError, safe_open

from uag.errors import LoadError
from uag.files import is_file, is_folder

AGAIN = "copy or download it again"


def located(name: str | Path) -> str:
    """The name of a model as `from_pretrained` takes it.

    Raises:
        LoadError: for what can only be a folder, and is none.

    >>> located("google/gemma-2-9b")
    'google/gemma-2-9b'
    """
    path = Path(os.path.expanduser(name))  # noqa: PTH111 - leaves an unknown user's as it is
    if is_folder(path):
        return str(path)
    if is_file(path):
        remedy = f"; pass gguf_file={path.name!r} too" if path.suffix == ".gguf" else ""
        raise LoadError(f"{str(path)!r} is a file: give the folder that it is in{remedy}")
    if isinstance(name, Path) or _is_path(name):
        raise LoadError(f"there is no folder {str(path)!r}: give a model's folder or its hub name")
    return name


def _is_path(name: str) -> bool:
    """Whether a name can be no hub name, which is `model` or `owner/model`."""
    return name.startswith((".", "~", os.sep)) or name.count("/") > 1 or "\\" in name


def damage(name: str, options: dict[str, Any], pattern: str = "*") -> str:
    """Which file of a model or its tokenizer is damaged, in a sentence; empty if none is.

    Args:
        name: the folder or hub name.
        options: of `from_pretrained`.
        pattern: which files to look at.

    >>> damage("no/such-model", {}, "generation_config.json")
    ''
    """
    folder = _folder(name, options)
    for file in sorted(folder.glob(pattern)) if folder and is_folder(folder) else ():
        if fault := _fault(file):
            return f"{file.name} is damaged ({fault}): {AGAIN}"
    return ""


def _folder(name: str, options: dict[str, Any]) -> Path | None:
    """Where the files of a model are; `None` if it was never downloaded."""
    if is_folder(name):
        return Path(name) / (options.get("subfolder") or "")
    inner = f"{options['subfolder']}/" if options.get("subfolder") else ""
    try:
        found = try_to_load_from_cache(
            name,
            f"{inner}config.json",
            cache_dir=options.get("cache_dir"),
            revision=options.get("revision"),
        )
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None


def _fault(file: Path) -> str:
    """What is wrong with a file; empty if nothing is, or it is of another kind."""
    try:
        match file.suffix:
            case ".json":
                content = json.loads(file.read_text(encoding="utf-8"))
                return "" if isinstance(content, dict) else "it holds no JSON object"
            case ".safetensors":
                with safe_open(file, framework="pt"):
                    return ""
            case _:
                return ""
    except OSError as error:
        return error.strerror or str(error)
    except (ValueError, RecursionError, SafetensorError) as error:
        return str(error) or type(error).__name__
