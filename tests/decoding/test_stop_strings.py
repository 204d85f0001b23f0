"""Stop strings end a text at the id at which transformers' `StopStringCriteria` ends it."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, StoppingCriteriaList, StopStringCriteria

from tests.support.models import plain_ids, random_model, with_story
from tests.support.scripted import scripted_target
from tests.support.tokenizers import ALL_TOKENIZERS, PROMPT, TEXT, tokenizer
from uag import OptionError, SpeculativeDecoder
from uag.decoding.stop_strings import StopStrings
from uag.decoding.token_texts import TokenTexts


def with_added_tokens() -> PreTrainedTokenizerFast:
    """Tokens that stand outside the vocabulary: special ones and others, with spaces and bytes."""
    words = ALL_TOKENIZERS["gpt2"]()
    words.add_tokens(["<|a b|>", "two words", "é", AddedToken(" dog", lstrip=True)])
    words.add_special_tokens({"additional_special_tokens": ["<|im_end|>", "日本"]})
    return words


def without_decoder() -> PreTrainedTokenizerFast:
    """Joins its tokens by spaces."""
    raw = Tokenizer(models.WordLevel({"abcdef": 0, "a": 1, "dog": 2, "<unk>": 3}, "<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>", eos_token="<unk>")


def with_empty_tokens() -> PreTrainedTokenizerFast:
    """Has a token that is written as nothing, and bytes in either case."""
    pieces = [*"abcdef", "bc", "<0x20>", "<0xc3>", "<0xA9>", "~", "a~b", "ca"]
    raw = Tokenizer(models.BPE({piece: id for id, piece in enumerate(pieces)}, []))
    raw.decoder = decoders.Sequence([decoders.Replace("~", ""), decoders.ByteFallback()])
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="a")


def with_letters() -> PreTrainedTokenizerFast:
    """WordPiece as BERT's, which joins words by spaces and takes some away."""
    pieces = ["<unk>", "abc", "##def", "##s", "dog", ".", ",", "don", "'", "t", "n't", "日", "##本"]
    raw = Tokenizer(
        models.WordPiece({piece: id for id, piece in enumerate(pieces)}, unk_token="<unk>")
    )
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.decoder = decoders.WordPiece()
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>", eos_token="<unk>")


KINDS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    **{name: make for name, make in ALL_TOKENIZERS.items() if name != "wordpiece"},
    "added": with_added_tokens,
    "letters": with_letters,
    "no decoder": without_decoder,
    "empty tokens": with_empty_tokens,
}


@cache
def kind(name: str) -> PreTrainedTokenizerFast:
    return KINDS[name]()


def theirs(words: Any, strings: list[str], ids: list[int]) -> bool:
    return bool(StopStringCriteria(words, strings)(torch.tensor([ids]), None))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", KINDS)
def test_each_token_has_the_text_that_transformers_matches(name: str) -> None:
    words = kind(name)
    mode: Any = StopStringCriteria._get_stop_string_matching_mode(words)
    texts, ids = StopStringCriteria.clean_tokenizer_vocab(words, stop_string_matching_mode=mode)
    own = TokenTexts(words)
    assert own.has_bytes == (mode is not None)
    assert [own[id] for id in ids] == [
        text if isinstance(text, bytes) else text.encode() for text in texts
    ]


