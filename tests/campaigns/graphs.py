"""Which models can be captured, and do captured passes give what eager ones give?

    python -m tests.campaigns.graphs [--kernels] [--dtype bfloat16] [--kind llama ...]

Every kind of decoder of transformers that reads text alone, tiny and with random weights, on the
stand-in for CUDA graphs, and with `--kernels` by the kernels that a GPU has, compiled for a CPU. A
text is read and rolled back at random, and drafted from, by graphs and eagerly. What is different
is a fault.
"""

import copy
import warnings
from collections import Counter
from random import Random
from statistics import median
from typing import Annotated

import torch
import typer
from transformers import PreTrainedModel

from tests.support.architectures.kinds import MULTIMODAL, group_of, kinds
from tests.support.architectures.models import Weights, tiny_model
from tests.support.engines import be_a_gpu
from uag.models.cached_lm import CachedLM
from uag.models.check.way import new_cache
from uag.models.engines.fused.fusion import LAUNCHERS
from uag.models.engines.graphs import GraphRunner
from uag.sampling.greedy import MostLikely

VOCABULARY = 211
ROUNDS = 16
# The largest relative difference that is rounding, beside twice what eager passes have.
SAME = 1e-3


def differences(model: PreTrainedModel, runner: GraphRunner) -> tuple[float, float]:
    """How far logits by graphs, and eager ones, are from the true ones, relative to the largest.

    In float32 the true ones are the eager ones: the largest difference, more than 1 for other
    drafts. In half precision they are those in float32: the median.
    """
    random, far = Random(0), list[tuple[float, float]]()
    exact = model.dtype == torch.float32
    lms = [CachedLM(model, cache=runner.new_cache()), CachedLM(model, cache=new_cache(model))]
    if not exact:
        true = copy.deepcopy(model).float()
        lms.append(CachedLM(true, cache=new_cache(true)))
    for round_ in range(ROUNDS):
        added = [random.randrange(5, VOCABULARY) for _ in range(random.choice([1, 2, 3, 5, 7]))]
        keep = max(0, len(lms[0].ids) - random.choice([0, 0, 1, 2, 4]))
        for lm in lms:
            lm.apply(keep, added)
        if round_ % 4 == 3:
            length = len(lms[0].ids)
            by_graphs, eagerly, *_ = (lm.draft(3, MostLikely()).ids for lm in lms)
            if exact and by_graphs != eagerly:
                far.append((2.0, 0.0))
            for lm in lms[1:]:
                lm.apply(length, by_graphs)
            continue
        by_graphs, eagerly, *true = (lm.logits(1).double() for lm in lms)
        wanted = true[0] if true else eagerly
        both = by_graphs, eagerly
        one, other = (float((got - wanted).abs().max() / wanted.abs().max()) for got in both)
        far.append((one, other))
    one, other = (max(each) if exact else median(each) for each in zip(*far, strict=True))
    return one, other


def verdict(kind: str, dtype: torch.dtype = torch.float32, device: str = "cpu") -> str:
    """What becomes of a kind of model."""
    model = tiny_model(kind, VOCABULARY, Weights()).requires_grad_(False).to(device, dtype)
    runner = GraphRunner(model)
    if runner.reason:
        return str(runner)
    by_graphs, eagerly = differences(model, runner)
    if by_graphs > SAME + 2 * eagerly:
        return f"DIFFERENT by {by_graphs:.2g}, eagerly by {eagerly:.2g} ({runner})"
    gave_up = device in LAUNCHERS and not runner.reason and runner._fusion is None
    return f"{runner} without kernels" if gave_up else str(runner)


def main(
    kind: Annotated[list[str] | None, typer.Option(help="Some kinds only.")] = None,
    dtype: Annotated[str, typer.Option(help="Type of the weights.")] = "float32",
    *,
    kernels: Annotated[bool, typer.Option(help="By kernels, where there are some.")] = False,
) -> None:
    """Try each kind, and count."""
    be_a_gpu(kernels=kernels)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    counts = Counter[str]()
    texts = [each for each in kinds() if group_of(each) != MULTIMODAL]
    for each in kind or texts:
        try:
            found = verdict(each, getattr(torch, dtype))
        except Exception as error:  # noqa: BLE001 - of models that cannot be built or read at all
            found = f"not read: {type(error).__name__}: {str(error).strip()[:100]}"
        print(f"{each}: {found}", flush=True)  # noqa: T201
        counts[found.partition(":")[0].partition(" by ")[0]] += 1
    print(dict(counts))  # noqa: T201
    if counts["DIFFERENT"]:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
