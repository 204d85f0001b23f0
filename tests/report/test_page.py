"""The page of rounds: what is in it, and that nothing a model says can get out of its place."""

import re
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest

import uag
from tests.support.pages import HOSTILE, Reading, data_of, text_of
from uag.report.page import page_of, write_page


def test_the_page_holds_what_happened(out: uag.Output) -> None:
    page = page_of([out])
    (text,) = data_of(page)["texts"]
    assert text_of(text).decode() == out.text
    assert sum(len(each.get("draft", [])) for each in text["rounds"]) == out.stats.drafted
    assert sum(each.get("accepted", 0) for each in text["rounds"]) == out.stats.accepted
    assert sum(each.get("right", 0) for each in text["rounds"]) == sum(
        done.drafted_accepted for done in out.stats.history
    )
    assert text["forwards"] == out.stats.target_forwards
    assert text["prompt"] == out.trace.target.prompt
    known = set(text["target"]["tokens"]) | set(text["target"]["specials"])
    assert {str(id) for id in [*text["prompt"], *out.token_ids]} <= known
    assert page.isascii()


def test_the_page_holds_all_that_a_tree_verified(trees: uag.Output) -> None:
    (text,) = data_of(page_of([trees]))["texts"]
    assert text_of(text).decode() == trees.text and text["tree"] == 15
    beside = 0
    for each, step, done in zip(
        text["rounds"], trees.trace.steps, trees.stats.history, strict=True
    ):
        if done.tree is None:
            assert not {"siblings", "beside"} & set(each)
            continue
        siblings = each.get("siblings", [])
        # From the end of the text on, each path is one of the tree, and all of them are there.
        ids = step.candidates[: each.get("read", 0)] + [id for _, id in siblings]
        before = [*range(-1, each.get("read", 0) - 1), *(after for after, _ in siblings)]
        drawn = {_spelled(ids, before, place) for place in range(len(ids))}
        verified = step.verified, step.parents
        assert drawn == {_spelled(*verified, node) for node in range(len(step.verified))}
        assert len(ids) == done.candidates
        beside += each.get("beside", 0)
    # Some text was accepted that the drafted ids are not.
    assert beside and beside < trees.stats.accepted


def _spelled(ids: list[int], parents: list[int], node: int) -> tuple[int, ...]:
    return () if node < 0 else (*_spelled(ids, parents, parents[node]), ids[node])


def test_why_there_are_no_trees_is_on_the_page(out: uag.Output) -> None:
    stats = replace(out.stats, chains="nothing drafts")
    assert data_of(page_of([replace(out, stats=stats)]))["texts"][0]["chains"] == "nothing drafts"


def test_nothing_comes_from_the_network_and_only_our_script_runs(out: uag.Output) -> None:
    page = page_of([out])
    reading = Reading(page)
    links = [tag for tag in reading.tags if {"src", "href", "action"} & set(tag[1])]
    assert links == [("link", {"rel": "icon", "href": "data:,"})]
    assert not re.search(r"@import|url\(|fetch\(|XMLHttp|innerHTML|insertAdjacent|eval\(", page)
    (policy,) = [
        attributes["content"]
        for tag, attributes in reading.tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy is not None and policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy


def test_hostile_text_stays_in_its_place(out: uag.Output, hostile: uag.Output) -> None:
    ordinary, page = page_of([out]), page_of([hostile])
    reading = Reading(page)
    # The same elements as any page, so nothing became markup.
    assert [tag for tag, _ in reading.tags] == [tag for tag, _ in Reading(ordinary).tags]
    (text,) = data_of(page)["texts"]
    core = hostile.trace.target.core
    for id in hostile.token_ids:
        data = core.token_bytes(id)
        if data is not None:
            assert text["target"]["tokens"][str(id)].encode("latin-1") == data
    assert {f"<|{each}|>" for each in HOSTILE} <= set(text["target"]["specials"].values())
    assert text["target"]["name"] == "models/" + HOSTILE[0]
    raw = page[page.index('id="data">') : page.index("</script>")]
    assert not re.search(r"[<>&\x00-\x08\x0b-\x1f\x7f]", raw.removeprefix('id="data">'))


def test_mistakes_name_the_remedy(out: uag.Output, tmp_path: Path) -> None:
    with pytest.raises(uag.OptionError, match="trace=True"):
        write_page(tmp_path / "page.html", replace(out, trace=None))
    with pytest.raises(uag.OptionError, match="at least one"):
        write_page(tmp_path / "page.html", [])
    with pytest.raises(uag.FileError, match="No such file or directory; give another"):
        write_page(tmp_path / "no" / "page.html", out)
    assert list(tmp_path.iterdir()) == []


def test_the_page_needs_no_decoder(out: uag.Output) -> None:
    """Not even for versions, devices and number types: the trace has them."""
    page = page_of([deepcopy(out)])
    assert page == page_of([out])
    (text,) = data_of(page)["texts"]
    assert text["conditions"]["dtype"] == "float32"
    assert text["conditions"]["versions"]["uag"] == uag.__version__
