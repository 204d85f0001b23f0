"""How many instructions does a round cost apart from the models, and is it more than before?

    python -m benches.round
    PYTHONPATH=OTHER_CHECKOUT/python python -m benches.round     # the same for another version
    python -m benches.round --by-clock 40 --methods assistant,tree

Instructions are counted by Callgrind, so they repeat where seconds do not, on a busy machine, too:
within 0.5 %. (`tokenizers` orders its tables at random, and memory is laid out accordingly.)
The models are tables: a pass looks up what follows an id, and writes one number per position to
the KV cache. Nearly all that remains is the library and what it calls. For each method of
decoding, two generations are counted, the second twice as long. Their difference divided by
that of their target passes leaves out what a call costs once.

With `--by-clock N` it is milliseconds of the thread, which repeat within some percent on a busy
machine: the median over N texts, in turns, of the median of their rounds.

Valgrind must be installed for counts; one takes a few minutes, most of which is the import of
torch. This module uses only public names of `uag`, so that it also runs on older versions.
"""

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median
from string import ascii_letters
from tempfile import TemporaryDirectory
from time import monotonic, thread_time
from typing import Annotated, Any

import tokenizers
import torch
import typer
from tokenizers import decoders, models, pre_tokenizers
from transformers import (
    GenerationMixin,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.modeling_outputs import CausalLMOutputWithPast

from benches.common import JsonFile, Results, Runs, Seed, split
from uag import SpeculativeDecoder
from uag.clock import set_clock

# Words of letters of their own: the last token alone says how a word continues.
WORDS = ["".join(letters) for letters in zip(*[iter(ascii_letters)] * 4, strict=True)]
PROMPT = f" {WORDS[0]} {WORDS[1]} {WORDS[2]}"
POSITIONS = 16_384
# The target skips a word at this share of positions, which no draft foresees.
SKIPS = 0.2
# The logit of the likeliest id; others are 0. Sampled at temperature 1 it is usual, not sure.
SURE = 8.0
# Of the assistant, the logit of so many ids that are likelier than others: the siblings in a tree.
BESIDE, LESS_SURE = 8, 6.0
TREE = 31
END = "<end>"
# A C function that nothing else here calls: Callgrind writes its counts whenever it is entered.
MARK = "getpgid"
# The same order of everything in each run.
ENVIRONMENT = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def word_tokenizer(parts: Callable[[str], list[str]]) -> PreTrainedTokenizerFast:
    """Byte-level BPE whose tokens are the given parts of each word, and single bytes."""
    pieces = [END, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        for part in parts(f"Ġ{word}"):
            for end in range(1, len(part)):
                merges.append((part[:end], part[end]))
                pieces.append(part[: end + 1])
    raw = tokenizers.Tokenizer(models.BPE({piece: id for id, piece in enumerate(pieces)}, merges))
    raw.add_special_tokens([END])
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token=END)


class TableConfig(PretrainedConfig):
    """What a KV cache asks for: one layer of full attention."""

    model_type = "table"

    def __init__(self, vocab_size: int = 1, **options: Any) -> None:
        self.hidden_size = self.num_attention_heads = self.num_key_value_heads = 1
        self.num_hidden_layers = self.head_dim = 1
        self.max_position_embeddings = POSITIONS
        super().__init__(**options)
        self.vocab_size = vocab_size


class TableModel(PreTrainedModel, GenerationMixin):
    """A model that says a cycle of ids, `steps[position]` further at each position."""

    config_class = TableConfig
    _supports_sdpa = True

    def __init__(
        self, config: TableConfig, cycle: list[int], steps: list[int], beside: int
    ) -> None:
        super().__init__(config)
        self.embedding = torch.nn.Embedding(config.vocab_size, 1)
        places, logits = torch.zeros(config.vocab_size, dtype=torch.long), []
        for place, id in enumerate(cycle):
            places[id] = place
            row = torch.zeros(config.vocab_size)
            others = [cycle[(place + ahead) % len(cycle)] for ahead in range(1, beside + 1)]
            row[others] = LESS_SURE
            logits.append(row.index_fill_(0, torch.tensor(id), SURE))
        self.register_buffer("places", places)
        self.register_buffer("steps", torch.tensor(steps))
        self.register_buffer("logits", torch.stack(logits))
        self.register_buffer("states", torch.zeros(1, 1, POSITIONS, 1))

    def get_input_embeddings(self) -> torch.nn.Module:
        return self.embedding

    def forward(
        self,
        input_ids: torch.Tensor,
        past_key_values: Any = None,
        position_ids: Any = None,
        logits_to_keep: int = 0,
        **_: Any,
    ) -> CausalLMOutputWithPast:
        states = self.states.narrow(2, 0, input_ids.shape[1])
        past_key_values.update(states, states, 0)
        next_places = self.places[input_ids] + self.steps[position_ids]
        rows = (next_places % len(self.logits))[:, -logits_to_keep:]
        return CausalLMOutputWithPast(logits=self.logits[rows], past_key_values=past_key_values)


def table_model(
    tokenizer: PreTrainedTokenizerFast,
    parts: Callable[[str], list[str]],
    skips: float,
    beside: int = 0,
) -> TableModel:
    """Says all words in turn; at this share of positions it skips a token.

    `beside`: how many other ids are likely, too.
    """
    pieces = [part for word in WORDS for part in parts(f"Ġ{word}")]
    random = Random(0)
    steps = [1 + (random.random() < skips) for _ in range(POSITIONS)]
    cycle = tokenizer.convert_tokens_to_ids(pieces)
    model = TableModel(TableConfig(len(tokenizer)), cycle, steps, beside)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    return model.eval()


def whole(word: str) -> list[str]:
    """The target's tokens of a word: one."""
    return [word]


def in_parts(word: str) -> list[str]:
    """The assistant's: three."""
    return [word[:2], word[2:4], word[4:]]


@dataclass(frozen=True)
class NextWords:
    """A `uag.Drafter`: the words that follow in turn, in the target's ids."""

    ids: list[int]
    place: dict[int, int]

    def propose(self, text: bytes, ids: Sequence[int], k: int) -> list[int]:
        place = self.place.get(ids[-1], 0)
        return [self.ids[(place + ahead) % len(self.ids)] for ahead in range(1, k + 1)]


def methods(lookahead: int, seed: int) -> dict[str, tuple[SpeculativeDecoder, dict[str, Any]]]:
    """Each method of decoding: its decoder, and its options of `generate`."""
    words, parts = word_tokenizer(whole), word_tokenizer(in_parts)
    target = table_model(words, whole, SKIPS), words
    assistant = table_model(parts, in_parts, 0.0, BESIDE), parts
    ids: list[int] = words.convert_tokens_to_ids([f"Ġ{word}" for word in WORDS])
    drafter = NextWords(ids, {id: place for place, id in enumerate(ids)})
    by_model = SpeculativeDecoder(*target, *assistant, lookahead=lookahead)
    by_tree = SpeculativeDecoder(*target, *assistant, lookahead=lookahead, tree=TREE)
    sampled = {"do_sample": True, "seed": seed}
    # Without a number it would be "auto", which computes more or less by the clock.
    plain = SpeculativeDecoder(*target, lookahead=lookahead)
    return {
        "plain": (plain, {}),
        "assistant": (by_model, {}),
        "tree": (by_tree, {}),
        "sampled": (by_model, sampled),
        "sampled-tree": (by_tree, sampled),
        "drafter": (SpeculativeDecoder(*target, drafter, lookahead=lookahead), {}),
        "lookup": (SpeculativeDecoder(*target, "lookup", lookahead=lookahead), {}),
    }


def decode(
    found: dict[str, tuple[SpeculativeDecoder, dict[str, Any]]],
    max_new_tokens: int,
    mark: Callable[[], None],
) -> dict[str, list[tuple[int, int]]]:
    """Decode with each method, once and twice as far: tokens and target passes of each text."""
    done: dict[str, list[tuple[int, int]]] = {}
    for name, (decoder, options) in found.items():
        for length in (max_new_tokens, 2 * max_new_tokens):
            gc.collect()
            mark()
            out = decoder.generate(PROMPT, max_new_tokens=length, **options)
            mark()
            done.setdefault(name, []).append((len(out.token_ids), out.stats.target_forwards))
    return done


def by_the_clock(
    found: dict[str, tuple[SpeculativeDecoder, dict[str, Any]]], max_new_tokens: int, texts: int
) -> Results:
    """Milliseconds of a round of each method, which take turns, and what a round verifies."""
    torch.set_num_threads(1)
    set_clock(thread_time)
    spent: dict[str, list[float]] = {name: [] for name in found}
    width: dict[str, float] = {}
    for _ in range(texts):
        for name, (decoder, options) in found.items():
            out = decoder.generate(PROMPT, max_new_tokens=max_new_tokens, **options)
            rounds = [done for done in out.stats.history if done.drafted]
            spent[name].append(1000 * median(sum(done.seconds.values()) for done in rounds))
            width[name] = median(done.candidates for done in rounds) + 1
    results = Results("method", "ids in a pass", "ms per round", "lowest", "highest")
    for name, times in spent.items():
        numbers = median(times), min(times), max(times)
        results.add(name, f"{width[name]:.0f}", *(f"{number:.3f}" for number in numbers))
    return results


def be_counted(
    folder: Path,
    found: dict[str, tuple[SpeculativeDecoder, dict[str, Any]]],
    max_new_tokens: int,
) -> None:
    """Decode in a process that Callgrind watches, and write what was decoded to `folder`."""
    torch.set_num_threads(1)
    # What is collected when depends on all that was made before.
    gc.disable()
    decode(found, max_new_tokens, lambda: None)  # first uses: imports, caches, memory
    command = ["callgrind_control", "--instr=on", str(os.getpid())]
    switch = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    # Valgrind listens between instructions, not while the process sleeps.
    while switch.poll() is None:
        monotonic()
    done = decode(found, max_new_tokens, lambda: os.getpgid(0) and None)
    (folder / "done.json").write_text(json.dumps(done), encoding="utf-8")


def count(arguments: list[str]) -> tuple[dict[str, list[tuple[int, int]]], list[int]]:
    """Run this module under Callgrind: what was decoded, and the instructions of each text."""
    with TemporaryDirectory() as folder:
        command = [
            "setarch", "-R",  # without random addresses
            "valgrind", "--tool=callgrind", "--instr-atstart=no", f"--dump-before={MARK}",
            f"--callgrind-out-file={folder}/counts", "--quiet",
            sys.executable, "-m", "benches.round", "--count-in", folder, *arguments,
        ]  # fmt: skip
        subprocess.run(command, check=True, env=os.environ | ENVIRONMENT)
        done = json.loads(Path(folder, "done.json").read_text(encoding="utf-8"))
        texts = sum(map(len, done.values()))
        # A part ends at each mark; every second one is a text.
        parts = [Path(folder, f"counts.{2 * text + 2}") for text in range(texts)]
        return done, [instructions(part) for part in parts]


def instructions(file: Path) -> int:
    """The sum of a file that Callgrind wrote."""
    with file.open(encoding="utf-8") as lines:
        found = [line for line in lines if line.startswith(("summary:", "totals:"))]
    return int(found[-1].split()[1])


def main(
    methods_: Annotated[
        str, typer.Option("--methods", help="Which to count, of those in the table.")
    ] = "plain,assistant,tree,sampled,sampled-tree,drafter,lookup",
    lookahead: Annotated[int, typer.Option(min=1, help="Ids to draft a round.")] = 6,
    max_new_tokens: Annotated[
        int, typer.Option(min=20, help="Target tokens of the shorter generation.")
    ] = 200,
    seed: Seed = 0,
    runs: Runs = 1,
    by_clock: Annotated[
        int, typer.Option(min=0, help="Milliseconds, by so many texts, and no instructions.")
    ] = 0,
    json_file: JsonFile = None,
    count_in: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Count instructions per round of each method, with models that cost almost nothing."""
    if by_clock or count_in is not None:
        every = methods(lookahead, seed)
        found = {name: every[name] for name in split(methods_)}
    if by_clock:
        by_the_clock(found, max_new_tokens, by_clock).show(json_file)
        return
    if count_in is not None:
        be_counted(count_in, found, max_new_tokens)
        return
    arguments = ["--methods", methods_, "--lookahead", str(lookahead), "--seed", str(seed)]
    arguments += ["--max-new-tokens", str(max_new_tokens)]
    counted = [count(arguments) for _ in range(runs)]
    done = counted[0][0]
    counts = [median(each) for each in zip(*(counts for _, counts in counted), strict=True)]
    results = Results("method", "instructions per round", "rounds", "tokens per round")
    for place, (name, texts) in enumerate(done.items()):
        (few, short), (many, long) = texts
        more = counts[2 * place + 1] - counts[2 * place]
        rounds = long - short
        results.add(name, f"{more / rounds:,.0f}", f"{rounds:,}", f"{(many - few) / rounds:.2f}")
    results.show(json_file)


if __name__ == "__main__":
    typer.run(main)
