"""The page of rounds tells what is true of its run, in units and widths that people can read."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import uag
from tests.support.browsing import Opened
from tests.support.models import random_model, with_story
from tests.support.pages import story
from tests.support.tokenizers import PROMPT, tokenizer
from uag.benchmark.comparison import Comparison, Method, Run
from uag.decoding.output import Output
from uag.report.page import write_page

SECONDS = {"\u00b5s": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}


def shown(browser: Any, folder: Path, out: Output, width: int = 1200, **more: Any) -> Opened:
    write_page(folder / "page.html", out, **more)
    return Opened(browser, folder / "page.html", width)


def without_a_draft() -> Output:
    name = tokenizer("gpt2")
    alone = uag.SpeculativeDecoder(random_model("llama", name), name)
    return alone.generate(PROMPT, max_new_tokens=12, trace=True)


def looked_up() -> Output:
    name = tokenizer("llama2")
    model = with_story(random_model("llama", name), name)
    looking = uag.SpeculativeDecoder(model, name, "lookup", lookahead=4)
    out = looking.generate(PROMPT * 2, max_new_tokens=40, trace=True)
    assert 0 < out.stats.looked_up_accepted < out.stats.looked_up
    return out


def test_a_time_is_told_in_its_unit(browser: Any, out: Output, tmp_path: Path) -> None:
    opened = shown(browser, tmp_path, out)
    times = [digits * 10.0**power for power in range(-8, 6) for digits in (1, 1.8, 5.995, 9.9996)]
    for seconds, words in zip(
        times, opened.page.evaluate("(times) => times.map(duration)", times), strict=True
    ):
        parts = words.replace("\xa0", " ").split(" ")
        values = [float(value.replace(",", "")) for value in parts[::2]]
        told = sum(value * SECONDS[unit] for value, unit in zip(values, parts[1::2], strict=True))
        assert told == pytest.approx(seconds, rel=0.01), words
        most = {"s": 60, "min": 60}.get(parts[1], 1000)
        assert parts[1] == "h" or values[0] < most, words
    assert opened.page.evaluate("duration(1.8)") == "1.8\xa0s"
    assert opened.page.evaluate("duration(0)") == "0\xa0s"
    numbers = opened.page.evaluate("[0, 0.0031, 9.996, 99.6, 1234.5, 1250000].map(number)")
    assert numbers == ["0", "0.0031", "10", "99.6", "1,235", "1,250,000"]
    shares = opened.page.evaluate("[0, 0.001, 0.5, 0.999, 1].map(percent)")
    assert [each.replace("\xa0", " ") for each in shares] == [
        "0 %", "<1 %", "50 %", ">99 %", "100 %"
    ]  # fmt: skip
    opened.page.close()


def test_a_slow_run_is_told_in_seconds(browser: Any, out: Output, tmp_path: Path) -> None:
    """So that nobody reads "1.8k ms"."""
    history = [replace(done, seconds={"verify": 1.8}) for done in out.stats.history]
    slow = replace(out, stats=replace(out.stats, history=history))
    opened = shown(browser, tmp_path, slow)
    assert "1.8\xa0s" in opened.text("#rounds .head")
    total = opened.page.evaluate("(seconds) => duration(seconds)", 1.8 * len(history))
    assert f"{total} in total" in opened.text("#charts")
    assert "k\xa0ms" not in opened.text("main") and "k ms" not in opened.text("main")
    opened.page.close()


@pytest.mark.parametrize(
    ("make", "writers", "kinds", "title"),
    [
        (
            story,
            ["prompt", "drafted by the assistant, accepted", "the target's own", "rejected drafts"],
            ["accepted", "rejected", "unjudged", "own", "fed"],
            "target \u2190 assistant",
        ),
        (
            looked_up,
            ["prompt", "looked up, accepted", "the target's own", "rejected drafts"],
            ["accepted", "rejected", "unjudged", "own"],
            "\u2190 lookups",
        ),
        (without_a_draft, ["prompt", "the target's own"], ["own"], ""),
    ],
)
def test_legends_have_what_occurs(
    browser: Any, tmp_path: Path, make: Any, writers: list[str], kinds: list[str], title: str
) -> None:
    out = make()
    opened = shown(browser, tmp_path, out)
    legend = opened.page.locator("#writers [data-kind]:visible").all_inner_texts()
    assert [each.strip() for each in legend] == writers
    found = opened.page.locator("#kinds [data-kind]:visible")
    assert found.evaluate_all("(all) => all.map((each) => each.dataset.kind)") == kinds
    for kind in kinds:
        assert opened.count(f"#rounds .cell.{kind}"), kind
    assert title.replace(" ", "") in opened.text("h1").replace(" ", "")
    if not out.stats.drafted:
        assert "draft" not in opened.page.locator("main").inner_text()
        assert opened.count("h1 .arrow") == 0
    if not out.trace.assistant.name:
        assert "assistant" not in opened.page.locator("main").inner_text()
    assert opened.complaints == []
    opened.page.close()


@pytest.mark.parametrize("width", [360, 1200])
def test_names_and_conditions_can_be_read(
    browser: Any, out: Output, tmp_path: Path, width: int
) -> None:
    name = "an-organisation/" + "a-long-name-" * 8
    named = replace(out.trace, target=replace(out.trace.target, name=name))
    opened = shown(browser, tmp_path, replace(out, trace=named), width)
    facts = opened.page.locator("#facts").inner_text()
    versions = [f"{each} {version}" for each, version in out.trace.conditions["versions"].items()]
    date = out.trace.conditions["date"][:16].replace("T", " ") + " UTC"
    for fact in [name, out.trace.assistant.name, "float32 on cpu", "threads", date, *versions]:
        assert fact in facts
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    opened.page.close()


def test_heads_of_columns_are_whole_on_a_phone(browser: Any, out: Output, tmp_path: Path) -> None:
    runs = [[Run(out.token_ids, 1e-3, 60)]] * 3
    names = ("plain", "transformers", "plain by graphs", "plain compiled", "uag")
    comparison = Comparison(["Once"], [Method(name, runs) for name in names])
    opened = shown(browser, tmp_path, out, 360, comparison=comparison)
    broken = opened.page.evaluate(
        """() => [...document.querySelectorAll("th")].flatMap((head) => {
          const words = [...head.textContent.matchAll(/\\S+/g)], text = head.firstChild;
          return words.filter((word) => {
            const range = document.createRange();
            range.setStart(text, word.index);
            range.setEnd(text, word.index + word[0].length);
            return range.getClientRects().length > 1;
          }).map((word) => word[0]);
        })"""
    )
    assert broken == []
    assert opened.page.locator(".scroll").evaluate("(box) => box.scrollWidth <= box.clientWidth")
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 360
    opened.page.close()


def test_a_wide_screen_is_used(browser: Any, out: Output, tmp_path: Path) -> None:
    opened = shown(browser, tmp_path, out, 1920)
    boxes = {
        name: opened.page.locator(name).bounding_box() for name in ("main", "#words", "#course")
    }
    assert boxes["main"]["width"] > 0.9 * 1920
    assert boxes["#course"]["x"] >= boxes["#words"]["x"] + boxes["#words"]["width"]
    assert boxes["#course"]["y"] == boxes["#words"]["y"]
    opened.page.close()


@pytest.mark.parametrize("make", [story, looked_up, without_a_draft])
def test_each_axis_has_a_name(browser: Any, tmp_path: Path, make: Any) -> None:
    opened = shown(browser, tmp_path, make(), 360)
    charts = opened.page.evaluate(
        """() => [...document.querySelectorAll("figure svg")]
          .filter((chart) => chart.querySelector(".tick"))
          .map((chart) => [...chart.querySelectorAll(".axis")].map((name) => name.textContent))"""
    )
    assert charts and all(len(names) == 2 and all(names) for names in charts)
    assert any(name.startswith("time (") for names in charts for name in names)
    assert opened.complaints == []
    opened.page.close()
