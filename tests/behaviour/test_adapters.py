"""Adapters of PEFT: a text is what `generate` gives with the adapters that act when it begins."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from tests.support.models import plain_ids, random_model
from tests.support.tokenizers import PROMPT
from uag import (
    AdapterError,
    LoadError,
    OptionError,
    SpeculativeDecoder,
    UnsupportedModelError,
    inspect_pair,
)
from uag import compare as compare_methods
from uag.requests.named_models import load_pair

peft = pytest.importorskip("peft")

from tests.support.adapters import KINDS, WEIGHTS, WORDS, adapted, drawn, two_adapters  # noqa: E402

IDS = WORDS(PROMPT)["input_ids"][:12]
NEW = {"max_new_tokens": 12}

pytestmark = pytest.mark.filterwarnings("ignore")  # of PEFT, about what the tests do


def decoder_of(model: Any, **options: Any) -> SpeculativeDecoder:
    """Of a model that assists itself, so that drafts are right."""
    return SpeculativeDecoder(model, WORDS, model, WORDS, lookahead=3, **options)


@pytest.fixture
def model() -> Any:
    return two_adapters()


def same_as_generate(decoder: SpeculativeDecoder) -> list[int]:
    """The text of a decoder, by each way to call it; it must be `generate`'s, and drafted."""
    expected = plain_ids(decoder.model, IDS, **NEW)
    one = decoder.generate(IDS, **NEW)
    assert one.token_ids == expected
    assert one.stats.accepted
    assert plain_ids(decoder.model, IDS, custom_generate=decoder, **NEW) == expected
    assert [out.token_ids for out in decoder.generate([IDS, IDS], **NEW)] == [expected] * 2
    return expected


def test_adapters_switched_between_calls(model: Any) -> None:
    decoder = decoder_of(model)
    texts = [same_as_generate(decoder)]
    model.set_adapter("other")
    texts.append(same_as_generate(decoder))
    with model.disable_adapter():
        texts.append(same_as_generate(decoder))
    model.add_weighted_adapter(["default", "other"], [1.0, 1.0], "both", combination_type="linear")
    model.set_adapter("both")
    texts.append(same_as_generate(decoder))
    assert len({*map(tuple, texts)}) == 4
    model.set_adapter("other")
    model.delete_adapter("default")
    assert same_as_generate(decoder) == texts[1]


@torch._dynamo.config.patch(recompile_limit=1)
def test_adapters_switched_between_calls_of_a_compiled_model() -> None:
    """More of them than torch.compile keeps results for."""
    model = two_adapters(num_hidden_layers=1)
    decoder = SpeculativeDecoder(model, WORDS, compile="eager")
    for name in ("default", "other"):
        model.set_adapter(name)
        out = decoder.generate(IDS, max_new_tokens=3)
        assert out.token_ids == plain_ids(model, IDS, max_new_tokens=3)
    assert out.stats.engines == {"target": "compiled"}


def test_adapters_merged_and_unloaded_between_calls(model: Any) -> None:
    decoder = decoder_of(model)
    first = same_as_generate(decoder)
    model.merge_adapter()
    assert same_as_generate(decoder) == first
    model.unmerge_adapter()
    assert same_as_generate(decoder) == first
    merged = model.merge_and_unload()
    assert same_as_generate(decoder_of(merged)) == first
    assert decoder.generate(IDS, **NEW).token_ids == first


