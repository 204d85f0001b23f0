"""Teach an assistant its target: train it on the target's own texts, and keep it if it is better.

    uag sample-texts TARGET --prompts prompts.txt --out texts.jsonl
    python teach_assistant.py TARGET ASSISTANT --texts texts.jsonl --held-out held-out.txt \
        --output taught

The two may have different tokenizers, as the texts are read as text. The trainer is TRL's
`SFTTrainer` (`pip install trl`), or transformers' own where TRL is not installed. Before and after
it, tokens per target forward pass are counted over prompts that are not among the texts. An
assistant of which fewer tokens are accepted is not written. `--passage 100` leaves out texts too
that have a passage in common with what the target writes after these prompts.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import torch
import transformers
import typer
from rich.console import Console
from rich.table import Table
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from uag import SpeculativeDecoder
from uag.benchmark.prompts import read_prompts
from uag.files import read_text

# Labels of tokens that are not learned.
NOT_LEARNED = -100
console = Console()


def main(
    target: Annotated[str, typer.Argument(help="Hub name or folder of the model that writes.")],
    assistant: Annotated[str, typer.Argument(help="Hub name or folder of the one that learns.")],
    texts: Annotated[list[Path], typer.Option(help="Files of uag sample-texts; repeatable.")],
    held_out: Annotated[Path, typer.Option(help="Prompts to measure with, .txt or .jsonl.")],
    output: Annotated[Path, typer.Option(help="Folder for the taught assistant.")],
    limit: Annotated[int, typer.Option(min=1, help="Measure with so many prompts.")] = 40,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Tokens after each of them.")] = 128,
    temperature: Annotated[
        list[float] | None, typer.Option(help="Measure at these; 0 is greedy. [0, 0.7, 1]")
    ] = None,
    passage: Annotated[
        int, typer.Option(min=0, help="Leave out texts that share so many characters; 0 does not.")
    ] = 0,
    lookahead: Annotated[int, typer.Option(min=1, help="Tokens drafted in a round.")] = 5,
    epochs: Annotated[float, typer.Option(help="How often each text is read.")] = 3,
    steps: Annotated[int, typer.Option(help="Steps, in place of epochs.")] = 0,
    batch: Annotated[int, typer.Option(min=1, help="Texts of a step.")] = 16,
    length: Annotated[int, typer.Option(min=2, help="Tokens of a text that are read.")] = 1024,
    rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 1e-3,
    lora: Annotated[int, typer.Option(help="Train adapters of this rank; 0 trains all.")] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the order of texts, and of sampling.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    trust_remote_code: Annotated[bool, typer.Option(help="Run code of the models.")] = False,
) -> None:
    """Train the assistant on the texts; write it to the output folder if more is accepted."""
    torch.set_num_threads(threads)
    transformers.logging.disable_progress_bar()
    prompts = read_prompts(held_out, limit)
    rows = apart(read_texts(texts), read_prompts(held_out))
    trust = {"trust_remote_code": trust_remote_code}
    names = target, assistant
    words = [AutoTokenizer.from_pretrained(name, **trust) for name in names]
    models = [AutoModelForCausalLM.from_pretrained(name, dtype="auto", **trust) for name in names]
    learner = cast("PreTrainedModel", models[1].float())

    def measured() -> dict[float, tuple[float, list[list[int]]]]:
        decoder = SpeculativeDecoder(
            models[0], words[0], learner.eval(), words[1], lookahead=lookahead
        )
        at = (0.0, 0.7, 1.0) if temperature is None else temperature
        return {each: tokens_per_pass(decoder, prompts, each, max_new_tokens, seed) for each in at}

    before = measured()
    if passage:
        outs = [ids for _, texts in before.values() for ids in texts]
        rows = without_passages(
            rows, words[0].batch_decode(outs, skip_special_tokens=True), passage
        )
    ids = [ids_of(row, words[1], end_id(learner, words[1])) for row in rows]
    longest = min(length, getattr(learner.config, "max_position_embeddings", None) or length)
    ids = [{name: value[:longest] for name, value in row.items()} for row in ids]
    learned = sum(label != NOT_LEARNED for row in ids for label in row["labels"])
    console.print(f"{len(ids):,} texts, {learned:,} tokens to learn")
    options = {
        "output_dir": str(output.with_name(f"{output.name}.work")),
        "max_steps": steps or -1,
        "num_train_epochs": epochs,
        "per_device_train_batch_size": batch,
        "learning_rate": rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 20,
        "adam_beta2": 0.95,
        "train_sampling_strategy": "group_by_length",
        "logging_steps": 50,
        "save_strategy": "no",
        "report_to": "none",
        "seed": seed,
        "bf16": torch.cuda.is_available(),
        "use_cpu": not torch.cuda.is_available(),
    }
    learner = train(learner.train(), words[1], ids, options, lora)
    after = measured()

    table = Table("temperature", "before", "after", "gain", "texts")
    for at, (rate_before, old) in before.items():
        rate_after, new = after[at]
        gain = f"{rate_after / rate_before - 1:+.0%}"
        same = sum(one == other for one, other in zip(old, new, strict=True))
        told = f"{same} of {len(old)} identical"
        table.add_row(f"{at:g}", f"{rate_before:.2f}", f"{rate_after:.2f}", gain, told)
    console.print("tokens per target forward pass, over prompts that are not among the texts:")
    console.print(table)
    if worse := [at for at in before if after[at][0] <= before[at][0]]:
        console.print(
            f"not written: at temperature {worse[0]:g} no more is accepted than before; "
            "give more texts, fewer epochs or a lower rate, or measure only at the temperature "
            "that you decode with"
        )
        raise typer.Exit(1)
    learner.save_pretrained(output)
    words[1].save_pretrained(output)
    console.print(f"the taught assistant is in {output}")


def read_texts(files: Sequence[Path]) -> list[dict[str, Any]]:
    """The lines of files that `uag sample-texts` wrote."""
    lines = [line for file in files for line in read_text(file, "texts").split("\n") if line]
    return [json.loads(line) for line in lines]


def apart(rows: Sequence[dict[str, Any]], held_out: Sequence[str]) -> list[dict[str, Any]]:
    """The texts that do not begin as a held-out prompt does: who has read them knows the answer."""
    begins = tuple(held_out)
    kept = [row for row in rows if not said(row).startswith(begins)]
    if len(kept) < len(rows):
        console.print(f"{len(rows) - len(kept)} texts begin as held-out prompts: left out")
    return some(kept)


def without_passages(
    rows: Sequence[dict[str, Any]], written: Sequence[str], length: int
) -> list[dict[str, Any]]:
    """The texts that have no passage of `length` characters in common with those written."""
    passages = {passage for text in written for passage in passages_of(text, length)}
    kept = [row for row in rows if passages.isdisjoint(passages_of(text_of(row), length))]
    if len(kept) < len(rows):
        console.print(f"{len(rows) - len(kept)} texts share {length} characters: left out")
    return some(kept)


def passages_of(text: str, length: int) -> Iterator[str]:
    """Each run of `length` characters of a text."""
    return (text[at : at + length] for at in range(len(text) - length + 1))


def some(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, if there are any."""
    if not rows:
        raise typer.BadParameter("no texts are left beside the held-out prompts: give others")
    return rows


