"""Train uag's demo pair: a small story writer and a much smaller assistant with another tokenizer.

The target is a Llama of about 5 million parameters with a byte-level BPE split as Llama 3 splits;
the assistant is a Llama of under 0.4 million with a SentencePiece-style BPE that falls back to
bytes, as Llama 2's. The target learns from the text files; the assistant learns from them and from
stories that the trained target writes itself, so that it proposes what the target would say.

    python train_demo_pair.py stories.txt more.txt.xz --output demo_pair

A stage (target, written stories, assistant) keeps its state in the work folder: the same command
run again after a stop goes on where it was.
"""

import json
import lzma
import math
import random
import re
import shutil
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import torch
import typer
from rich.console import Console
from rich.progress import Progress
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer
from torch.nn.functional import cross_entropy
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

T = TypeVar("T")
Shape = tuple[int, int, int, int]  # layers, hidden size, heads, size of the MLP
CONTEXT = 512
LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Curly quotes, and curly quotes that somebody read as Windows-1252, become plain ones.
PLAIN = {"â€œ": '"', "â€™": "'", "â€˜": "'", "â€": '"', "“": '"', "”": '"', "’": "'", "‘": "'"}
# Capitals restored by rule are wrong here: "Who is it?" Asked the owl.
SPEECH = re.compile(r'(?<=[?!]" )(Said|Asked|Replied|Shouted|Exclaimed|Cried|Yelled|Called)\b')
console = Console()


