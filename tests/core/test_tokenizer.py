"""`_core.Tokenizer`: what it reads is what the tokenizers library does; the rest it refuses."""

import json

import pytest
import tokenizers
from tokenizers import AddedToken, pre_tokenizers

from tests.support.tampered import TAMPERINGS, serialised
from tests.support.texts import check_no_difference
from tests.support.tokenizers import tokenizer
from uag import _core


@pytest.mark.parametrize("part", ["normalizer", "pre_tokenizer", "model", "decoder"])
def test_what_is_not_understood_is_refused_by_name_or_goes_through_the_tokenizer(part: str) -> None:
    serialised = tokenizer("llama3").backend_tokenizer.to_str()
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


def test_an_error_in_the_real_tokenizer_is_an_error_here() -> None:
    spec = json.loads(tokenizer("llama3").backend_tokenizer.to_str())
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


@pytest.mark.parametrize("scheme", ["first", "always", "never"])
@pytest.mark.parametrize("normalized", [False, True])
def test_no_space_is_put_before_an_added_token(scheme: str, normalized: bool) -> None:
    raw = tokenizers.Tokenizer.from_str(serialised("llama2+metaspace"))
    raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    raw.add_tokens([AddedToken("<t>", normalized=normalized), AddedToken(" the", normalized=True)])
    check_no_difference(
        raw, ["<t>", "<t>x", "<t> x", "x<t>", "<t><t>", " <t>", "the", " the", "a the", "<"]
    )
    for text in ("<t>", "x <t>", "<t><t>", "the"):
        stream = _core.IncrementalEncoder(_core.Tokenizer(raw.to_str()))
        stream.append(text.encode())
        assert stream.exact and stream.ids == raw.encode(text, add_special_tokens=False).ids


def test_the_name_of_the_unknown_token_is_unknown_text() -> None:
    raw = tokenizers.Tokenizer.from_str(serialised("unigram"))
    check_no_difference(raw, ["<unk>", "<unk>灯", "灯<unk>", "灯<unk>灯 <unk> a"])


@pytest.mark.parametrize(
    "part", ["no pre tokenizer", "prepended twice", "split at spaces inverted"]
)
def test_what_was_misread_is_refused(part: str) -> None:
    (one,) = (one for one in TAMPERINGS if one.name == part)
    with pytest.raises(_core.UnsupportedTokenizer):
        _core.Tokenizer(one.json)
