"""Prompts with images: the target reads them as `generate` does, and drafts go on as usual.

A sample of `python -m tests.campaigns.images`, and what belongs to one text alone.
"""

from functools import cache
from typing import Any

import pytest
import torch
from transformers import BatchFeature

from tests.support.architectures.cells import COLUMNS, text_cells
from tests.support.architectures.checks import checked
from tests.support.architectures.images import CHECKS, Pictured, said_after, with_image
from tests.support.architectures.models import Weights, fresh
from tests.support.architectures.texts import TOKENIZER
from tests.support.architectures.verdicts import Verdict
from tests.support.tokenizers import tokenizer
from uag import OptionError, PromptError, UagWarning
from uag.models.caches.as_generate import neutral_options
from uag.models.caches.prefilled import PrefilledCache
from uag.models.caches.protocol import AS_GENERATE
from uag.models.check import images
from uag.models.prefill import kept, prepare

# Positions of several axes, or left to the model; states of several kinds; masks both ways;
# features in the text or attended to across.
SAMPLE = (
    *("qwen2_vl", "qwen3_5", "gemma3", "gemma4", "llava", "llava_next", "mistral3", "llama4"),
    *("mllama", "paligemma", "hyperclovax_vision_v2"),
)


@cache
def pictured(kind: str) -> Pictured:
    return Pictured.of(kind, Weights(0.3))


@pytest.mark.parametrize("kind", SAMPLE)
def test_the_text_is_that_of_generate(kind: str) -> None:
    names = ["generate", "custom_generate"] + ["drawn", "batch"] * (kind in SAMPLE[:2])
    found = [checked(pictured(kind), name, CHECKS) for name in names]
    assert [each.verdict for each in found] == [Verdict.EXACT] * len(names), found
    assert found[0].accepted > 20


@pytest.mark.parametrize("kind", ["llava", "qwen2_vl"])
def test_text_alone_in_every_way(kind: str) -> None:
    """The whole is `python -m tests.campaigns.architectures`."""
    found = text_cells(kind)
    assert {name: each.verdict for name, each in found.items()} == dict.fromkeys(
        COLUMNS, Verdict.EXACT
    ), found
    assert found["generate"].accepted > 20


@pytest.mark.parametrize("kind", ["qwen3_5", "mllama"])
def test_every_draft_may_be_wrong(kind: str) -> None:
    """More candidates are rolled back than there are features of the image."""
    subject = pictured(kind)
    out = subject.drafting(1, 4).generate(subject.inputs, **subject.texts.options)
    assert out.token_ids == subject.texts.said[0]
    assert out.stats.candidates - out.stats.accepted > 30


