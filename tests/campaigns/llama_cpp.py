"""Drafts in llama.cpp, of uag and its own: the same ids as without, and how many a pass gives?

    make llama-cpp
    python -m tests.campaigns.llama_cpp [--target T --assistant A]

In an environment with llama-cpp-python, gguf and uag, from the root of the checkout; `make
llama-cpp` makes one. Without a pair it takes the demo pair. The target must be a Llama, and becomes
a GGUF file of float32.

It fails if a text differs for which uag drafted. When sampling it may, where rounding decides: a
pass of several ids rounds otherwise than a pass of one.
"""

from importlib.resources import files
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import llama_cpp
import torch
import typer
from llama_cpp.llama_speculative import LlamaPromptLookupDecoding

from tests.support.other_engines.decoded import CANDIDATES, LENGTH, TEXTS, Decoded, Lines
from tests.support.other_engines.gguf_file import write_gguf
from uag.cli.terminal import be_quiet
from uag.llama_cpp import DraftModel
from uag.models.loading.by_name import load_model, load_tokenizer

PAIR = files("uag") / "demo_pair"
SEED = 7
WAYS: dict[str, dict[str, Any]] = {
    "greedy": {"temp": 0.0},
    "temperature 0.8": {"temp": 0.8, "top_k": 0, "top_p": 1.0, "min_p": 0.0},
}


class Counted:
    """A draft model whose candidates are counted."""

    def __init__(self, drafts: Any) -> None:
        self._drafts = drafts
        self.proposed = 0

    def __call__(self, ids: Any, /, **options: Any) -> Any:
        found = self._drafts(ids, **options)
        self.proposed += len(found)
        return found


def decoded(path: Path, drafts: Any, prompts: list[list[int]], way: dict[str, Any]) -> Decoded:
    """Texts one after the other; what is accepted is what passes of one id would not have given."""
    counted = None if drafts is None else Counted(drafts)
    exact = {"type_k": llama_cpp.GGML_TYPE_F32, "type_v": llama_cpp.GGML_TYPE_F32}
    model = llama_cpp.Llama(
        str(path), n_ctx=256, n_threads=1, verbose=False, draft_model=counted, seed=SEED, **exact
    )
    passes = 0
    evaluate = model.eval

    def counting(ids: Any) -> None:
        nonlocal passes
        passes += 1
        evaluate(ids)

    model.eval = counting
    found: list[list[int]] = []
    for prompt in prompts:
        model.reset()
        model.set_seed(SEED)
        ids = model.generate(prompt, repeat_penalty=1.0, **way)
        found.append([*islice(ids, LENGTH)])
    tokens = sum(map(len, found))
    return Decoded(found, passes, counted.proposed if counted else 0, tokens - passes)


def main(
    target: str = str(PAIR / "target"),
    assistant: str = str(PAIR / "assistant"),
) -> None:
    """Compare with llama.cpp without drafts."""
    be_quiet()
    tokenizer = load_tokenizer(target)
    pair = load_model(assistant, dtype=torch.float32), load_tokenizer(assistant)
    prompts = [tokenizer(text)["input_ids"] for text in TEXTS]
    lines = Lines("decoding", "drafts", "equal", "tokens a pass", "proposed", "accepted")
    differ = False
    with TemporaryDirectory() as folder:
        path = Path(folder) / "target.gguf"
        write_gguf(load_model(target, dtype=torch.float32), tokenizer, path)
        for way, options in WAYS.items():
            expected: list[list[int]] = []
            for name, drafts in {
                "none": None,
                "llama-cpp-python, prompt lookup": LlamaPromptLookupDecoding(2, CANDIDATES),
                f"uag, lookahead {CANDIDATES}, no lookups": DraftModel(
                    tokenizer, *pair, lookahead=CANDIDATES, lookup=False
                ),
                'uag, "auto" with lookups': DraftModel(tokenizer, *pair),
            }.items():
                found = decoded(path, drafts, prompts, options)
                expected = expected or found.ids
                equal = found.equal(expected)
                lines.add(
                    way,
                    name,
                    f"{equal} of {len(expected)}",
                    f"{found.tokens_per_pass:.2f}",
                    found.proposed,
                    found.accepted,
                )
                differ = differ or bool(name.startswith("uag") and equal < len(expected))
    raise typer.Exit(differ)


if __name__ == "__main__":
    typer.run(main)
