"""The self-check at load: what it finds, and what stays true where it finds nothing."""

from typing import Any

import pytest
import tokenizers
from transformers import PreTrainedTokenizerFast

from tests.support.models import plain_ids, random_model, with_story
from tests.support.tampered import TAMPERINGS, Tampering, serialised
from tests.support.texts import DOCUMENTS
from tests.support.tokenizers import PROMPT, tokenizer
from uag import SpeculativeDecoder, _core
from uag.conformance.laws import Laws
from uag.conformance.texts import random_texts
from uag.translation import bridge
from uag.translation import core_tokenizer as reader
from uag.translation.self_check import disagreement


def test_the_fast_path_is_compared_with_the_tokenizer() -> None:
    # Two tokenizers that differ: what one says of a text is not what the other says.
    core = reader.core_tokenizer(tokenizer("gpt2"))
    other = tokenizer("llama3").backend_tokenizer
    assert disagreement(core, other) is not None
    own = tokenizer("gpt2").backend_tokenizer
    assert disagreement(core, own) is None


BASES = ["llama3", "gpt2", "llama2", "llama2+metaspace", "unigram"]


@pytest.mark.parametrize("base", BASES)
def test_nothing_is_found_in_sound_tokenizers(base: str) -> None:
    raw = tokenizers.Tokenizer.from_str(serialised(base))
    core = _core.Tokenizer(serialised(base))
    assert core.fast and disagreement(core, raw) is None


@pytest.mark.parametrize("tampering", TAMPERINGS, ids=str)
def test_a_tokenizer_that_is_not_what_it_was_read_as_is_found(tampering: Tampering) -> None:
    core = _core.Tokenizer(serialised(tampering.base))
    raw: Any = tokenizers.Tokenizer.from_str(tampering.json)
    assert (disagreement(core, raw) is None) == tampering.harmless
    if tampering.harmless:
        texts = list(random_texts(DOCUMENTS, 20_000, 0, ["<tool>", "xyz", "   "]))
        assert not Laws(core, raw).compare(texts).differences


@pytest.mark.parametrize("name", ["merges reversed", "ids exchanged", "another known pattern"])
def test_ids_stay_the_targets_own_where_a_misreading_is_missed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the docs say of that which the self-check can't find."""
    (one,) = (one for one in TAMPERINGS if (one.base, one.name) == ("llama3", name))
    raw = tokenizers.Tokenizer.from_str(serialised("llama3"))
    target = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>", bos_token="<begin>")
    sound = tokenizer("gpt2")
    models = [
        with_story(random_model("llama", tokenizer), tokenizer) for tokenizer in (target, sound)
    ]
    misread = {id(target): _core.Tokenizer(one.json)}
    read = reader.core_tokenizer
    monkeypatch.setattr(
        bridge, "core_tokenizer", lambda tokenizer: misread.get(id(tokenizer)) or read(tokenizer)
    )
    decoder = SpeculativeDecoder(models[0], target, models[1], sound, lookahead=4)
    out = decoder.generate(PROMPT, max_new_tokens=40)
    assert decoder.bridge.target is misread[id(target)] and out.stats.candidates > 0
    ids = target(PROMPT)["input_ids"]
    assert out.token_ids == plain_ids(models[0], ids, max_new_tokens=40)
