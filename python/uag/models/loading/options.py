"""Options of `from_pretrained`: what they belong to, a repository, all files, or weights alone."""

from typing import Any

import torch

from uag.errors import LoadError

# Of one repository: another model's has other branches, folders and files.
OF_REPOSITORY = ("revision", "code_revision", "subfolder", "gguf_file", "variant")
# Of whoever loads, from any repository.
OF_ACCESS = (
    "trust_remote_code",
    "token",
    "cache_dir",
    "local_files_only",
    "force_download",
    "proxies",
)
# What means the same for a model and its tokenizer. The code of both is pinned together.
OF_FILES = tuple(name for name in (*OF_REPOSITORY, *OF_ACCESS) if name != "variant")
# Further ones, of a model alone.
OF_WEIGHTS = (
    "variant",
    "dtype",
    "torch_dtype",
    "device_map",
    "max_memory",
    "offload_folder",
    "quantization_config",
    "attn_implementation",
    "tp_plan",
    "use_safetensors",
)


def check_dtype(options: dict[str, Any]) -> None:
    """Refuse the name of a number type that torch does not have.

    Raises:
        LoadError: naming it.

    >>> check_dtype({"dtype": "bfloat16"})
    >>> check_dtype({"dtype": "float99"})
    Traceback (most recent call last):
    uag.errors.LoadError: dtype='float99' is no number type of torch: give float32, bfloat16 or auto
    """
    name = options.get("dtype")
    if not isinstance(name, str) or name == "auto":
        return
    if not isinstance(getattr(torch, name, None), torch.dtype):
        raise LoadError(
            f"dtype={name!r} is no number type of torch: give float32, bfloat16 or auto"
        )


def of_files(options: dict[str, Any]) -> dict[str, Any]:
    """Those of a model's options that its tokenizer and its configuration are loaded with.

    >>> of_files({"revision": "v2", "token": "x", "dtype": "auto"})
    {'revision': 'v2', 'token': 'x'}
    """
    return {name: value for name, value in options.items() if name in OF_FILES}


def of_access(options: dict[str, Any]) -> dict[str, Any]:
    """Those of `options` that hold for any repository.

    >>> of_access({"revision": "v2", "token": "x", "dtype": "auto"})
    {'token': 'x'}
    """
    return {name: value for name, value in options.items() if name in OF_ACCESS}


def for_assistant(options: dict[str, Any], own: dict[str, Any] | None) -> dict[str, Any]:
    """The assistant's options: the target's but for those of its repository, then its own.

    >>> for_assistant({"revision": "v2", "dtype": "bfloat16"}, {"device_map": "cpu"})
    {'dtype': 'bfloat16', 'device_map': 'cpu'}
    """
    shared = {name: value for name, value in options.items() if name not in OF_REPOSITORY}
    return shared | (own or {})
