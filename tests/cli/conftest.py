"""Folders of models that commands are given."""

import pytest

from tests.support.files import folders_of_pairs
from tests.support.models import random_model
from tests.support.tokenizers import tokenizer


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("pair")
    for role, name in (("target", "gpt2"), ("assistant", "llama2")):
        random_model("llama", tokenizer(name)).save_pretrained(folder / role)
        tokenizer(name).save_pretrained(folder / role)
    return ["--target", str(folder / "target"), "--assistant", str(folder / "assistant")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    target = tmp_path_factory.mktemp("target")
    random_model("llama", tokenizer("gpt2")).save_pretrained(target)
    tokenizer("gpt2").save_pretrained(target)
    return str(target)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return folders_of_pairs(tmp_path_factory.mktemp("folders"))