@dataclass
class Model:
    """One of the two models: a Llama with tied embeddings, and its tokenizer."""

    name: str
    tokenizer: Tokenizer
    bos: str
    eos: str
    unk: str | None
    llama: LlamaForCausalLM

    def id(self, token: str) -> int:
        """Return the id of a token that the tokenizer has."""
        return cast("int", self.tokenizer.token_to_id(token))

    def encode(self, stories: list[str]) -> list[list[int]]:
        """Encode stories, each from its start token to its end token, cut to the context."""
        end = self.id(self.eos)
        return [[*entry.ids, end][:CONTEXT] for entry in self.tokenizer.encode_batch(stories)]

    def save(self, folder: Path) -> None:
        """Write a plain transformers folder with float16 weights, in one move."""
        new = folder.with_name(f"{folder.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        half = cast("Any", LlamaForCausalLM(self.llama.config)).half()
        half.load_state_dict(self.llama.state_dict())
        begin, end = self.id(self.bos), self.id(self.eos)
        half.generation_config = GenerationConfig(
            bos_token_id=begin, eos_token_id=end, pad_token_id=end, do_sample=False
        )
        half.save_pretrained(new)
        config = json.loads((new / "config.json").read_text(encoding="utf-8"))
        config["dtype"] = "float32"  # what the weights are loaded as
        about = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": self.bos,
            "eos_token": self.eos,
            "pad_token": self.eos,
            "model_max_length": CONTEXT,
            "clean_up_tokenization_spaces": False,
        } | ({"unk_token": self.unk} if self.unk else {})
        for name, content in {"config.json": config, "tokenizer_config.json": about}.items():
            (new / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        self.tokenizer.save(str(new / "tokenizer.json"))
        (new / "model.safetensors").chmod(0o644)
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
        size = sum(file.stat().st_size for file in folder.iterdir())
        console.print(f"{folder}: {size / 1e6:.2f} MB")


@dataclass
class Plan:
    """How to train one model; its time is in minutes unless it has steps."""

    minutes: float
    steps: int
    rate: float
    batch: int
    seed: int
    compile: bool
    work: Path

    def part_done(self, state: dict[str, Any]) -> float:
        """Return which part of the training is done, from 0 to 1 or a little over."""
        if self.steps:
            return state["step"] / self.steps
        return state["seconds"] / max(60 * self.minutes, 1e-9)


def read_stories(path: Path, separator: str) -> dict[str, str]:
    """Read one text file (plain or .xz) and cut it into stories, paragraphs a blank line apart.

    The separator is "blank" (a blank line ends a story), "line" (a single line break ends a story;
    blank lines part its paragraphs) or any text, such as "<|endoftext|>". The stories are returned
    by their letters alone, which two copies of a story share.
    """
    try:
        with (lzma.open if path.suffix == ".xz" else open)(path, "rt", encoding="utf-8") as file:
            text = file.read()
    except (OSError, EOFError, UnicodeDecodeError, lzma.LZMAError) as error:
        raise typer.BadParameter(f"{path} cannot be read: {error}") from error
    for odd, plain in PLAIN.items():
        text = text.replace(odd, plain)
    text = SPEECH.sub(lambda match: match[0].lower(), text)
    known = {"blank": r"\n\s*\n", "line": r"(?<!\n)\n(?!\n)"}
    parts = re.split(known.get(separator, re.escape(separator)), text)
    stories = ("\n\n".join(line.strip() for line in p.splitlines() if line.strip()) for p in parts)
    return {re.sub(r"\W", "", text.lower()): text for text in stories if len(text) >= 150}


def target_tokenizer(stories: list[str], size: int) -> Tokenizer:
    """Train a byte-level BPE with Llama 3's split; every text starts with <|begin_of_text|>."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=size,
        special_tokens=["<|begin_of_text|>", "<|end_of_text|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(stories, trainer)
    bos = "<|begin_of_text|>"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A {bos}:1 $B:1", special_tokens=[(bos, 0)]
    )
    return tokenizer


def assistant_tokenizer(stories: list[str], size: int) -> Tokenizer:
    """Train a BPE as SentencePiece's: spaces are ▁, other unknown characters fall back to bytes."""
    special = ["<unk>", "<s>", "</s>"]
    fixed = special + [f"<0x{byte:02X}>" for byte in range(256)]
    learner = Tokenizer(models.BPE())
    normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    learner.normalizer = normalizer
    # Pieces stay inside words while learning; encoding then needs no split.
    words = Regex(r"▁?\p{L}+|▁?\p{N}|▁?[^\p{L}\p{N}▁]+|▁")
    learner.pre_tokenizer = pre_tokenizers.Split(words, "isolated")
    learner.train_from_iterator(
        (re.sub(r"\s+", " ", story) for story in stories),  # line breaks are left to the bytes
        BpeTrainer(vocab_size=size - len(fixed), limit_alphabet=100, show_progress=False),
    )
    learnt = json.loads(learner.to_str())["model"]
    pieces = sorted(learnt["vocab"], key=learnt["vocab"].__getitem__)
    bpe = models.BPE(
        vocab={piece: i for i, piece in enumerate(fixed + pieces)},
        merges=[(left, right) for left, right in learnt["merges"]],
        unk_token=special[0],
        fuse_unk=True,
        byte_fallback=True,
    )
    tokenizer = Tokenizer(bpe)
    cast("Any", tokenizer).add_special_tokens(special)
    tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    return tokenizer


def new_model(
    name: str, shape: Shape, tokenizer: Tokenizer, bos: str, eos: str, unk: str | None
) -> Model:
    """Make an untrained model for a tokenizer."""
    layers, hidden, heads, mlp = shape
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        intermediate_size=mlp,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.token_to_id(bos),
        eos_token_id=tokenizer.token_to_id(eos),
    )
    llama = LlamaForCausalLM(config)
    count = sum(parameter.numel() for parameter in llama.parameters())
    console.print(f"{name}: {count:,} parameters, {config.vocab_size} tokens")
    return Model(name, tokenizer, bos, eos, unk, llama)


def batches_of(
    stories: list[list[int]], batch: int, rng: random.Random | None
) -> Iterator[torch.Tensor]:
    """Yield (batch, CONTEXT) tensors of whole stories, -1 where a row ends early.

    Every row starts with a story's start, as a generation does. With a random generator the
    stories come shuffled and for ever; without one they come once.
    """

    def tensor_of(part: list[list[int]]) -> torch.Tensor:
        result = torch.full((batch, CONTEXT), -1)
        for i, row in enumerate(part):
            result[i, : len(row)] = torch.tensor(row)
        return result

    rows: list[list[int]] = []  # begun, not full
    full: list[list[int]] = []
    while True:
        for story in rng.sample(stories, len(stories)) if rng else stories:
            fits = [row for row in rows if len(row) + len(story) <= CONTEXT]
            if fits:
                max(fits, key=len).extend(story)
                continue
            rows.append(story.copy())
            if len(rows) > 32:
                full.append(rows.pop(max(range(len(rows)), key=lambda i: len(rows[i]))))
            if len(full) == batch:
                yield tensor_of(full)
                full = []
        if not rng:
            rows += full
            yield from (tensor_of(rows[at : at + batch]) for at in range(0, len(rows), batch))
            return


