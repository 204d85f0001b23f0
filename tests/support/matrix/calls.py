"""The ways to ask for a text."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.generation.streamers import BaseStreamer

from tests.support.matrix.cases import REFUSED_CACHES, SEVERAL, Case
from uag import SpeculativeDecoder
from uag.decoding.output import Output


@contextmanager
def asking_for_static_cache(model: PreTrainedModel, case: Case) -> Iterator[None]:
    """While it lasts the model's own defaults ask for a static cache, if the case says so."""
    before = model.generation_config.cache_implementation
    if case.cache == "default":
        model.generation_config.cache_implementation = "static"
    try:
        yield
    finally:
        model.generation_config.cache_implementation = before


class RecordingStreamer(BaseStreamer):
    """Remembers what it gets."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.ended = False

    def put(self, value: Tensor) -> None:
        assert not self.ended
        self.ids += value.flatten().tolist()

    def end(self) -> None:
        self.ended = True


def call_for(
    case: Case, decoder: SpeculativeDecoder, prompts: list[list[int]], options: dict[str, Any]
) -> list[Any]:
    """Outputs, or what has their `token_ids` and `stats`."""
    options = dict(options)
    if case.cache in (*REFUSED_CACHES, "dynamic"):
        options["cache_implementation"] = case.cache
    if case.draws != "greedy":
        options["seed"] = case.seed
    if case.texts == "rows":
        options["num_return_sequences"] = 2
    given: Any = prompts if case.texts in ("several", "fewer") else prompts[0]
    match case.call:
        case "custom_generate":
            return _custom_generate(decoder, prompts, options)
        case "stream":
            stream = decoder.stream(given, **options)
            text = "".join(stream)
            out = stream.finish()
            assert out.text == text
            return [out]
        case "streamer":
            puts = RecordingStreamer()
            out = decoder.generate(given, streamer=puts, **options)
            assert puts.ended and puts.ids == prompts[0] + out.token_ids
            return [out]
        case _:
            options["trace"] = case.call == "trace"
            if case.texts in SEVERAL:
                options["batch_size"] = 2 if case.texts == "fewer" else 16
            outs: list[Output] | Output = decoder.generate(given, **options)
            outs = outs if isinstance(outs, list) else [outs]
            assert all((out.trace is not None) == options["trace"] for out in outs)
            return outs


def _custom_generate(
    decoder: SpeculativeDecoder, prompts: list[list[int]], options: dict[str, Any]
) -> list[Any]:
    """Through `model.generate`, without what fills up rows that have ended."""
    longest = max(map(len, prompts))
    rows = torch.tensor([[0] * (longest - len(ids)) + ids for ids in prompts])
    mask = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts])
    stop = {"tokenizer": decoder.tokenizer} if "stop_strings" in options else {}
    generate: Any = decoder.model.generate
    out = generate(
        input_ids=rows, attention_mask=mask, custom_generate=decoder, return_dict_in_generate=True,
        **options, **stop,
    )  # fmt: skip
    new = out.sequences[:, longest:].tolist()
    return [
        SimpleNamespace(token_ids=ids[: stats.tokens], stats=stats)
        for ids, stats in zip(new, out.stats, strict=True)
    ]
