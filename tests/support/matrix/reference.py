"""What the text of a case must be, computed the slow way."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from tests.support.matrix.cases import Case
from tests.support.matrix.models import Pair
from tests.support.noise import top_p_edge
from uag import SpeculativeDecoder
from uag.models.caches.protocol import PreallocatedCache
from uag.requests.options import plan_generation
from uag.sampling.coupled import sequence_key
from uag.sampling.noise import gumbel, step_keys


class Rereading(PreallocatedCache):
    """Keeps ids, not states: everything is read again whenever something is asked."""

    def __init__(self, model: PreTrainedModel, longest: int = 0) -> None:
        del longest
        super().__init__()
        self._model = model
        self._ids = torch.zeros(0, dtype=torch.long)

    @torch.inference_mode()
    def forward(self, ids: Tensor, positions: int) -> Tensor:
        self._ids = torch.cat([self._ids[: self.length], ids])
        self.length, self.width = len(self._ids), len(ids)
        return self._model(input_ids=self._ids[None], use_cache=False).logits[0, -positions:]


def rereading(decoder: SpeculativeDecoder) -> SpeculativeDecoder:
    """The decoder, with models that keep nothing."""
    for runner in decoder._engine.runners.values():
        runner.new_cache = partial(Rereading, runner.model)  # type: ignore[method-assign]
    return decoder


def expected(
    case: Case,
    pair: Pair,
    prompts: list[list[int]],
    options: dict[str, Any],
    row: int,
    decoder: Callable[[], SpeculativeDecoder] | Any = None,
) -> list[list[int]]:
    """The continuations of one of the prompts: transformers' own, or drawn without states.

    Greedy ids come from `model.generate`; drawn ones from the target by itself; by rejection, where
    texts depend on drafts, from the same decoder, one text at a time, whose models keep no states.
    """
    stop = {"tokenizer": pair.tokenizer} if "stop_strings" in options else {}
    inputs = inputs_of(case, prompts)
    alone = {name: value[row : row + 1] for name, value in inputs.items()}
    width = alone["input_ids"].shape[1]
    if case.draws == "greedy":
        out: Any = pair.model.generate(**alone, **options, **stop)
        return [out[0, width:].tolist()]
    slow = decoder() if case.by_rejection and decoder else SpeculativeDecoder(
        pair.model, pair.tokenizer
    )  # fmt: skip
    rows = 2 if case.texts == "rows" else 1
    if width == len(prompts[row]):
        outs = rereading(slow).generate(
            prompts[row], seed=case.seed, num_return_sequences=rows, batch_size=1, **options
        )
        return [out.token_ids for out in outs]
    out = pair.model.generate(
        **alone, custom_generate=rereading(slow), seed=case.seed, **options, **stop
    )
    return [out[0, width:].tolist()]


def inputs_of(case: Case, prompts: list[list[int]]) -> dict[str, Tensor]:
    """As transformers takes rows: padded on the left, where processors see that."""
    longest = max(map(len, prompts))
    padded = case.call == "custom_generate" and case.processor != "none"
    width = [longest if padded else len(prompt) for prompt in prompts]
    rows = [
        [0] * (size - len(prompt)) + prompt for prompt, size in zip(prompts, width, strict=True)
    ]
    masks = [[0] * (size - len(prompt)) + [1] * len(prompt) for prompt, size in zip(
        prompts, width, strict=True)]  # fmt: skip
    return {"input_ids": _Rows(rows), "attention_mask": _Rows(masks)}  # type: ignore[dict-item]


class _Rows:
    """Rows of unlike length; a slice of one is a tensor."""

    def __init__(self, rows: list[list[int]]) -> None:
        self.rows = rows

    def __getitem__(self, place: slice) -> Tensor:
        return torch.tensor(self.rows[place])


@torch.inference_mode()
def margin(
    case: Case,
    pair: Pair,
    prompt: list[int],
    text: list[int],
    options: dict[str, Any],
    count: int,
) -> float:
    """Between the two best scores after `text`; where texts are cut by probability, of that too.

    `count`: how many rows of the same prompt come before.
    """
    decoder = SpeculativeDecoder(pair.model, pair.tokenizer)
    processors = plan_generation(decoder.model, decoder.tokenizer, prompt, options).processors
    ids = torch.tensor([prompt + text])
    logits = decoder.model(input_ids=ids).logits[0, -1:].float()
    scores = processors(ids, logits.clone())
    if case.draws != "greedy":
        names = decoder._engine.sampling.target_names
        position = sum(names.moves[id] for id in text)
        key = sequence_key(case.seed, prompt, count)
        scores = scores + gumbel(step_keys(key, [position], logits.device), names.keys)
    best, second = scores[0].topk(2).values.tolist()
    return min(best - second, top_p_edge(processors, ids, logits))
