"""The HTML page that shows generations round by round: one file that loads nothing else.

What models wrote is only ever data: it is JSON in a script element that browsers do not run,
escaped so that nothing in it can end the element, and the page's own script puts it into the
document as text. A content security policy allows that script, by its hash, and no other.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from uag.benchmark.comparison import PLAIN, Comparison
from uag.decoding.output import Output
from uag.decoding.trace import Step, Trace, TracedModel
from uag.errors import OptionError
from uag.files import write_bytes
from uag.report.curves import by_confidence, by_position, plain_seconds
from uag.stats import PHASES, Round
from uag.translation.tokenizers import backend_of

SCRIPTS = ("tokens.js", "units.js", "charts.js", "facts.js", "trees.js", "page.js")
STYLE, FRAME = "page.css", "page.html"
# Characters that could end a script element, and their escapes.
UNSAFE = {character: f"\\u{ord(character):04x}" for character in "<>&"}


def write_page(
    path: str | Path,
    outputs: Output | Sequence[Output],
    comparison: Comparison | None = None,
) -> None:
    """Write an HTML page that shows outputs generated with `trace=True`, round by round.

    The page is a single file, which any browser can open without a server or network.

    >>> from tempfile import TemporaryDirectory
    >>> out = decoder.generate("Once upon a time", max_new_tokens=8, trace=True)
    >>> with TemporaryDirectory() as folder:
    ...     write_page(f"{folder}/page.html", out)
    ...     Path(folder, "page.html").read_text(encoding="ascii")[:15]
    '<!doctype html>'

    Args:
        path: the file to write; an existing one is replaced.
        outputs: one output, or several to choose from on the page.
        comparison: the result of `compare` for the same prompts in the same order, which adds a
            table of the other methods of decoding.

    Raises:
        OptionError: if there are no outputs, or one has no trace.
        FileError: if the file cannot be written.
    """
    texts = [outputs] if isinstance(outputs, Output) else list(outputs)
    write_bytes(Path(path), page_of(texts, comparison).encode("ascii"), "the page")


def page_of(outputs: Sequence[Output], comparison: Comparison | None = None) -> str:
    """The page as a string of ASCII characters only; errors are those of `page_data`."""
    data = page_data(outputs, comparison)
    script = "\n".join(_asset(name) for name in SCRIPTS)
    style = _asset(STYLE)
    parts = {
        "title": html.escape(_title(data)).encode("ascii", "xmlcharrefreplace").decode(),
        "policy": (
            f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
            "img-src data:; base-uri 'none'; form-action 'none'"
        ),
        "style": style,
        "script": script,
        "data": _embedded(data),
    }
    # In one pass, so that placeholders in inserted content are not replaced.
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], _asset(FRAME))


def page_data(outputs: Sequence[Output], comparison: Comparison | None = None) -> dict[str, Any]:
    """The data of the page as a dict of JSON values.

    Raises:
        OptionError: if there are no outputs, or one has no trace.
    """
    if not outputs:
        raise OptionError("there is no text to show; give at least one output")
    return {
        "texts": [
            _text(out, _trace(out), _plain_seconds(out, index, comparison))
            for index, out in enumerate(outputs)
        ],
        "comparison": None if comparison is None else comparison.as_dict(),
    }


def _trace(out: Output) -> Trace:
    if out.trace is None:
        raise OptionError("the output has no trace; generate it with trace=True")
    return out.trace


def _plain_seconds(out: Output, index: int, comparison: Comparison | None) -> float | None:
    """Seconds per id of plain decoding: by the comparison, else by the output's own rounds."""
    for method in comparison.methods if comparison else ():
        if method.name == PLAIN and method.error is None:
            runs = [runs[index] for runs in method.runs if index < len(runs)]
            ids = sum(len(run.token_ids) for run in runs)
            return sum(run.seconds for run in runs) / ids if ids else None
    return plain_seconds(out.stats.history)


