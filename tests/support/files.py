"""Files that commands read: folders of models without weights, results of comparisons."""

import json
from pathlib import Path
from typing import Any

from tests.support.models import random_model
from tests.support.tokenizers import tokenizer


def folder(root: Path, name: str, vocabulary: str, **changes: Any) -> str:
    """A model's folder without its weights."""
    tokenizer(vocabulary).save_pretrained(root / name)
    random_model("llama", tokenizer(vocabulary), **changes).config.save_pretrained(root / name)
    return str(root / name)


def folders_of_pairs(root: Path) -> dict[str, str]:
    """Folders of a target and of assistants with various vocabularies and sizes."""
    return {
        "target": folder(root, "target", "gpt2", hidden_size=64, num_hidden_layers=8),
        "small": folder(root, "small", "llama2", num_hidden_layers=1),
        "middle": folder(root, "middle", "llama3", num_hidden_layers=3),
        "same": folder(root, "same", "gpt2", num_hidden_layers=1),
        "odd": folder(root, "odd", "odd", num_hidden_layers=1),
    }


def printed(**changes: Any) -> dict[str, Any]:
    """What `uag compare --json` prints, as far as plots read it."""
    methods = [
        {"name": "plain", "speeds": [10.0, 20.0, 10.0]},
        {"name": "transformers", "error": "IndexError: no such id"},
        {"name": "uag", "speeds": [20.0, 30.0, 15.0]},
    ]
    return {
        "target": "hub/big",
        "assistant": "./small",
        "lookahead": "5",
        "methods": methods,
    } | changes


def file(folder: Path, *results: dict[str, Any]) -> Path:
    path = folder / "results.jsonl"
    path.write_text("\n".join(map(json.dumps, results)) + "\n\n")
    return path
