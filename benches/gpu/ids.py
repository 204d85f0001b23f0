"""Are the ids those of `generate`, and is a seed's text the same with and without an assistant?

Nothing here is timed, so that it can run beside the tests.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any
from unittest.mock import patch

import torch
from transformers import PreTrainedModel

from benches.gpu.engines import SkippedError, decoder, generate_ids
from benches.gpu.models import Setting
from benches.gpu.record import Record, Values
from benches.gpu.texts import SAMPLED
from uag.benchmark.compare import PROMPTS
from uag.sampling.coupled import Sampler
from uag.translation.tokenizers import prompt_ids

# A gap between the two likeliest ids that the rounding of a number type can close, as a share of
# the largest logit: some of its steps.
STEPS = 16
# Texts of each comparison, at least, and seconds after which there are no more than that.
LEAST = 2
SECONDS = 3
# The ids of a text, those that it should have, and how clear the choice of each of these was.
Both = tuple[list[int], list[int], Callable[[int], float]]


def measure(record: Record, setting: Setting) -> None:
    """The part "ids": in float32 the smallest target, in bfloat16 the largest; graphs first."""
    names = list(setting.scale.targets)
    helper = next(iter(setting.scale.assistants))
    exact, usual = ("float32", names[-1]), ("bfloat16", names[0])
    for (dtype, name), engine in ((exact, "graphs"), (usual, "graphs"), (exact, "eager")):
        model = setting.wide("target", name, dtype)
        assistant = setting.wide("assistant", helper, dtype)
        for case, check in {"greedy": greedy, "sampled": sampled}.items():
            record.attempt(
                f"{name} <- {helper}, {dtype}: {engine}, {case}",
                lambda check=check, engine=engine, model=model, assistant=assistant: check(
                    setting, engine, model, assistant
                ),
            )
        del model, assistant


def greedy(
    setting: Setting, engine: str, model: PreTrainedModel, assistant: PreTrainedModel
) -> Values:
    """Texts with the ids of `generate`, and how the others differ: at a tie or not."""
    tokenizers = setting.tokenizer("target"), setting.tokenizer("assistant")
    try:
        made = decoder(engine, model, tokenizers[0], assistant, tokenizers[1])
    except SkippedError as error:
        return {"skipped": str(error)}

    def both(text: str) -> Both:
        ids = prompt_ids(tokenizers[0], text)
        expected = generate_ids(model, ids, setting.scale.few)
        out = made.generate(text, do_sample=False, max_new_tokens=setting.scale.few)
        return out.token_ids, expected, lambda at: gap_at(model, [*ids, *expected[:at]])

    return compared(setting, model.dtype, both) | {"engines": made.engines}


def compared(setting: Setting, dtype: torch.dtype, both: Callable[[str], Both]) -> Values:
    """How many texts are the same, and how the others differ."""
    texts, same, ties, differences = 0, 0, 0, list[str]()
    for text in in_time(setting):
        texts += 1
        ids, expected, gap_after = both(text)
        if ids == expected:
            same += 1
            continue
        pairs = enumerate(zip(ids, expected, strict=False))
        at = next((at for at, (one, other) in pairs if one != other), None)
        gap = None if at is None else gap_after(at)
        if gap is not None and gap <= STEPS * torch.finfo(dtype).eps:
            ties += 1
        else:
            differences.append(f"{text[:20]!r}: id {at}, gap {gap}")
    return {
        "texts": texts,
        "tokens_each": setting.scale.few,
        "same": same,
        "ties": ties,
        "other": differences,
    }


def in_time(setting: Setting) -> Iterator[str]:
    """Some texts, and more while there is time."""
    begun = perf_counter()
    for count, text in enumerate(PROMPTS[: setting.scale.checked]):
        if count >= LEAST and perf_counter() - begun > SECONDS:
            return
        yield text


def gap_at(model: PreTrainedModel, ids: list[int]) -> float:
    """How far apart the two likeliest ids after a text are, as a share of the largest logit."""
    with torch.no_grad():
        read: Any = model(torch.tensor([ids], device=model.device))
    best = read.logits[0, -1].float().topk(2).values
    return float((best[0] - best[1]) / best.abs().max())


def sampled(
    setting: Setting, engine: str, model: PreTrainedModel, assistant: PreTrainedModel
) -> Values:
    """Texts of a seed that are the same with the assistant and without, and how others differ."""
    tokenizers = setting.tokenizer("target"), setting.tokenizer("assistant")
    try:
        made = decoder(engine, model, tokenizers[0], assistant, tokenizers[1])
        alone = decoder(engine, model, tokenizers[0])
    except SkippedError as error:
        return {"skipped": str(error)}
    options = SAMPLED | {"max_new_tokens": setting.scale.few}

    def both(text: str) -> Both:
        with gaps_of_choices() as gaps:
            expected = alone.generate(text, **options).token_ids
        return made.generate(text, **options).token_ids, expected, lambda at: gaps[at]

    return compared(setting, model.dtype, both)


@contextmanager
def gaps_of_choices() -> Generator[list[float]]:
    """Of each token that is drawn inside the `with` block, id by id, how clear the choice was.

    That is how far apart the two largest scores with noise are, as a share of the largest score.
    """
    gaps: list[float] = []
    own = Sampler.noisy

    def noisy(sampler: Sampler, scores: torch.Tensor, ids: list[int], end: int) -> torch.Tensor:
        found = own(sampler, scores, ids, end)
        best = found.topk(2).values
        largest = scores.masked_fill(scores.isinf(), 0).abs().amax(-1)
        gaps.extend(((best[:, 0] - best[:, 1]) / largest).tolist())
        return found

    with patch.object(Sampler, "noisy", noisy):
        yield gaps
