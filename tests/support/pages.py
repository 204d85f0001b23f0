"""Texts for reports, and how a report is read."""

import json
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

from rich.console import Console
from transformers import PreTrainedTokenizerFast

import uag
from tests.support.models import random_model
from tests.support.tokenizers import tokenizer
from uag.benchmark.comparison import Comparison
from uag.demo import demo_decoder
from uag.report.tables import comparison_table

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]>",
    "\u2028\u2029\x00\x07\x1b[2J\x7f\x9b",
    "\"'`${alert(1)}&lt;&amp;",
    "<img src=x onerror=alert(1)>",
    "{{title}}{{data}}",
    "\u202egnp.exe\u2066",
    "\ud7ff\ue000\ufffe\uffff\U0010ffff",
    "__proto__",
]


class Reading(HTMLParser):
    """The elements of a page, and the content of its data."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.content: dict[str, str] = {}
        self.title = ""
        self._in = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in = tag + str(dict(attrs).get("id", ""))

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in:
            self.content[self._in] = self.content.get(self._in, "") + data


def story(**options: Any) -> uag.Output:
    return demo_decoder(lookahead=6).generate(
        "Once upon a time", max_new_tokens=80, trace=True, **options
    )  # fmt: skip


def story_of_trees() -> uag.Output:
    """The same story with trees, of which some siblings are accepted."""
    decoder = demo_decoder(lookahead=5, lookup=False, tree=15)
    return decoder.generate("Once upon a time", max_new_tokens=80, trace=True)


def hostile_tokenizer() -> PreTrainedTokenizerFast:
    """Every one of its texts is a token: special ones, and others."""
    from tests.support.tokenizers import byte_level

    made = byte_level("", 420)
    made.add_tokens([text for text in HOSTILE if text.isprintable()])
    made.add_special_tokens({"additional_special_tokens": [f"<|{text}|>" for text in HOSTILE]})
    return made


def hostile_text() -> uag.Output:
    """A text that holds every hostile token and every byte, written by models with such names."""
    target, assistant = hostile_tokenizer(), tokenizer("llama2")
    models = random_model("llama", target), random_model("llama", assistant, num_hidden_layers=1)
    models[0].config._name_or_path = "models/" + HOSTILE[0]
    models[1].config._name_or_path = "\udcff" + HOSTILE[5]
    for model in models:
        model.name_or_path = model.config._name_or_path
    decoder = uag.SpeculativeDecoder(models[0], target, models[1], assistant, lookahead=4)
    out = decoder.generate(" ".join(HOSTILE), max_new_tokens=4, trace=True)
    first, *rest = out.trace.steps
    everything = [*range(len(target))]
    out.trace.steps[:] = [
        replace(first, tokens=everything, dropped=[*range(len(assistant))], cause="text"), *rest
    ]  # fmt: skip
    out.stats.history[0] = replace(out.stats.history[0], tokens=everything)
    return out


def data_of(page: str) -> dict[str, Any]:
    return json.loads(Reading(page).content["scriptdata"])


def text_of(data: dict[str, Any]) -> bytes:
    """The new text, put together from what is in the page."""
    tokens = data["target"]["tokens"]
    ids = [id for each in data["rounds"] for id in each["tokens"]]
    return b"".join(tokens.get(str(id), "").encode("latin-1") for id in ids)


def shown(comparison: Comparison, width: int = 100) -> str:
    """A comparison as it is printed."""
    console = Console(width=width)
    with console.capture() as captured:
        console.print(comparison_table(comparison, str))
    return captured.get()
