"""The models of a run: small trained ones, widened on the card, and sizes for a rehearsal."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from benches.common import demo_folder
from benches.widen import widened
from uag.models.loading.by_name import load_model, load_tokenizer


@dataclass(frozen=True, slots=True)
class Shape:
    """What a model is widened to."""

    hidden: int
    layers: int
    intermediate: int
    heads: int
    kv_heads: int


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured.

    Attributes:
        targets, assistants: what the small models are widened to, with heads of 128 (`fitted`
            gives them heads of the small model's size).
        tokens: new ids of a text.
        few: new ids of a text where each takes a pass that the host launches.
        warm, warm_few: new ids of the text that warms up, and of one of `few` ids.
        seconds: how long each way to decode is measured, in whole texts.
        fixed: lookaheads that are always the same.
        checked: how many texts are compared id by id.
        batches: numbers of texts at once.
        repeats: of each measurement of a pass.
        together: passes that are measured together, so that the device never waits for the host.
        widths: ids of a pass.
        context, long: ids before it.
        copy: bytes of the copy that measures bandwidth.
        launches: kernels of a graph that measures launching.
        keys, lengths: of a buffer for attention, and how many lengths that are new.
        random: the configuration of a model with random weights.
        compile: what a decoder is given to compile.
    """

    targets: dict[str, Shape]
    assistants: dict[str, Shape]
    tokens: int
    few: int
    warm: int
    warm_few: int
    seconds: float
    fixed: tuple[int, ...]
    checked: int
    batches: tuple[int, ...]
    repeats: int
    together: int
    widths: tuple[int, ...]
    context: int
    long: int
    copy: int
    launches: int
    keys: tuple[int, ...]
    products: tuple[tuple[int, int], ...]
    lengths: int
    random: dict[str, Any]
    compile: bool | str = True


FULL = Scale(
    targets={
        # As Llama 3: the embeddings that the small vocabulary lacks are in the MLP.
        "8B": Shape(4096, 32, 16896, 32, 8),
        "3B": Shape(3072, 28, 8960, 24, 8),
        "1B": Shape(2048, 16, 8192, 16, 4),
    },
    assistants={"70M": Shape(768, 10, 2304, 6, 2), "500M": Shape(1024, 24, 5632, 8, 2)},
    tokens=128,
    few=48,
    warm=24,
    warm_few=8,
    seconds=1.5,
    fixed=(5, 3, 2, 8),
    checked=5,
    batches=(8, 4, 1),
    repeats=9,
    together=20,
    widths=(1, 2, 4, 8, 16, 32, 64),
    context=150,
    long=1900,
    copy=4 << 30,
    launches=1000,
    keys=(256, 1024, 4096),
    products=(
        (4096, 6144),
        (4096, 4096),
        (4096, 16896),
        (16896, 4096),
        (3072, 5120),
        (3072, 3072),
        (3072, 8960),
        (8960, 3072),
        (768, 768),
        (768, 2304),
    ),
    lengths=20,
    random={
        "vocab_size": 128256,
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "intermediate_size": 14336,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 8192,
    },
)

TINY = Scale(
    targets={"8B": Shape(256, 7, 384, 2, 1)},
    assistants={"70M": Shape(256, 5, 384, 2, 1)},
    tokens=24,
    few=8,
    warm=8,
    warm_few=4,
    seconds=0.1,
    fixed=(5, 2),
    checked=1,
    batches=(2,),
    repeats=1,
    together=1,
    widths=(1, 4),
    context=12,
    long=40,
    copy=1 << 16,
    launches=3,
    keys=(64,),
    products=((64, 24),),
    lengths=3,
    random={
        "vocab_size": 4096,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "intermediate_size": 96,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 256,
    },
    compile="eager",
)

SCALES = {"full": FULL, "tiny": TINY}


@dataclass(frozen=True, slots=True)
class Setting:
    """What every part is given.

    Attributes:
        device: where it runs.
        scale: how much of it.
        models: folder of the small trained models, if it is there.
        out: folder for what is not a line of results.
    """

    device: torch.device
    scale: Scale
    models: Path | None
    out: Path

    def folder(self, role: str) -> str:
        """The small trained model that becomes the "target" or the "assistant"."""
        name = {"target": "babyllama-1M-tok361", "assistant": "stories260K-tok512"}[role]
        if self.models is None or not (self.models / name).is_dir():
            return demo_folder(role)
        return str(self.models / name)

    def tokenizer(self, role: str) -> Any:
        return load_tokenizer(self.folder(role))

    def small(self, role: str, dtype: str = "bfloat16") -> PreTrainedModel:
        """The small trained model on the device."""
        model = load_model(self.folder(role), dtype=dtype)
        return cast("PreTrainedModel", cast("Any", model).to(self.device)).requires_grad_(False)

    def wide(self, role: str, size: str, dtype: str = "bfloat16") -> PreTrainedModel:
        """The widened model of a size's name."""
        shapes = self.scale.targets if role == "target" else self.scale.assistants
        small = self.small(role, dtype)
        return widened(small, **fitted(shapes[size], small.config)).requires_grad_(False)

    def random(self) -> PreTrainedModel:
        """A model with the shapes of Llama-3.1-8B, real heads and vocabulary, without training."""
        with torch.device(self.device):
            made = LlamaForCausalLM._from_config(
                LlamaConfig(**self.scale.random), dtype=torch.bfloat16
            )
        made.generation_config.pad_token_id = 0
        return cast("PreTrainedModel", made).eval().requires_grad_(False)


def fitted(shape: Shape, config: Any) -> dict[str, int]:
    """The arguments of `widened`: as many bytes of keys, in heads of the small model's size.

    Groups are at least those of the small model.
    """
    head = config.head_dim or config.hidden_size // config.num_attention_heads
    group = config.num_attention_heads // config.num_key_value_heads
    kv_heads = max(config.num_key_value_heads, shape.kv_heads * 128 // head)
    groups = max(group, shape.heads // shape.kv_heads)
    # At its tiniest a shape may be below that of the small model.
    layers = max(shape.layers, config.num_hidden_layers)
    intermediate = max(shape.intermediate, config.intermediate_size)
    return asdict(shape) | {
        "layers": layers,
        "intermediate": intermediate,
        "kv_heads": kv_heads,
        "heads": kv_heads * groups,
    }


def weight_bytes(model: PreTrainedModel) -> int:
    """Bytes that every pass reads: all parameters but embeddings that are only looked up."""
    table = model.get_input_embeddings().weight
    head = cast("Any", model.get_output_embeddings())
    looked_up = 0 if head is None or head.weight is table else table.nbytes
    return sum(each.nbytes for each in model.parameters()) - looked_up


def state_bytes(model: PreTrainedModel) -> int:
    """Bytes of keys and values of one position."""
    config = model.config
    head = config.head_dim or config.hidden_size // config.num_attention_heads
    heads = config.num_hidden_layers * config.num_key_value_heads
    return 2 * heads * head * model.dtype.itemsize
