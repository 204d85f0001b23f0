"""Is vLLM's text with `uag.vllm.Proposer` that without drafts, also of requests it preempts?

    python -m tests.campaigns.vllm

In an environment with vLLM and uag, from the root of the checkout; on a CPU with these variables:
VLLM_ENABLE_V1_MULTIPROCESSING=0 VLLM_CPU_OMP_THREADS_BIND=nobind VLLM_CPU_KVCACHE_SPACE=1.

It decodes with the demo pair: many requests, some of them equal, with few blocks for their KV
caches and prompts in pieces. It prints what vLLM counted, and fails if a text differs.
"""

from concurrent.futures import ProcessPoolExecutor
from importlib.resources import files
from multiprocessing import get_context
from typing import Any

import typer

PAIR = files("uag") / "demo_pair"
TEXTS = [
    "Once upon a time",
    "One day, Lily and Tim went to the park",
    "naïve 🦊🦊 fox",
    "One day, 漢字 and Tim",
    "Once upon a time, there was a little girl named Lily. She 🎉",
    "Tim and Lily went to the park. They saw a big dog. " * 3,
    "Once upon a time",
    "The dog",
]
ASSISTANT = {
    "assistant": str(PAIR / "assistant"),
    "lookahead": 5,
    "lookup": False,
    "assistant_options": {"dtype": "float32"},
}
DRAFTS: dict[str, Any] = {
    "speculative_config": {"model": "uag.vllm.Proposer", "num_speculative_tokens": 5},
    "additional_config": {"uag": ASSISTANT},
}
SHORT_OF_MEMORY: dict[str, Any] = {
    "block_size": 32,
    "num_gpu_blocks_override": 8,
    "max_num_seqs": 6,
    "max_num_batched_tokens": 48,
}
COUNTED = ("spec_decode", "preemptions", "generation_tokens")


def decoded(options: dict[str, Any], copies: int) -> tuple[list[list[int]], dict[str, int]]:
    """The ids of all texts, each `copies` times, and vLLM's counters; in a process of its own."""
    vllm: Any = __import__("vllm")
    target = str(PAIR / "target")
    model = vllm.LLM(
        target,
        dtype="float32",
        enforce_eager=True,
        max_model_len=224,
        disable_log_stats=False,
        **options,
    )
    sampling = vllm.SamplingParams(temperature=0, max_tokens=64, ignore_eos=True)
    outputs = model.generate(TEXTS * copies, sampling, use_tqdm=False)
    counts = {
        each.name: each.value
        for each in model.get_metrics()
        if hasattr(each, "value") and any(name in each.name for name in COUNTED)
    }
    return [[*each.outputs[0].token_ids] for each in outputs], counts


def main() -> None:
    """Compare with plain vLLM."""
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as processes:
        plain, _ = processes.submit(decoded, {}, 1).result()
        for name, options, copies in (
            ("drafts", DRAFTS, 1),
            ("short of memory", DRAFTS | SHORT_OF_MEMORY, 4),
        ):
            found, counts = processes.submit(decoded, options, copies).result()
            equal = sum(one == other for one, other in zip(found, plain * copies, strict=True))
            typer.echo(f"{name}: {equal} of {len(found)} texts equal; {counts}")
            if equal != len(found):
                raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
