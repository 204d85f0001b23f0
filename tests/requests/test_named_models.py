"""Both models by name or as objects: one way to get them."""

from pathlib import Path
from typing import Any

import pytest

import uag
from tests.support.chats import processor
from tests.support.models import random_model
from tests.support.tokenizers import PROMPT, tokenizer
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


def test_folders_may_be_paths(names: list[str]) -> None:
    target, assistant = map(Path, names)
    pair = load_pair(target, assistant, tokenizer=target, assistant_tokenizer=assistant)
    assert pair.model.name_or_path == names[0] and pair.assistant.name_or_path == names[1]


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


def test_options_reach_each_model(names: list[str]) -> None:
    pair: Any = load_pair(
        *names, options={"dtype": "float64"}, assistant_options={"dtype": "float32"}
    )
    assert [str(each.dtype) for each in (pair.model, pair.assistant)] == [
        "torch.float64",
        "torch.float32",
    ]


def test_the_pipeline_looks_up_by_name(names: list[str]) -> None:
    pipe: Any = uag.pipeline(model=names[0], assistant_model="lookup")
    plain = uag.pipeline(model=names[0])
    options: dict[str, Any] = {"max_new_tokens": 8, "do_sample": False}
    assert pipe(PROMPT, **options) == plain(PROMPT, **options)
    decoder = pipe._forward_params["custom_generate"]
    assert decoder.lookup is not None and decoder.assistant is None


def test_the_pipeline_takes_every_option_of_the_decoder(names: list[str]) -> None:
    words, others = tokenizer("gpt2"), tokenizer("llama2")
    pair = words.eos_token_id, others.bos_token_id
    pipe: Any = uag.pipeline(
        model=names[0],
        assistant_model=names[1],
        lookup=Lookup(["Once upon a time"]),
        special_pairs=[pair],
    )
    decoder = pipe._forward_params["custom_generate"]
    assert decoder.lookup.texts == ["Once upon a time"]
    assert pair in decoder.bridge.special_pairs


def test_where_the_files_are_holds_for_tokenizers_too(tmp_path: Any) -> None:
    """The folder itself has another tokenizer, and no model."""
    random_model("llama", tokenizer("gpt2")).save_pretrained(tmp_path / "model")
    tokenizer("gpt2").save_pretrained(tmp_path / "model")
    random_model("llama", tokenizer("llama2")).save_pretrained(tmp_path / "small")
    tokenizer("llama2").save_pretrained(tmp_path / "small")
    tokenizer("bytes").save_pretrained(tmp_path)
    decoder = uag.SpeculativeDecoder.from_pretrained(
        str(tmp_path), str(tmp_path), subfolder="model", assistant_options={"subfolder": "small"}
    )
    assert decoder.tokenizer.get_vocab() == tokenizer("gpt2").get_vocab()
    assert decoder.assistant_tokenizer.get_vocab() == tokenizer("llama2").get_vocab()
    pipe = uag.pipeline(model=str(tmp_path), subfolder="model")
    assert pipe.tokenizer.get_vocab() == tokenizer("gpt2").get_vocab()


def test_the_options_that_reach_a_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, Any]] = []

    def load(name: str, **options: Any) -> Any:
        given.append(options)
        return tokenizer("gpt2")

    monkeypatch.setattr("uag.requests.named_models.load_tokenizer", load)
    monkeypatch.setattr(
        "uag.requests.named_models.load_model", lambda *_, **__: random_model("llama", load(""))
    )
    options = {"revision": "main", "token": "x", "cache_dir": "/x", "gguf_file": "a.gguf"}
    load_pair(
        "one",
        "other",
        options=options | {"dtype": "auto", "device_map": "cpu"},
        assistant_options={"revision": "v2"},
    )
    # Another repository has other revisions and files.
    assert given[:2] == [options, {"token": "x", "cache_dir": "/x", "revision": "v2"}]


def test_a_pair_from_one_repository_has_two_folders(tmp_path: Path) -> None:
    """What names something in the target's repository is not the assistant's."""
    for role, name in (("", "llama2"), ("inner", "gpt2")):
        random_model("llama", tokenizer(name)).save_pretrained(tmp_path / role)
        tokenizer(name).save_pretrained(tmp_path / role)
    decoder = uag.SpeculativeDecoder.from_pretrained(tmp_path, tmp_path, subfolder="inner")
    assert decoder.tokenizer.get_vocab() == tokenizer("gpt2").get_vocab()
    assert decoder.assistant_tokenizer.get_vocab() == tokenizer("llama2").get_vocab()


def test_paths_are_names(names: list[str]) -> None:
    folders = [Path(name) for name in names]
    decoder = uag.SpeculativeDecoder.from_pretrained(*folders)
    out = decoder.generate(PROMPT, max_new_tokens=8)
    others: dict[str, Any] = {"tokenizer": folders[0], "assistant_tokenizer": folders[1]}
    same = uag.SpeculativeDecoder.from_pretrained(*folders, **others)
    assert same.generate(PROMPT, max_new_tokens=8).token_ids == out.token_ids
    pipe: Any = uag.pipeline(model=folders[0], assistant_model=folders[1], **others)
    (piped,) = pipe(PROMPT, max_new_tokens=8, do_sample=False, return_full_text=False)
    assert piped["generated_text"] == out.text
    pair = uag.inspect_pair(*folders)
    assert not pair.obstacles


def test_a_tokenizer_from_another_place_has_no_revision_of_the_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "uag.requests.named_models.load_tokenizer",
        lambda _name, **options: given.append(options) or tokenizer("gpt2"),
    )
    monkeypatch.setattr(
        "uag.requests.named_models.load_model",
        lambda *_, **__: random_model("llama", tokenizer("gpt2")),
    )
    load_pair("one", None, tokenizer="other", options={"revision": "v2", "token": "x"})
    assert given == [{"token": "x"}]


def test_a_processor_is_taken_in_place_of_a_tokenizer(names: list[str]) -> None:
    decoder = uag.SpeculativeDecoder.from_pretrained(names[0], tokenizer=processor())
    assert decoder.processor is processor()
    assert decoder.tokenizer is processor().tokenizer
