"""The Rust core against the real tokenizers: the laws on small ones, and what has no text."""

import json
import threading
from functools import cache
from random import Random

import fakes
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from laws import Oracle, Player, play
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers
from uag import _core

NAMES = ["gpt2", "llama3", "qwen2", "llama2", "bytes"]
STRANGE = "e\u0301 \u2581x \ufb01 <0x41> \u00e9\u200d \u3000 '\u017f 12345 <end> <s> \r\n\n \t"


@cache
def oracle(name: str) -> Oracle:
    return Oracle(fakes.tokenizer(name).backend_tokenizer)


texts = st.one_of(
    st.text(max_size=300),
    st.text(alphabet=fakes.TEXT + STRANGE, max_size=300),
    st.lists(
        st.sampled_from([*fakes.TEXT.split(" "), *STRANGE.split(" "), " ", "  ", "\n"]), max_size=60
    ).map(" ".join),
)


@given(st.sampled_from(NAMES), st.sampled_from(NAMES), texts, st.integers(0, 2**32))
def test_both_sides_stay_in_step(target: str, assistant: str, text: str, seed: int) -> None:
    ends = [(oracle(target).specials[-1], oracle(assistant).specials[-1])]
    play(Player(oracle(target), oracle(assistant), ends, Random(seed)), text, rounds=20)


@given(
    st.sampled_from(NAMES),
    texts,
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 60)), max_size=12),
)
def test_a_stream_has_the_ids_of_its_whole_text(
    name: str, text: str, cuts: list[tuple[int, int]]
) -> None:
    data, stream = text.encode(), _core.IncrementalEncoder(oracle(name).core)
    for end, back in cuts:
        stream.truncate(max(0, len(stream) - back))
        stream.append(data[len(stream) : end])
    stream.append(data[len(stream) :])
    assert stream.text == data
    if stream.exact:
        assert stream.ids == oracle(name).encode(text)
    else:
        assert oracle(name).faithful(data) is None


def test_t5_style_unigram_is_incremental_where_its_normalizer_changes_nothing() -> None:
    raw = fakes.unigram(120)
    core = _core.Tokenizer(raw.to_str())
    assert (core.fast, core.family) == (True, "Unigram")
    line = fakes.TEXT.replace("\n", " ").strip() + " 😀😀 zzz  two  spaces "
    stream = _core.IncrementalEncoder(core)
    for start in range(0, len(line.encode()), 5):
        stream.append(line.encode()[start : start + 5])
        whole = stream.text.decode(errors="ignore")
        if not stream.held:
            assert stream.ids == raw.encode(whole).ids
    assert stream.exact


def test_added_tokens_are_found_as_the_library_finds_them() -> None:
    raw = fakes.byte_level(fakes.LLAMA3_SPLIT, 300).backend_tokenizer
    raw.add_tokens(
        [
            AddedToken("<think>", normalized=False),
            AddedToken("<think>more", normalized=False),
            AddedToken("cat", single_word=True, normalized=False),
            AddedToken("<m>", lstrip=True, rstrip=True, normalized=False),
            AddedToken("  ", normalized=True),
            AddedToken("   ", normalized=True),
        ]
    )
    real = Oracle(raw)
    parts = [
        "<think>",
        "<thin",
        "k>",
        "more",
        "cat",
        "cats",
        " ",
        "  ",
        "<m>",
        "a",
        "\n",
        "<",
        "_",
        "é",
    ]
    rng = Random(5)
    for _ in range(1500):
        text = "".join(rng.choice(parts) for _ in range(rng.randrange(1, 14)))
        stream, at = _core.IncrementalEncoder(real.core), 0
        while at < len(text):
            step = rng.randrange(1, 6)
            stream.append(text[at : at + step].encode())
            at += step
            assert stream.ids == real.encode(text[:at]), text[:at]