@st.composite
def texts_and_strings(draw: st.DrawFn) -> tuple[str, list[int], list[str]]:
    """A tokenizer, ids of a text or any, and strings that are near the end of it."""
    name = draw(st.sampled_from([*KINDS]))
    words = kind(name)
    size = len(words)
    start = draw(st.integers(0, len(TEXT) // 3))
    told: list[int] = words(TEXT[start : start + 30], add_special_tokens=False)["input_ids"]
    strange = draw(st.lists(st.integers(0, size + 3), max_size=4))
    at = draw(st.integers(0, len(told)))
    ids = draw(st.sampled_from([told, told[:at] + strange, strange + told[at:], strange])) or [0]
    written = b"".join(TokenTexts(words)[id] or b"" for id in ids).decode(errors="ignore")
    end = draw(st.integers(0, 3))
    near = written[len(written) - end - draw(st.integers(1, 12)) : len(written) - end]
    others = draw(
        st.lists(st.sampled_from(["a", "e", "é", "<end>", " ", "zq", "abcdef"]), max_size=2)
    )
    return name, ids, [each for each in (near, *others) if each] or ["a"]


@settings(max_examples=300, deadline=None)
@given(texts_and_strings())
@example(("added", [0], ["<end>"]))
def test_a_string_is_found_where_transformers_finds_it(
    case: tuple[str, list[int], list[str]],
) -> None:
    name, ids, strings = case
    words = kind(name)
    try:
        expected = theirs(words, strings, ids)
    except ValueError:
        with pytest.raises(OptionError, match="no token"):
            StopStrings(words, strings)
        return
    found = StopStrings(words, strings).found(ids)
    assert (found is not None) == expected
    assert found is None or found in strings


def test_a_tokenizer_that_transformers_matches_nothing_with_is_refused() -> None:
    words = tokenizer("wordpiece")  # has no "f"
    with pytest.raises(ValueError, match="substring not found"):
        StopStringCriteria(words, ["dog"])
    with pytest.raises(OptionError, match="cannot write"):
        StopStrings(words, ["dog"])


def test_the_tokenizer_of_the_tokenizers_library_finds_the_same() -> None:
    words = tokenizer("llama2")
    ids = words("Once upon a time")["input_ids"]
    for string in ("tim", "a ti", "</s>", " time", "Onc"):
        ours = StopStrings(words.backend_tokenizer, string).found(ids)
        assert (ours is not None) == theirs(words, [string], ids)


def test_as_a_criterion_it_answers_for_each_row() -> None:
    words = tokenizer("gpt2")
    texts = ("there was a little girl", "She liked to play with her dog")
    rows: Any = torch.tensor([words(text)["input_ids"][-5:] for text in texts])
    stop = StopStrings(words, ["little girl"])
    assert stop(rows, None).tolist() == [True, False]
    assert StopStringCriteria(words, ["little girl"])(rows, None).tolist() == [True, False]


def endings(written: bytes, before: str) -> dict[str, list[str]]:
    """Stop strings of each kind for a text that goes on with `written`."""
    text = written.decode(errors="ignore")
    return {
        "inside a token": [text[1:3]],
        "over tokens": [text[2:14]],
        "from the prompt on": [before[-6:] + text[:2]],
        "in the prompt": [before[-6:], "never there"],
        "several": [text[9:12], text[5:7], text[20:22]],
        "of characters of many bytes": [each for each in text if len(each.encode()) > 1][:2]
        or ["é"],
        "a special token": ["<end>", "</s>"],
        "never": ["never there"],
    }


@pytest.mark.parametrize("place", [0, 30, 90])
@pytest.mark.parametrize("pair", [("llama2", "gpt2"), ("gpt2", "bytes"), ("bytes", "llama3")])
def test_generation_ends_at_the_same_id_and_streams_no_further(
    place: int, pair: tuple[str, str]
) -> None:
    decoder = scripted_target("llama", pair)
    words: Any = decoder.tokenizer
    prompt = words(PROMPT)["input_ids"]
    prompt += plain_ids(decoder.model, prompt, max_new_tokens=place) if place else []
    whole = plain_ids(decoder.model, prompt, max_new_tokens=32, eos_token_id=None)
    written = b"".join(TokenTexts(words)[id] or b"" for id in whole)
    for strings in endings(written, words.decode(prompt)).values():
        options: dict[str, Any] = {
            "stop_strings": strings,
            "max_new_tokens": 32,
            "eos_token_id": None,
        }
        expected = plain_ids(decoder.model, prompt, tokenizer=words, **options)
        out = decoder.generate(prompt, **options)
        assert out.token_ids == expected
        stopped = len(expected) < 32 or StopStrings(words, strings).found(prompt + expected)
        ending = out.stats.history[-1].ending
        assert ending is not None and (ending.reason == "stop_string") == bool(stopped)
        assert ending.by in (strings if stopped else [None])
        assert "".join(decoder.stream(prompt, **options)) == out.text


def test_a_callers_own_criterion_takes_the_place_of_the_option() -> None:
    decoder = scripted_target("llama", ("gpt2", "bytes"))
    words: Any = decoder.tokenizer
    own = StoppingCriteriaList([StopStringCriteria(words, ["never"])])
    options: dict[str, Any] = {"stop_strings": ["e"], "stopping_criteria": own, "max_new_tokens": 9}
    prompt = words(PROMPT)["input_ids"]
    expected = plain_ids(decoder.model, prompt, tokenizer=words, **options)
    assert decoder.generate(prompt, **options).token_ids == expected


def test_the_vocabulary_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    words = tokenizer("gpt2")
    decoder = SpeculativeDecoder(with_story(random_model("llama", words), words), words)
    monkeypatch.setattr(type(words), "get_vocab", lambda _: pytest.fail("read"))
    out = decoder.generate(PROMPT, stop_strings="dog", max_new_tokens=40)
    assert out.text.endswith("dog")
