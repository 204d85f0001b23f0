"""The page of rounds in a browser: what it shows, and that hostile text stays text."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import uag
from tests.support.browsing import Opened
from tests.support.pages import HOSTILE
from uag.decoding.trace import Step
from uag.demo import demo_decoder
from uag.report.page import write_page


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (390, "light")])
def test_a_browser_shows_all_of_it(
    browser: Any, out: uag.Output, tmp_path: Path, width: int, scheme: str
) -> None:
    write_page(tmp_path / "page.html", out)
    opened = Opened(browser, tmp_path / "page.html", width, scheme)
    page = opened.page
    # The text is all there, in the colours of who wrote it.
    page.evaluate("document.querySelectorAll('#text del').forEach((each) => each.remove())")
    new = page.evaluate(
        "[...document.querySelectorAll('#text [data-round]:not(.special)')]"
        ".map((each) => each.textContent).join('')"
    )
    assert new == out.text
    assert "Once upon a time" in opened.text("#text")
    assert opened.count("#text .accepted") and opened.count("#text .own")
    accepted, own = (
        page.evaluate(
            "(at) => getComputedStyle(document.querySelector(at)).backgroundColor", f"#text .{kind}"
        )
        for kind in ("accepted", "own")
    )
    assert accepted != own
    light = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(248, 247, 243)"
    assert light == (scheme == "light")
    # Charts, all rounds, and no sideways scrolling of the page itself.
    assert opened.count("figure") == 6 and opened.count("figure svg") >= 5
    for _ in range(40):
        if opened.count("#rounds .round b") >= out.stats.rounds:
            break
        page.evaluate("scrollTo({top: 1e9, behavior: 'instant'})")
        page.wait_for_timeout(30)
    assert f"Round {out.stats.rounds}" in opened.text("#rounds .round:last-child")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.complaints == []
    assert opened.requests == [(tmp_path / "page.html").as_uri()]
    page.close()


def test_the_two_tokenizations_are_aligned(browser: Any, out: uag.Output, tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", out)
    opened = Opened(browser, tmp_path / "page.html")
    index = next(
        at for at, done in enumerate(out.stats.history) if done.drafted and done.accepted
    )  # fmt: skip
    step, done = out.trace.steps[index], out.stats.history[index]
    cells = opened.page.evaluate(
        """(index) => {
          const round = card(index);
          document.body.append(round);
          return [...round.querySelectorAll(".cell")].map((cell) => [
            cell.textContent, cell.className, cell.style.gridRow || cell.style.gridRowStart,
            cell.getBoundingClientRect().left, cell.getBoundingClientRect().right]);
        }""",
        index,
    )
    rows: dict[str, list[Any]] = {}
    for text, kind, row, left, right in cells:
        rows.setdefault(row.split(" ")[0], []).append((text, kind, left, right))
    drafted, candidates, written, _ = rows.values()
    assert len(drafted) == len(step.draft) and len(candidates) == len(step.candidates)
    assert len(written) == len(step.tokens)
    spelled = [
        core.token_bytes(id).decode().replace(" ", "·")
        for core, ids in (
            (out.trace.assistant.core, step.draft), (out.trace.target.core, step.candidates)
        )
        for id in ids
    ]  # fmt: skip
    assert [cell[0] for cell in [*drafted, *candidates]] == spelled
    # The same bytes begin and end at the same place.
    assert drafted[0][2] == candidates[0][2] == written[0][2]
    if not step.cut:
        assert drafted[-1][3] == candidates[-1][3]
    assert [cell[2:] for cell in written[: done.accepted]] == [
        cell[2:] for cell in candidates[: done.accepted]
    ]
    assert [("accepted" in cell[1]) for cell in written] == [
        at < done.accepted for at in range(len(written))
    ]
    opened.page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_siblings_stand_where_their_text_would_have(
    browser: Any, trees: uag.Output, tmp_path: Path, scheme: str
) -> None:
    write_page(tmp_path / "page.html", trees)
    opened = Opened(browser, tmp_path / "page.html", scheme=scheme)
    for index, step in enumerate(trees.trace.steps):
        cells = opened.page.evaluate(
            """(index) => {
              document.querySelector(".tried")?.remove();
              const round = card(index);
              round.classList.add("tried");
              document.body.append(round);
              return [...round.querySelectorAll(".cell")].map((cell) => {
                const { left, top } = cell.getBoundingClientRect();
                return [cell.textContent, cell.classList.contains("sibling"),
                  Number(cell.style.gridColumnStart), top, left];
              });
            }""",
            index,
        )
        siblings = sorted((text, column) for text, is_sibling, column, *_ in cells if is_sibling)
        assert siblings == sorted(_siblings_of(step, trees))
        assert len({(top, left) for *_, top, left in cells}) == len(cells)
    assert opened.page.is_visible("#kinds [data-kind=sibling]")
    assert opened.complaints == []
    opened.page.close()


def test_what_was_rejected_stands_before_what_was_accepted_instead(
    browser: Any, trees: uag.Output, tmp_path: Path
) -> None:
    write_page(tmp_path / "page.html", trees)
    opened = Opened(browser, tmp_path / "page.html")
    index = next(
        at
        for at, (step, done) in enumerate(zip(trees.trace.steps, trees.stats.history, strict=True))
        if done.accepted and step.draft_ends[done.accepted - 1] > done.drafted_accepted
    )
    pieces = opened.page.locator(f"#text [data-round='{index}']")
    names = pieces.evaluate_all("(all) => all.map((each) => each.className || each.tagName)")
    assert names[-3:] == ["DEL", "accepted", "own"]
    opened.page.evaluate(f"choose({index})")
    assert "accepted token stood beside the draft" in opened.text("#chosen")
    opened.page.close()


def _siblings_of(step: Step, out: uag.Output) -> list[tuple[str, int]]:
    """Text and column of each sibling; the first column of bytes is 2, after those that are `held`."""
    core = out.trace.target.core
    texts = [core.token_bytes(id) or b"" for id in step.verified]
    begins: list[int] = []
    for parent in step.parents:
        begins.append(0 if parent < 0 else begins[parent] + len(texts[parent]))
    return [
        (texts[node].decode().replace(" ", "·"), begins[node] + 2 + step.held)
        for node in range(len(texts))
        if node not in step.path
    ]


def test_rejected_drafts_show_on_hover_and_rounds_on_a_click(
    browser: Any, out: uag.Output, tmp_path: Path
) -> None:
    write_page(tmp_path / "page.html", out)
    opened = Opened(browser, tmp_path / "page.html")
    page = opened.page
    index = next(
        at
        for at, (step, done) in enumerate(zip(out.trace.steps, out.stats.history, strict=True))
        if done.drafted_accepted < done.drafted and done.accepted
    )
    wrong = b"".join(
        out.trace.assistant.core.token_bytes(id) or b""
        for id in out.trace.steps[index].draft[out.stats.history[index].drafted_accepted :]
    ).decode(errors="replace")
    span = f"#text span[data-round='{index}'] >> nth=0"
    page.hover(span)
    assert page.is_visible("#tip") and opened.text("#tip del") == wrong
    assert not page.is_visible(f"#text del[data-round='{index}']")
    page.check("#rejected")
    assert opened.text(f"#text del[data-round='{index}']") == wrong
    assert page.is_visible(f"#text del[data-round='{index}']")
    page.click(span)
    assert page.is_visible("#sheet") and f"Round {index + 1}" in opened.text("#chosen")
    page.keyboard.press("Escape")
    assert not page.is_visible("#sheet")
    page.focus("#text")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert "Round 2" in opened.text("#chosen")
    assert opened.complaints == []
    page.close()


def test_hostile_text_is_text_in_a_browser(
    browser: Any, hostile: uag.Output, tmp_path: Path
) -> None:
    write_page(tmp_path / "page.html", hostile)
    opened = Opened(browser, tmp_path / "page.html")
    assert opened.count("#text script, #text img, #rounds script, #rounds img, h1 img") == 0
    assert HOSTILE[0] in opened.text("#text") and HOSTILE[5] in opened.text("#text")
    assert HOSTILE[6] in opened.text("#text")
    shown = opened.text("body > main")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
    assert "\u27e8U+202E\u27e9" in shown and "\u241b" in shown
    # Bytes that are no text are shown as such.
    assert opened.count("#rounds .cell.raw") > 0
    assert opened.complaints == []
    opened.page.close()


def test_five_thousand_tokens_open_at_once(browser: Any, out: uag.Output, tmp_path: Path) -> None:
    times = 5000 // len(out.token_ids) + 1
    trace = replace(out.trace, steps=out.trace.steps * times)
    stats = replace(
        out.stats,
        history=out.stats.history * times,
        target_forwards=out.stats.target_forwards * times,
    )
    write_page(tmp_path / "page.html", replace(out, trace=trace, stats=stats))
    assert (tmp_path / "page.html").stat().st_size < 2_000_000
    opened = Opened(browser, tmp_path / "page.html")
    # Far rounds are made when they come near.
    assert opened.count("#rounds .round") < 200 < stats.rounds
    assert opened.count("*") < 20_000
    opened.page.evaluate("choose(900)")
    assert "Round 901" in opened.text("#chosen")
    assert opened.complaints == []
    opened.page.close()


def test_several_texts_and_a_comparison(browser: Any, out: uag.Output, tmp_path: Path) -> None:
    decoder = demo_decoder(lookahead="auto")
    prompts = ["One day", "Tom"]
    comparison = uag.compare(decoder, prompts, runs=1, max_new_tokens=8)
    outs = [decoder.generate(each, max_new_tokens=8, trace=True) for each in prompts]
    write_page(tmp_path / "page.html", outs, comparison)
    opened = Opened(browser, tmp_path / "page.html")
    assert opened.count("#comparison tr") == 4 and opened.page.is_visible("#comparison")
    assert "One day" in opened.text("#text")
    opened.page.select_option("#choice", "1")
    assert "Tom" in opened.text("#text") and "One day" not in opened.text("#text")
    assert opened.complaints == []
    opened.page.close()