def test_special_tokens_map_by_role_and_others_carry_no_text() -> None:
    target, assistant = oracle("llama3"), oracle("llama2")
    end, other_end, begin = (
        target.tokenizer.token_to_id("<end>"),
        2,
        target.tokenizer.token_to_id("<begin>"),
    )
    bridge = _core.Bridge(target.core, assistant.core, [(end, other_end)])
    sequence = bridge.start(target.encode("a dog"), assistant.encode("a dog"))
    drafted = sequence.propose([*assistant.encode("x")[-1:], other_end, 5])
    assert drafted.ids[-1] == end
    assert drafted.draft_ends[-1] == 2
    assert sequence.propose([1]).cut == "special", "<s> has no counterpart"
    before = sequence.assistant_ids
    assert sequence.commit([begin]).cause == "special", "the draft held one"
    assert sequence.assistant_ids == before
    assert sequence.commit([end]).feed == [other_end]
    # After it a new text begins, which gets a space of its own again.
    sequence.commit(target.encode("the dog"))
    assert sequence.assistant_ids == [*before, other_end, *assistant.encode("the dog")]


def test_ids_that_stand_for_nothing() -> None:
    target, assistant = oracle("gpt2"), oracle("qwen2")
    sequence = _core.Bridge(target.core, assistant.core, []).start(
        target.encode("a dog"), assistant.encode("a dog")
    )
    row = assistant.core.vocab_size + 7
    assert assistant.core.token_bytes(row) is None
    assert not assistant.core.is_special(row)
    good = assistant.encode(" in")
    proposal = sequence.propose([*good, row, *good])
    assert target.text(proposal.ids, start=False) == b" in"
    assert proposal.cut == "no text"
    before = sequence.assistant_ids
    edit = sequence.commit([target.core.vocab_size + 1])
    assert (sequence.assistant_ids, edit.cause) == (before, "ahead"), (
        "a padding row that the target emits adds no text"
    )
    with pytest.raises(ValueError, match=r"token id -1 at index 1 .* 0 to 4294967295"):
        sequence.commit([3, -1])
    with pytest.raises(ValueError, match="4294967296"):
        sequence.propose([2**32])
    with pytest.raises(TypeError):
        sequence.propose("abc")  # type: ignore[arg-type]
    assert sequence.commit(target.encode(" in")).feed == good, "usable after an error"


def test_ids_with_equal_bytes_are_all_understood_and_the_tokenizer_s_own_is_given() -> None:
    llama = oracle("llama2")
    newline, byte = llama.encode("\n")[-1], llama.tokenizer.token_to_id("<0x0A>")
    assert newline == byte
    letter, spelled = llama.encode("\na")[-1], llama.tokenizer.token_to_id("<0x61>")
    assert letter != spelled
    assert llama.core.token_bytes(letter) == llama.core.token_bytes(spelled) == b"a"
    sequence = _core.Bridge(llama.core, llama.core, []).start(llama.encode("b"), llama.encode("b"))
    assert sequence.propose([byte, spelled]).ids == [newline, letter]
    sequence.commit([byte, spelled])
    assert sequence.target_ids[-2:] == [byte, spelled]
    assert sequence.assistant_ids[-2:] == [newline, letter]


@pytest.mark.parametrize("assistant_name", ["bytes", "llama2"])
def test_an_unfinished_character_is_carried(assistant_name: str) -> None:
    target, assistant = oracle("bytes"), oracle(assistant_name)
    ids = {data: id for id, data in target.bytes.items()}
    sequence = _core.Bridge(target.core, assistant.core, []).start(
        target.encode("a"), assistant.encode("a")
    )
    first, second, third = (ids[bytes([byte])] for byte in "日".encode())
    before = sequence.assistant_ids
    assert sequence.commit([first]).feed == []
    assert sequence.commit([second]).feed == []
    assert sequence.assistant_ids == before
    draft = assistant.encode("a日")[len(before) :]
    assert sequence.propose(draft).ids == [third], (
        "the draft begins where the assistant's text ends"
    )
    assert sequence.propose(assistant.encode("ax")[-1:]).cut == "mismatch"
    sequence.propose(draft)
    edit = sequence.commit([third])
    assert (edit.feed, edit.cause) == ([], ""), "the draft's ids stay"
    assert sequence.assistant_ids == assistant.encode("a日")
    sequence.commit([first, ids[b"x"]])
    assert assistant.text(sequence.assistant_ids, start=True) == "a日".encode() + b"\xe6x", (
        "no U+FFFD, ever"
    )


