"""Peak memory of decoding with an assistant beyond decoding plainly, in processes of their own.

    python benches/memory.py compare TARGET ASSISTANT [--max-new-tokens 400] [--device cuda]

On a CPU (Linux) the process's largest resident size after loading, on a GPU torch's largest
allocation. "allowed" is the assistant's weights, its states for the whole text, and 5 % of the
plain peak.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, cast

import torch
import typer
from rich.console import Console
from transformers import DynamicCache, PreTrainedModel

from uag import SpeculativeDecoder

PROMPT = "Once upon a time, there was a little girl named Lily."
app = typer.Typer(add_completion=False)


def states(model: PreTrainedModel, length: int) -> int:
    """Bytes of a cache of so many ids."""
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


@app.command(hidden=True)
def child(
    way: str, target: str, assistant: str, max_new_tokens: int, device: str, dtype: str
) -> None:
    """Decode in one way and print the peak."""
    torch.set_num_threads(2)
    options: dict[str, Any] = {"dtype": dtype, "trust_remote_code": True}
    if device != "cpu":
        options["device_map"] = device  # needs accelerate
    other = None if way == "plain" else assistant
    decoder = SpeculativeDecoder.from_pretrained(target, other, **options)
    forget_peak(device)
    if way == "plain":
        ids = decoder.tokenizer(PROMPT, return_tensors="pt").to(device)
        cast("Any", decoder.model).generate(
            ids["input_ids"], do_sample=False, max_new_tokens=max_new_tokens
        )
    else:
        decoder.generate(PROMPT, do_sample=False, max_new_tokens=max_new_tokens)
    found = {"peak": peak(device)}
    if decoder.assistant is not None:
        found["assistant"] = weights(decoder.assistant) + states(decoder.assistant, max_new_tokens)
    typer.echo(json.dumps(found))


@app.command()
def compare(
    target: str,
    assistant: str,
    max_new_tokens: Annotated[int, typer.Option(min=1)] = 400,
    device: str = "cpu",
    dtype: str = "auto",
    runs: Annotated[int, typer.Option(min=1)] = 3,
) -> None:
    """Compare the smallest of some peaks of each way."""
    peaks: dict[str, list[dict[str, int]]] = {"plain": [], "uag": []}
    for _ in range(runs):
        for way, found in peaks.items():
            command = [sys.executable, __file__, "child", way, target, assistant]
            command += [str(max_new_tokens), device, dtype]
            run = subprocess.run(command, check=True, capture_output=True, text=True)
            found.append(json.loads(run.stdout.splitlines()[-1]))
    plain, ours = (min(each["peak"] for each in found) for found in peaks.values())
    allowed = peaks["uag"][0]["assistant"] + plain // 20
    Console(highlight=False).print(
        f"plain {plain / 2**20:.1f} MiB, uag {ours / 2**20:.1f} MiB: "
        f"{(ours - plain) / 2**20:.1f} more, allowed {allowed / 2**20:.1f}"
    )


if __name__ == "__main__":
    app()
