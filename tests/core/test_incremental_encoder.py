"""`_core.IncrementalEncoder`: the ids of a text that grows and shrinks are those of the whole."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, pre_tokenizers

from tests.support.real_tokenizer import RealTokenizer
from tests.support.texts import NAMES, check_no_difference, real, texts
from tests.support.tokenizers import GPT2_SPLIT, LLAMA3_SPLIT, TEXT, byte_level, unigram
from uag import _core


@given(
    st.sampled_from(NAMES),
    texts,
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 60)), max_size=12),
)
def test_a_stream_has_the_ids_of_its_whole_text(
    name: str, text: str, cuts: list[tuple[int, int]]
) -> None:
    data, stream = text.encode(), _core.IncrementalEncoder(real(name).core)
    for end, back in cuts:
        stream.truncate(max(0, len(stream) - back))
        stream.append(data[len(stream) : end])
    stream.append(data[len(stream) :])
    assert stream.text == data
    if stream.exact:
        assert stream.ids == real(name).encode(text)
    else:
        assert real(name).faithful(data) is None


def test_t5_style_unigram_is_incremental_where_its_normalizer_changes_nothing() -> None:
    raw = unigram(120)
    core = _core.Tokenizer(raw.to_str())
    assert (core.fast, core.family) == (True, "Unigram")
    line = TEXT.replace("\n", " ").strip() + " 😀😀 zzz  two  spaces "
    stream = _core.IncrementalEncoder(core)
    for start in range(0, len(line.encode()), 5):
        stream.append(line.encode()[start : start + 5])
        whole = stream.text.decode(errors="ignore")
        if not stream.held:
            assert stream.ids == raw.encode(whole).ids
    assert stream.exact


def test_added_tokens_are_found_as_the_library_finds_them() -> None:
    raw = byte_level(LLAMA3_SPLIT, 300).backend_tokenizer
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
    library = RealTokenizer(raw)
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
        stream, at = _core.IncrementalEncoder(library.core), 0
        while at < len(text):
            step = rng.randrange(1, 6)
            stream.append(text[at : at + step].encode())
            at += step
            assert stream.ids == library.encode(text[:at]), text[:at]


def test_a_space_that_follows_an_added_token_is_enough() -> None:
    raw = byte_level(GPT2_SPLIT, 420).backend_tokenizer
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    raw.add_tokens([AddedToken("<t>", normalized=False)])
    check_no_difference(raw, ["<t>", "<t> a", "a<t> b", "a<t>b", "<t>b"])
    stream = _core.IncrementalEncoder(_core.Tokenizer(raw.to_str()))
    stream.append(b"a<t>")
    assert stream.exact
    stream.append(b"b")
    assert not stream.exact, "it would get a space of its own"
    stream.truncate(4)
    stream.append(b" b")
    assert stream.exact and stream.ids == raw.encode("a<t> b").ids
