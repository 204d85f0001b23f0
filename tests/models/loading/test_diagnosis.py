"""A model whose files are absent, damaged or of another kind is refused, with the file's name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from tests.support.models import random_model
from tests.support.tokenizers import PROMPT, tokenizer
from uag import LoadError, SpeculativeDecoder, UagWarning, UnsupportedTokenizerError

WEIGHTS = "model.safetensors"
JSON_FILES = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = random_model("llama", tokenizer("gpt2"))
    model.generation_config.eos_token_id = 3
    model.save_pretrained(tmp_path)
    tokenizer("gpt2").save_pretrained(tmp_path)
    return tmp_path


def refused(folder: Path, **options: Any) -> str:
    """The message, which is the same for an assistant."""
    with pytest.raises(LoadError) as error:
        SpeculativeDecoder.from_pretrained(folder, **options)
    with pytest.raises(LoadError) as other:
        SpeculativeDecoder.from_pretrained(
            random_pair(folder), folder, assistant_options=options or None
        )
    message = str(error.value)
    assert message == str(other.value) and "\n" not in message
    return message


def random_pair(folder: Path) -> Path:
    right = folder.parent / "right"
    if not right.is_dir():
        random_model("llama", tokenizer("gpt2")).save_pretrained(right)
        tokenizer("gpt2").save_pretrained(right)
    return right


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 10_000])
@pytest.mark.parametrize("name", JSON_FILES)
def test_a_damaged_file_is_named(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    assert f": {name} is damaged (" in refused(folder)


def test_a_damaged_adapter_is_named(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{")
    assert ": adapter_config.json is damaged (" in refused(folder)


@pytest.mark.parametrize("size", [0, 5, 1000, -1])
def test_weights_that_were_cut_are_named(folder: Path, size: int) -> None:
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[:size])
    assert f": {WEIGHTS} is damaged (" in refused(folder)


def change(folder: Path, edit: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    weights = load_file(folder / WEIGHTS)
    edit(weights)
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def test_random_weights_are_refused(folder: Path) -> None:
    change(folder, lambda weights: weights.pop("model.norm.weight"))
    message = refused(folder)
    assert "lack 1 of the 2" in message and "the first model.norm.weight" in message


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    change(folder, lambda weights: weights.update({"model.norm.weight": torch.zeros(3)}))
    assert "model.norm.weight has the shape [3] and by config.json [32]" in refused(folder)


def test_whoever_allows_other_shapes_gets_them(folder: Path) -> None:
    change(folder, lambda weights: weights.update({"model.norm.weight": torch.zeros(3)}))
    decoder = SpeculativeDecoder.from_pretrained(folder, ignore_mismatched_sizes=True)
    assert len(decoder.generate(PROMPT, max_new_tokens=4).token_ids) == 4


def bert(**settings: Any) -> Any:
    return transformers.BertConfig(
        vocab_size=len(tokenizer("gpt2")),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        **settings,
    )


def test_an_encoder_is_refused(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    transformers.BertModel(bert()).save_pretrained(folder)
    assert "weights of BertLMHeadModel, the first cls.predictions" in refused(folder)
    transformers.BertForMaskedLM(bert()).save_pretrained(folder)
    assert "BertLMHeadModel is an encoder here" in refused(folder)


def test_an_encoder_made_a_decoder_is_none(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    transformers.BertLMHeadModel(bert(is_decoder=True)).save_pretrained(folder)
    decoder = SpeculativeDecoder.from_pretrained(folder)
    assert len(decoder.generate(PROMPT, max_new_tokens=4).token_ids) == 4


@pytest.mark.parametrize(
    "name", ["/no/such", "./such", "a/b/c", "~/no/such", "~nobody/such", Path("such")]
)
def test_a_folder_that_is_none_is_called_that(name: str | Path) -> None:
    with pytest.raises(LoadError, match=r"^there is no folder '.*such'|'a/b/c'"):
        SpeculativeDecoder.from_pretrained(name)


def test_a_file_is_no_folder(folder: Path) -> None:
    with pytest.raises(LoadError, match="is a file: give the folder"):
        SpeculativeDecoder.from_pretrained(folder / WEIGHTS)
    (folder / "small.gguf").touch()
    with pytest.raises(LoadError, match=r"pass gguf_file='small\.gguf' too"):
        SpeculativeDecoder.from_pretrained(folder / "small.gguf")


def test_a_model_in_the_cache_of_the_hub_is_looked_at_too(folder: Path, tmp_path: Path) -> None:
    """As the hub's library keeps it: refs name a commit, whose snapshot is a folder of files."""
    kept = tmp_path / "hub" / "models--someone--small"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text("0" * 40)
    snapshot = kept / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    for file in [each for each in folder.iterdir() if each.is_file()]:
        file.rename(snapshot / file.name)
    where: dict[str, Any] = {"cache_dir": tmp_path / "hub", "local_files_only": True}
    decoder = SpeculativeDecoder.from_pretrained("someone/small", "someone/small", **where)
    assert decoder.generate(PROMPT, max_new_tokens=4).token_ids
    (snapshot / "generation_config.json").write_bytes(b"{")
    with pytest.raises(LoadError, match=r"generation_config\.json is damaged"):
        SpeculativeDecoder.from_pretrained("someone/small", **where)
    (snapshot / "generation_config.json").unlink()
    (snapshot / WEIGHTS).write_bytes(b"")
    with pytest.raises(LoadError, match=rf"{WEIGHTS} is damaged"):
        SpeculativeDecoder.from_pretrained("someone/small", **where)


def test_a_fast_tokenizer_beside_a_slow_one_is_used(folder: Path) -> None:
    """CTRL's class has no Rust tokenizer, and needs a vocabulary of its own."""
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["tokenizer_class"] = "CTRLTokenizer"
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "vocab.json").write_text('{"<unk>": 0}')
    (folder / "merges.txt").write_text("#version: 0.2\n")
    slow = transformers.AutoTokenizer.from_pretrained(folder)
    if getattr(slow, "backend_tokenizer", None) is not None:
        pytest.skip("transformers has a fast one")
    with pytest.warns(UagWarning, match=r"its tokenizer\.json is used instead"):
        decoder = SpeculativeDecoder.from_pretrained(folder)
    assert decoder.tokenizer.get_vocab() == tokenizer("gpt2").get_vocab()
    (folder / "tokenizer.json").unlink()
    with pytest.raises(UnsupportedTokenizerError, match="CTRLTokenizer is a slow"):
        SpeculativeDecoder.from_pretrained(folder)
