"""Drafts in vLLM, of uag and its own: the same ids as without, and how many a pass gives?

    make vllm
    python -m tests.campaigns.vllm [--target T --assistant A] [--workers 2] [--only uag]

In an environment with vLLM and uag, from the root of the checkout; `make vllm` makes one for a CPU.
Without a pair it takes the demo pair. Of both models it makes copies with heads of a size that
vLLM's attention has on a CPU, and with the same logits.

Each text is decoded alone, and all of them together: the row "short of memory" has many requests,
some of them equal, few blocks for their KV caches, and prompts in pieces. It fails if a text
differs that uag drafted for. `--samples 1000` also draws as many texts with each method, and
compares their first ids with those that plain vLLM draws; p is that of a permutation test.
"""

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from importlib.resources import files
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from tests.support.other_engines.decoded import CANDIDATES, LENGTH, TEXTS, Decoded, Lines
from tests.support.other_engines.heads import fitting
from uag.cli.terminal import be_quiet
from uag.models.loading.by_name import load_model, load_tokenizer

PAIR = files("uag") / "demo_pair"
# vLLM's attention on a CPU has heads of 32, 64, 96 ... numbers.
HEAD = 32
LONGEST = 224
SHORT_OF_MEMORY: dict[str, Any] = {
    "block_size": 32,
    "num_gpu_blocks_override": 8,
    "max_num_seqs": 6,
    "max_num_batched_tokens": 48,
}
# How often each text is among the requests of that row.
COPIES = 5
# Of sampled texts: the prompt, which lookups find something for, and how many ids are compared.
OPENING, DRAWN = TEXTS[5], 6
TEMPERATURE = 0.8
PERMUTATIONS = 1000
SETTINGS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
}

# So few that no prompt is read in pieces, after which vLLM fails on a CPU where there is a seed.
TOGETHER = 16
# What vLLM counts: passes (a histogram of them), candidates, how many were right; and preemptions.
COUNTED = (
    "iteration_tokens_total",
    "spec_decode_num_draft_tokens",
    "spec_decode_num_accepted_tokens",
)
PREEMPTED = "num_preemptions"

Ids = NDArray[np.int64]


def methods(assistant: str) -> dict[str, dict[str, Any]]:
    """The options of vLLM for each way to draft."""

    def own(method: str, **options: Any) -> dict[str, Any]:
        options |= {"method": method, "num_speculative_tokens": CANDIDATES}
        return {"speculative_config": options}

    def uag(**options: Any) -> dict[str, Any]:
        options |= {"assistant": assistant, "assistant_options": {"dtype": "float32"}}
        return {
            "speculative_config": {
                "model": "uag.vllm.Proposer",
                "num_speculative_tokens": CANDIDATES,
            },
            "additional_config": {"uag": options},
        }

    fixed = uag(lookahead=CANDIDATES, lookup=False)
    return {
        "vLLM, n-gram": own("ngram", prompt_lookup_max=5, prompt_lookup_min=2),
        "vLLM, two vocabularies": own("draft_model", model=assistant, use_heterogeneous_vocab=True),
        f"uag, lookahead {CANDIDATES}, no lookups": fixed,
        'uag, "auto" with lookups': uag(),
        "uag, short of memory": fixed | SHORT_OF_MEMORY,
    }


def is_short(options: dict[str, Any]) -> bool:
    """Whether the engine is short of memory."""
    return SHORT_OF_MEMORY.items() <= options.items()


def engine(target: str, options: dict[str, Any]) -> Any:
    """vLLM, with the target in float32."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    vllm: Any = __import__("vllm")
    return vllm.LLM(
        target,
        dtype="float32",
        enforce_eager=True,
        max_model_len=LONGEST,
        disable_log_stats=False,
        **options,
    )


def decoded(target: str, options: dict[str, Any], copies: int) -> tuple[Decoded, Decoded, int]:
    """Texts one after the other, and each `copies` times all together; how many were preempted."""
    model = engine(target, options)
    vllm: Any = __import__("vllm")
    sampling = vllm.SamplingParams(temperature=0, max_tokens=LENGTH, ignore_eos=True)

    def ids_of(texts: list[str]) -> list[list[int]]:
        outputs = model.generate(texts, sampling, use_tqdm=False)
        return [[*each.outputs[0].token_ids] for each in outputs]

    found: list[Decoded] = []
    for requests in ([[text] for text in TEXTS], [TEXTS * copies]):
        before = counted(model)
        ids = [each for texts in requests for each in ids_of(texts)]
        counts = counted(model) - before
        found.append(Decoded(ids, *(counts[name] for name in COUNTED)))
    return found[0], found[1], counts[PREEMPTED]


def counted(model: Any) -> Counter[str]:
    """vLLM's counters so far."""
    return Counter(
        {
            name: each.count if hasattr(each, "count") else each.value
            for each in model.get_metrics()
            for name in (*COUNTED, PREEMPTED)
            if each.name == f"vllm:{name}"
        }
    )