def test_adapters_that_transformers_itself_adds() -> None:
    model: Any = random_model("llama", WORDS)
    decoder = decoder_of(model)
    plain = same_as_generate(decoder)
    model.add_adapter(peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"]), "mine")
    drawn(model, "mine", seed=0)
    stream = decoder.stream(IDS, **NEW)
    next(stream)
    assert same_as_generate(decoder) != plain
    model.disable_adapters()
    with pytest.raises(AdapterError, match="from 'mine' to none"):
        stream.finish()
    assert same_as_generate(decoder) == plain


@pytest.mark.parametrize("role", ["target", "assistant"])
def test_adapters_switched_in_the_middle_of_a_text(model: Any, role: str) -> None:
    other: Any = random_model("llama", WORDS)
    pair = (model, other) if role == "target" else (other, model)
    decoder = SpeculativeDecoder(pair[0], WORDS, pair[1], WORDS, lookahead=3)
    stream = decoder.stream(IDS, **NEW)
    next(stream)
    model.set_adapter("other")
    with pytest.raises(AdapterError, match=f"{role}'s adapters .* from 'default' to 'other'"):
        stream.finish()
    assert decoder.generate(IDS, **NEW).token_ids == plain_ids(pair[0], IDS, **NEW)


def disabled(model: Any) -> None:
    model.base_model.disable_adapter_layers()


def both(model: Any) -> None:
    model.base_model.set_adapter(["default", "other"])


SWITCHES: list[tuple[Callable[[Any], Any], str]] = [
    (disabled, "none"),
    (lambda model: model.merge_adapter(["other"]), "'other'"),
    (both, "'default' and 'other'"),
    (lambda model: model.unload(), "none"),
    (lambda model: model.delete_adapter("default"), "'other'"),
]


@pytest.mark.parametrize(("switch", "after"), SWITCHES)
def test_every_switch_in_the_middle_is_seen(
    model: Any, switch: Callable[[Any], Any], after: str
) -> None:
    stream = decoder_of(model).stream(IDS, **NEW)
    next(stream)
    switch(model)
    with pytest.raises(AdapterError, match=f"from 'default' to {after},"):
        stream.finish()


def test_streams_with_adapters_of_their_own(model: Any) -> None:
    """Each is set before a step of its stream, as a server with one model does."""
    decoder = decoder_of(model)
    expected = {}
    for name in ("default", "other"):
        model.set_adapter(name)
        expected[name] = plain_ids(model, IDS, **NEW)
    streams = {name: decoder.stream(IDS, **NEW) for name in expected}
    for _ in range(12):
        for name, stream in streams.items():
            model.set_adapter(name)
            next(stream, None)
    assert {name: each.finish().token_ids for name, each in streams.items()} == expected


def test_merging_what_acts_changes_no_text(model: Any) -> None:
    decoder, expected = decoder_of(model), plain_ids(model, IDS, **NEW)
    stream = decoder.stream(IDS, **NEW)
    next(stream)
    model.merge_adapter()
    next(stream)
    model.merge_and_unload()
    assert stream.finish().token_ids == expected


def test_an_adapter_for_each_row(model: Any) -> None:
    decoder = decoder_of(model)
    rows = torch.tensor([IDS, IDS])
    options = {"attention_mask": torch.ones_like(rows), "do_sample": False, **NEW}
    with pytest.raises(OptionError, match="adapter_names: each row is decoded on its own"):
        model.generate(rows, adapter_names=["default", "other"], custom_generate=decoder, **options)
    options["attention_mask"] = options["attention_mask"][:1]
    both = [
        model.generate(rows[:1], adapter_names=["other"], **extra, **options)
        for extra in ({}, {"custom_generate": decoder})
    ]
    assert torch.equal(*both)


def test_an_activated_adapter_only_where_it_acts(model: Any) -> None:
    """It may be added after the decoder was built."""
    decoder = decoder_of(model)
    config = peft.LoraConfig(
        r=4, target_modules=["q_proj", "v_proj"], alora_invocation_tokens=[5, 6]
    )
    model.add_adapter("activated", config)
    same_as_generate(decoder)
    model.set_adapter("activated")
    with pytest.raises(UnsupportedModelError, match=r"'activated' \(aLoRA\) is switched on by ids"):
        decoder.generate(IDS, **NEW)
    model.set_adapter("default")
    same_as_generate(decoder)


def test_defaults_of_the_wrapper_alone(model: Any) -> None:
    decoder = decoder_of(model)
    model.generation_config = transformers.GenerationConfig(max_new_tokens=3, pad_token_id=0)
    for call in (decoder.generate, decoder.stream):
        with pytest.raises(OptionError, match="PeftModelForCausalLM has another than the model in"):
            call(IDS, **NEW)
    assert len(plain_ids(model, IDS, custom_generate=decoder)) == 3
    assert len(decoder.generate(IDS).token_ids) == 3  # PEFT has handed them on


def test_an_adapter_as_assistant_of_its_base() -> None:
    target = random_model("llama", WORDS, seed=1)
    decoder = SpeculativeDecoder(target, WORDS, adapted("LoRA"), WORDS, lookahead=3)
    out = decoder.generate(IDS, **NEW)
    assert out.token_ids == plain_ids(target, IDS, **NEW)
    assert out.stats.drafted


def test_compare(model: Any) -> None:
    comparison = compare_methods(decoder_of(model), PROMPT, runs=1, max_new_tokens=8)
    assert comparison.identical
    assert [method.name for method in comparison.methods] == ["plain", "transformers", "uag"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "base"
    random_model("llama", WORDS).save_pretrained(folder)
    WORDS.save_pretrained(folder)
    return folder


def saved(kind: str, base: Path) -> tuple[Any, Path]:
    """A model with an adapter, and the folder with the adapter alone."""
    model, folder = adapted(kind), base.parent / kind
    model.peft_config["default"].base_model_name_or_path = str(base)
    if not folder.exists():
        model.save_pretrained(folder)
    return model, folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_with_an_adapter(kind: str, base: Path) -> None:
    model, folder = saved(kind, base)
    if kind not in WEIGHTS:
        with pytest.raises(UnsupportedModelError, match="target's adapter 'default'"):
            SpeculativeDecoder.from_pretrained(str(folder), "lookup")
        return
    decoder = SpeculativeDecoder.from_pretrained(str(folder), str(folder), lookahead=3)
    out = decoder.generate(IDS, **NEW)
    assert out.token_ids == plain_ids(model, IDS, **NEW)
    assert out.stats.accepted


def test_a_folder_within_a_folder(base: Path, tmp_path: Path) -> None:
    model, folder = saved("LoRA", base)
    shutil.copytree(folder, tmp_path / "within")
    decoder = SpeculativeDecoder.from_pretrained(str(tmp_path), None, subfolder="within")
    assert decoder.generate(IDS, **NEW).token_ids == plain_ids(model, IDS, **NEW)


def test_a_folder_without_peft(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, folder = saved("LoRA", base)
    monkeypatch.setattr(transformers.utils, "is_peft_available", lambda: False)
    with pytest.raises(LoadError, match=r"has an adapter of PEFT, .*: pip install peft"):
        SpeculativeDecoder.from_pretrained(str(folder), None)


def test_a_folder_with_pickled_weights(base: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    model, folder = saved("LoRA", base)
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    weights = tmp_path / "adapter_model.safetensors"
    torch.save(load_file(weights), tmp_path / "adapter_model.bin")
    weights.unlink()
    with pytest.raises(LoadError, match=r"no adapter_model.safetensors.*use_safetensors=None"):
        SpeculativeDecoder.from_pretrained(str(tmp_path), None)
    decoder = SpeculativeDecoder.from_pretrained(str(tmp_path), None, use_safetensors=None)
    assert decoder.generate(IDS, **NEW).token_ids == plain_ids(model, IDS, **NEW)


@pytest.mark.parametrize(
    ("named", "message"),
    [(None, "names no base model"), ("itself", "cannot load a tokenizer from")],
)
def test_a_folder_whose_base_is_missing(
    base: Path, tmp_path: Path, named: str | None, message: str
) -> None:
    _, folder = saved("LoRA", base)
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    config = tmp_path / "adapter_config.json"
    settings = json.loads(config.read_text())
    settings["base_model_name_or_path"] = named and str(tmp_path)
    config.write_text(json.dumps(settings))
    with pytest.raises(LoadError, match=message):
        SpeculativeDecoder.from_pretrained(str(tmp_path), None)
    with pytest.raises(LoadError):
        load_pair(str(tmp_path), None, tokenizer=WORDS)


def test_a_folder_is_inspected_as_its_base(base: Path) -> None:
    _, folder = saved("LoRA", base)
    pair = inspect_pair(str(folder), str(base), text=PROMPT)
    assert pair.target.size == pair.assistant.size
    assert pair.target.architecture == "LlamaForCausalLM"
