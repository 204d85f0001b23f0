"""Lookup drafting beside transformers' `prompt_lookup_num_tokens`, on the same texts in one run.

    python benches/lookup.py replay TOKENIZER PROMPTS CODE
    python benches/lookup.py decode STORIES TARGET [--assistant FOLDER]
    python benches/lookup.py nothing TARGET [--assistant FOLDER]

`replay` needs no model: a reference output is taken to be what the target says, and tokens per
forward pass follow from how much of each draft agrees with it. PROMPTS is a folder with
Spec-Bench's `spec_bench_dev.jsonl` and `HumanEval.jsonl.gz`; CODE is a file of which parts are
copied with a change. `decode` runs a real target of stories: on texts that it repeats, on long
ones, on new ones, and beside an assistant; all outputs are compared. `nothing` has the target draw
at a high temperature, so that nothing repeats: what looking up in vain costs.
"""

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from statistics import geometric_mean, mean
from time import perf_counter
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.generation.candidate_generator import PromptLookupCandidateGenerator

from uag import Lookup, SpeculativeDecoder
from uag.decoding.verify import agreement
from uag.draft import Draft
from uag.drafting.lookup_drafts import DraftsAllFound, LookupDrafts
from uag.lookahead.auto import Auto
from uag.lookahead.lookup_rule import LONGEST_TEXT
from uag.translation.bridge import Bridge

# transformers' documentation looks up 10.
IDS = 10

app = typer.Typer(add_completion=False)

# Of one text: prompt and output.
Task = tuple[str, str]