@pytest.mark.parametrize("given", [True, False])
def test_what_a_model_keeps_of_an_image_is_one_texts_own(
    given: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts with two images and with none take turns.

    `given`: whether `generate` gives positions after the prompt; else the model counts on from
    what it keeps, as models with code of their own do.
    """
    subject = Pictured(pictured("qwen2_vl").texts, pictured("qwen2_vl").inputs)
    model = fresh(subject.texts.model)
    prepare: Any = type(model).prepare_inputs_for_generation

    def other(self: Any, input_ids: Any, is_first_iteration: bool = False, **kwargs: Any) -> Any:
        inputs = prepare(self, input_ids, is_first_iteration=is_first_iteration, **kwargs)
        return inputs if is_first_iteration else inputs | {"position_ids": None}

    if not given:
        monkeypatch.setattr(type(model), "prepare_inputs_for_generation", other)
    prompt: list[int] = tokenizer(TOKENIZER)("One day, the dog")["input_ids"]
    one, two = subject.inputs, with_image(fresh(model), prompt, seed=1)
    alone = torch.tensor([prompt])
    plain = {"input_ids": alone, "attention_mask": torch.ones_like(alone)}
    options = subject.texts.options | {"max_new_tokens": 12}
    true = [said_after(fresh(model), each, options) for each in (one, two, plain)]
    decoder = subject.decoder()
    streams = [decoder.stream(each, **options) for each in (one, two, plain)]
    for _ in range(40):
        for stream in streams:
            next(stream, None)
    assert [stream.finish().token_ids for stream in streams] == true


def test_pixels_are_read_once_and_the_model_is_left_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("uag.errors._warned", set())
    subject = pictured("qwen2_vl")
    decoder, vision = subject.decoder(), subject.model.base_model.visual
    decoder.generate(subject.inputs, max_new_tokens=2)  # also tries how to read such prompts
    subject.model.base_model.rope_deltas = left = torch.tensor([[5]])
    passes: list[int] = []
    forward = vision.forward

    def counted(*given: Any, **named: Any) -> Any:
        passes.append(1)
        return forward(*given, **named)

    monkeypatch.setattr(vision, "forward", counted)
    sampled = {"do_sample": True, "seed": 1, "max_new_tokens": 4}
    with pytest.warns(UagWarning, match="images are decoded one after the other"):
        outs = decoder.generate(subject.inputs, num_return_sequences=3, **sampled)
    assert len(passes) == 1
    assert len({tuple(out.token_ids) for out in outs}) == 3
    assert subject.model.base_model.rope_deltas is left
    subject.model.base_model.rope_deltas = None


def test_a_prompt_is_read_once_whatever_is_rolled_back() -> None:
    """Also where states cannot be cropped: they are copied after the prompt."""
    subject = pictured("qwen3_5")
    subject.decoder().generate(subject.inputs, max_new_tokens=2)
    starts: list[int] = []
    model: Any = subject.model
    hook = model.base_model.language_model.register_forward_pre_hook(
        lambda _, __, named: starts.append(named["past_key_values"].get_seq_length()),
        with_kwargs=True,
    )
    subject.drafting(1, 4).generate(subject.inputs, **subject.texts.options)
    hook.remove()
    assert len(starts) > 30 and starts.count(0) == 1


def test_a_model_that_reads_otherwise_after_an_image_is_read_as_generate_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subject = pictured("llava")
    monkeypatch.setattr(images, "way_with", lambda *_: AS_GENERATE)
    with pytest.warns(UagWarning, match="drafts are switched off"):
        out = subject.drafting(5, 4).generate(subject.inputs, **subject.texts.options)
    assert out.token_ids == subject.texts.said[0] and not out.stats.candidates


def test_the_way_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose later passes are another's is not read in passes of several ids."""
    subject = Pictured.of("llava", Weights(0.15))
    model: Any = subject.model
    prepare = model.prepare_inputs_for_generation

    def other(input_ids: Any, **kwargs: Any) -> Any:
        inputs = prepare(input_ids, **kwargs)
        if inputs["input_ids"].shape[1] in (2, 3, 6):
            inputs["position_ids"] = inputs["position_ids"] + 1
        return inputs

    monkeypatch.setattr(model, "prepare_inputs_for_generation", other)
    with pytest.warns(UagWarning, match="gives other logits after an image"):
        out = subject.drafting(5, 4).generate(subject.inputs, **subject.texts.options)
    assert out.token_ids == subject.texts.said[0]


def test_what_cannot_be_read_is_refused() -> None:
    subject = pictured("llava")
    decoder, inputs = subject.decoder(), subject.inputs
    twice = {name: each.repeat(2, *[1] * (each.dim() - 1)) for name, each in inputs.items()}
    with pytest.raises(PromptError, match="pixel_values: there are 2 rows"):
        decoder.generate(twice, max_new_tokens=2)
    generate: Any = subject.model.generate
    with pytest.raises(OptionError, match="one prompt at a time, but there are 2 rows"):
        generate(**twice, custom_generate=decoder, max_new_tokens=2)
    padded = dict(inputs)
    padded["attention_mask"] = inputs["attention_mask"].clone()
    padded["attention_mask"][0, 0] = 0
    with pytest.raises(PromptError, match="no padding if it has more"):
        decoder.generate(padded, max_new_tokens=2)
    with pytest.raises(OptionError, match="without padding"):
        generate(**padded, custom_generate=decoder, max_new_tokens=2)
    few = dict(inputs, input_ids=torch.tensor([[5, 6, 7]]), attention_mask=torch.ones(1, 3).long())
    with pytest.raises(PromptError, match=r"cannot read this prompt \(ValueError: .*give what its"):
        decoder.generate(few, max_new_tokens=2)
    with pytest.raises(PromptError, match="cannot read this prompt"):
        decoder.generate(dict(inputs, pixels=inputs["pixel_values"]), max_new_tokens=2)
    assert len(decoder.generate(BatchFeature(inputs), max_new_tokens=2).token_ids) == 2


def test_a_prompt_with_an_image_is_not_compiled() -> None:
    subject = pictured("llava")
    decoder = subject.decoder(compile="eager")
    assert decoder.generate("One day", max_new_tokens=2).stats.engines == {"target": "compiled"}
    out = decoder.generate(subject.inputs, **subject.texts.options)
    assert out.token_ids == subject.texts.said[0]
    assert out.stats.engines["target"] == "eager: a prompt with images is not compiled"


def test_states_of_an_image_are_not_rolled_back() -> None:
    """Mllama attends across to them: they are in a layer's cache, and none is of the text."""
    subject = pictured("mllama")
    with kept(subject.model):
        prefill = prepare(subject.model, subject.inputs, neutral_options(subject.model))
    cache = PrefilledCache(subject.model, prefill)
    cache.forward(prefill.ids[0], 1)
    across = [layer for layer in cache.layers if layer.get_seq_length() != prefill.length]
    assert len(across) == 1
    first = cache.forward(prefill.ids[0, :1], 1)
    for _ in range(across[0].get_seq_length()):
        cache.roll_back(prefill.length)
        again = cache.forward(prefill.ids[0, :1], 1)
    assert torch.allclose(first, again, atol=1e-5)