class Training:
    """One model in training: what a checkpoint holds, and the steps that change it."""

    def __init__(self, model: Model, stories: list[list[int]], plan: Plan) -> None:
        """Begin, or go on after the last checkpoint in the work folder."""
        self.model, self.plan = model, plan
        self.path = plan.work / f"{model.name}.pt"
        self.state: dict[str, Any] = {"step": 0, "seconds": 0.0, "tokens": 0, "losses": {}}
        llama = model.llama
        self.about = f"{llama.config.to_json_string()} {zlib.crc32(repr(stories).encode())}"

        def loss_of(rows: torch.Tensor) -> torch.Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                logits = llama(input_ids=rows.clamp(min=0), use_cache=False).logits
            flat = logits[:, :-1].float().flatten(0, 1)
            return cross_entropy(flat, rows[:, 1:].flatten(), ignore_index=-1)

        self.loss_of: Any = cast("Any", torch).compile(loss_of) if plan.compile else loss_of
        hidden = {n: p for n, p in llama.named_parameters() if p.ndim == 2 and "layers." in n}
        others = [p for n, p in llama.named_parameters() if n not in hidden]
        self.optimizers: list[Any] = [
            torch.optim.Muon(hidden.values(), weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, betas=(0.9, 0.95), weight_decay=0.0),
        ]
        if self.path.exists():
            self.resume()

    def resume(self) -> None:
        """Go on after the checkpoint."""
        saved = torch.load(self.path)
        if saved["about"] != self.about:
            raise typer.BadParameter(
                f"{self.path} is of another size or of other texts: "
                "give another --work, or delete it"
            )
        self.model.llama.load_state_dict(saved["model"])
        for optimizer, old in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(old)
        self.state = saved["state"]
        console.print(f"{self.model.name}: going on after step {self.state['step']}")

    def checkpoint(self) -> None:
        """Write the checkpoint, in one move."""
        saved: dict[str, Any] = {"about": self.about, "state": self.state}
        saved["model"] = self.model.llama.state_dict()
        saved["optimizers"] = [optimizer.state_dict() for optimizer in self.optimizers]
        torch.save(saved, self.path.with_suffix(".new"))
        self.path.with_suffix(".new").replace(self.path)

    def step(self, rows: torch.Tensor, done: float) -> None:
        """Learn from rows, when a part of the training is done."""
        warm = min((self.state["step"] + 1) / 60, (1 + math.cos(math.pi * done)) / 2)
        for optimizer in self.optimizers:
            optimizer.zero_grad()
            for group in optimizer.param_groups:
                group["lr"] = self.plan.rate * warm
        loss = self.loss_of(rows)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.llama.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        losses = self.state["losses"]
        losses["train"] = 0.02 * loss.item() + 0.98 * losses.get("train", loss.item())
        self.state["step"] += 1
        self.state["tokens"] += int((rows >= 0).sum())

    def validate(self, test_batches: dict[str, list[torch.Tensor]]) -> None:
        """Compute and print the held-out losses."""
        state = self.state
        with torch.no_grad():
            for title, tests in test_batches.items():
                parts = [
                    (self.loss_of(rows).item(), int((rows[:, 1:] >= 0).sum())) for rows in tests
                ]
                total = sum(loss * size for loss, size in parts)
                state["losses"][title] = total / sum(size for _, size in parts)
        text = ", ".join(f"{title} {loss:.3f}" for title, loss in state["losses"].items())
        name = self.model.name
        console.print(f"{name} step {state['step']}, {state['tokens']:,} tokens: {text}")


