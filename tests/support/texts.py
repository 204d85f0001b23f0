"""Texts that tokenizers are tried on, and the real tokenizers that say what is right."""

from functools import cache

import tokenizers
from hypothesis import strategies as st

from tests.support.real_tokenizer import RealTokenizer
from tests.support.tokenizers import TEXT, tokenizer
from uag import _core
from uag.conformance.laws import Laws
from uag.inspection.spelling import sample_texts

NAMES = ["gpt2", "llama3", "qwen2", "llama2", "bytes"]

STRANGE = "e\u0301 \u2581x \ufb01 <0x41> \u00e9\u200d \u3000 '\u017f 12345 <end> <s> \r\n\n \t"


# Documents that random texts are cut from.
DOCUMENTS = [TEXT, *sample_texts().values()]

MIXED_TEXT = "Once upon a time, Ünïcödé 日本語 🙂 12 dogs"


@cache
def real(name: str) -> RealTokenizer:
    """The `tokenizers` library's own, made once."""
    return RealTokenizer(tokenizer(name).backend_tokenizer)


texts = st.one_of(
    st.text(max_size=300),
    st.text(alphabet=TEXT + STRANGE, max_size=300),
    st.lists(
        st.sampled_from([*TEXT.split(" "), *STRANGE.split(" "), " ", "  ", "\n"]), max_size=60
    ).map(" ".join),
)


def check_no_difference(raw: tokenizers.Tokenizer, texts: list[str]) -> None:
    """The fast path and the tokenizers library agree on these texts."""
    core = _core.Tokenizer(raw.to_str())
    tally = Laws(core, raw).compare(texts)
    assert core.fast and not tally.differences, tally.differences
