"""Every option with every kind of JSON value: nothing but a `UagError` comes out, or a text.

    python -m tests.campaigns.option_values
    python -m tests.campaigns.option_values --only temperature --only seed

Options are those of `generate` and `stream`, of `chat` and its templates, of the constructor, and
of `model.generate(custom_generate=)`; prompts, chats and pairs of special tokens too. Values are
null, bools, whole numbers of any size, floats with infinities and NaN, strings with halves of
characters, lists, lists of lists and dicts, and those that are nearly right.
"""

import math
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from typing import Annotated, Any, NamedTuple

import torch
import typer
from rich.console import Console
from rich.table import Table
from transformers import GenerationConfig

from tests.support.models import random_model
from tests.support.tokenizers import PROMPT, tokenizer
from uag import Chat, SpeculativeDecoder, UagError
from uag.requests.asked import EXTRA
from uag.requests.options import OF_GENERATE

VALUES: list[Any] = [
    None, True, False,
    0, 1, 2, 5, -1, -7, 50, 420, 10**9, 2**31, 2**63 - 1, 2**63, 2**64, 10**30, -(10**30), 10**400,
    10**5000,
    0.0, -0.0, 0.5, 1.0, 1.5, 2.0, -2.5, 1e-320, 1e308, -1e308, math.inf, -math.inf, math.nan,
    "", "many", "a", "True", "é", "🙂", "\ud800", "a\udfff", "\x00", "never", "paged", "static",
    "low", "lookup", "eager", "x" * 5000,
    [], [0], [1, 2], [-1], [10**9], [True], [2.5], [None], ["a"], [""], ["\ud800"], ["a", 5],
    [math.nan], [10**5000],
    [[]], [[0]], [[1, 2], [3]], [[10**9]], [[-1]], [["a"]], [[0], 5], [[[0]]], [[[5], 1.0]],
    [[[5, 6], -2.0]], [[[5], math.nan]], [[[10**9], 1.0]], [[5, 1.5]], [[], []], [5, 1.1],
    [0, math.inf], ["a", "b"], [["a", "b"]], [["<end>", "</s>"]], [["\ud800", 1]],
    {}, {"a": 1}, {"bias": 2.5}, {"bias": "x"}, {"text": "a"}, {"role": "user"},
    {"role": "user", "content": "Hi"}, {"5": 1.0}, {"type": "function"},
    [{}], [{"role": "user"}], [{"role": "user", "content": "Hi"}], [{"role": 5, "content": []}],
    [{"role": "user", "content": {"type": "image"}}], [{"role": "user", "content": ["a"]}],
    [{"role": "user", "content": "\ud800"}], [{"role": "user", "content": [{"text": "Hi"}]}],
    [{"role": "user", "content": [{"type": "audio", "url": "a.wav"}]}], [{"role": "user"}, 5],
]  # fmt: skip

TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"

# What the template knows, so that `chat` takes it.
RENDERING = ["tools", "documents", "chat_template", "add_generation_prompt"]

OF_DECODER = [
    "assistant", "assistant_tokenizer", "lookup", "lookahead", "special_pairs",
    "draft_temperature", "sampling", "tree", "engine", "compile",
]  # fmt: skip


class Trial(NamedTuple):
    """One option of one kind of call, and one value for it."""

    call: str
    option: str
    value: Any

    def __str__(self) -> str:
        try:
            return f"{self.call}({self.option}={self.value!r:.60})"
        except ValueError:  # Python writes no int of 4,300 digits
            return f"{self.call}({self.option}=a huge number)"


@cache
def decoder() -> SpeculativeDecoder:
    """A target whose end is in its vocabulary, and an assistant that is seldom right."""
    # Copies: other tests use these, and this one gives them a template.
    own, other = deepcopy(tokenizer("gpt2")), tokenizer("llama2")
    own.chat_template = TEMPLATE
    model = random_model("llama", own)
    return SpeculativeDecoder(model, own, random_model("llama", other), other, lookahead=2)


def generation_options() -> list[str]:
    hidden = ("_from_model_config", "transformers_version")
    names = dict.fromkeys((*GenerationConfig().to_dict(), *EXTRA, *OF_GENERATE))
    return [name for name in names if name not in hidden]


def trials() -> Iterator[Trial]:
    """All of them, in the same order every time."""
    options = generation_options()
    calls: dict[str, list[str]] = {
        "generate": options,
        "sample": options,
        "prompt": ["prompt"],
        "messages": ["messages"],
        "chat": RENDERING,
        "decoder": OF_DECODER,
        "several": ["num_return_sequences", "batch_size", "seed", "streamer"],
        "custom_generate": ["seed", "stop_strings"],
    }
    for call, names in calls.items():
        for name in names:
            yield from (Trial(call, name, value) for value in VALUES)


def run(trial: Trial) -> None:
    """Make the call that a trial stands for."""
    one, given = decoder(), {trial.option: trial.value}
    # A huge number of new ids is right, too.
    short: dict[str, Any] = {"max_new_tokens": 3, "max_time": 0.05}
    model: Any = one.model
    ids = torch.tensor([one.tokenizer(PROMPT)["input_ids"]])
    calls: dict[str, Callable[[], Any]] = {
        "generate": lambda: one.generate(PROMPT, **(short | given)),
        "sample": lambda: one.generate(PROMPT, **({"do_sample": True} | short | given)),
        "prompt": lambda: one.generate(trial.value, **short),
        "messages": lambda: one.generate(Chat(trial.value), **short),
        "chat": lambda: one.chat([{"role": "user", "content": "Hi"}], **short, **given),
        "decoder": lambda: SpeculativeDecoder(
            **({"model": one.model, "tokenizer": one.tokenizer} | given)
        ).generate(PROMPT, **short),
        "several": lambda: one.generate([PROMPT, "Once"], do_sample=True, **(short | given)),
        "custom_generate": lambda: model.generate(
            ids, attention_mask=torch.ones_like(ids), custom_generate=one, **short, **given
        ),
    }
    calls[trial.call]()


def outcome(trial: Trial) -> str:
    """What came out: "text", the name of a `UagError`, or the traceback of another error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run(trial)
    except UagError as error:
        return type(error).__name__ if len(str(error)) < 2000 else f"a long message: {error!s:.200}"
    except BaseException as error:  # a panic of `tokenizers` is no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error!s:.100} ({last.filename}:{last.lineno})"
    return "text"


def is_fault(found: str) -> bool:
    return (found != "text" and not found.endswith("Error")) or " " in found


def main(
    only: Annotated[list[str] | None, typer.Option(help="options; by default all")] = None,
) -> None:
    """Try every option with every value, and print what came out."""
    torch.set_num_threads(1)
    console, started = Console(width=160), time.monotonic()
    counts: dict[str, Counter[str]] = {}
    faults = 0
    for trial in trials():
        if only and trial.option not in only:
            continue
        found = outcome(trial)
        kind = "other" if is_fault(found) else found
        counts.setdefault(trial.call, Counter())[kind] += 1
        if is_fault(found):
            faults += 1
            console.print(f"{trial}: {found}", markup=False, highlight=False)
    kinds = sorted({kind for each in counts.values() for kind in each})
    table = Table("call", "trials", *kinds)
    for call, each in counts.items():
        table.add_row(call, f"{each.total():,}", *(f"{each[kind]:,}" for kind in kinds))
    console.print(table)
    console.print(f"{faults} errors of another kind, {time.monotonic() - started:.0f} s")
    if faults:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
