"""Drafts of a model: ids that it would choose itself, up to where it ends or is told to stop."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.support.models import plain_ids, random_model
from tests.support.tokenizers import PROMPT, tokenizer
from uag import SpeculativeDecoder, UagWarning
from uag.drafting.source import ModelDrafts, NoDrafts
from uag.models.cached_lm import CachedLM
from uag.sampling.greedy import most_likely_draft

OWN = tokenizer("gpt2")
MODEL = random_model("llama", OWN)
IDS = OWN(PROMPT)["input_ids"]
EXPECTED = plain_ids(MODEL, IDS, max_new_tokens=12, eos_token_id=None)


@given(st.integers(0, 12), st.integers(0, 12), st.one_of(st.none(), st.integers(0, 11)))
def test_a_draft_is_what_the_model_says_up_to_an_end(k: int, asked: int, end: int | None) -> None:
    end_ids = frozenset() if end is None else frozenset({EXPECTED[end]})
    lm = CachedLM(MODEL)
    lm.append(IDS)
    drafts, left = ModelDrafts(lm, end_ids, most_likely_draft), iter(range(asked))
    draft = drafts.draft(k, lambda _: next(left, None) is not None)
    stops = [k, asked + 1, *(at + 1 for at, id in enumerate(EXPECTED) if id in end_ids)]
    assert draft.ids == EXPECTED[: min(stops)]
    # The text is what is said next, whatever was drafted.
    drafts.apply(len(IDS) + min(1, len(draft.ids)), [7, 8])
    assert lm.ids == IDS + draft.ids[:1] + [7, 8]


def test_nothing_is_drafted_from_nothing() -> None:
    assert ModelDrafts(CachedLM(MODEL), frozenset(), most_likely_draft).draft(5).ids == []
    assert NoDrafts().draft(5).ids == []


class Broken(torch.nn.Module):
    """A head whose scores are NaN from a call on."""

    def __init__(self, head: torch.nn.Module, calls: int) -> None:
        super().__init__()
        self.head, self.left = head, calls

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        self.left -= 1
        scores = self.head(states)
        return scores if self.left >= 0 else scores * torch.nan


@pytest.mark.parametrize("calls", [0, 3, 8])
@pytest.mark.parametrize("sampling", ["coupled", "rejection"])
def test_an_assistant_whose_logits_are_nan_is_given_up(calls: int, sampling: str) -> None:
    assistant = random_model("llama", OWN)
    decoder = SpeculativeDecoder(MODEL, OWN, assistant, OWN, lookahead=3, sampling=sampling)
    for options in ({}, {"do_sample": True, "seed": 1}):
        assistant.lm_head = Broken(assistant.lm_head, calls)
        with pytest.warns(
            UagWarning, match="drafting failed: .* assistant's logits contain NaN"
        ) as seen:
            out = decoder.generate(IDS, max_new_tokens=24, **options)
        assert len(seen) == 1 and "NaN" in out.stats.assistant_error
        assistant.lm_head = assistant.lm_head.head
        if not options:
            assert out.token_ids == plain_ids(MODEL, IDS, max_new_tokens=24)
