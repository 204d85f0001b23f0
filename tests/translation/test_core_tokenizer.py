"""A tokenizer becomes the core's: read, checked, or kept as it is."""

import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tests.support.models import plain_ids, random_model
from tests.support.tampered import TAMPERINGS, Tampering
from tests.support.texts import DOCUMENTS
from tests.support.tokenizers import PROMPT, TEXT, TOKENIZERS, tokenizer
from uag import SpeculativeDecoder, UnsupportedTokenizerError, inspect_pair
from uag.conformance.laws import Laws
from uag.conformance.texts import random_texts
from uag.translation import core_tokenizer as reader
from uag.translation.detokenizer import OWN_TEXT


def test_disagreement_with_the_tokenizer_goes_through_the_tokenizer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader, "disagreement", lambda *_: "a text")
    own = TOKENIZERS["gpt2"]()
    own.add_tokens(["<known to nobody>"])
    with pytest.warns(UserWarning, match="disagrees with the tokenizer on 'a text'"):
        core = reader.core_tokenizer(own)
    assert not core.fast and "a text" in core.reason
    assert core.encode(PROMPT.encode()) == tokenizer("gpt2")(PROMPT)["input_ids"]


UNKNOWN_DECODERS = ["decoder that fuses", "decoder without spaces"]


@pytest.mark.parametrize("tampering", TAMPERINGS, ids=str)
@pytest.mark.filterwarnings("ignore:the fast path disagrees")
def test_a_file_that_was_tampered_with_is_read_as_it_stands(tampering: Tampering) -> None:
    """Or by the tokenizer itself, which also writes the text if the decoder is unknown."""
    raw = tokenizers.Tokenizer.from_str(tampering.json)
    core = reader.core_tokenizer(raw)
    assert core.reason.startswith(OWN_TEXT) == (tampering.name in UNKNOWN_DECODERS)
    tally = Laws(core, raw).compare(random_texts(DOCUMENTS, 20_000, 0, ["<tool>", "xyz", "   "]))
    # The bytes of the slow path's tokens are those of its vocabulary, whatever its decoder does.
    assert not [one for one in tally.differences if core.fast or one.law != "bytes"]


def spoken(model: Any, decoder: Any, trainer: Any, spaces: Any) -> PreTrainedTokenizerFast:
    """A tokenizer with this decoder; `None` for a file that names none."""
    raw = tokenizers.Tokenizer(model)
    raw.pre_tokenizer = spaces
    trainer = trainer(vocab_size=300, special_tokens=["[UNK]", "[END]"], show_progress=False)
    raw.train_from_iterator([TEXT], trainer)
    if decoder is not None:
        raw.decoder = decoder
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="[UNK]", eos_token="[END]")


def words(decoder: Any) -> PreTrainedTokenizerFast:
    model, spaces = models.WordLevel(unk_token="[UNK]"), pre_tokenizers.Whitespace()
    return spoken(model, decoder, trainers.WordLevelTrainer, spaces)


def pieces(decoder: Any) -> PreTrainedTokenizerFast:
    return spoken(models.BPE(unk_token="[UNK]"), decoder, trainers.BpeTrainer, METASPACE)


METASPACE = pre_tokenizers.Metaspace()
CTC = decoders.CTC(pad_token="[UNK]", word_delimiter_token="▁")
UNKNOWN: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "words, none": lambda: words(None),
    "words, Fuse": lambda: words(decoders.Fuse()),
    "words, Strip": lambda: words(decoders.Strip("~", 1, 1)),
    "words, Replace": lambda: words(decoders.Replace("o", "0")),
    "pieces, none": lambda: pieces(None),
    "pieces, Replace": lambda: pieces(decoders.Replace("▁", " ")),
    "pieces, CTC": lambda: pieces(CTC),
    "pieces, Sequence": lambda: pieces(decoders.Sequence([CTC, decoders.Fuse()])),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_decoder_that_the_core_does_not_know(name: str) -> None:
    own, other = UNKNOWN[name](), tokenizer("llama2")
    model, small = random_model("llama", own, seed=3), random_model("llama", other)
    ids: list[int] = own(PROMPT)["input_ids"]
    expected = plain_ids(model, ids, max_new_tokens=24)
    text = own.decode(ids + expected, skip_special_tokens=True)
    opening = own.decode(ids, skip_special_tokens=True)
    for assistant in ((), (model, own), (small, other)):
        decoder = SpeculativeDecoder(model, own, *assistant, lookahead=4)
        assert not decoder.bridge.fast.target
        assert decoder.bridge.reason.target.startswith(OWN_TEXT)
        out = decoder.generate(PROMPT, max_new_tokens=24)
        assert (out.token_ids, opening + out.text) == (expected, text)
        assert "".join(decoder.stream(PROMPT, max_new_tokens=24)) == out.text
        assert out.stats.assistant_error == ""
    backwards = SpeculativeDecoder(small, other, model, own, lookahead=4)
    out = backwards.generate(PROMPT, max_new_tokens=24)
    assert out.stats.drafted and not out.stats.assistant_error
    assert "Works." in inspect_pair(own, other).verdict


