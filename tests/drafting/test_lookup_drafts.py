"""Drafts from texts: the output stays the target's own, and drafts come where texts repeat."""

from typing import Any

import pytest
import torch

from tests.support.models import REPEATING, STORY, looping, plain_ids, random_model, with_story
from tests.support.pairs import PAIRS
from tests.support.tokenizers import PROMPT, TOKENIZERS, tokenizer
from uag import Lookup, SpeculativeDecoder
from uag._core import Bridge
from uag.draft import Draft, GoesOn
from uag.drafting.lookup_drafts import DraftsAllFound, LookupDrafts, LookupOrModel
from uag.drafting.source import DraftSource
from uag.lookahead.auto import Auto
from uag.translation.core_tokenizer import core_tokenizer


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("lookahead", [1, 5, 40, "auto", "heuristic"])
def test_looking_up_leaves_the_output(name: str, lookahead: int | str) -> None:
    model, words = looping(name)
    decoder = SpeculativeDecoder(model, words, "lookup", lookahead=lookahead)
    expected = plain_ids(model, words(PROMPT)["input_ids"], max_new_tokens=96)
    runs = [decoder.generate(PROMPT, max_new_tokens=96) for _ in range(2)]
    assert [out.token_ids for out in runs] == [expected] * 2
    stats = runs[-1].stats
    assert stats.drafted == stats.looked_up >= stats.looked_up_accepted == stats.accepted
    if lookahead != "auto":  # what it drafts depends on what passes take
        assert stats.accepted > 0
        assert stats.rounds < 96


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("lookahead", [6, "auto"])
def test_beside_an_assistant_it_leaves_the_output(
    pair: tuple[str, str], lookahead: int | str
) -> None:
    target, assistant = (tokenizer(name) for name in pair)
    model = with_story(random_model("llama", target), target)
    decoder = SpeculativeDecoder(
        model,
        target,
        random_model("llama", assistant, num_hidden_layers=1),
        assistant,
        lookup=Lookup([STORY]),
        lookahead=lookahead,
    )
    expected = plain_ids(model, target(PROMPT)["input_ids"], max_new_tokens=48)
    runs = [decoder.generate(PROMPT, max_new_tokens=48) for _ in range(2)]
    assert [out.token_ids for out in runs] == [expected] * 2
    if lookahead != "auto":
        assert runs[-1].stats.looked_up_accepted > 0


@pytest.mark.parametrize("sampling", ["coupled", "rejection"])
@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_texts_that_were_looked_up_are_accepted_or_rejected_never_sampled(
    sampling: str, temperature: float
) -> None:
    model, words = looping("gpt2")
    options: dict[str, Any] = {"do_sample": True, "temperature": temperature, "max_new_tokens": 60}
    plain = SpeculativeDecoder(model, words)
    decoders = [
        SpeculativeDecoder(model, words, Lookup([REPEATING]), lookahead=k, sampling=sampling)
        for k in (1, 9, "auto")
    ]
    for seed in range(3):
        expected = plain.generate(PROMPT, seed=seed, **options)
        for decoder in decoders:
            out = decoder.generate(PROMPT, seed=seed, **options)
            assert (out.text, out.token_ids) == (expected.text, expected.token_ids)


def test_several_texts_at_once_look_up_each_in_itself() -> None:
    model, words = looping("gpt2")
    decoder = SpeculativeDecoder(model, words, Lookup([REPEATING]), lookahead=6)
    prompts = [PROMPT, "One day", REPEATING]
    outs = decoder.generate(prompts, max_new_tokens=40)
    for prompt, out in zip(prompts, outs, strict=True):
        assert out.token_ids == plain_ids(model, words(prompt)["input_ids"], max_new_tokens=40)
        assert out.stats.looked_up_accepted > 0


def test_rejection_beside_an_assistant_samples_from_the_target() -> None:
    """The first token's distribution, with a text that always proposes the same for it."""
    words, small = tokenizer("gpt2"), tokenizer("qwen2")
    model = random_model("llama", words)
    decoder = SpeculativeDecoder(
        model,
        words,
        random_model("llama", small, num_hidden_layers=1),
        small,
        lookup=Lookup([PROMPT + " She"] * 3),
        lookahead=2,
        sampling="rejection",
    )
    options: dict[str, Any] = {"do_sample": True, "temperature": 0.4, "max_new_tokens": 3}
    outs = decoder.generate(PROMPT, seed=5, num_return_sequences=300, **options)
    assert any(out.stats.looked_up for out in outs)
    ids = torch.tensor([words(PROMPT)["input_ids"]])
    with torch.inference_mode():
        chances = (model(ids).logits[0, -1] / 0.4).softmax(-1)
    drawn = torch.bincount(torch.tensor([out.token_ids[0] for out in outs]), minlength=len(chances))
    # The total variation that 300 draws have by themselves, at most.
    variation = (drawn / 300 - chances).abs().sum() / 2
    fair = torch.multinomial(chances, 300 * 40, replacement=True).reshape(40, 300)
    usual = [
        float((torch.bincount(row, minlength=len(chances)) / 300 - chances).abs().sum() / 2)
        for row in fair
    ]
    assert float(variation) <= max(usual) * 1.1


