"""Which models can be captured, and do captured passes give what eager ones give?

    python -m tests.campaigns.graphs [--kind llama ...]

Every kind of decoder of transformers that reads text alone, tiny and with random weights, on the
stand-in for CUDA graphs. A text is read and rolled back at random, and drafted from, by graphs and
eagerly. What is different is a fault.
"""

import warnings
from collections import Counter
from random import Random
from typing import Annotated

import torch
import typer
from transformers import PreTrainedModel

from tests.support.architectures.kinds import MULTIMODAL, group_of, kinds
from tests.support.architectures.models import Weights, tiny_model
from tests.support.recorded import RecordedGraphs
from uag.models.cached_lm import CachedLM
from uag.models.check.way import new_cache
from uag.models.engines.capture import CAPTURERS
from uag.models.engines.graphs import GraphRunner
from uag.sampling.greedy import MostLikely

VOCABULARY = 211
ROUNDS = 16
# The largest relative difference that is rounding.
SAME = 1e-3


def difference(model: PreTrainedModel, runner: GraphRunner) -> float:
    """The largest difference of logits, relative to the largest; more than 1 for other ids."""
    random, worst = Random(0), 0.0
    both = CachedLM(model, cache=runner.new_cache()), CachedLM(model, cache=new_cache(model))
    for round_ in range(ROUNDS):
        added = [random.randrange(5, VOCABULARY) for _ in range(random.choice([1, 2, 3, 5, 7]))]
        keep = max(0, len(both[0].ids) - random.choice([0, 0, 1, 2, 4]))
        for lm in both:
            lm.apply(keep, added)
        if round_ % 4 == 3:
            drafts = [lm.draft(3, MostLikely()).ids for lm in both]
            worst = max(worst, 2.0 * (drafts[0] != drafts[1]))
            continue
        got, true = (lm.logits(1).double() for lm in both)
        worst = max(worst, float((got - true).abs().max() / true.abs().max()))
    return worst


def verdict(kind: str) -> str:
    """What becomes of a kind of model."""
    model = tiny_model(kind, VOCABULARY, Weights()).requires_grad_(False)
    runner = GraphRunner(model)
    if runner.reason:
        return str(runner)
    found = difference(model, runner)
    return str(runner) if found < SAME else f"DIFFERENT by {found:.2g} ({runner})"


def main(
    kind: Annotated[list[str] | None, typer.Option(help="Some kinds only.")] = None,
) -> None:
    """Try each kind, and count."""
    CAPTURERS["cpu"] = RecordedGraphs
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    counts = Counter[str]()
    texts = [each for each in kinds() if group_of(each) != MULTIMODAL]
    for each in kind or texts:
        try:
            found = verdict(each)
        except Exception as error:  # noqa: BLE001 - of models that cannot be built or read at all
            found = f"not read: {type(error).__name__}: {str(error).strip()[:100]}"
        print(f"{each}: {found}", flush=True)  # noqa: T201
        counts[found.partition(":")[0].partition(" by ")[0]] += 1
    print(dict(counts))  # noqa: T201
    if counts["DIFFERENT"]:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
