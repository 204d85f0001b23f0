"""What an assistant's own chat format gains in acceptance.

    python benches/chat.py TARGET ASSISTANT STORIES [--steps 200] [--texts 60]

Small chat models cannot be had offline, so two base models are made to chat first: each is trained
for some steps on the same chats, made of stories, in a format of its own (ChatML for the target,
Phi-3's for the assistant), with special tokens that are new to it. Then the assistant drafts for
chats it has not seen, prompted in three ways: in its own format (`decoder.chat`), with the target's
prompt translated (all that can be done without templates: its markers are lost), and in plain text.
The output is the same in all of them.
"""

import argparse
import random
import re
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

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


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def chats(path: Path, seed: int) -> list[list[dict[str, str]]]:
    """Of each story: its first sentence, turned into a wish, and the story."""
    stories = [" ".join(story.split()) for story in re.split(r"\n\s*\n", path.read_text())]
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
    name: str, form: tuple[str, list[str], str], texts: list[Any], steps: int
) -> tuple[Any, Any]:
    """A model that was trained to reply in this format, and its tokenizer."""
    template, tokens, end = form
    tokenizer: Any = AutoTokenizer.from_pretrained(name, trust_remote_code=True)
    tokenizer.add_special_tokens({"additional_special_tokens": tokens})
    tokenizer.chat_template = template
    model: Any = AutoModelForCausalLM.from_pretrained(
        name, dtype=torch.float32, trust_remote_code=True
    )
    torch.manual_seed(0)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids(end)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=0.0)
    rows = [
        torch.tensor(tokenizer.apply_chat_template(chat)["input_ids"][:LENGTH]) for chat in texts
    ]
    start = time.perf_counter()
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
            seconds = time.perf_counter() - start
            say(f"  {Path(name).name}: step {step}, loss {loss:.3f}, {seconds:.0f} s")
    return model.eval(), tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("target")
    parser.add_argument("assistant")
    parser.add_argument("stories", type=Path)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--texts", type=int, default=60)
    parser.add_argument("--max-new-tokens", type=int, default=100)
    given = parser.parse_args()
    every = chats(given.stories, 0)
    unseen, seen = every[: given.texts], every[given.texts :]
    say(f"{len(seen)} chats to train on, {len(unseen)} to measure")
    (target, own), (assistant, other) = (
        made_to_chat(name, form, seen, given.steps)
        for name, form in zip((given.target, given.assistant), FORMATS, strict=True)
    )
    decoder = SpeculativeDecoder(target, own, assistant, other, lookahead=5)
    plain: Any = AutoTokenizer.from_pretrained(given.assistant)
    plain.add_special_tokens({"additional_special_tokens": FORMATS[1][1]})
    without = SpeculativeDecoder(target, own, assistant, plain, lookahead=5)
    ways = {
        "its own format": lambda chat, options: decoder.chat(chat, **options),
        "the target's, translated": lambda chat, options: decoder.generate(
            own.apply_chat_template(chat, add_generation_prompt=True)["input_ids"], **options
        ),
        "plain text": lambda chat, options: without.chat(chat, **options),
    }
    say(f"\n{'the assistant is prompted in':28} {'greedy':>8} {'drawn':>8}  tokens per forward")
    said: dict[str, list[list[int]]] = {}
    for way, reply in ways.items():
        shown = []
        for drawing in ({}, {"do_sample": True, "seed": 1}):
            options = {"max_new_tokens": given.max_new_tokens} | drawing
            outs = [reply(chat[:1], options) for chat in unseen]
            said.setdefault(str(drawing), [out.token_ids for out in outs])
            assert said[str(drawing)] == [out.token_ids for out in outs], "the output changed"
            tokens = sum(out.stats.tokens for out in outs)
            shown.append(tokens / sum(out.stats.target_forwards for out in outs))
        say(f"{way:28} {shown[0]:8.2f} {shown[1]:8.2f}")


if __name__ == "__main__":
    main()