def drafter(
    name: str, prompt: str, lookup: Lookup, longest: int | None = None
) -> tuple[LookupDrafts, Any, Any]:
    words = tokenizer(name)
    core = core_tokenizer(words)
    ids = words(prompt)["input_ids"]
    sequence = Bridge(core, core, []).start(ids, ids)
    judge = DraftsAllFound(Auto(), longest)
    drafts = LookupDrafts(lookup.search(), lookup.min_match, core, sequence, judge)
    return drafts, sequence, words


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("k", [1, 3, 8])
def test_a_draft_is_what_followed_and_ends_where_a_token_does(name: str, k: int) -> None:
    drafts, sequence, words = drafter(name, REPEATING, Lookup())
    draft = drafts.draft(k)
    following = b" sat on the mat. the cat sat on the mat. the cat"
    assert following.startswith(draft.text)
    candidates = sequence.propose([], draft.text).ids
    assert 1 <= len(candidates) <= k
    assert len(draft.confidences) == len(candidates)
    whole = words(REPEATING + following.decode())["input_ids"]
    start = len(words(REPEATING)["input_ids"])
    assert whole[start : start + len(candidates)] == candidates


def test_a_match_shorter_than_min_match_drafts_nothing() -> None:
    texts = ["a very long beginning of a text"]
    for min_match, found in ((9, True), (10, False)):
        drafts, _, _ = drafter("bytes", "XX beginning", Lookup(texts, min_match=min_match + 1))
        assert bool(drafts.draft(5).text) == found


def test_a_character_that_the_target_has_begun_is_finished() -> None:
    core = core_tokenizer(tokenizer("bytes"))
    beginning = "naïve".encode()[:3]  # up to the first byte of the ï
    ids = core.encode(b"na") + [
        id for id in range(core.vocab_size) if core.token_bytes(id) == beginning[2:]
    ]
    sequence = Bridge(core, core, []).start(ids, core.encode(b"na"))
    drafts = LookupDrafts(Lookup(["naïve"]).search(), 1, core, sequence, DraftsAllFound(Auto()))
    assert beginning + drafts.draft(4).text == "naïve".encode()


def test_what_is_found_after_it_was_said_that_nothing_is_drafted_is_drafted_next() -> None:
    drafts, sequence, words = drafter("gpt2", REPEATING, Lookup(), longest=4)
    assert drafts.quiet(asked=False)
    assert not drafts.begin(0) and not drafts.draft(0).text
    emitted = words(REPEATING + " sat on")["input_ids"][len(words(REPEATING)["input_ids"])]
    sequence.commit([emitted])
    drafts.apply(0, [])
    assert not drafts.quiet(asked=False)
    assert drafts.begin(0)
    text = words.decode(emitted).encode() + drafts.draft(0).text
    assert b" sat on the mat. the cat".startswith(text) and text > b" sat"
    sequence.commit(words("VJXW")["input_ids"])
    drafts.apply(0, [])
    assert not drafts.quiet(asked=False)  # the last one found something
    assert not drafts.begin(0) and not drafts.draft(0).text
    assert drafts.quiet(asked=False)


def test_a_schedule_that_drafts_all_that_is_found_never_says_that_nothing_is_drafted() -> None:
    drafts, _, _ = drafter("gpt2", REPEATING, Lookup())
    assert not drafts.quiet(asked=False)
    assert drafts.begin(4) and drafts.draft(4).text


class Assistant(DraftSource):
    """Notes what it is asked for, and drafts nothing."""

    def __init__(self, asked: list[str]) -> None:
        self._asked = asked

    def draft(self, k: int, goes_on: GoesOn | None = None) -> Draft:
        del goes_on
        self._asked.append(f"draft {k}")
        return Draft()

    def apply(self, keep: int, feed: list[int]) -> None:
        pass

    def begin(self, k: int) -> bool:
        self._asked.append(f"begin {k}")
        return k > 0


def test_the_assistant_begins_before_a_lookup_that_most_likely_finds_nothing() -> None:
    asked: list[str] = []
    known = Lookup([REPEATING], min_match=12)
    texts, sequence, words = drafter("gpt2", PROMPT, known, longest=4)
    search = texts._draft
    texts._draft = lambda k: asked.append("look up") or search(k)  # type: ignore[method-assign, func-returns-value]
    drafts = LookupOrModel(Assistant(asked), texts, DraftsAllFound(Prefers()))
    assert drafts.begin(3)
    assert not drafts.draft(3).text
    sequence.commit(words(REPEATING[:18])["input_ids"])
    drafts.apply(0, [])
    assert drafts.begin(3)
    assert drafts.draft(3).text  # found, though the assistant had begun
    drafts.apply(0, [])
    assert drafts.begin(3)
    assert drafts.draft(3).text
    assert asked == ["begin 3", "look up", "draft 3", "begin 3", "look up", "look up"]


class Prefers(Auto):
    """Drafts whatever was looked up."""

    def prefers(self, chances: list[float]) -> bool:
        return bool(chances)