def _text(out: Output, trace: Trace, plain: float | None) -> dict[str, Any]:
    stats, steps = out.stats, trace.steps
    target = [id for step in steps for id in [*step.candidates, *step.verified, *step.tokens]]
    assistant = [id for step in steps for id in [*step.draft, *step.dropped, *step.feed]]
    return {
        "target": _model(trace.target, trace.target.prompt + target),
        "assistant": _model(trace.assistant, assistant) | {"name": trace.assistant.name},
        "prompt": trace.target.prompt,
        "lookahead": trace.lookahead,
        "tree": trace.tree,
        "chains": stats.chains,
        "conditions": trace.conditions,
        "searched": any(done.searched for done in stats.history),
        "looked_up_accepted": stats.looked_up_accepted,
        "seed": None if out.seed is None else str(out.seed),  # JavaScript rounds above 2**53
        "engines": stats.engines,
        "forwards": stats.target_forwards,
        "phases": {phase: round(spent, 6) for phase, spent in stats.seconds.items()},
        "phase_order": PHASES,
        "plain_seconds": plain,
        "rounds": [_round(step, done) for step, done in zip(steps, stats.history, strict=True)],
        "by_position": [[rate.tried, rate.true] for rate in by_position(stats.history)],
        "by_confidence": [[rate.tried, rate.true] for rate in by_confidence(stats.history)],
    }


def _model(model: TracedModel, ids: Iterable[int]) -> dict[str, Any]:
    """A model and its tokens among `ids`: their bytes as Latin-1, or the names of special ones."""
    backend, core = backend_of(model.tokenizer), model.core
    tokens, specials = dict[int, str](), dict[int, str]()
    for id in set(ids):
        data = core.token_bytes(id)
        if data is None:
            specials[id] = backend.id_to_token(id) or f"id {id}"
        else:
            tokens[id] = data.decode("latin-1")
    return {
        "name": model.name,
        "family": core.family,
        "fast": core.fast,
        "vocabulary": core.vocab_size,
        "tokens": tokens,
        "specials": specials,
        "lead": _lead(model),
    }


def _lead(model: TracedModel) -> int:
    """Number of bytes that the tokenizer puts before a text; 0 if the prompt has text already."""
    if any(map(model.core.token_bytes, model.prompt)):
        return 0
    return sum(len(model.core.token_bytes(id) or b"") for id in model.core.encode(b"a")) - 1


def _round(step: Step, done: Round) -> dict[str, Any]:
    """A round as a dict, without empty values to keep the file small: there may be thousands."""
    described: dict[str, Any] = {
        "draft": step.draft,
        "looked_up": done.looked_up,
        "candidates": step.candidates,
        "read": len(step.path) if step.verified else done.candidates,
        "siblings": _siblings(step),
        "beside": _beside(step, done),
        "cut": step.cut,
        "held": step.held,
        "tokens": step.tokens,
        "accepted": done.accepted,
        "right": done.drafted_accepted,
        "judged": done.judged,
        "dropped": step.dropped,
        "before": step.dropped_before,
        "feed": step.feed,
        "cause": step.cause,
        "confidences": [round(confidence, 3) for confidence in done.confidences],
        "seconds": round(sum(done.seconds.values()), 7),
    }
    return {name: value for name, value in described.items() if value not in ([], "", 0)}


def _siblings(step: Step) -> list[list[int]]:
    """What was verified beside the candidates: each id after the place of what it follows.

    Places are those of the candidates from 0 on, then of the siblings themselves; -1 is the end of
    the text.
    """
    path = step.path
    others = [node for node in range(len(step.verified)) if node not in path]
    places = {node: place for place, node in enumerate([*path, *others])} | {-1: -1}
    return [[places[step.parents[node]], step.verified[node]] for node in others]


def _beside(step: Step, done: Round) -> int:
    """How many accepted candidates are no drafted ids, but others at their places."""
    if done.tree is None:
        return 0
    return sum(end > done.drafted_accepted for end in step.draft_ends[: done.accepted])


def _title(data: dict[str, Any]) -> str:
    first = data["texts"][0]
    names = [Path(first[role]["name"]).name for role in ("target", "assistant")]
    if first["searched"] and not names[-1]:
        names[-1] = "lookups"
    return " <- ".join(name for name in names if name) or "uag"


def _embedded(data: dict[str, Any]) -> str:
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return "".join(UNSAFE.get(character, character) for character in text)


def _asset(name: str) -> str:
    return (files("uag.report") / "assets" / name).read_text(encoding="ascii").strip()


def _digest(content: str) -> str:
    """The hash by which a content security policy allows an inline element."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
