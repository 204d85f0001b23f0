"""How well are drafts accepted in each category of a file in SPEED-Bench's format?

    python -m benches.speed_bench PROMPTS.jsonl --target T --assistant A
    python -m benches.speed_bench PROMPTS.jsonl --url http://127.0.0.1:8000/v1 --model NAME

A line of the file is a JSON object with a `category` and `turns`, a list of what the user says one
after the other; other fields are ignored. The texts of SPEED-Bench are nvidia/SPEED-Bench on the
hub. They are decoded in this process, or by a server of OpenAI's form that reports
`metrics.speculative_decoding`, as `uag serve` and vLLM do (`--per-request-spec-decode-metrics
summary`). Greedy unless `--temperature` says otherwise. Models without a chat template get the
turns and replies as one text; servers too, with `--completions`.

Numbers are pooled over a category: accepted ids of all its replies by all their drafts.
"mean_acceptance_length" is 1 + accepted ids a draft, "draft_acceptance_rate" accepted ids by
drafted ones, counted in ids of the target; rounds without a draft count in neither. Questions that
a server refuses, such as those that outgrow its window, are left out, and counted. "tokens/s" is
what one conversation gets, from sending a turn to its end.
"""

import asyncio
import json
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from benches.clients import Heard, ask
from benches.common import (
    Assistant,
    Dtype,
    JsonFile,
    Limit,
    Lookahead,
    MaxNewTokens,
    Results,
    Target,
    Threads,
    Trust,
    begin,
    console,
    load_pair,
    timed,
)

Prompt = str | list[dict[str, str]]
Reply = Callable[[Prompt], Heard]


@dataclass(frozen=True)
class Question:
    """What a user says, turn by turn."""

    category: str
    turns: list[str]


@dataclass
class Tally:
    """Counts of a category."""

    tokens: int = 0
    seconds: float = 0.0
    drafts: int = 0
    drafted: int = 0
    accepted: int = 0

    def add(self, heard: Heard) -> None:
        """Count a reply."""
        self.tokens += heard.tokens
        self.seconds += heard.seconds
        self.drafts += heard.drafts.get("num_spec_steps", 0)
        self.drafted += heard.drafts.get("num_draft_tokens", 0)
        self.accepted += heard.drafts.get("num_accepted_draft_tokens", 0)

    def cells(self) -> list[str]:
        """The numbers of a row."""
        return [
            str(self.tokens),
            f"{self.tokens / self.seconds:.1f}" if self.seconds else "-",
            f"{1 + self.accepted / self.drafts:.3f}" if self.drafts else "1.000",
            f"{self.accepted / self.drafted:.3f}" if self.drafted else "-",
        ]


def questions(file: Path, limit: int | None, categories: list[str] | None) -> list[Question]:
    """The questions of a file, at most `limit` of each category."""
    found: dict[str, list[Question]] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            read = json.loads(line)
            question = Question(str(read["category"]), [str(each) for each in read["turns"]])
        except (ValueError, KeyError, TypeError) as error:
            raise typer.BadParameter(
                f"line {number} of {file} is no object with 'category' and 'turns'"
            ) from error
        if categories is None or question.category in categories:
            found.setdefault(question.category, []).append(question)
    return [question for group in found.values() for question in group[:limit]]


def converse(question: Question, reply: Reply, *, as_text: bool) -> list[Heard]:
    """The replies to all turns."""
    said: list[dict[str, str]] = []
    heard: list[Heard] = []
    for turn in question.turns:
        said.append({"role": "user", "content": turn})
        prompt = "\n".join(each["content"] for each in said) if as_text else said
        heard.append(reply(prompt))
        said.append({"role": "assistant", "content": heard[-1].text})
    return heard


@contextmanager
def server(url: str, model: str, options: dict[str, Any]) -> Generator[Reply]:
    """Replies of a server of OpenAI's form."""
    key = os.environ.get("OPENAI_API_KEY", "")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    with asyncio.Runner() as runner:
        client = httpx.AsyncClient(base_url=url, headers=headers, timeout=None)  # noqa: S113 # slow

        def reply(prompt: Prompt) -> Heard:
            path = "/completions" if isinstance(prompt, str) else "/chat/completions"
            named = {"prompt" if isinstance(prompt, str) else "messages": prompt}
            return runner.run(ask(client, path, {"model": model, **named, **options}))

        yield reply
        runner.run(client.aclose())


def decoder(pair: Any, options: dict[str, Any]) -> Reply:
    """Replies of a decoder in this process."""
    from uag.serving.protocol.usage import Usage

    def reply(prompt: Prompt) -> Heard:
        out, seconds = timed(pair.generate, prompt, **options)
        usage = Usage()
        usage.add(out.stats.history)
        return Heard([], seconds, out.text, usage.as_dict(), usage.speculative())

    return reply


def main(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="Questions, a JSON object a line.")
    ],
    target: Target = None,
    assistant: Assistant = None,
    url: Annotated[
        str | None, typer.Option(help="Ask this server, up to /v1, instead of loading models.")
    ] = None,
    model: Annotated[str, typer.Option(help="What the server calls the model.")] = "demo",
    completions: Annotated[
        bool, typer.Option("--completions", help="Ask the server for completions, not chats.")
    ] = False,
    category: Annotated[
        list[str] | None, typer.Option(help="Only this category; may be repeated.")
    ] = None,
    limit: Limit = 1000,
    max_new_tokens: MaxNewTokens = 256,
    temperature: Annotated[float, typer.Option(min=0, help="0 is greedy.")] = 0.0,
    lookahead: Lookahead = "auto",
    threads: Threads = 2,
    dtype: Dtype = "auto",
    trust_remote_code: Trust = False,
    json_file: JsonFile = None,
) -> None:
    """Decode all questions, and count by category."""
    from uag.errors import UagError
    from uag.lookahead.schedules import parse_lookahead

    asked = questions(file, limit, category)
    tallies: dict[str, Tally] = {}
    overall = Tally()
    failed: list[str] = []

    def run(reply: Reply, *, as_text: bool) -> None:
        for question in asked:
            tally = tallies.setdefault(question.category, Tally())
            try:
                replies = converse(question, reply, as_text=as_text)
            except (RuntimeError, UagError) as error:
                failed.append(str(error))
                continue
            for heard in replies:
                tally.add(heard)
                overall.add(heard)

    if url is not None:
        fields = {"max_tokens": max_new_tokens, "temperature": temperature}
        with server(url, model, fields) as reply:
            run(reply, as_text=completions)
    else:
        begin(threads)
        pair = load_pair(
            target,
            assistant,
            lookahead=parse_lookahead(lookahead),
            dtype=dtype,
            trust_remote_code=trust_remote_code,
        )
        drawn = {"do_sample": True, "temperature": temperature, "seed": 0}
        options = drawn if temperature else {"do_sample": False}
        reply = decoder(pair, {"max_new_tokens": max_new_tokens, **options})
        run(reply, as_text=getattr(pair.tokenizer, "chat_template", None) is None)
    columns = ("tokens", "tokens/s", "mean_acceptance_length", "draft_acceptance_rate")
    results = Results("category", *columns)
    for name, tally in sorted(tallies.items()):
        results.add(name, *tally.cells())
    results.end_section()
    results.add("overall", *overall.cells())
    results.show(json_file)
    if failed:
        console.print(f"{len(failed)} questions left out; the first: {failed[0]}")


if __name__ == "__main__":
    typer.run(main)
