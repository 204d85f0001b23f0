"""The examples in docstrings run."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest
import torch
import transformers
import uag
from fakes import random_model, tokenizer

MODULES = sorted(path.stem for path in Path(uag.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("name", [name for name in MODULES if name != "__main__"])
def test_docstring_examples(name: str) -> None:
    if name == "lm_eval":
        pytest.importorskip("lm_eval")
    module = import_module("uag" if name == "__init__" else f"uag.{name}")
    target, assistant = tokenizer("gpt2"), tokenizer("llama2")
    models = random_model("llama", target), random_model("llama", assistant, num_hidden_layers=1)
    names = {
        "torch": torch,
        "transformers": transformers,
        "target": models[0],
        "target_tokenizer": target,
        "assistant": models[1],
        "assistant_tokenizer": assistant,
        "decoder": uag.SpeculativeDecoder(models[0], target, models[1], assistant),
    }
    assert doctest.testmod(module, extraglobs=names).failed == 0