def drawn(target: str, options: dict[str, Any], seeds: range) -> Ids:
    """The first ids of sampled texts, `[seeds, DRAWN]`."""
    model = engine(target, {"max_num_seqs": TOGETHER} | options)
    vllm: Any = __import__("vllm")
    sampling = [
        vllm.SamplingParams(temperature=TEMPERATURE, max_tokens=DRAWN, ignore_eos=True, seed=seed)
        for seed in seeds
    ]
    outputs = model.generate([OPENING] * len(seeds), sampling, use_tqdm=False)
    return np.array([each.outputs[0].token_ids for each in outputs])


def p_value(some: Ids, others: Ids) -> float:
    """The chance that ids drawn from one distribution differ more, at one place of the texts."""
    values = np.unique(np.concatenate([some, others]), return_inverse=True)[1]
    signs = np.repeat([1.0, -1.0], [len(some), len(others)])
    random = np.random.default_rng(0)

    def distance(signs: NDArray[np.float64]) -> float:
        return float(np.abs(np.bincount(values, signs)).sum())

    observed = distance(signs)
    larger = sum(distance(random.permutation(signs)) >= observed for _ in range(PERMUTATIONS))
    return (larger + 1) / (PERMUTATIONS + 1)


@contextmanager
def fitted(target: str, assistant: str, workers: int) -> Iterator[tuple[str, str]]:
    """Folders of both models, with heads that vLLM has an attention for."""
    with TemporaryDirectory() as folder:
        found = Path(folder) / "target", Path(folder) / "assistant"
        for name, copy in zip((target, assistant), found, strict=True):
            fitting(load_model(name, dtype=torch.float32), HEAD, workers).save_pretrained(copy)
            load_tokenizer(name).save_pretrained(copy)
        yield str(found[0]), str(found[1])


def alone_in_a_process(function: Any, *arguments: Any) -> Any:
    """Call where nothing of another call is left."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def main(
    target: str = str(PAIR / "target"),
    assistant: str = str(PAIR / "assistant"),
    workers: Annotated[int, typer.Option(min=1, help="Tensor-parallel ones.")] = 1,
    only: Annotated[str, typer.Option(help="A part of the names of methods.")] = "",
    samples: Annotated[int, typer.Option(min=0, help="Texts to draw with each.")] = 0,
) -> None:
    """Compare with plain vLLM."""
    be_quiet()
    with fitted(target, assistant, workers) as (own, other):
        parallel = {"tensor_parallel_size": workers}
        chosen = {
            name: options | parallel for name, options in methods(other).items() if only in name
        }
        differ = compare(own, parallel, chosen)
        if samples:
            compare_samples(own, parallel, chosen, samples)
    raise typer.Exit(differ)


def compare(target: str, plain: dict[str, Any], chosen: dict[str, dict[str, Any]]) -> bool:
    """Decode greedily; whether a text differs for which uag drafted."""
    columns = ("equal alone", "tokens a pass", "proposed", "accepted", "equal together")
    lines = Lines("drafts", *columns, "preemptions")
    expected: list[list[int]] = []
    differ = False
    for name, options in ({"none": plain} | chosen).items():
        copies = COPIES if is_short(options) else 1
        alone, together, preempted = alone_in_a_process(decoded, target, options, copies)
        expected = expected or alone.ids
        equal = alone.equal(expected), together.equal(expected * copies)
        lines.add(
            name,
            f"{equal[0]} of {len(alone.ids)}",
            f"{alone.tokens_per_pass:.2f}",
            alone.proposed,
            alone.accepted,
            f"{equal[1]} of {len(together.ids)}",
            preempted,
        )
        missing = len(alone.ids) + len(together.ids) - sum(equal)
        differ = differ or bool(missing and name.startswith("uag"))
    return differ


def compare_samples(
    target: str, plain: dict[str, Any], chosen: dict[str, dict[str, Any]], samples: int
) -> None:
    """Draw texts, those of plain vLLM with two lots of seeds."""
    lines = Lines("drafts", "texts of the same seed equal", f"p of ids 1 to {DRAWN}")
    expected = alone_in_a_process(drawn, target, plain, range(samples))
    others = range(samples, 2 * samples)
    ample = {name: options for name, options in chosen.items() if not is_short(options)}
    for name, options in ({"none, other seeds": plain} | ample).items():
        seeds = others if options is plain else range(samples)
        found = alone_in_a_process(drawn, target, options, seeds)
        values = [p_value(found[:, place], expected[:, place]) for place in range(DRAWN)]
        equal = (found == expected).all(1).sum()
        lines.add(name, f"{equal} of {samples}", ", ".join(f"{value:.3f}" for value in values))


if __name__ == "__main__":
    typer.run(main)
