"""`_core.Bridge` and `_core.Translation`: one text in two vocabularies, against real tokenizers."""

import threading
from random import Random

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from tests.support.faults import pair_that_lasts
from tests.support.laws import Player, play
from tests.support.texts import NAMES, real, texts
from tests.support.tokenizers import TEXT
from uag import CoreError, _core


@given(st.sampled_from(NAMES), st.sampled_from(NAMES), texts, st.integers(0, 2**32))
def test_both_sides_stay_in_step(target: str, assistant: str, text: str, seed: int) -> None:
    ends = [(real(target).specials[-1], real(assistant).specials[-1])]
    play(Player(real(target), real(assistant), ends, Random(seed)), text, rounds=20)


def test_special_tokens_map_by_role_and_others_carry_no_text() -> None:
    target, assistant = real("llama3"), real("llama2")
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
    target, assistant = real("gpt2"), real("qwen2")
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
    llama = real("llama2")
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
    target, assistant = real("bytes"), real(assistant_name)
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
    target, assistant = real("gpt2"), real("llama3")
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


def test_wordpiece_works_through_the_tokenizer() -> None:
    raw = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    raw.normalizer = normalizers.BertNormalizer(lowercase=False)
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.decoder = decoders.WordPiece()
    raw.train_from_iterator(
        [TEXT],
        trainers.WordPieceTrainer(vocab_size=300, special_tokens=["[UNK]"], show_progress=False),
    )

    def encode(text: str) -> list[tuple[int, int, int]]:
        encoding = raw.encode(text, add_special_tokens=False)
        return [
            (id, start, end)
            for id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
        ]

    slow, fast = _core.Tokenizer(raw.to_str(), encode), real("llama3")
    assert not slow.fast
    sequence = _core.Bridge(fast.core, slow, []).start(
        fast.encode("the little"), raw.encode("the little").ids
    )
    drafted = raw.encode("dog").ids
    assert fast.text(sequence.propose(drafted).ids, start=False) == b" dog"
    sequence.commit(fast.encode(" dog ran"))
    assert sequence.assistant_ids == raw.encode("the little dog ran").ids


def test_one_sequence_a_thread() -> None:
    target, assistant = real("llama3"), real("llama2")
    bridge = _core.Bridge(target.core, assistant.core, [])
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            rng = Random(seed)
            for _ in range(20):
                text = "".join(rng.choices(TEXT, k=60))
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


@pytest.mark.parametrize("what", ["propose", "commit", "target_ids", "assistant_ids", "held"])
def test_a_sequence_that_panicked_is_unusable_and_says_so(what: str) -> None:
    decoder = pair_that_lasts()
    broken, other = (decoder.bridge.start([5, 6], []) for _ in range(2))
    with pytest.raises(CoreError, match=r"a bug in the core: odd \d; please report it"):
        broken._test_panic("odd 1")
    with pytest.raises(CoreError, match="unusable: an earlier call failed half-way"):
        getattr(broken, what)([7])
    other.commit([7])
    assert other.target_ids == [5, 6, 7]