def spec_bench(folder: Path, category: str) -> list[Task]:
    lines = (folder / "spec_bench_dev.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["category"] == category]
    return [(row["turns"][0] + "\n\n", _joined(row["reference"])) for row in rows]


def _joined(reference: Any) -> str:
    return reference if isinstance(reference, str) else " ".join(map(_joined, reference))


def renamed(folder: Path) -> list[Task]:
    """HumanEval's solutions, copied with the first argument renamed."""
    with gzip.open(folder / "HumanEval.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file]
    return [
        _edit(row["prompt"] + row["canonical_solution"], f"def {row['entry_point']}\\((\\w+)")
        for row in rows
    ]


def _edit(code: str, naming: str) -> Task:
    found = re.search(naming, code)
    name = found.group(1) if found else "return"
    changed = re.sub(rf"\b{name}\b", f"{name}_in", code)
    return (
        f"```python\n{code}```\nThe same with `{name}` renamed to `{name}_in`:\n```python\n",
        changed + "```",
    )


def a_line_changed(file: Path, count: int = 40, lines: int = 40) -> list[Task]:
    """Pieces of a code file, copied without one of their lines and with another twice."""
    random = Random(0)
    code = file.read_text().splitlines(keepends=True)
    tasks: list[Task] = []
    for _ in range(count):
        at = random.randrange(len(code) - lines)
        piece = code[at : at + lines]
        changed = list(piece)
        del changed[random.randrange(lines)]
        twice = random.randrange(lines - 1)
        changed.insert(twice, changed[twice])
        tasks.append(("Old file:\n" + "".join(piece) + "\nNew file:\n", "".join(changed)))
    return tasks


@app.command()
def replay(tokenizer: Path, prompts: Path, code: Path, limit: int | None = None) -> None:
    """Tokens per forward pass of reference outputs, without a model."""
    words = AutoTokenizer.from_pretrained(tokenizer)
    bridge = Bridge(words, words)
    tasks = {
        category: spec_bench(prompts, category)
        for category in ("summarization", "rag", "translation")
    }
    tasks["HumanEval, an argument renamed"] = renamed(prompts)
    tasks["code, two lines changed"] = a_line_changed(code)
    lengths = (IDS, LONGEST_TEXT)
    table = Table("reference outputs replayed", title="tokens per forward pass, and their ratio")
    for title in (*(f"transformers, {k}" for k in lengths), *(f"uag, {k}" for k in lengths)):
        table.add_column(title, justify="right")
    ratios: list[list[float]] = []
    for name, texts in tasks.items():
        tokens, counts = 0, [0] * 4
        for prompt, output in texts[:limit]:
            whole = words(prompt + output)["input_ids"]
            start = agreement(words(prompt)["input_ids"], whole)
            tokens += len(whole) - start
            ways = [transformers_drafts(whole, k) for k in lengths]
            ways += [lookup_drafts(bridge, whole, start, k) for k in lengths]
            counts = [
                count + passes(whole, start, way) for count, way in zip(counts, ways, strict=True)
            ]
        ratios.append([counts[0] / count for count in counts])
        cells = [f"{tokens / count:.3f} ({counts[0] / count:.2f})" for count in counts]
        table.add_row(name, *cells)
    table.add_row("mean", *(f"({mean(ratio):.2f})" for ratio in zip(*ratios, strict=True)))
    Console().print(table)


# The candidates behind the first `n` ids, at most `room` of them.
Drafts = Callable[[int, int], list[int]]


def passes(whole: list[int], start: int, drafts: Drafts) -> int:
    """Forward passes of a target that says `whole[start:]`."""
    count = 0
    while start < len(whole):
        room = len(whole) - start - 1
        start += 1 + agreement(whole[start:], drafts(start, room)[:room])
        count += 1
    return count


def transformers_drafts(whole: list[int], k: int) -> Drafts:
    generator = PromptLookupCandidateGenerator(num_output_tokens=k, max_length=len(whole) + k)

    def drafts(n: int, room: int) -> list[int]:
        del room  # cut off by the caller
        ids, _ = generator.get_candidates(torch.tensor([whole[:n]]))
        return ids[0, n:].tolist()

    return drafts


def lookup_drafts(bridge: Bridge, whole: list[int], start: int, k: int) -> Drafts:
    sequence = bridge.start(whole[:start], whole[:start])
    lookup = Lookup()
    drafter = LookupDrafts(
        lookup.search(), lookup.min_match, bridge.target, sequence, DraftsAllFound(Auto())
    )

    def drafts(n: int, room: int) -> list[int]:
        sequence.commit(whole[len(sequence) : n])
        draft = drafter.draft(min(k, room)) if room else Draft()
        return sequence.propose(draft.ids, draft.text).ids

    return drafts


def story_prompts(corpus: Path, count: int) -> dict[str, tuple[list[str], int]]:
    """Prompts of a story model by kind, and how many ids follow each."""
    stories = [text for text in corpus.read_text().split("\n\n") if 200 < len(text) < 500]
    Random(1).shuffle(stories)
    chosen = iter(stories)

    def beginnings(words: int) -> Iterator[str]:
        while True:
            yield " ".join(next(chosen).split()[:words])

    told = [next(chosen).strip() for _ in range(count)]
    return {
        "a story begins again": ([f"{text} {' '.join(text.split()[:6])}" for text in told], 60),
        "a long text": ([text for text, _ in zip(beginnings(6), range(count), strict=False)], 200),
        "a new story": (
            [text for text, _ in zip(beginnings(30), range(count), strict=False)],
            60,
        ),
    }


@app.command()
def decode(
    stories: Path,
    target: Path,
    assistant: Path | None = None,
    limit: Annotated[int, typer.Option(help="Prompts of a kind.")] = 6,
    runs: Annotated[int, typer.Option(help="Runs of each, of which the best counts.")] = 3,
    threads: int = 1,
) -> None:
    """A real target that reads stories, decoding in every way in turn."""
    torch.set_num_threads(threads)
    load: dict[str, Any] = {"dtype": torch.float32, "trust_remote_code": True}
    tokenizer = AutoTokenizer.from_pretrained(target, trust_remote_code=True)
    model = AutoModelForCausalLM.from_pretrained(target, **load).eval()
    decoders = {
        "uag plain": SpeculativeDecoder(model, tokenizer),
        f"lookup, {IDS}": SpeculativeDecoder(model, tokenizer, "lookup", lookahead=IDS),
        "lookup, auto": SpeculativeDecoder(model, tokenizer, "lookup"),
    }
    if assistant:
        pair: list[Any] = [
            AutoModelForCausalLM.from_pretrained(assistant, **load).eval(),
            AutoTokenizer.from_pretrained(assistant, trust_remote_code=True),
        ]
        for name, lookahead in (("5", 5), ("auto", "auto")):
            for who, lookup in (("assistant", False), ("both", True)):
                decoders[f"{who}, {name}"] = SpeculativeDecoder(
                    model, tokenizer, *pair, lookahead=lookahead, lookup=lookup
                )
    ways: dict[str, Callable[[list[int], int], tuple[list[int], int]]] = {
        "generate": hugging_face(model, {}),
        "prompt lookup": hugging_face(model, {"prompt_lookup_num_tokens": IDS}),
    } | {name: ours(decoder) for name, decoder in decoders.items()}
    table = Table("real target", "way", "tokens per pass", "tokens/s", "x generate")
    window: int = model.config.max_position_embeddings
    for kind, (prompts, length) in story_prompts(stories, limit).items():
        passed = dict.fromkeys(ways, 0)
        # Of each way the best of its runs on a prompt: what else the machine does only adds.
        speeds: dict[str, list[float]] = {name: [] for name in ways}
        tokens = 0
        for prompt in prompts:
            ids = tokenizer(prompt)["input_ids"][: window - length - 1]
            seconds: dict[str, list[float]] = {name: [] for name in ways}
            texts: dict[str, list[int]] = {}
            forwards: dict[str, int] = {}
            for _ in range(runs):
                for name, way in ways.items():
                    start = perf_counter()
                    texts[name], forwards[name] = way(ids, length)
                    seconds[name].append(perf_counter() - start)
            for name, text in texts.items():
                assert text == texts["generate"], name
                speeds[name].append(len(text) / min(seconds[name]))
                passed[name] += forwards[name]
            tokens += len(texts["generate"])
        plain = speeds["generate"]
        for name in ways:
            relative = geometric_mean(
                [each / base for each, base in zip(speeds[name], plain, strict=True)]
            )
            table.add_row(
                kind, name, f"{tokens / passed[name]:.2f}",
                f"{geometric_mean(speeds[name]):.0f}", f"{relative:.2f}",
            )  # fmt: skip
        table.add_section()
    Console().print(table)


@app.command()
def nothing(
    target: Path,
    assistant: Path | None = None,
    temperature: float = 2.0,
    seeds: Annotated[int, typer.Option(help="Texts, each drawn in every way in turn.")] = 8,
    runs: Annotated[int, typer.Option(help="Runs of each, of which the best counts.")] = 3,
    length: int = 200,
    threads: int = 1,
    dtype: str = "float32",
) -> None:
    """Texts in which nothing repeats, drawn plainly and with what looks for it in vain."""
    torch.set_num_threads(threads)
    load: dict[str, Any] = {"dtype": dtype, "trust_remote_code": True}
    first = SpeculativeDecoder.from_pretrained(
        str(target), None if assistant is None else str(assistant), **load
    )
    pair: list[Any] = [first.model, first.tokenizer]
    decoders = {
        "plain": SpeculativeDecoder(*pair),
        "lookup": SpeculativeDecoder(*pair, "lookup"),
    }
    if assistant:
        pair += [first.assistant, first.assistant_tokenizer]
        decoders["assistant"] = SpeculativeDecoder(*pair, lookup=False)
        decoders["both"] = first
    drawn: dict[str, Any] = {
        "do_sample": True, "temperature": temperature, "top_k": 0, "min_new_tokens": length,
        "max_new_tokens": length,
    }  # fmt: skip
    ids = torch.tensor([first.tokenizer("Once upon a time")["input_ids"]])
    best: dict[str, list[float]] = {name: [] for name in ("generate", *decoders)}
    stats = {name: Counter[str]() for name in decoders}
    for seed in range(seeds + 1):  # the first is for what the models and "auto" begin with
        seconds: dict[str, list[float]] = {name: [] for name in best}
        texts: set[str] = set()
        for _ in range(runs):
            start = perf_counter()
            first.model.generate(ids, attention_mask=torch.ones_like(ids), pad_token_id=0, **drawn)
            seconds["generate"].append(perf_counter() - start)
            for name, decoder in decoders.items():
                start = perf_counter()
                out = decoder.generate(ids[0].tolist(), seed=seed, **drawn)
                seconds[name].append(perf_counter() - start)
                texts.add(out.text)
                if seed:
                    stats[name] += Counter(
                        drafted=out.stats.drafted,
                        looked=out.stats.looked_up,
                        right=out.stats.accepted,
                    )
        # In half precision wider passes round otherwise.
        assert len(texts) == 1 or dtype != "float32", "the text for a seed depends on who drafts"
        if seed:
            for name, each in seconds.items():
                best[name].append(min(each))
    table = Table("way", "tokens/s", "x generate", "x plain", "drafted", "looked up", "accepted")
    for name, times in best.items():
        ratios = [
            geometric_mean([a / b for a, b in zip(best[base], times, strict=True)])
            for base in ("generate", "plain")
        ]
        done = stats.get(name, {})
        table.add_row(
            name, f"{length * seeds / sum(times):.0f}", *(f"{ratio:.3f}" for ratio in ratios),
            *(str(done.get(key, "-")) for key in ("drafted", "looked", "right")),
        )  # fmt: skip
    Console().print(table)


def hugging_face(
    model: Any, options: dict[str, Any]
) -> Callable[[list[int], int], tuple[list[int], int]]:
    def run(ids: list[int], length: int) -> tuple[list[int], int]:
        count = [0]
        hook = model.register_forward_hook(lambda *_: count.__setitem__(0, count[0] + 1))
        row = torch.tensor([ids])
        asked = {"max_new_tokens": length, "do_sample": False, "pad_token_id": 0} | options
        out = model.generate(row, attention_mask=torch.ones_like(row), **asked)
        hook.remove()
        return out[0, len(ids) :].tolist(), count[0]

    return run


def ours(decoder: SpeculativeDecoder) -> Callable[[list[int], int], tuple[list[int], int]]:
    def run(ids: list[int], length: int) -> tuple[list[int], int]:
        out = decoder.generate(ids, max_new_tokens=length)
        return out.token_ids, out.stats.target_forwards

    return run


if __name__ == "__main__":
    app()