def train(
    model: Model, stories: list[list[int]], held_out: dict[str, list[list[int]]], plan: Plan
) -> None:
    """Train one model, with a checkpoint every two minutes.

    The hidden matrices learn by Muon, everything else by AdamW; products in bfloat16, a short
    warm-up and a cosine down to nothing. Held-out losses are printed now and then.
    """
    training = Training(model, stories, plan)
    state = training.state
    test_batches = {
        name: list(batches_of(part, plan.batch, None)) for name, part in held_out.items() if part
    }
    batches = batches_of(stories, plan.batch, random.Random(f"{plan.seed} {state['step']}"))
    saved_at, reported_at, begun_at = time.monotonic(), 0.0, state["step"]
    with Progress(console=console) as progress:
        task = progress.add_task(model.name, total=1.0)
        while (done := plan.part_done(state)) < 1:
            begun = time.monotonic()
            training.step(next(batches), done)
            if state["step"] > begun_at + 1:  # the first step compiles: its time is not counted
                state["seconds"] += time.monotonic() - begun
            speed = state["tokens"] / max(state["seconds"], 1e-9)
            text = f"{model.name} {state['losses']['train']:.3f} ({speed:,.0f} tokens/s)"
            progress.update(task, completed=min(done, 1.0), description=text)
            if time.monotonic() > reported_at + max(60.0, 3 * plan.minutes):
                training.validate(test_batches)
                reported_at = time.monotonic()
            if time.monotonic() > saved_at + 120:
                training.checkpoint()
                saved_at = time.monotonic()
    if state["step"] > begun_at:
        training.validate(test_batches)
        training.checkpoint()
    losses = {title: round(loss, 4) for title, loss in state["losses"].items()}
    summary = json.dumps(state | {"losses": losses}, indent=2)
    (plan.work / f"{model.name}.json").write_text(summary + "\n", encoding="utf-8")


def write_stories(
    model: Model, stories: list[list[int]], minutes: float, seed: int, work: Path
) -> list[str]:
    """Let the target finish story openings, by turns greedily and at temperature 0.6."""
    path = work / "written.json"
    if path.exists() and path.stat().st_mtime > (work / f"{model.name}.pt").stat().st_mtime:
        return json.loads(path.read_text(encoding="utf-8"))
    rng, end, turn = random.Random(seed), model.id(model.eos), 0
    written: dict[str, None] = {}
    begun = time.monotonic()
    model.llama.eval()
    with console.status("the target writes stories"):
        while time.monotonic() < begun + 60 * minutes:
            length = rng.randint(4, 40)
            chosen = rng.sample(stories, min(64, len(stories)))
            inputs = torch.tensor(sorted({tuple(s[:length]) for s in chosen if len(s) > length}))
            sampling = {"do_sample": True, "temperature": 0.6, "top_k": 0}
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                rows: list[list[int]] = (
                    cast("Any", model.llama)
                    .generate(
                        inputs,
                        attention_mask=torch.ones_like(inputs),
                        max_new_tokens=350,
                        eos_token_id=end,
                        pad_token_id=end,
                        **(sampling if turn % 2 else {"do_sample": False}),
                    )
                    .tolist()
                )
            written |= {model.tokenizer.decode(row): None for row in rows if end in row}
            turn += 1
    console.print(f"the target wrote {len(written):,} different stories")
    path.write_text(json.dumps(list(written)), encoding="utf-8")
    return list(written)


def one_each(name: str, given: list[T], files: list[Path]) -> list[T]:
    """Spread an option given once, or once for each file, over the files."""
    if len(given) not in (1, len(files)):
        raise typer.BadParameter(f"give {name} once, or once for each of the {len(files)} files")
    return given * len(files) if len(given) == 1 else given


