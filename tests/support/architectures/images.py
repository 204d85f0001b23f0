"""A random image for a model of any class, in the form that its processor would give."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from tests.support.architectures.checks import DRAWN, Answer, Nearly, Subject
from tests.support.architectures.models import Weights, fresh, tiny_model
from tests.support.architectures.texts import TOKENIZER, Texts, greedy
from tests.support.tokenizers import PROMPT, tokenizer
from tests.support.words import words
from uag import SpeculativeDecoder
from uag.models.prefill import placeholders

Inputs = dict[str, Tensor]

KINDS = [*MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES]

# Patches of an image, where a class is given these: in height and in width.
GRID = (4, 6)


def with_image(model: PreTrainedModel, prompt: list[int], seed: int = 0) -> Inputs:
    """The prompt with an image after its first ids, as arguments of `generate`.

    Of the forms that processors give, it is the first one that the model can read.

    Raises:
        ValueError: if the model can read none of them.
    """
    faults: list[str] = []
    for pixels in _forms(model, seed):
        try:
            inputs = _placed(model, prompt, pixels)
            generate: Any = model.generate
            generate(**inputs, max_new_tokens=1, do_sample=False)
        except Exception as error:  # noqa: BLE001 - a class refuses a form in any way
            faults.append(f"{type(error).__name__}: {str(error).splitlines()[:1]}")
        else:
            return inputs
    raise ValueError(f"no form of an image fits: {faults}")


def _forms(model: PreTrainedModel, seed: int) -> Iterator[dict[str, Tensor]]:
    """Pixels, and what goes with them."""
    own: Any = model
    vision = getattr(own.config, "vision_config", None) or getattr(own.config, "vq_config", None)
    size = _number(vision, "image_size", "resolution") or 28
    draw = torch.Generator().manual_seed(seed)
    read = getattr(own.base_model, "get_image_features", model.forward)
    names = inspect.signature(read).parameters
    if "image_grid_thw" in names:
        patch = _number(vision, "patch_size") or 14
        channels = _number(vision, "in_channels", "num_channels", "in_chans") or 3
        height, width = GRID
        grid: dict[str, Tensor] = {"image_grid_thw": torch.tensor([[1, height, width]])}
        if "image_merge_sizes" in names:
            grid["image_merge_sizes"] = torch.tensor([2])
        for times in (_number(vision, "temporal_patch_size") or 1, 1):
            flat = torch.rand(height * width, channels * times * patch**2, generator=draw)
            yield {"pixel_values": flat} | grid
            square = flat.reshape(height * width, channels, *([times] * (times > 1)), patch, patch)
            yield {"pixel_values": square} | grid
            yield {"pixel_values": square[None]} | grid
        return
    if "image_position_ids" in names:  # patches with their places
        width = 2 * (_number(vision, "pooling_kernel_size") or 1)
        patch = 3 * (_number(vision, "patch_size") or 14) ** 2
        places = torch.cartesian_prod(torch.arange(width), torch.arange(width))
        patches = torch.rand(1, width**2, patch, generator=draw)
        yield {"pixel_values": patches, "image_position_ids": places[None]}
        return
    name = "pixel_values_images" if "pixel_values_images" in names else "pixel_values"
    one = torch.rand(1, 3, size, size, generator=draw)
    yield {name: one}
    yield {name: one, "image_sizes": torch.tensor([[size, size]])}
    yield {name: one[None]}
    if "high_res_pixel_values" in names:
        yield {name: one, "high_res_pixel_values": one}
    if "aspect_ratio_ids" in inspect.signature(model.forward).parameters:
        tiles = torch.cat([one, torch.zeros(3, 3, size, size)])
        shape = {"aspect_ratio_ids": torch.tensor([[1]])}
        yield {name: tiles[None, None], "aspect_ratio_mask": torch.tensor([[[1, 0, 0, 0]]])} | shape
    several = torch.rand(1, 3, 3, size, size, generator=draw)
    yield {name: several, "image_sizes": torch.tensor([[size, 2 * size]])}


def _placed(model: PreTrainedModel, prompt: list[int], pixels: dict[str, Tensor]) -> Inputs:
    """The prompt with as many placeholders as the image has features."""
    own: Any = model
    mark = next(
        value
        for name in ("image_token_id", "image_token_index")
        if (value := getattr(own.config, name, None)) is not None
    )
    start, end = (getattr(own.config, f"vision_{name}_token_id", None) for name in ("start", "end"))
    marks = [mark] * _features(model, pixels)
    image = [*([start] * (start is not None)), *marks, *([end] * (end is not None))]
    ids = torch.tensor([[*prompt[:2], *image, *prompt[2:]]])
    forward = inspect.signature(model.forward).parameters
    kinds = {
        name: (ids == mark).long()
        for name in ("mm_token_type_ids", "token_type_ids")
        if name in forward
    }
    if "cross_attention_mask" in forward:
        seen = (torch.arange(ids.shape[1]) >= ids[0].tolist().index(mark)).long()
        kinds["cross_attention_mask"] = seen[None, :, None, None] * torch.tensor([1, 0, 0, 0])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)} | pixels | kinds


def _features(model: PreTrainedModel, pixels: dict[str, Tensor]) -> int:
    """How many ids stand for an image."""
    if "aspect_ratio_ids" in pixels:
        return 1
    read = cast("Any", model).base_model.get_image_features
    names = inspect.signature(read).parameters
    given = {name: value for name, value in pixels.items() if name in names}
    with torch.no_grad():
        read_out = read(**given, return_dict=True)
    features = (
        read_out.last_hidden_state if read_out.pooler_output is None else read_out.pooler_output
    )
    return sum(each.numel() // each.shape[-1] for each in features)


def _number(settings: Any, *names: str) -> int | None:
    for name in names:
        value = getattr(settings, name, None)
        value = value[0] if isinstance(value, list | tuple) else value
        if isinstance(value, int):
            return value
    return None


def opened(model: PreTrainedModel) -> PreTrainedModel:
    """The model, with gates of images open that are shut before any training (Mllama)."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "gate" in name and parameter.numel() == 1:
                parameter.fill_(1.0)
    return model


