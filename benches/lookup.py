"""What does drafting from text give, beside transformers' `prompt_lookup_num_tokens`?

    python -m benches.lookup replay --tokenizer FOLDER --prompts FOLDER --code FILE
    python -m benches.lookup decode --stories FILE [--target T --assistant A]
    python -m benches.lookup nothing [--target T --assistant A]

`replay` needs no model: a reference output is taken to be what the target says, and tokens per
forward pass follow from how much of each draft agrees with it. The prompts are a folder with
Spec-Bench's `spec_bench_dev.jsonl` and `HumanEval.jsonl.gz`; the code is a file of which parts are
copied with a change. `decode` runs a real target of stories: on texts that it repeats, on long
ones, on new ones, and beside an assistant; all outputs are compared. `nothing` has the target
sample at a high temperature, so that nothing repeats: what lookups that find nothing cost.
"""

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import geometric_mean, mean
from typing import Annotated, Any

import torch
import typer
from transformers import AutoTokenizer
from transformers.generation.candidate_generator import PromptLookupCandidateGenerator

from benches.common import (
    OPENING,
    Assistant,
    Dtype,
    JsonFile,
    Limit,
    MaxNewTokens,
    Results,
    Seeds,
    Stories,
    Target,
    Threads,
    Trust,
    begin,
    counted,
    load_pair,
    story_prompts,
    timed,
    transformers_ids,
)
from uag import Lookup, SpeculativeDecoder
from uag.decoding.verify import agreement
from uag.draft import Draft
from uag.drafting.lookup_drafts import DraftsAllFound, LookupDrafts
from uag.lookahead.auto import Auto
from uag.lookahead.rules.lookups import LONGEST_TEXT
from uag.translation.bridge import Bridge

# transformers' documentation looks up 10.
IDS = 10

app = typer.Typer(add_completion=False)
BestOf = Annotated[int, typer.Option(min=1, help="Runs of each, of which the best counts.")]

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
def replay(
    tokenizer: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="Folder of a tokenizer.")
    ],
    prompts: Annotated[
        Path,
        typer.Option(exists=True, file_okay=False, help="Folder with Spec-Bench and HumanEval."),
    ],
    code: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="File of code to copy with changes.")
    ],
    limit: Annotated[int | None, typer.Option(min=1, help="Most prompts of each kind.")] = None,
    json_file: JsonFile = None,
) -> None:
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
    results = Results(
        "reference outputs replayed",
        *(f"transformers, {k}" for k in lengths),
        *(f"uag, {k}" for k in lengths),
        title="tokens per forward pass, and their ratio",
    )
    ratios: list[list[float]] = []
    for name, texts in tasks.items():
        tokens, counts = 0, [0] * 4
        for prompt, output in texts[:limit]:
            whole = words(prompt + output)["input_ids"]
            start = agreement(words(prompt)["input_ids"], whole)
            tokens += len(whole) - start
            methods = [transformers_drafts(whole, k) for k in lengths]
            methods += [lookup_drafts(bridge, whole, start, k) for k in lengths]
            counts = [
                count + passes(whole, start, drafts)
                for count, drafts in zip(counts, methods, strict=True)
            ]
        ratios.append([counts[0] / count for count in counts])
        cells = [f"{tokens / count:.3f} ({counts[0] / count:.2f})" for count in counts]
        results.add(name, *cells)
    results.add("mean", *(f"({mean(ratio):.2f})" for ratio in zip(*ratios, strict=True)))
    results.show(json_file)


# The candidates after the first `n` ids, at most `room` of them.
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


@app.command()
def decode(
    stories: Stories,
    target: Target = None,
    assistant: Assistant = None,
    limit: Limit = 6,
    runs: BestOf = 3,
    threads: Threads = 1,
    trust_remote_code: Trust = False,
    json_file: JsonFile = None,
) -> None:
    """A real target of stories, decoding with each method in turn."""
    begin(threads)
    first = load_pair(
        target, assistant, alone=True, dtype="float32", trust_remote_code=trust_remote_code
    )
    model, tokenizer = first.model, first.tokenizer
    decoders = {
        "uag plain": SpeculativeDecoder(model, tokenizer),
        f"lookup, {IDS}": SpeculativeDecoder(model, tokenizer, "lookup", lookahead=IDS),
        "lookup, auto": SpeculativeDecoder(model, tokenizer, "lookup"),
    }
    if first.assistant is not None:
        pair = first.assistant, first.assistant_tokenizer
        for name, lookahead in (("5", 5), ("auto", "auto")):
            for drafter, lookup in (("assistant", False), ("both", True)):
                decoders[f"{drafter}, {name}"] = SpeculativeDecoder(
                    model, tokenizer, *pair, lookahead=lookahead, lookup=lookup
                )
    methods: dict[str, Callable[[list[int], int], tuple[list[int], int]]] = {
        "generate": hugging_face(model, {}),
        "prompt lookup": hugging_face(model, {"prompt_lookup_num_tokens": IDS}),
    } | {name: ours(decoder) for name, decoder in decoders.items()}
    results = Results("real target", "method", "tokens per pass", "tokens/s", "x generate")
    window: int = model.config.max_position_embeddings
    for kind, (prompts, length) in story_prompts(stories, limit).items():
        passed = dict.fromkeys(methods, 0)
        # Of each method the best of its runs on a prompt: what else the machine does only adds.
        speeds: dict[str, list[float]] = {name: [] for name in methods}
        tokens = 0
        for prompt in prompts:
            ids = tokenizer(prompt)["input_ids"][: window - length - 1]
            seconds: dict[str, list[float]] = {name: [] for name in methods}
            texts: dict[str, list[int]] = {}
            forwards: dict[str, int] = {}
            for _ in range(runs):
                for name, method in methods.items():
                    (texts[name], forwards[name]), took = timed(method, ids, length)
                    seconds[name].append(took)
            for name, text in texts.items():
                assert text == texts["generate"], name
                speeds[name].append(len(text) / min(seconds[name]))
                passed[name] += forwards[name]
            tokens += len(texts["generate"])
        plain = speeds["generate"]
        for name in methods:
            relative = geometric_mean(
                [each / base for each, base in zip(speeds[name], plain, strict=True)]
            )
            results.add(
                kind, name, f"{tokens / passed[name]:.2f}",
                f"{geometric_mean(speeds[name]):.0f}", f"{relative:.2f}",
            )  # fmt: skip
        results.end_section()
    results.show(json_file)