def test_tokens_joined_by_spaces_are_drafted() -> None:
    """Where the texts of tokens are those that are decoded, an assistant can be right."""
    own = words(None)
    model = random_model("llama", own, seed=3)
    out = SpeculativeDecoder(model, own, model, own, lookahead=4).generate(
        PROMPT, max_new_tokens=24
    )
    assert out.stats.accepted > 8


def test_ids_far_beyond_the_tokens_are_refused() -> None:
    raw = tokenizers.Tokenizer(models.WordLevel({"a": 0, "b": 2**25}, unk_token="a"))
    with pytest.raises(UnsupportedTokenizerError, match=r"the tokenizer cannot be used: .*beyond"):
        reader.core_tokenizer(raw)


def test_padding_switched_on_by_another_thread_does_not_cost_the_fast_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The original encodes otherwise in the middle of the check; its copy does not."""
    own = TOKENIZERS["gpt2"]().backend_tokenizer
    own.add_tokens(["<known to one thread>"])
    monkeypatch.setattr(reader, "disagreement", lambda _, plain: "a text" if plain is own else None)
    assert reader.core_tokenizer(own).fast


def changed(name: str) -> tuple[PreTrainedTokenizerFast, Callable[[tokenizers.Tokenizer], object]]:
    """A tokenizer, and a change of one of its parts."""
    other = TOKENIZERS["qwen2"]().backend_tokenizer
    changes: dict[str, Callable[[Any], object]] = {
        "an added token": lambda own: own.add_tokens(["<tool>"]),
        "a special one": lambda own: own.add_special_tokens(["<tool>"]),
        "a flag of one": lambda own: own.add_special_tokens([AddedToken("<end>", lstrip=True)]),
        "the normalizer": lambda own: setattr(own, "normalizer", normalizers.NFC()),
        "the split": lambda own: setattr(own, "pre_tokenizer", other.pre_tokenizer),
        "the decoder": lambda own: setattr(own, "decoder", decoders.Fuse()),
        "the model": lambda own: setattr(own, "model", other.model),
        "a setting": lambda own: setattr(own.model, "unk_token", "a"),
        "fallback": lambda own: setattr(own.model, "ignore_merges", True),
    }
    return TOKENIZERS["gpt2"](), changes[name]


CHANGES = [
    *("an added token", "a special one", "a flag of one", "the normalizer", "the split"),
    *("the decoder", "the model", "a setting", "fallback"),
]


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.filterwarnings("ignore:the fast path disagrees")
def test_a_tokenizer_is_compiled_again_when_it_has_changed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[str] = []
    compile_ = reader._checked
    monkeypatch.setattr(reader, "_checked", lambda *it: compiled.append(it[1]) or compile_(*it))
    own, change = changed(name)
    first = reader.core_tokenizer(own)
    assert reader.core_tokenizer(own) is reader.core_tokenizer(own.backend_tokenizer) is first
    own.backend_tokenizer.enable_padding()
    assert reader.core_tokenizer(own) is first
    change(own.backend_tokenizer)
    before = len(compiled)
    assert reader.core_tokenizer(own) is not first
    assert len(compiled) == before + 1
    assert compiled[-1] == own.backend_tokenizer.to_str()


def test_tokenizers_of_the_same_content_are_compiled_once() -> None:
    one, other = TOKENIZERS["llama2"](), TOKENIZERS["llama2"]()
    assert reader.core_tokenizer(one) is reader.core_tokenizer(other)
    assert reader.core_tokenizer(TOKENIZERS["gpt2"]()) is not reader.core_tokenizer(one)


def test_a_tokenizer_that_nobody_holds_is_forgotten() -> None:
    own = TOKENIZERS["gpt2"]().backend_tokenizer
    own.add_tokens(["<of its own>"])
    before = len(reader._KNOWN)
    reader.core_tokenizer(own)
    assert len(reader._KNOWN) == before + 1
    del own
    gc.collect()
    assert len(reader._KNOWN) <= before


def test_threads_compile_a_tokenizer_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    compile_ = reader._checked
    monkeypatch.setattr(reader, "_checked", lambda *it: compiled.append(it[1]) or compile_(*it))
    own = TOKENIZERS["gpt2"]()
    own.add_tokens(["<of threads>"])
    with ThreadPoolExecutor(4) as pool:
        cores = {id(core) for core in pool.map(reader.core_tokenizer, [own] * 8)}
    assert len(cores) == len(compiled) == 1
