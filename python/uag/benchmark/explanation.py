"""Why outputs differ: the target's scores where they part."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel

from uag.benchmark.comparison import Comparison, Method
from uag.benchmark.difference import Difference, Margin, first_difference
from uag.models.check.comparison import ROUNDINGS, tolerance
from uag.translation.tokenizers import AnyTokenizer, backend_of, decoded


def differences(
    comparison: Comparison,
    prompts: Sequence[list[int]],
    target: PreTrainedModel,
    tokenizer: AnyTokenizer,
) -> list[Difference]:
    """The first difference of each method whose output is not the one that it must reproduce.

    Args:
        comparison: the runs.
        prompts: the target ids of each prompt.
        target: reads the text before a difference once, if decoding is greedy.
        tokenizer: the target's.
    """
    reference = comparison.reference
    if reference is None or not reference.runs:
        return []
    expected = [run.token_ids for run in reference.runs[0]]
    greedy = not comparison.methods[0].drawn
    backend = backend_of(tokenizer)
    described: list[Difference] = []
    for method in comparison.methods:
        if method.drawn or (found := _first(method, expected)) is None:
            continue
        ids = prompts[found.prompt] + expected[found.prompt][: found.position]
        texts = [
            "" if id is None else decoded(backend, [id]) for id in (found.expected, found.found)
        ]
        margin = margin_at(target, ids, (found.expected, found.found)) if greedy else None
        described.append(replace(found, texts=(texts[0], texts[1]), margin=margin))
    return described


def _first(method: Method, expected: list[list[int]]) -> Difference | None:
    """The difference in the first of the prompts that has one, in any repetition."""
    for prompt, ids in enumerate(expected):
        for runs in method.runs:
            if prompt < len(runs):
                found = first_difference(method.name, prompt, ids, runs[prompt].token_ids)
                if found is not None:
                    return found
    return None


def margin_at(
    model: PreTrainedModel, ids: list[int], chosen: tuple[int | None, int | None]
) -> Margin:
    """The model's scores after `ids`, and whether both of two tokens could be its choice.

    They are those of `model.generate`, with the processors of the model's own defaults.

    >>> margin = margin_at(target, [5, 6, 7], (1, 2))
    >>> margin.dtype, margin.tie
    ('float32', False)
    """
    generate = cast("Callable[..., Any]", model.generate)
    prompt = torch.tensor([ids], device=model.device)
    out = generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=1,
        do_sample=False,
        output_scores=True,
        return_dict_in_generate=True,
    )
    scores = cast("Tensor", out.scores[0])[0].double()
    best, second = (float(each) for each in scores.topk(2).values)
    rounding = torch.finfo(model.dtype).eps * 2.0 ** math.floor(math.log2(abs(best) or 1.0))
    spread = float(scores[scores.isfinite()].std())
    allowed = max(ROUNDINGS * rounding, tolerance(model.dtype) * spread)
    tie = all(id is not None and best - float(scores[id]) <= allowed for id in chosen)
    return Margin((best, second), rounding, str(model.dtype).removeprefix("torch."), tie)
