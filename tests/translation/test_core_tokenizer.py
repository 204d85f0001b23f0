"""A tokenizer becomes the core's: read, checked, or kept as it is."""

import pytest
import tokenizers

from tests.support.tampered import TAMPERINGS, Tampering
from tests.support.texts import DOCUMENTS
from tests.support.tokenizers import PROMPT, tokenizer
from uag import _core
from uag.conformance.laws import Laws
from uag.conformance.texts import random_texts
from uag.translation import core_tokenizer as reader


def test_disagreement_with_the_tokenizer_goes_through_the_tokenizer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader, "disagreement", lambda *_: "a text")
    with pytest.warns(UserWarning, match="disagrees with the tokenizer on 'a text'"):
        core = reader.core_tokenizer(tokenizer("gpt2"))
    assert not core.fast and "a text" in core.reason
    assert core.encode(PROMPT.encode()) == tokenizer("gpt2")(PROMPT)["input_ids"]


REFUSED = ["decoder that fuses", "decoder without spaces"]


@pytest.mark.parametrize("tampering", TAMPERINGS, ids=str)
@pytest.mark.filterwarnings("ignore:the fast path disagrees")
def test_a_file_that_was_tampered_with_is_read_as_it_stands(tampering: Tampering) -> None:
    """Or by the tokenizer itself; or refused, if not even its decoder is known."""
    raw = tokenizers.Tokenizer.from_str(tampering.json)
    if tampering.name in REFUSED:
        with pytest.raises(_core.UnsupportedTokenizer, match="decoder"):
            reader.core_tokenizer(raw)
        return
    core = reader.core_tokenizer(raw)
    tally = Laws(core, raw).compare(random_texts(DOCUMENTS, 20_000, 0, ["<tool>", "xyz", "   "]))
    # The bytes of the slow path's tokens are those of its vocabulary, whatever its decoder does.
    assert not [one for one in tally.differences if core.fast or one.law != "bytes"]
