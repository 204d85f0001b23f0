"""What does a turn of a chat cost, if the text before it was read already?

    python -m benches.prefixes                                       # the demo pair
    python -m benches.prefixes --target T --assistant A [--length 3000] [--turns 10]

A text of `--length` ids grows by turns: each continues it by `--new` ids, and then the user says a
sentence. "generate" reads all of it in each turn; "generate, cache kept" is given the
`past_key_values` of the turn before, cropped to what is still true; then uag without and with
`prefix_cache`, and uag alone (no assistant) with it. All in turn, greedy, on the same texts.

Then `--rows` continuations of that text are sampled in one call: how many ids both models read of
it, and how long that takes beside one continuation.
"""

from statistics import median
from time import perf_counter
from typing import Annotated, Any

import torch
import typer
from transformers import DynamicCache

from benches.common import (
    Assistant,
    Dtype,
    JsonFile,
    Results,
    Runs,
    Target,
    Threads,
    Trust,
    begin,
    console,
    load_pair,
)
from uag import SpeculativeDecoder
from uag.models.caches.kept import common_length

SENTENCE = " The next day they went to the park again, and they were happy."
ENOUGH = 1 << 40


class Generate:
    """`model.generate`, with or without the cache of the turn before."""

    def __init__(self, model: Any, *, keeps: bool) -> None:
        self._model, self._keeps = model, keeps
        self._past, self._held = DynamicCache(config=model.config), list[int]()

    def __call__(self, ids: list[int], new: int) -> list[int]:
        if self._keeps:
            same = common_length(ids, self._held, len(ids) - 1)
            if (more := self._past.get_seq_length() - same) > 0:
                self._past.crop(-more)
        prompt = torch.tensor([ids], device=self._model.device)
        out = self._model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=False,
            max_new_tokens=new,
            min_new_tokens=new,
            **({"past_key_values": self._past} if self._keeps else {}),
        )
        self._held = out[0].tolist()[:-1]
        return out[0, len(ids) :].tolist()


class Decoder:
    """A decoder of uag."""

    def __init__(self, decoder: SpeculativeDecoder) -> None:
        self._decoder = decoder

    def __call__(self, ids: list[int], new: int) -> list[int]:
        out = self._decoder.generate(ids, do_sample=False, max_new_tokens=new, min_new_tokens=new)
        return out.token_ids


def main(
    target: Target = None,
    assistant: Assistant = None,
    length: Annotated[int, typer.Option(min=1, help="Ids of the text at first.")] = 3000,
    new: Annotated[int, typer.Option(min=1, help="New tokens of a turn.")] = 32,
    turns: Annotated[int, typer.Option(min=2, help="Turns of a text.")] = 10,
    rows: Annotated[int, typer.Option(min=1, help="Continuations in one call.")] = 8,
    runs: Runs = 3,
    dtype: Dtype = "auto",
    threads: Threads = 2,
    trust_remote_code: Trust = False,
    json_file: JsonFile = None,
) -> None:
    """Time turns, and continuations of one text."""
    begin(threads)
    options: dict[str, Any] = {"dtype": dtype, "trust_remote_code": trust_remote_code}
    pair = load_pair(target, assistant, **options)
    given = pair.model, pair.tokenizer, pair.assistant, pair.assistant_tokenizer
    encode: Any = pair.tokenizer
    text = encode(SENTENCE * (length // 8))["input_ids"][:length]
    sentence = encode(SENTENCE)["input_ids"]
    seconds: dict[str, list[list[float]]] = {}
    for _ in range(runs):
        methods: dict[str, Any] = {
            "generate": Generate(pair.model, keeps=False),
            "generate, cache kept": Generate(pair.model, keeps=True),
            "uag": Decoder(SpeculativeDecoder(*given)),
            "uag alone, prefix_cache": Decoder(SpeculativeDecoder(*given[:2], prefix_cache=ENOUGH)),
            "uag, prefix_cache": Decoder(SpeculativeDecoder(*given, prefix_cache=ENOUGH)),
        }
        ids, same = text, True
        for turn in range(turns):
            said: list[list[int]] = []
            for name, method in methods.items():
                start = perf_counter()
                said.append(method(ids, new))
                seconds.setdefault(name, [[] for _ in range(turns)])[turn].append(
                    perf_counter() - start
                )
            same = same and all(each == said[0] for each in said)
            ids = ids + said[0] + sentence
    results = Results("", "first turn, ms", "last turn, ms", "all turns, s")
    for name, by_turn in seconds.items():
        middle = [median(each) for each in by_turn]
        results.add(
            name, f"{1000 * middle[0]:.0f}", f"{1000 * middle[-1]:.0f}", f"{sum(middle):.2f}"
        )
    results.show(json_file)
    console.print(f"same ids: {'yes' if same else 'NO'}")
    _continuations(pair, text, new, rows, runs)


def _continuations(
    pair: SpeculativeDecoder, text: list[int], new: int, rows: int, runs: int
) -> None:
    """Print what several continuations of a text cost beside one."""
    ratios: list[float] = []
    for seed in range(runs):
        options: dict[str, Any] = {"do_sample": True, "seed": seed, "max_new_tokens": new}
        start = perf_counter()
        pair.generate(text, **options)
        one = perf_counter() - start
        start = perf_counter()
        outs = pair.generate(text, num_return_sequences=rows, batch_size=rows, **options)
        ratios.append((perf_counter() - start) / one)
        read = [len(text) - out.stats.cached_tokens for out in outs]
    console.print(
        f"{rows} continuations of one text take {median(ratios):.2f} times as long as one; the "
        f"target read {sum(read)} ids of {rows} times {len(text)}"
    )


if __name__ == "__main__":
    typer.run(main)