@app.command()
def nothing(
    target: Target = None,
    assistant: Assistant = None,
    temperature: Annotated[float, typer.Option(help="High: nothing repeats.")] = 2.0,
    seeds: Seeds = 8,
    runs: BestOf = 3,
    max_new_tokens: MaxNewTokens = 200,
    dtype: Dtype = "float32",
    threads: Threads = 1,
    trust_remote_code: Trust = False,
    json_file: JsonFile = None,
) -> None:
    """Texts in which nothing repeats, sampled plainly and with lookups that find nothing."""
    begin(threads)
    first = load_pair(
        target, assistant, alone=True, dtype=dtype, trust_remote_code=trust_remote_code
    )
    pair: list[Any] = [first.model, first.tokenizer]
    decoders = {
        "plain": SpeculativeDecoder(*pair),
        "lookup": SpeculativeDecoder(*pair, "lookup"),
    }
    if first.assistant is not None:
        pair += [first.assistant, first.assistant_tokenizer]
        decoders["assistant"] = SpeculativeDecoder(*pair, lookup=False)
        decoders["both"] = first
    sampled: dict[str, Any] = {
        "do_sample": True, "temperature": temperature, "top_k": 0,
        "min_new_tokens": max_new_tokens, "max_new_tokens": max_new_tokens,
    }  # fmt: skip
    ids: list[int] = first.tokenizer(OPENING)["input_ids"]
    best: dict[str, list[float]] = {name: [] for name in ("generate", *decoders)}
    stats = {name: Counter[str]() for name in decoders}
    for seed in range(seeds + 1):  # the first is for what the models and "auto" begin with
        seconds: dict[str, list[float]] = {name: [] for name in best}
        texts: set[str] = set()
        for _ in range(runs):
            _, took = timed(transformers_ids, first.model, ids, pad_token_id=0, **sampled)
            seconds["generate"].append(took)
            for name, decoder in decoders.items():
                out, took = timed(decoder.generate, ids, seed=seed, **sampled)
                seconds[name].append(took)
                texts.add(out.text)
                if seed:
                    stats[name] += Counter(
                        drafted=out.stats.drafted,
                        looked=out.stats.looked_up,
                        right=out.stats.accepted,
                    )
        # In half precision wider passes round differently.
        assert len(texts) == 1 or dtype != "float32", "the text for a seed depends on who drafts"
        if seed:
            for name, each in seconds.items():
                best[name].append(min(each))
    results = Results(
        "method", "tokens/s", "x generate", "x plain", "drafted", "looked up", "accepted"
    )
    for name, times in best.items():
        ratios = [
            geometric_mean([a / b for a, b in zip(best[base], times, strict=True)])
            for base in ("generate", "plain")
        ]
        done = stats.get(name, {})
        results.add(
            name, f"{max_new_tokens * seeds / sum(times):.0f}",
            *(f"{ratio:.3f}" for ratio in ratios),
            *(str(done.get(key, "-")) for key in ("drafted", "looked", "right")),
        )  # fmt: skip
    results.show(json_file)


def hugging_face(
    model: Any, options: dict[str, Any]
) -> Callable[[list[int], int], tuple[list[int], int]]:
    def run(ids: list[int], length: int) -> tuple[list[int], int]:
        asked = {"max_new_tokens": length, "do_sample": False, "pad_token_id": 0} | options
        with counted(model) as passes:
            return transformers_ids(model, ids, **asked), len(passes)

    return run


def ours(decoder: SpeculativeDecoder) -> Callable[[list[int], int], tuple[list[int], int]]:
    def run(ids: list[int], length: int) -> tuple[list[int], int]:
        out = decoder.generate(ids, max_new_tokens=length)
        return out.token_ids, out.stats.target_forwards

    return run


if __name__ == "__main__":
    app()
