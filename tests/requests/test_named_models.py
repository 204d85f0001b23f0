"""Both models by name or as objects: one way to get them."""

from typing import Any

import pytest

from tests.support.models import random_model
from tests.support.tokenizers import tokenizer
from uag import LoadError, Lookup, OptionError
from uag.requests.named_models import load_pair


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    root = tmp_path_factory.mktemp("models")
    for name in ("gpt2", "llama2"):
        random_model("llama", tokenizer(name)).save_pretrained(root / name)
        tokenizer(name).save_pretrained(root / name)
    return [str(root / name) for name in ("gpt2", "llama2")]


def test_names_and_objects_give_the_same_pair(names: list[str]) -> None:
    loaded = load_pair(*names, options={"dtype": "float64"})
    assert loaded.model.dtype == loaded.assistant.dtype
    given = load_pair(
        loaded.model,
        loaded.assistant,
        tokenizer=loaded.tokenizer,
        assistant_tokenizer=loaded.assistant_tokenizer,
    )
    assert given == loaded
    mixed = load_pair(
        loaded.model, loaded.assistant, tokenizer=names[0], assistant_tokenizer=names[1]
    )
    for one, other in ((mixed.tokenizer, "gpt2"), (mixed.assistant_tokenizer, "llama2")):
        assert one.get_vocab() == tokenizer(other).get_vocab()


@pytest.mark.parametrize("assistant", ["lookup", Lookup(), None])
def test_lookups_have_no_tokenizer_to_load(names: list[str], assistant: Any) -> None:
    pair = load_pair(names[0], assistant)
    assert (pair.assistant, pair.assistant_tokenizer) == (assistant, None)


def test_a_model_as_an_object_needs_its_tokenizer(names: list[str]) -> None:
    model = random_model("llama", tokenizer("gpt2"))
    with pytest.raises(OptionError, match=r"^tokenizer is missing"):
        load_pair(model, None)
    with pytest.raises(OptionError, match=r"^assistant_tokenizer is missing"):
        load_pair(names[0], model)


def test_a_wrong_name_shows_before_weights_are_read(
    names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unread(*_: Any, **__: Any) -> None:
        pytest.fail("weights were read")

    monkeypatch.setattr("uag.requests.named_models.load_model", unread)
    with pytest.raises(LoadError, match="no/such"):
        load_pair(names[0], "/no/such")
