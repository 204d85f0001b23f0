"""A tokenizer with a few more ids than its model has rows works, and the surplus is never used."""

from typing import Any

import pytest

from tests.support.models import plain_ids, random_model, with_story
from tests.support.tokenizers import PROMPT, TOKENIZERS, tokenizer
from uag import PromptError, SpeculativeDecoder, UnsupportedTokenizerError
from uag._core import Proposal
from uag.translation.core_tokenizer import core_tokenizer
from uag.translation.within_rows import StandIn, WithinRows, belongs

OWN = tokenizer("gpt2")
IDS: list[int] = OWN(PROMPT)["input_ids"]


def larger() -> Any:
    """The target's tokenizer with a padding token, a word of the story and one that nobody says."""
    own = TOKENIZERS["gpt2"]()
    own.add_special_tokens({"pad_token": "[PAD]"})
    own.add_tokens([" dog", "zzz"])
    return own


@pytest.mark.parametrize("sampling", ["coupled", "rejection"])
def test_the_surplus_is_never_drafted(sampling: str) -> None:
    own, model = larger(), with_story(random_model("llama", OWN, seed=3), OWN)
    expected = plain_ids(model, IDS, max_new_tokens=60)
    assert " dog" in OWN.decode(expected)
    assert SpeculativeDecoder(model, own).generate(IDS, max_new_tokens=60).token_ids == expected
    # It drafts the text that the model will say, with the words of the larger tokenizer.
    core = core_tokenizer(OWN)
    story = b"".join(core.token_bytes(id) or b"" for id in expected)

    class Knows:
        def propose(self, text: bytes, ids: Any, k: int) -> bytes:
            done = len(text) - len(PROMPT)
            return story[done : done + 4 * k]

    decoder = SpeculativeDecoder(model, own, Knows(), own, lookahead=6)
    out = decoder.generate(IDS, max_new_tokens=60)
    assert out.token_ids == expected and out.stats.accepted > 20 and not out.stats.assistant_error
    decoder = SpeculativeDecoder(model, own, model, own, lookahead=6, sampling=sampling)
    for options in ({}, {"do_sample": True, "seed": 1}):
        out = decoder.generate(IDS, max_new_tokens=60, **options)
        assert max(out.token_ids) < 420 and out.stats.accepted and not out.stats.assistant_error


def test_a_prompt_that_holds_one() -> None:
    decoder = SpeculativeDecoder(random_model("llama", OWN), larger())
    for prompt in ("Once [PAD]", [5, 420]):
        with pytest.raises(
            PromptError, match=r"id 420 \(the token '\[PAD\]'\), .* go from 0 to 419"
        ):
            decoder.generate(prompt)


def test_an_assistant_is_not_fed_one() -> None:
    """The target has rows for all, and says them; the assistant has not."""
    own = larger()
    target = random_model("llama", own, seed=3)
    decoder = SpeculativeDecoder(target, own, random_model("llama", OWN), own, lookahead=4)
    prompt: list[int] = own("zzz dog [PAD]" + PROMPT)["input_ids"]
    assert {420, 421, 422} <= {*prompt}
    for given in (prompt, own.decode(prompt)):
        for options in ({}, {"prefix_allowed_tokens_fn": lambda *_: [420, 421, 422, 7]}):
            out = decoder.generate(given, max_new_tokens=12, **options)
            assert out.token_ids == plain_ids(target, prompt, max_new_tokens=12, **options)
            assert out.stats.drafted and not out.stats.assistant_error


def test_the_tokenizer_of_another_model_is_refused() -> None:
    assert belongs(262_145, 262_144) and belongs(32_004, 32_000) and belongs(420, 32_000)
    assert not belongs(420, 258) and not belongs(128_256, 32_000)
    with pytest.raises(UnsupportedTokenizerError, match="420 ids but its model only 258"):
        SpeculativeDecoder(random_model("llama", tokenizer("bytes")), OWN)


def test_candidates_end_before_the_first_of_them() -> None:
    class Fixed:
        held = 3

        def propose(self, draft_ids: list[int], text: bytes = b"") -> Proposal:
            return Proposal(draft_ids, [*range(1, len(draft_ids) + 1)], "special")

        def commit(self, target_ids: list[int]) -> Any:
            return target_ids

    cut = WithinRows(Fixed(), rows=10)
    kept, whole = cut.propose([5, 9, 10, 6]), cut.propose([5, 9])
    assert (kept.ids, kept.draft_ends, kept.cut) == ([5, 9], [1, 2], "not representable")
    assert (whole.ids, whole.cut, cut.held, cut.commit([7])) == ([5, 9], "special", 3, [7])


def test_another_id_stands_in() -> None:
    readable = StandIn(core_tokenizer(larger()), rows=420)
    assert readable([5, 420, 6, 422]) == [5, readable([420])[0], 6, readable([422])[0]]
    assert readable([420])[0] < 420
