"""What does an assistant's own chat format gain in acceptance?

    python -m benches.chat --stories FILE [--target T --assistant A] [--steps 200] [--limit 60]

No small chat models are at hand offline, so two base models are made to chat first: each is trained
for some steps on the same chats, made of stories, in a format of its own (ChatML for the target,
Phi-3's for the assistant), with special tokens that are new to it. Then the assistant drafts for
chats that it has not seen. It is prompted in three formats: its own (`decoder.chat`), the target's
prompt translated (all that can be done without templates: its markers are lost), and plain text.
The output is the same with all of them.
"""

import random
import re
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import torch
import typer

from benches.common import (
    Assistant,
    FixedLookahead,
    JsonFile,
    Limit,
    MaxNewTokens,
    Results,
    Seed,
    Stories,
    Target,
    Threads,
    Trust,
    begin,
    console,
    needed,
    pair_names,
)
from uag import SpeculativeDecoder

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PHI = (
    "{{ bos_token }}{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}"
    "<|end|>\n{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
FORMATS = [
    (CHATML, ["<|im_start|>", "<|im_end|>"], "<|im_end|>"),
    (PHI, ["<|user|>", "<|assistant|>", "<|end|>"], "<|end|>"),
]
LENGTH, BATCH = 128, 8


def chats(path: Path, seed: int) -> list[list[dict[str, str]]]:
    """Of each story: its first sentence, turned into a wish, and the story."""
    text = path.read_text(encoding="utf-8")
    stories = [" ".join(story.split()) for story in re.split(r"\n\s*\n", text)]
    made = []
    for story in stories:
        sentences = re.split(r"(?<=[.!?]) ", story)
        if len(sentences) < 4:
            continue
        wish = f"Go on: {sentences[0]}"
        reply = " ".join(sentences[1:])
        made.append([{"role": "user", "content": wish}, {"role": "assistant", "content": reply}])
    random.Random(seed).shuffle(made)
    return made


def made_to_chat(
    name: str, form: tuple[str, list[str], str], texts: list[Any], steps: int, **options: Any
) -> tuple[Any, Any]:
    """A model that was trained to reply in this format, and its tokenizer."""
    from uag.models.loading.by_name import load_model, load_tokenizer

    template, tokens, end = form
    tokenizer: Any = load_tokenizer(name, **options)
    tokenizer.add_special_tokens({"additional_special_tokens": tokens})
    tokenizer.chat_template = template
    model: Any = load_model(name, dtype="float32", **options)
    torch.manual_seed(0)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids(end)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=0.0)
    rows = [
        torch.tensor(tokenizer.apply_chat_template(chat)["input_ids"][:LENGTH]) for chat in texts
    ]
    start = perf_counter()
    for step in range(steps):
        batch = torch.nn.utils.rnn.pad_sequence(
            [rows[(BATCH * step + row) % len(rows)] for row in range(BATCH)], True, -100
        )
        logits = model(input_ids=batch.clamp(min=0), use_cache=False).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = 5e-4 * min(1, (step + 1) / 20) * (1 - step / steps)
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == steps - 1:
            seconds = perf_counter() - start
            console.print(f"  {Path(name).name}: step {step}, loss {loss:.3f}, {seconds:.0f} s")
    return model.eval(), tokenizer


def main(
    stories: Stories,
    target: Target = None,
    assistant: Assistant = None,
    steps: Annotated[int, typer.Option(min=1, help="Training steps of each model.")] = 200,
    limit: Limit = 60,
    lookahead: FixedLookahead = 5,
    max_new_tokens: MaxNewTokens = 100,
    seed: Seed = 0,
    threads: Threads = 2,
    trust_remote_code: Trust = False,
    json_file: JsonFile = None,
) -> None:
    """Make two models chat, and count target passes with each format of the assistant's prompt."""
    from uag.models.loading.by_name import load_tokenizer

    begin(threads)
    target, assistant = pair_names(target, assistant)
    names = target, needed(assistant)
    trust: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    every = chats(stories, seed)
    unseen, seen = every[:limit], every[limit:]
    console.print(f"{len(seen)} chats to train on, {len(unseen)} to measure")
    (model, own), (other_model, other) = (
        made_to_chat(name, form, seen, steps, **trust)
        for name, form in zip(names, FORMATS, strict=True)
    )
    decoder = SpeculativeDecoder(model, own, other_model, other, lookahead=lookahead)
    plain: Any = load_tokenizer(names[1], **trust)
    plain.add_special_tokens({"additional_special_tokens": FORMATS[1][1]})
    without = SpeculativeDecoder(model, own, other_model, plain, lookahead=lookahead)
    formats = {
        "its own format": lambda chat, options: decoder.chat(chat, **options),
        "the target's, translated": lambda chat, options: decoder.generate(
            own.apply_chat_template(chat, add_generation_prompt=True)["input_ids"], **options
        ),
        "plain text": lambda chat, options: without.chat(chat, **options),
    }
    results = Results(
        "the assistant is prompted in", "greedy", "sampled", title="tokens per forward"
    )
    said: dict[str, list[list[int]]] = {}
    for name, reply in formats.items():
        rates: list[str] = []
        for sampling in ({}, {"do_sample": True, "seed": 1}):
            options = {"max_new_tokens": max_new_tokens} | sampling
            outs = [reply(chat[:1], options) for chat in unseen]
            said.setdefault(str(sampling), [out.token_ids for out in outs])
            assert said[str(sampling)] == [out.token_ids for out in outs], "the output changed"
            tokens = sum(out.stats.tokens for out in outs)
            rates.append(f"{tokens / sum(out.stats.target_forwards for out in outs):.2f}")
        results.add(name, *rates)
    results.show(json_file)


if __name__ == "__main__":
    typer.run(main)
