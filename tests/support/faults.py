"""Errors at a place of a test's choice, and what must be true afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from tests.support.models import random_model, with_story
from tests.support.tokenizers import PROMPT, tokenizer
from uag import SpeculativeDecoder
from uag.batching.batch_cache import reads_rows

LENGTH = 24

PROMPTS = [PROMPT, "One day, the dog", "She said"]

GREEDY: dict[str, Any] = {"max_new_tokens": LENGTH}

DRAWN = GREEDY | {"do_sample": True, "temperature": 0.5, "seed": 3}


def models() -> tuple[Any, Any]:
    """A target and an assistant that mostly tell the same story."""
    owns = tokenizer("gpt2"), tokenizer("llama2")
    return tuple(with_story(random_model("llama", own, seed=len(own)), own) for own in owns)


@cache
def shared_models() -> tuple[Any, Any]:
    """The same for all tests, as they leave nothing changed; known to read rows."""
    both = models()
    assert all(map(reads_rows, both))
    return both


def pair(
    lookahead: Any = 4, both: tuple[Any, Any] | None = None, **options: Any
) -> SpeculativeDecoder:
    model, assistant = both or shared_models()
    names = tokenizer("gpt2"), tokenizer("llama2")
    return SpeculativeDecoder(model, names[0], assistant, names[1], lookahead=lookahead, **options)


# One for all: whatever happened to it before, it goes on.
pair_that_lasts = cache(pair)


def ids_of(result: Any) -> list[list[int]]:
    outs = result if isinstance(result, list) else [result]
    return [out.token_ids for out in outs]


def expected(decoder: SpeculativeDecoder, prompt: Any, options: dict[str, Any]) -> list[list[int]]:
    """What the target says by itself."""
    return ids_of(SpeculativeDecoder(decoder.model, decoder.tokenizer).generate(prompt, **options))


def state(decoder: SpeculativeDecoder) -> list[Any]:
    """All of the models that a call could leave changed."""
    return [
        (
            [(name, tensor.sum().item()) for name, tensor in model.state_dict().items()],
            model.config.to_dict(),
            model.generation_config.to_dict(),
            model.training,
            [(len(part._forward_hooks), len(part._forward_pre_hooks)) for part in model.modules()],
            sorted(vars(model)),
        )
        for model in (decoder.model, decoder.assistant)
    ]


class Countdown:
    """Raises at the call of this number, and at every later one if it is `lasting`."""

    def __init__(self, error: BaseException, at: int, *, lasting: bool = False) -> None:
        self.error = error
        self.left = at
        self.lasting = lasting

    def __deepcopy__(self, _: Any) -> "Countdown":
        return self  # one for all texts of a call

    def __call__(self, *_: Any) -> None:
        self.left -= 1
        if self.left == 0 or (self.lasting and self.left < 0):
            raise self.error


@contextmanager
def before_passes(model: Any, countdown: Countdown) -> Iterator[None]:
    """Have the countdown count a model's passes; in the middle of one, after its first layer."""
    handle = model.model.layers[0].register_forward_hook(countdown)
    try:
        yield
    finally:
        handle.remove()


def check_usable(decoder: SpeculativeDecoder) -> None:
    """After an error the decoder still works."""
    assert len(decoder.generate(PROMPT, max_new_tokens=3).token_ids) == 3
