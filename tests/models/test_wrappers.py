"""What a wrapper holds is used, and what holds no model is refused by name."""

from typing import Any

import pytest
import torch

from tests.support.models import plain_ids, random_model
from tests.support.tokenizers import PROMPT, tokenizer
from uag import SpeculativeDecoder, UnsupportedModelError
from uag.models.wrappers import language_model

WORDS = tokenizer("gpt2")


def test_wrappers_in_wrappers() -> None:
    model: Any = random_model("llama", WORDS)
    wrapped = torch.nn.DataParallel(torch.compile(model, backend="eager"))  # type: ignore[arg-type]
    assert language_model(wrapped, "target") is model
    decoder = SpeculativeDecoder(wrapped, WORDS, wrapped, WORDS, lookahead=3)
    assert (decoder.model, decoder.assistant) == (wrapped, wrapped)
    out = decoder.generate(PROMPT, max_new_tokens=8)
    assert out.token_ids == plain_ids(model, WORDS(PROMPT)["input_ids"], max_new_tokens=8)
    assert out.stats.accepted


@pytest.mark.parametrize("given", ["gpt2", None, torch.nn.Linear(2, 2), 5], ids=str)
def test_no_model_at_all(given: Any) -> None:
    kind = type(given).__name__
    with pytest.raises(UnsupportedModelError, match=f"target is a {kind}; give a transformers"):
        SpeculativeDecoder(given, WORDS)
    if given is not None:
        with pytest.raises(UnsupportedModelError, match=f"assistant is a {kind}; give a transf"):
            SpeculativeDecoder(random_model("llama", WORDS), WORDS, given, WORDS)


class Modular(torch.nn.Module):
    """A drafter that is a module, but no language model."""

    def propose(self, text: bytes, ids: Any, k: int) -> bytes:
        return b" upon a time"


def test_a_drafter_may_be_a_module() -> None:
    drafter = Modular()
    decoder = SpeculativeDecoder(random_model("llama", WORDS), WORDS, drafter, lookahead=4)
    assert decoder.generate("Once", max_new_tokens=8).stats.drafted