def main(
    files: Annotated[
        list[Path], typer.Argument(exists=True, dir_okay=False, help="Story texts, plain or .xz.")
    ],
    output: Annotated[Path, typer.Option(help="Folder that gets target/ and assistant/.")],
    separator: Annotated[
        list[str],
        typer.Option(help="What ends a story: blank, line or a text. Once, or for each file."),
    ] = ["<|endoftext|>"],  # noqa: B006
    weight: Annotated[
        list[int], typer.Option(min=1, help="How often a round reads a file. Once, or for each.")
    ] = [1],  # noqa: B006
    work: Annotated[Path | None, typer.Option(help="For checkpoints; else OUTPUT.work.")] = None,
    minutes: Annotated[float, typer.Option(min=0, help="Training time of the target.")] = 50,
    writing_minutes: Annotated[float, typer.Option(help="Time the target writes stories.")] = 6,
    assistant_minutes: Annotated[float, typer.Option(help="Training time of the assistant.")] = 10,
    steps: Annotated[int, typer.Option(help="Steps of the target, instead of minutes.")] = 0,
    assistant_steps: Annotated[int, typer.Option(help="The same for the assistant.")] = 0,
    target_shape: Annotated[Shape, typer.Option(help="Layers, hidden size, heads, MLP.")] = (
        12,
        160,
        5,
        512,
    ),
    assistant_shape: Annotated[Shape, typer.Option(help="The same for the assistant.")] = (
        2,
        112,
        4,
        256,
    ),
    target_tokens: Annotated[int, typer.Option(min=300, help="Vocabulary.")] = 4096,
    assistant_tokens: Annotated[int, typer.Option(min=400, help="The same.")] = 1024,
    batch: Annotated[int, typer.Option(min=1, help=f"Rows of {CONTEXT} tokens a step.")] = 12,
    rate: Annotated[float, typer.Option(help="Highest rate; the assistant's is double.")] = 3e-3,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    compile: Annotated[bool, typer.Option(help="Compile the training step.")] = True,
) -> None:
    """Train a target and an assistant on story texts.

    Examples:
        train_demo_pair.py TinyStoriesV2-GPT4-valid.txt --output pair

        train_demo_pair.py a.txt b.txt.xz --separator line --separator blank --weight 2 --weight 1
        --output pair --minutes 5 --assistant-minutes 2
    """
    for _, hidden, heads, _ in (target_shape, assistant_shape):
        if min(*target_shape, *assistant_shape) < 1 or hidden % (2 * heads):
            raise typer.BadParameter("the hidden size must be a multiple of twice the heads")
    work = work or output.with_name(f"{output.name}.work")
    work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(threads)
    cast("Any", torch).manual_seed(seed)
    plan = Plan(minutes, steps, rate, batch, seed, compile, work)

    learn: list[str] = []
    weights: list[int] = []
    held_out: dict[str, list[str]] = {}
    seen: set[str] = set()
    separators = one_each("--separator", separator, files)
    file_weights = one_each("--weight", weight, files)
    for file, end, times in zip(files, separators, file_weights, strict=True):
        stories = read_stories(file, end)
        fresh = [text for key, text in stories.items() if key not in seen]
        seen.update(stories)
        if len(fresh) < 100:
            raise typer.BadParameter(f"{file} has {len(fresh)} new stories; is --separator right?")
        random.Random(seed).shuffle(fresh)
        cut = len(fresh) // 100 + 1
        held_out[file.name] = fresh[:cut]
        learn += fresh[cut:]
        weights += [times] * len(fresh[cut:])
        console.print(f"{file.name}: {len(fresh) - cut:,} stories to learn {times}x, {cut} not")

    tokenizer = target_tokenizer(learn, target_tokens)
    names = ("<|begin_of_text|>", "<|end_of_text|>", None)
    target = new_model("target", target_shape, tokenizer, *names)
    rows = target.encode(learn)
    weighted = [row for row, times in zip(rows, weights, strict=True) for _ in range(times)]
    tests = {name: target.encode(part) for name, part in held_out.items()}
    train(target, weighted, tests, plan)
    target.save(output / "target")

    written = write_stories(target, rows, writing_minutes, seed, work)
    cut = min(64, len(written) // 10)
    held_out["written"], written = written[:cut], written[cut:]
    tokenizer = assistant_tokenizer(learn, assistant_tokens)
    assistant = new_model("assistant", assistant_shape, tokenizer, "<s>", "</s>", "<unk>")
    real = [text for text, times in zip(learn, weights, strict=True) for _ in range(times)]
    # About as much of the target's own writing as of everything else.
    copies = max(1, round(len(real) / max(1, len(written))))
    tests = {name: assistant.encode(part) for name, part in held_out.items()}
    plan = Plan(assistant_minutes, assistant_steps, 2 * rate, batch, seed, compile, work)
    train(assistant, assistant.encode(real + written * copies), tests, plan)
    assistant.save(output / "assistant")


if __name__ == "__main__":
    typer.run(main)
