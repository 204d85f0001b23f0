"""Penalties are OpenAI's formula, counted anew for each position."""

from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.support.asgi import Local
from uag import SpeculativeDecoder
from uag.serving.processors.penalties import Penalties

ROWS = 6
IDS = st.lists(st.integers(0, ROWS - 1), max_size=12)
PENALTY = st.floats(-2, 2, width=32)


def by_formula(
    new: list[int], presence: float, frequency: float, bias: dict[int, float]
) -> list[float]:
    """mu[j] - c[j] * frequency - float(c[j] > 0) * presence + bias[j], of scores that are 0."""
    return [
        -new.count(id) * frequency - (new.count(id) > 0) * presence + bias.get(id, 0.0)
        for id in range(ROWS)
    ]


@given(IDS, IDS, PENALTY, PENALTY, st.dictionaries(st.integers(0, ROWS - 1), PENALTY))
def test_openai_s_formula(
    prompt: list[int], new: list[int], presence: float, frequency: float, bias: dict[int, float]
) -> None:
    penalties = Penalties(presence, frequency, bias)
    scores = torch.zeros(1, ROWS)
    for end in range(len(new) + 1):
        ids = torch.tensor([[*prompt, *new[:end]]], dtype=torch.long)
        found = penalties(ids, scores)
        expected = torch.tensor([by_formula(new[:end], presence, frequency, bias)])
        assert torch.allclose(found, expected, atol=1e-4)
    assert not scores.any()


def test_the_text_is_that_of_decoding_id_by_id(local: Local, decoder: SpeculativeDecoder) -> None:
    fields: dict[str, Any] = {"presence_penalty": 1.5, "frequency_penalty": 0.5}
    prompt, read = "The dog saw the dog and", decoder.tokenizer.encode
    (choice,) = local.complete(prompt=prompt, max_tokens=30, **fields)["choices"]
    ids, start = read(prompt), len(read(prompt))
    for _ in range(30):
        logits = decoder.model(torch.tensor([ids])).logits[0, -1].detach()
        counts = torch.bincount(torch.tensor(ids[start:], dtype=torch.long), minlength=len(logits))
        ids.append(int((logits - 1.5 * (counts > 0) - 0.5 * counts).argmax()))
    assert choice["text"] == decoder.tokenizer.decode(ids[start:])
    plain = local.complete(prompt=prompt, max_tokens=30)["choices"][0]["text"]
    assert choice["text"] != plain


def test_a_bias_forbids_and_forces(local: Local, decoder: SpeculativeDecoder) -> None:
    likely = decoder.generate("Once", max_new_tokens=1).token_ids[0]
    banned = local.complete(prompt="Once", max_tokens=1, logit_bias={str(likely): -100})
    forced = local.complete(prompt="Once", max_tokens=3, logit_bias={str(likely): 100})
    word = decoder.tokenizer.decode([likely])
    assert banned["choices"][0]["text"] != word
    assert forced["choices"][0]["text"] == word * 3
