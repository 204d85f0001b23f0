"""The rows of the table: what a user may have, built tiny.

A new row is a `Row`, or a `FoundRow` if it has checks of its own, in a list that `GROUPS` names.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch

from tests.support.adapters import REFUSED, WEIGHTS, WORDS, adapted
from tests.support.architectures.cells import image_cells, text_cells
from tests.support.architectures.verdicts import Finding
from tests.support.models import random_model
from tests.support.tokenizers import PROMPT, TOKENIZERS

PROMPTS = [WORDS(PROMPT)["input_ids"][:length] for length in (12, 5, 9)]


@dataclass(frozen=True)
class Given:
    """What a user has: a model, perhaps in a wrapper, its tokenizer, and prompts as ids.

    Attributes:
        generator: whose `generate` says what is right; the model itself by default.
        target: the target that the model assists; itself by default.
    """

    model: Any
    tokenizer: Any = WORDS
    prompts: Sequence[list[int]] = field(default_factory=lambda: PROMPTS)
    generator: Any = None
    target: Any = None


@dataclass(frozen=True)
class Row:
    """A kind of thing that users bring.

    Attributes:
        name: as the table calls it.
        given: builds it.
        needs: the package that it comes with; without it the row is not tried.
        lacks: columns that do not apply, each with the reason.
    """

    name: str
    given: Callable[[], Given]
    needs: str = "torch"
    lacks: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def can_be_tried(self) -> bool:
        return find_spec(self.needs) is not None


@dataclass(frozen=True)
class FoundRow:
    """A row whose cells are found by checks of its own.

    Attributes:
        name: as the table calls it.
        find: its findings, by column; a column without one does not apply.
    """

    name: str
    find: Callable[[], Mapping[str, Finding]]
    can_be_tried: bool = True


def _adapter(kind: str) -> Given:
    """Of the refused kinds each is refused as an assistant too, of a target that is not."""
    plain = random_model("llama", WORDS, seed=1) if kind in REFUSED else None
    return Given(adapted(kind), target=plain)


def _wrapped(wrapper: Callable[[Any], Any]) -> Given:
    model = random_model("llama", WORDS)
    return Given(wrapper(model), generator=model)


def _long() -> Given:
    """A text that outgrows the window of a model whose positions are computed."""
    return Given(random_model("llama", WORDS, max_position_embeddings=16))


def _with_tokens(*tokens: str) -> Given:
    """A tokenizer with tokens that its model has no rows for."""
    words: Any = TOKENIZERS["gpt2"]()
    model = random_model("llama", words)
    words.add_special_tokens({"pad_token": tokens[0]})
    words.add_tokens([*tokens[1:]])
    return Given(model, words)


# Kinds that people use; all others are in docs/measurements.md.
IMAGE_KINDS = (
    *("aya_vision", "cohere2_vision", "deepseek_vl", "emu3", "ernie4_5_vl_moe", "gemma3"),
    *("gemma4", "glm4v", "glm4v_moe", "got_ocr2", "idefics2", "idefics3", "internvl"),
    *("janus", "kosmos-2.5", "lfm2_vl", "llama4", "llava", "llava_next", "llava_onevision"),
    *("mistral3", "mllama", "ovis2", "paligemma", "qwen2_5_vl", "qwen2_vl", "qwen3_5"),
    *("qwen3_vl", "qwen3_vl_moe", "smolvlm", "video_llava", "vipllava"),
)
# Their images have other forms than those that can be made at random.
WITHOUT_IMAGE = ("emu3", "kosmos-2.5", "lfm2_vl")

GROUPS: dict[str, list[Row | FoundRow]] = {
    "Adapters of PEFT": [
        Row(kind, partial(_adapter, kind), needs="peft") for kind in (*WEIGHTS, *REFUSED)
    ],
    "Wrappers": [
        Row("torch.compile", partial(_wrapped, torch.compile)),
        Row(
            "DataParallel",
            partial(_wrapped, torch.nn.DataParallel),
            lacks={"custom_generate": "it has no generate"},
        ),
    ],
    "Windows and vocabularies": [
        Row("a text longer than max_position_embeddings (rope)", _long),
        Row("a PAD token that the user added", partial(_with_tokens, "<pad>")),
        Row("more tokens than rows", partial(_with_tokens, "<pad>", "<image>", "<audio>")),
    ],
    "Models that read images, with text alone": [
        FoundRow(kind, partial(text_cells, kind)) for kind in IMAGE_KINDS
    ],
    "Models that read images, with an image": [
        FoundRow(f"{kind} with an image", partial(image_cells, kind))
        for kind in IMAGE_KINDS
        if kind not in WITHOUT_IMAGE
    ],
}
