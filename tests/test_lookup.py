"""Drafting from texts: the output stays, the store is sound, and it drafts where texts repeat."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from fakes import (
    PAIRS,
    PROMPT,
    TEXT,
    TOKENIZERS,
    cache_in,
    plain_ids,
    random_model,
    telling,
    tokenizer,
)
from hypothesis import given
from hypothesis import strategies as st
from test_cli import run
from transformers import PreTrainedModel
from uag import Lookup, OptionError, SpeculativeDecoder, UagError
from uag._core import Bridge, Search, Texts
from uag.drafting.lookup_drafts import DraftsAllFound, LookupDrafts
from uag.errors import LoadError
from uag.lookahead.auto import Auto
from uag.stats import Round
from uag.translation.core_tokenizer import core_tokenizer

STORY = PROMPT + " " + TEXT
REPEATING = "the cat sat on the mat. " * 4 + "the cat"


def looping(name: str, unit: str = " the dog ran off.") -> tuple[PreTrainedModel, Any]:
    """A target that says the same again and again, most of the time."""
    words = tokenizer(name)
    model = random_model("llama", words)
    ids: list[int] = words(unit, add_special_tokens=False)["input_ids"]

    def nudge(_: Any, inputs: Any, named: dict[str, Any], output: Any) -> None:
        if (past := cache_in(named)) is None:
            return
        rows, end = output.logits.shape[1], past.get_seq_length()
        for row, position in enumerate(range(end - rows, end)):
            output.logits[:, row, ids[position % len(ids)]] += 40 if position % 23 else 0

    model.register_forward_hook(nudge, with_kwargs=True)
    return model, words


# Lossless, whoever drafts.


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
    model = telling(random_model("llama", target), target)
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
def test_drawn_texts_are_accepted_or_rejected_never_drawn(
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


def test_rejection_beside_an_assistant_draws_from_the_target() -> None:
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


# What is drafted.


def drafter(name: str, prompt: str, lookup: Lookup) -> tuple[LookupDrafts, Any, Any]:
    words = tokenizer(name)
    core = core_tokenizer(words)
    ids = words(prompt)["input_ids"]
    sequence = Bridge(core, core, []).start(ids, ids)
    drafts = LookupDrafts(lookup.search(), lookup.min_match, core, sequence, DraftsAllFound(Auto()))
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


def test_texts_of_any_kind_draft_for_any_tokenizer() -> None:
    for text in ("Ünïcödé: café 日本語のテキスト。", b"\xff\xfe raw \x00 bytes \xf0\x9f"):
        whole = text if isinstance(text, bytes) else text.encode()
        search = Lookup([text]).search()
        search.append(whole[:8])
        assert whole[8:].split(b"\xff")[0].startswith(search.find(5, 2).data)


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


def test_generation_reads_the_texts_as_they_were() -> None:
    model, words = looping("gpt2")
    lookup = Lookup(["nothing of use"])
    decoder = SpeculativeDecoder(model, words, lookup, lookahead=4)
    pieces = decoder.stream(PROMPT, max_new_tokens=24)
    first = next(pieces)
    lookup.remember(REPEATING)
    rest = "".join(pieces)
    assert first + rest == decoder.generate(PROMPT, max_new_tokens=24).text
    assert lookup.texts == ["nothing of use", REPEATING]


# How far, and whether at all.


def simulated(auto: Auto, right: float, found: float, rounds: int, seed: int = 0) -> float:
    """Tokens a second, 1 being plain, where texts are found and right with these chances."""
    draw = torch.Generator().manual_seed(seed)

    def chance(p: float) -> bool:
        return float(torch.rand((), generator=draw)) < p

    tokens, seconds = 0, 0.0
    for _ in range(rounds):
        searched = chance(found) and auto.looks_up()
        chosen = auto.reach([0.8] * 40) if searched else []
        accepted = next((at for at in range(len(chosen)) if not chance(right)), len(chosen))
        taken = 1 + 0.03 * len(chosen)
        auto.update(
            Round(
                tokens=[0] * (accepted + 1),
                accepted=accepted,
                drafted=len(chosen),
                drafted_accepted=accepted,
                candidates=len(chosen),
                seconds={"verify": taken},
                looked_up=len(chosen),
                confidences=list(chosen),
                searched=searched,
            )
        )
        tokens += accepted + 1
        seconds += taken
    return tokens / seconds


def test_long_drafts_are_drafted_where_they_are_right() -> None:
    assert simulated(Auto(), right=0.99, found=1.0, rounds=300) > 10
    # A draft of 10, always: (1 + 10) / 1.3.
    assert 11 / 1.3 < 10


def test_where_texts_mislead_it_is_nearly_plain() -> None:
    assert simulated(Auto(), right=0.02, found=1.0, rounds=2000) > 0.98


def test_where_passes_are_short_it_looks_less_often_until_that_brings_something() -> None:
    """A pass of 1, and a look-up that takes a twentieth of it."""
    auto = Auto()

    def looked_up(accepted: int, rounds: int) -> float:
        """The part of the rounds in which it looks up, and drafts two ids if any are right."""
        looks = 0
        for _ in range(rounds):
            asked = auto.looks_up()
            drafted = len(auto.reach([0.9, 0.9] if accepted else [])) if asked else 0
            looks += asked
            auto.update(
                Round(
                    tokens=[0] * (1 + accepted * bool(drafted)),
                    accepted=accepted * bool(drafted),
                    drafted=drafted,
                    drafted_accepted=accepted * bool(drafted),
                    candidates=drafted,
                    seconds={"draft": 0.05 * asked, "verify": 1.0},
                    looked_up=drafted,
                    confidences=[0.9, 0.9][:drafted],
                    searched=asked,
                )
            )
        return looks / rounds

    shares = [looked_up(accepted, 300) for accepted in (0, 0, 2, 2)]
    # Once in six rounds costs a hundredth.
    assert shares[1] < 0.2
    assert shares[3] > 0.9


def test_texts_that_become_right_are_tried_again() -> None:
    auto = Auto()
    simulated(auto, right=0.0, found=1.0, rounds=300)
    simulated(auto, right=0.98, found=1.0, rounds=2000)
    assert simulated(auto, right=0.98, found=1.0, rounds=200) > 5


def test_the_better_looking_draft_is_verified() -> None:
    auto = Auto()
    for _ in range(40):
        auto.update(Round([0], 0, 0, 0, 0, {"verify": 1.0}))
        assisted = Round([0] * 4, 3, 3, 3, 3, {"verify": 1.1}, confidences=[0.9] * 3)
        assisted.draft_seconds.extend([0.05] * 3)
        auto.update(assisted)
    assert auto.prefers([0.98] * 20)
    assert not auto.prefers([0.3])


# The store.


@given(
    st.lists(st.binary(max_size=40), max_size=12),
    st.integers(1, 9),
    st.integers(40, 200),
)
def test_a_store_comes_back_from_its_file(
    tmp_path_factory: pytest.TempPathFactory, texts: list[bytes], min_match: int, max_bytes: int
) -> None:
    file = tmp_path_factory.mktemp("lookup") / "texts.uag"
    lookup = Lookup(texts, min_match=min_match, max_bytes=max_bytes)
    lookup.save(file)
    again = Lookup.load(file)
    assert (again.texts, again.min_match, again.max_bytes, again.size) == (
        lookup.texts,
        min_match,
        max_bytes,
        lookup.size,
    )
    assert [path.name for path in file.parent.iterdir()] == ["texts.uag"]


def test_a_damaged_or_foreign_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "texts.uag"
    Lookup([REPEATING, STORY]).save(file)
    sound = file.read_bytes()
    for at in range(0, len(sound), 7):
        file.write_bytes(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])
        with pytest.raises(LoadError, match=r"texts\.uag is (damaged|no file)"):
            Lookup.load(file)
        file.write_bytes(sound[:at])
        with pytest.raises(LoadError, match=r"texts\.uag is (damaged|no file)"):
            Lookup.load(file)
    with pytest.raises(LoadError, match=r"cannot read .*No such file"):
        Lookup.load(tmp_path / "none")
    with pytest.raises(LoadError, match="cannot read"):
        Lookup.load(tmp_path)


def test_the_oldest_texts_leave() -> None:
    lookup = Lookup(["first text", "second text"], max_bytes=30)
    lookup.remember("third text")
    assert lookup.texts == ["second text", "third text"]
    search = lookup.search()
    search.append(b"the firs")
    assert not search.find(8, 4).data


def test_threads_share_a_store() -> None:
    model, words = looping("gpt2")
    lookup = Lookup([REPEATING], max_bytes=4000)
    decoder = SpeculativeDecoder(model, words, lookup, lookahead=5)
    expected = plain_ids(model, words(PROMPT)["input_ids"], max_new_tokens=24)
    wrong: list[object] = []

    def generate() -> None:
        out = decoder.generate(PROMPT, max_new_tokens=24)
        if out.token_ids != expected:
            wrong.append(out.token_ids)
        lookup.remember(out.text)

    def remember() -> None:
        for number in range(200):
            lookup.remember(f"{number} {REPEATING}")

    threads = [threading.Thread(target=each) for each in (generate, remember, generate, remember)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert lookup.size == sum(len(text.encode()) for text in lookup.texts) <= 4000


MISTAKES: list[tuple[Any, str]] = [
    (lambda: Lookup("one text"), "give a list"),
    (lambda: Lookup([cast("Any", 3)]), "a text is a int; give str or bytes"),
    (lambda: Lookup(min_match=0), "min_match is 0"),
    (lambda: Lookup(max_bytes=0), "max_bytes is 0"),
    (lambda: Lookup(max_bytes=Texts.LIMIT + 1), f"from 1 to {Texts.LIMIT}"),
    (lambda: Lookup(["12345"], max_bytes=4), "has 5 bytes, but the lookup holds 4"),
]


@pytest.mark.parametrize(("make", "message"), MISTAKES)
def test_mistakes(make: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        make()


def test_the_text_drafts_beside_a_model_unless_said_otherwise() -> None:
    model, words = looping("gpt2")
    small = tokenizer("qwen2")
    pair = model, words, random_model("llama", small, num_hidden_layers=1), small
    assert SpeculativeDecoder(*pair).lookup is not None
    # A number counts the assistant's ids.
    for lookahead in (5, "heuristic", Auto()):
        assert SpeculativeDecoder(*pair, lookahead=lookahead).lookup is None
        assert SpeculativeDecoder(*pair, lookahead=lookahead, lookup=True).lookup is not None
    assert SpeculativeDecoder(*pair, lookup=False).lookup is None
    assert SpeculativeDecoder(model, words).lookup is None
    # A drafter of the user's is asked alone.
    guess = SimpleNamespace(propose=lambda *_: b"")
    assert SpeculativeDecoder(model, words, cast("Any", guess)).lookup is None


def test_by_default_a_text_that_repeats_drafts_for_itself() -> None:
    """Passes of any width take the same here, so what the text promises is always worth more."""
    model, words = looping("gpt2")
    small = tokenizer("qwen2")
    decoder = SpeculativeDecoder(model, words, random_model("llama", small), small)
    decoder.generate(REPEATING, max_new_tokens=8)  # the cost of a plain pass
    costs = cast("Any", decoder)._engine.estimates.costs(rows=1)
    for width in range(1, 80):
        for _ in range(20):
            costs.verified(width, 1.0)
    out = decoder.generate(REPEATING, max_new_tokens=60)
    assert out.token_ids == plain_ids(model, words(REPEATING)["input_ids"], max_new_tokens=60)
    assert out.stats.looked_up_accepted > 0


def test_options_that_cannot_be_lookups() -> None:
    model, words = looping("gpt2")
    with pytest.raises(UagError, match="the assistant is a str"):
        SpeculativeDecoder(model, words, "look-up")
    with pytest.raises(OptionError, match="'look-up' cannot draft"):
        SpeculativeDecoder(model, words, lookup=cast("Any", "look-up"))
    with pytest.raises(OptionError, match="give one"):
        SpeculativeDecoder(model, words, "lookup", lookup=Lookup())


def test_a_search_has_read_what_it_was_given() -> None:
    search: Search = Lookup().search()
    search.append("日本".encode())
    assert (search.text, search.memory > 0, search.find(3, 1).matched) == ("日本".encode(), True, 0)


# The command line.


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    target = tmp_path_factory.mktemp("target")
    random_model("llama", tokenizer("gpt2")).save_pretrained(target)
    tokenizer("gpt2").save_pretrained(target)
    return str(target)


def test_the_command_looks_up(
    capsys: pytest.CaptureFixture[str], folder: str, tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    text.write_text(STORY)
    plain = run(capsys, "generate", "--target", folder, "-n", "30", PROMPT)
    ways = ["--assistant", "lookup"], ["--lookup"], ["--no-lookup"], ["--text", str(text)]
    for extra in ways:
        assert run(capsys, "generate", "--target", folder, *extra, "-n", "30", PROMPT) == plain
    contradiction = ["--no-lookup", "--text", str(text)]
    status, _, err = run(capsys, "generate", "--target", folder, *contradiction, PROMPT)
    assert status == 2
    assert "leave one out" in err
    status, _, err = run(capsys, "generate", "--target", folder, "--text", "/no/file", PROMPT)
    assert (status, err.count("\n")) == (1, 1)
    assert "cannot read a text from /no/file" in err


def test_compare_has_transformers_prompt_lookup_beside_it(
    capsys: pytest.CaptureFixture[str], folder: str
) -> None:
    arguments = ["--target", folder, "--assistant", "lookup", "-n", "8", "--runs", "1", "--json"]
    status, out, _ = run(capsys, "compare", *arguments, "--limit", "1")
    assert status == 0
    assert '"transformers"' in out
    assert '"lookup": true' in out