@dataclass(frozen=True)
class Pictured(Subject):
    """A model under test, with a prompt that has an image."""

    inputs: Inputs

    @classmethod
    def of(cls, kind: str, weights: Weights, spare: int = 40) -> Self:
        """A model of a kind, and what `generate` says after a prompt with an image.

        Raises:
            ValueError: if no form of an image fits the class, or it does not see it.
        """
        vocabulary = len(tokenizer(TOKENIZER)) + spare
        model = opened(tiny_model(kind, vocabulary, weights, reads_images=True))
        prompt: list[int] = tokenizer(TOKENIZER)(PROMPT)["input_ids"]
        inputs = with_image(fresh(model), prompt)
        if not _sees(model, inputs):
            raise ValueError("what it says does not depend on the image")
        options = greedy(TOKENIZER)
        said = said_after(fresh(model), inputs, options)
        if {*said} - {*words(TOKENIZER)}:  # a `generate` of its own forgets processors (Janus)
            del options["logits_processor"]
            said = said_after(fresh(model), inputs, options)
        texts = Texts(model, [inputs["input_ids"][0].tolist()], options, [said])
        return cls(texts, inputs)

    def drafting(self, wrong: int, lookahead: int, said: list[int] | None = None) -> Any:
        """With a drafter that is right for a few ids. It is told none that stand for the image."""
        marks = placeholders(self.texts.model)
        whole = [*self.texts.prompts[0], *(said or self.texts.said[0])]
        drafter = Nearly([[id for id in whole if id not in marks]], wrong)
        return self.decoder(drafter, lookahead=lookahead)


def said_after(model: PreTrainedModel, inputs: Inputs, options: dict[str, Any]) -> list[int]:
    """The new ids of transformers' own `generate`."""
    generate: Any = model.generate
    return generate(**inputs, **options)[0, inputs["input_ids"].shape[1] :].tolist()


def _sees(model: PreTrainedModel, inputs: Inputs) -> bool:
    """Whether the scores after the prompt depend on the pixels."""
    other = {name: 1 - each if "pixel_values" in name else each for name, each in inputs.items()}
    asked: dict[str, Any] = {"max_new_tokens": 1, "do_sample": False, "output_logits": True}
    generate: Any = fresh(model).generate
    one, two = (
        generate(**each, **asked, return_dict_in_generate=True).logits[0]
        for each in (inputs, other)
    )
    return not torch.allclose(one, two, rtol=1e-3)


def generate(subject: Pictured) -> Answer:
    """The decoder reads what a processor returns, with drafts and without."""
    texts, decoders = subject.texts, (subject.drafting(5, 4), subject.decoder())
    outs = [decoder.generate(subject.inputs, **texts.options) for decoder in decoders]
    return Texts(texts.model, texts.prompts * 2, texts.options, texts.said * 2), outs


def custom_generate(subject: Pictured) -> Answer:
    options = subject.texts.options | {"custom_generate": subject.drafting(5, 4)}
    return subject.texts, [said_after(subject.model, subject.inputs, options)]


def drawn(subject: Pictured) -> Answer:
    """The text for a seed, with drafts and without."""
    options = subject.texts.options | DRAWN
    ids = subject.decoder().generate(subject.inputs, **options).token_ids
    out = subject.drafting(5, 4, ids).generate(subject.inputs, **options)
    return Texts(subject.texts.model, subject.texts.prompts, options, [ids]), [out]


def batch(subject: Pictured) -> Answer:
    """A text with an image, one without, and the first one again."""
    texts, ids = subject.texts, tokenizer(TOKENIZER)("One day")["input_ids"]
    plain = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids)).long()}
    said = [texts.said[0], said_after(fresh(texts.model), plain, texts.options), texts.said[0]]
    prompts = [texts.prompts[0], ids, texts.prompts[0]]
    outs = subject.drafting(5, 4).generate([subject.inputs, ids, subject.inputs], **texts.options)
    return Texts(texts.model, prompts, texts.options, said), outs


def as_assistant(subject: Pictured) -> Answer:
    """The model drafts for itself, but from the text alone."""
    decoder = SpeculativeDecoder(
        subject.model, tokenizer(TOKENIZER), fresh(subject.texts.model), tokenizer(TOKENIZER)
    )
    return subject.texts, [decoder.generate(subject.inputs, **subject.texts.options)]


CHECKS: dict[str, Callable[[Any], Answer]] = {
    "generate": generate,
    "custom_generate": custom_generate,
    "drawn": drawn,
    "batch": batch,
    "as assistant": as_assistant,
}
