"""How much more memory does decoding with an assistant take than plain decoding, at its peak?

    python -m benches.memory [--target T --assistant A] [--max-new-tokens 400] [--device cuda]
    python -m benches.memory --prompt-ids 16000 --max-new-tokens 50

Each decodes in a process of its own. On a CPU (Linux) it is the process's largest resident size
after loading, on a GPU torch's largest allocation. "allowed" is the assistant's weights, its states
for the whole text, and 5 % of the plain peak.
"""

from concurrent.futures import ProcessPoolExecutor
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, cast

import torch
import typer
from transformers import DynamicCache, PreTrainedModel

from benches.common import (
    Assistant,
    Dtype,
    JsonFile,
    MaxNewTokens,
    Runs,
    Target,
    Threads,
    Trust,
    begin,
    console,
    needed,
    pair_names,
    write_json,
)
from uag import SpeculativeDecoder
from uag.models.cached_lm import id_list

PROMPT = "Once upon a time, there was a little girl named Lily."


def states(model: PreTrainedModel, length: int) -> int:
    """Bytes of a cache of this many ids."""
    cache = DynamicCache(config=model.config)
    with torch.no_grad():
        cast("Any", model)(torch.full((1, 8), 5, device=model.device), past_key_values=cache)
    layers = cast("list[Any]", cache.layers)
    return sum(layer.keys.nbytes + layer.values.nbytes for layer in layers) * length // 8


def forget_peak(device: str) -> None:
    """What is measured begins now."""
    if device == "cpu":
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    else:
        torch.cuda.reset_peak_memory_stats()


def peak(device: str) -> int:
    """Bytes."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def weights(model: PreTrainedModel) -> int:
    """Bytes of a model's weights."""
    return sum(parameter.nbytes for parameter in model.parameters())


def decode(
    names: tuple[str, str | None],
    prompt_ids: int,
    max_new_tokens: int,
    device: str,
    threads: int,
    options: dict[str, Any],
) -> tuple[int, int]:
    """Decode once: the peak, and the assistant's weights and states, in bytes."""
    begin(threads)
    if device != "cpu":
        options["device_map"] = device  # needs accelerate
    decoder = SpeculativeDecoder.from_pretrained(*names, **options)
    own = id_list(cast("Any", decoder.tokenizer)(PROMPT, return_tensors="pt")["input_ids"][0])
    prompt = [*islice(cycle(own), prompt_ids)] if prompt_ids else own
    forget_peak(device)
    if decoder.assistant is None:
        ids = torch.tensor([prompt], device=device)
        cast("Any", decoder.model).generate(ids, do_sample=False, max_new_tokens=max_new_tokens)
        return peak(device), 0
    decoder.generate(prompt, do_sample=False, max_new_tokens=max_new_tokens)
    found, assistant = peak(device), cast("PreTrainedModel", decoder.assistant)
    return found, weights(assistant) + states(assistant, len(prompt) + max_new_tokens)


def apart(*args: Any) -> tuple[int, int]:
    """`decode` in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
        return processes.submit(decode, *args).result()


def main(
    target: Target = None,
    assistant: Assistant = None,
    prompt_ids: Annotated[
        int, typer.Option(min=0, help="Length of the prompt in ids; 0 for a sentence.")
    ] = 0,
    max_new_tokens: MaxNewTokens = 400,
    device: Annotated[str, typer.Option(help="cpu, cuda ...")] = "cpu",
    dtype: Dtype = "auto",
    runs: Runs = 3,
    threads: Threads = 2,
    trust_remote_code: Trust = False,
    json_file: JsonFile = None,
) -> None:
    """Compare the smallest of some peaks of each method."""
    named, other = pair_names(target, assistant)
    options = {"dtype": dtype, "trust_remote_code": trust_remote_code}
    arguments = prompt_ids, max_new_tokens, device, threads, options
    alone, pair = (named, None), (named, needed(other))
    peaks = [(apart(alone, *arguments), apart(pair, *arguments)) for _ in range(runs)]
    plain, ours = (min(found for found, _ in each) for each in zip(*peaks, strict=True))
    allowed = peaks[0][1][1] + plain // 20
    console.print(
        f"plain {plain / 2**20:.1f} MiB, uag {ours / 2**20:.1f} MiB: "
        f"{(ours - plain) / 2**20:.1f} more, allowed {allowed / 2**20:.1f}"
    )
    write_json(json_file, {"plain": plain, "uag": ours, "allowed": allowed})


if __name__ == "__main__":
    typer.run(main)
