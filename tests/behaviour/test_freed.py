"""A decoder that nobody holds frees its weights at once, without the garbage collector."""

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from transformers import LogitsProcessor, LogitsProcessorList

from tests.support.models import random_model, with_story
from tests.support.tokenizers import PROMPT, tokenizer
from uag import Lookup, SpeculativeDecoder, UagError

pytestmark = pytest.mark.filterwarnings("ignore::uag.UagWarning")


class Fails(LogitsProcessor):
    """Fails in the middle of a text."""

    def __init__(self) -> None:
        self.left = 3

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        self.left -= 1
        if not self.left:
            raise RuntimeError("in the middle")
        return scores


def custom_generate(decoder: Any, **options: Any) -> None:
    ids = torch.tensor([decoder.tokenizer(PROMPT)["input_ids"]] * 2)
    mask = torch.ones_like(ids)
    options |= {"attention_mask": mask, "max_new_tokens": 6, "pad_token_id": 0}
    decoder.model.generate(ids, custom_generate=decoder, **options)


def fails(decoder: Any, prompt: Any) -> None:
    with pytest.raises(RuntimeError, match="in the middle"):
        decoder.generate(prompt, max_new_tokens=20, logits_processor=LogitsProcessorList([Fails()]))


def refuses(decoder: Any) -> None:
    with pytest.raises(UagError):
        decoder.generate(PROMPT, max_new_tokens=-1)


SAMPLED = {"do_sample": True, "seed": 1}
USES: dict[str, Callable[[Any], object]] = {
    "nothing": lambda _: None,
    "a text": lambda it: it.generate(PROMPT, max_new_tokens=6),
    "a trace": lambda it: it.generate(PROMPT, max_new_tokens=6, trace=True, **SAMPLED),
    "stop strings": lambda it: it.generate(PROMPT, max_new_tokens=6, stop_strings="dog"),
    "half a stream": lambda it: next(it.stream(PROMPT, max_new_tokens=60)),
    "several texts": lambda it: it.generate([PROMPT, "One"], max_new_tokens=6, **SAMPLED),
    "custom_generate": custom_generate,
    "scores": lambda it: custom_generate(it, return_dict_in_generate=True, output_scores=True),
    "an error": lambda it: fails(it, PROMPT),
    "an error in a batch": lambda it: fails(it, [PROMPT, "One"]),
    "what is refused": refuses,
}
KINDS: dict[str, dict[str, Any]] = {
    "auto": {},
    "fixed": {"lookahead": 4, "lookup": Lookup(["Once upon a time"])},
    "rejection": {"lookahead": "heuristic", "sampling": "rejection"},
    "compiled": {"compile": "eager"},
}


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_freed_with_the_decoder(kind: str, use: str) -> None:
    names = tokenizer("gpt2"), tokenizer("llama2")
    models = with_story(random_model("llama", names[0]), names[0]), random_model("llama", names[1])
    decoder = SpeculativeDecoder(models[0], names[0], models[1], names[1], **KINDS[kind])
    held = [weakref.ref(each) for each in (decoder, *models)]
    del models
    USES[use](decoder)
    del decoder
    assert [each() for each in held] == [None, None, None]


@pytest.mark.usefixtures("no_collector")
def test_outputs_do_not_hold_the_weights() -> None:
    words = tokenizer("gpt2")
    decoder = SpeculativeDecoder(random_model("llama", words), words)
    held = weakref.ref(decoder.model)
    stream = decoder.stream(PROMPT, max_new_tokens=6)
    outs = [*decoder.generate([PROMPT, "One"], max_new_tokens=6, trace=True), stream.finish()]
    del decoder, stream
    assert held() is None and len(outs) == 3