def test_causes() -> None:
    target, assistant = oracle("gpt2"), oracle("llama3")
    sequence = _core.Bridge(target.core, assistant.core, []).start(
        target.encode("The"), assistant.encode("The")
    )

    def cause(drafted: str, emitted: str) -> str:
        sequence.propose(assistant.encode(drafted))
        return sequence.commit(target.encode(emitted)).cause

    assert cause(" park", " park") == ""
    assert cause(" dog", " park") == "text"
    assert cause(" dog ran", " dog") == "ahead"
    letters = [id for letter in "dog" for id in assistant.encode(letter)]
    sequence.propose([*assistant.encode(" "), *letters])
    assert sequence.commit(target.encode(" dog")).cause == "boundary"


@pytest.mark.parametrize("part", ["normalizer", "pre_tokenizer", "model", "decoder"])
def test_what_is_not_understood_is_refused_by_name_or_goes_through_the_tokenizer(part: str) -> None:
    serialised = fakes.tokenizer("llama3").backend_tokenizer.to_str()
    spec = json.loads(serialised)
    strange = {
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "model": spec["model"] | {"dropout": 0.5},
        "decoder": {"type": "CTC"},
    }
    spec[part] = strange[part]
    with pytest.raises(_core.UnsupportedTokenizer, match=part):
        _core.Tokenizer(json.dumps(spec))
    if part != "decoder":
        core = _core.Tokenizer(json.dumps(spec), lambda text: [(7, 0, len(text))])
        assert not core.fast
        assert part in core.reason
        assert core.encode(b"abc") == [7]


def test_wordpiece_works_through_the_tokenizer() -> None:
    raw = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    raw.normalizer = normalizers.BertNormalizer(lowercase=False)
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.decoder = decoders.WordPiece()
    raw.train_from_iterator(
        [fakes.TEXT],
        trainers.WordPieceTrainer(vocab_size=300, special_tokens=["[UNK]"], show_progress=False),
    )

    def encode(text: str) -> list[tuple[int, int, int]]:
        encoding = raw.encode(text, add_special_tokens=False)
        return [
            (id, start, end)
            for id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
        ]

    slow, fast = _core.Tokenizer(raw.to_str(), encode), oracle("llama3")
    assert not slow.fast
    sequence = _core.Bridge(fast.core, slow, []).start(
        fast.encode("the little"), raw.encode("the little").ids
    )
    drafted = raw.encode("dog").ids
    assert fast.text(sequence.propose(drafted).ids, start=False) == b" dog"
    sequence.commit(fast.encode(" dog ran"))
    assert sequence.assistant_ids == raw.encode("the little dog ran").ids


def test_an_error_in_the_real_tokenizer_is_an_error_here() -> None:
    spec = json.loads(fakes.tokenizer("llama3").backend_tokenizer.to_str())
    spec["normalizer"] = {"type": "Lowercase"}

    def fails(text: str) -> list[tuple[int, int, int]]:
        raise RuntimeError(f"no {text}")

    core = _core.Tokenizer(json.dumps(spec), fails)
    with pytest.raises(
        ValueError, match="the tokenizer failed on 3 bytes of text: RuntimeError: no abc"
    ):
        core.encode(b"abc")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"model": 3}', '{"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}}'],
)
def test_json_that_is_no_tokenizer(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a tokenizer\.json"):
        _core.Tokenizer(text)


def test_one_sequence_a_thread() -> None:
    target, assistant = oracle("llama3"), oracle("llama2")
    bridge = _core.Bridge(target.core, assistant.core, [])
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            rng = Random(seed)
            for _ in range(20):
                text = "".join(rng.choices(fakes.TEXT, k=60))
                sequence = bridge.start(target.encode("a"), assistant.encode("a"))
                for id in target.encode("a" + text)[1:]:
                    sequence.propose(rng.choices(assistant.plain, k=4))
                    sequence.commit([id])
                whole = target.text(sequence.target_ids, start=True).decode()
                assert sequence.assistant_ids == assistant.encode(whole)
        except BaseException as error:  # noqa: BLE001 - reported by the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
