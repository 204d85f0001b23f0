"""A prompt that is more than ids: with images, say. What `generate` gives the model to read it.

`generate` prepares such a prompt for its own loop: it runs the encoder of images, counts positions
along several axes, and may leave tensors in modules (`rope_deltas` of Qwen-VL). All of it belongs
to one text.
"""

import copy
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from uag.errors import PromptError

# (module, name of its attribute) -> what it holds
Held = dict[tuple[Any, str], Any]
# Names of settings that hold ids, or of ids alone, which stand for parts of images and the like.
MEDIA = ("image", "video", "audio", "vision", "media", "speech")


@dataclass(frozen=True, slots=True, eq=False)
class Prefill:
    """What `generate` has prepared for the first pass over a prompt.

    Attributes:
        ids: the prompt, `[1, length]`.
        config: the generation config.
        inputs: other arguments of the model, with an empty cache.
        held: what the model's modules hold of this text.
    """

    ids: Tensor
    config: GenerationConfig
    inputs: Mapping[str, Any]
    held: Held = field(default_factory=Held)

    @property
    def length(self) -> int:
        """Number of ids in the prompt."""
        return self.ids.shape[1]

    @property
    def kind(self) -> frozenset[str]:
        """Names of what the prompt has beside its ids: prompts of a kind are read alike."""
        outputs = cast("Mapping[str, Any]", self.inputs.get("mm_encoder_outputs") or {})
        given = {**self.inputs, **outputs}
        return frozenset(name for name, value in given.items() if value is not None)

    def start(self) -> dict[str, Any]:
        """The arguments of the model, with a cache of their own."""
        # `generate` has made the cache, and nothing has been read with it.
        return {
            name: copy.deepcopy(value) if name in CACHES else value
            for name, value in self.inputs.items()
        }


CACHES = ("past_key_values", "cache_params", "cache")
# Parts of names of inputs that are images and the like.
PIXELS = (*MEDIA, "pixel", "input_features")
# Inputs with the kind of each id; a text alone is all 0.
KINDS = ("token_type_ids", "mm_token_type_ids", "moe_mm_token_type_ids")


def media_in(inputs: Mapping[str, Any]) -> list[str]:
    """Names of inputs that are images, videos or sounds, or say where these are.

    What transformers adds by itself to every call is empty.

    >>> media_in({"pixel_values": torch.ones(1), "mm_encoder_outputs": {"image": None}})
    ['pixel_values']
    """
    outputs = cast("Mapping[str, Any]", inputs.get("mm_encoder_outputs") or {})
    media = [
        name
        for name, value in {**inputs, **outputs}.items()
        if value is not None and any(kind in name for kind in PIXELS)
    ]
    return media + [name for name in KINDS[1:] if says(inputs.get(name))]


def says(value: Any) -> bool:
    """Whether an input of a model says anything.

    What transformers adds by itself to a call is empty, or all 0.

    >>> says({"image": None}), says(torch.zeros(3)), says([[0, 1]])
    (False, False, True)
    """
    match value:
        case Tensor() | np.ndarray():
            return bool(cast("Tensor", value).any())
        case Mapping():
            return any(each is not None for each in cast("Mapping[str, Any]", value).values())
        case list() | tuple():
            return any(map(says, cast("Sequence[Any]", value)))
        case int() | float():
            return bool(value)
        case _:
            return value is not None


def prepare(model: PreTrainedModel, given: Mapping[str, Any], config: GenerationConfig) -> Prefill:
    """What `model.generate(**given)` prepares for its own loop, in the model's modules as well.

    >>> ids = torch.tensor([[5, 6, 7]])
    >>> prepare(target, {"input_ids": ids}, target.generation_config).length
    3

    Raises:
        PromptError: for a prompt that `generate` refuses.
    """
    taken: list[Prefill] = []

    def loop(own: Any, input_ids: Tensor, generation_config: Any, **inputs: Any) -> Tensor:
        for name in ("logits_processor", "stopping_criteria"):
            inputs.pop(name)
        if own is not model:
            raise PromptError(
                f"{type(model).__name__} has its {type(own).__name__} generate in its place; build "
                "the decoder for that one"
            )
        taken.append(Prefill(input_ids, generation_config, inputs, held_by(model)))
        return input_ids

    with readable(model):
        cast("Any", model).generate(**given, custom_generate=loop, generation_config=config)
    return taken[0]


def updated(
    model: PreTrainedModel, output: Any, inputs: dict[str, Any], num_new_tokens: int = 1
) -> dict[str, Any]:
    """The arguments of the model for the next pass, with places for new ids, as in `generate`."""
    more = {} if num_new_tokens == 1 else {"num_new_tokens": num_new_tokens}
    own = cast("Any", model)
    return own._update_model_kwargs_for_generation(
        output, inputs, is_encoder_decoder=own.config.is_encoder_decoder, **more
    )


@contextmanager
def readable(model: PreTrainedModel) -> Generator[None]:
    """Around transformers' readers of a prompt.

    Raises:
        PromptError: in place of what they raise for one that the model cannot read.
    """
    try:
        yield
    except PromptError:
        raise
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise PromptError(
            f"{type(model).__name__} cannot read this prompt ({type(error).__name__}: "
            f"{error!s:.300}); give what its processor returns, whole"
        ) from error


def held_by(model: PreTrainedModel) -> Held:
    """The tensors that modules hold as plain attributes: neither weights nor buffers."""
    return {
        (module, name): value
        for module in model.modules()
        for name, value in _attributes(module).items()
        if isinstance(value, Tensor)
    }


def _put(held: Held) -> Held:
    """Make modules hold these; what they held before."""
    before = {place: getattr(*place, None) for place in held}
    for (module, name), value in held.items():
        setattr(module, name, value)
    return before


@contextmanager
def kept(model: PreTrainedModel) -> Generator[None]:
    """Afterwards the modules hold the tensors that they held before."""
    before = held_by(model)
    try:
        yield
    finally:
        _put({place: before.get(place) for place in {**held_by(model), **before}})


class OwnTensors:
    """What a model's modules hold of one text: they hold it in passes of this text only."""

    def __init__(self, model: PreTrainedModel, held: Held) -> None:
        """`held`: what they must hold before the first pass."""
        self._model = model
        self._held = held
        self._known = False

    @contextmanager
    def turn(self) -> Generator[None]:
        """Around a pass. What the first one adds is the text's as well."""
        if self._known:
            before = _put(self._held)
            try:
                yield
            finally:
                self._held = _put(before)
            return
        with kept(self._model):
            _put(self._held)
            yield
            self._held, self._known = held_by(self._model), True


def placeholders(model: PreTrainedModel) -> frozenset[int]:
    """The ids that stand for parts of images, videos and sounds."""
    found: set[int] = set()
    config: Any = model.config
    for part in (config, *(getattr(config, name, None) for name in config.sub_configs)):
        for name, value in ({} if part is None else _attributes(part)).items():
            media = any(kind in name for kind in MEDIA)
            if media and name.endswith(("token_id", "token_index")) and isinstance(value, int):
                found.add(value)
    return frozenset(found)


def _attributes(owner: object) -> dict[str, Any]:
    return vars(owner)
