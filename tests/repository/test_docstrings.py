"""The examples in docstrings run."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest
import torch
import transformers

import uag
from tests.support.models import random_model
from tests.support.tokenizers import tokenizer

PACKAGE = Path(uag.__file__).parent

# As they are imported: `uag`, `uag.decoder`, `uag.models.cache`.
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
)


@pytest.mark.parametrize("name", [name for name in MODULES if name != "uag.__main__"])
def test_docstring_examples(name: str) -> None:
    if name.endswith("lm_eval"):
        pytest.importorskip("lm_eval")
    module = import_module(name)
    assert doctest.testmod(module, extraglobs=_names()).failed == 0


def test_examples_of_the_core() -> None:
    stub = str(PACKAGE / "_core.pyi")
    assert doctest.testfile(stub, module_relative=False, globs=_names()).failed == 0


def _names() -> dict[str, object]:
    target, assistant = tokenizer("gpt2"), tokenizer("llama2")
    models = random_model("llama", target), random_model("llama", assistant, num_hidden_layers=1)
    return {
        "uag": uag,
        "torch": torch,
        "transformers": transformers,
        "target": models[0],
        "target_tokenizer": target,
        "assistant": models[1],
        "assistant_tokenizer": assistant,
        "decoder": uag.SpeculativeDecoder(models[0], target, models[1], assistant),
    }