def said(row: Mapping[str, Any]) -> str:
    """A text from its prompt on; of a chat what the user says."""
    if "messages" in row:
        return str(row["messages"][-2]["content"])
    return text_of(row)


def text_of(row: Mapping[str, Any]) -> str:
    """A text from its prompt on; of a chat the reply."""
    if "messages" in row:
        return str(row["messages"][-1]["content"])
    return str(row["prompt"]) + str(row["completion"])


def ids_of(row: Mapping[str, Any], tokenizer: Any, end: int) -> dict[str, list[int]]:
    """A text in the assistant's ids, and labels: what the target wrote is learned.

    The text is encoded as a whole, as it is when the assistant drafts. Only a text that the target
    ended is followed by the end token.
    """
    ended = row["finish_reason"] == "eos"
    if "messages" in row:
        *before, reply = row["messages"]
        render = tokenizer.apply_chat_template
        prompt = render(before, tokenize=False, add_generation_prompt=True)
        whole = prompt + reply["content"]
        closed = render(row["messages"], tokenize=False)
        whole = closed if ended and closed.startswith(whole) else whole
        encoded = tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True)
        last: list[int] = []
    else:
        prompt = row["prompt"]
        encoded = tokenizer(prompt + row["completion"], return_offsets_mapping=True)
        last = [end] if ended else []
    spans = zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
    labels = [id if after > len(prompt) else NOT_LEARNED for id, (_, after) in spans]
    ids = [*encoded["input_ids"], *last]
    return {"input_ids": ids, "labels": labels + last}


def end_id(model: PreTrainedModel, tokenizer: Any) -> int:
    """The id that the assistant ends its texts with."""
    ends = cast("Any", model.generation_config).eos_token_id
    ends = tokenizer.eos_token_id if ends is None else ends
    return ends[0] if isinstance(ends, list) else ends


def train(
    model: PreTrainedModel,
    tokenizer: Any,
    rows: list[dict[str, list[int]]],
    options: dict[str, Any],
    lora: int,
) -> PreTrainedModel:
    """Train on the rows with TRL's trainer, or with transformers' own."""
    if lora:
        from peft import LoraConfig, get_peft_model

        model = cast("Any", get_peft_model(model, LoraConfig(r=lora, target_modules="all-linear")))
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    try:
        from datasets import Dataset
        from trl import SFTConfig, SFTTrainer
    except ImportError:
        from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

        trainer: Any = Trainer(
            model=model,
            args=TrainingArguments(**options),
            train_dataset=cast("Any", rows),
            data_collator=DataCollatorForSeq2Seq(tokenizer),
        )
    else:
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(**options, max_length=None, gradient_checkpointing=False),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
        )
    console.print(f"training with {type(trainer).__module__}.{type(trainer).__name__}")
    trainer.train()
    return cast("Any", model).merge_and_unload() if lora else model


def tokens_per_pass(
    decoder: SpeculativeDecoder,
    prompts: Sequence[str],
    temperature: float,
    max_new_tokens: int,
    seed: int,
) -> tuple[float, list[list[int]]]:
    """New tokens per forward pass of the target over all prompts, and the texts' ids."""
    sampled: dict[str, Any] = {"do_sample": True, "temperature": temperature, "seed": seed}
    options = sampled if temperature else {"do_sample": False}
    outs = [
        decoder.stream(prompt, max_new_tokens=max_new_tokens, **options).finish()
        for prompt in prompts
    ]
    tokens = sum(out.stats.tokens for out in outs)
    return tokens / sum(out.stats.target_forwards for out in outs), [out.token_ids for out in outs]


if __name__ == "__main__":
    typer.run(main)
