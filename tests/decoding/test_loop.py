"""Between rounds the target, the drafts and the translation hold exactly the emitted text."""

import pytest
from transformers import LogitsProcessorList

from tests.support.models import plain_ids, random_model, with_story
from tests.support.pairs import PAIRS
from tests.support.scripted import ScriptedDrafts
from tests.support.tokenizers import PROMPT, tokenizer
from uag import Bridge, Fixed
from uag.decoding.loop import rounds
from uag.decoding.stopping import Stop
from uag.decoding.verify import verifier
from uag.drafting.source import DraftSource, NoDrafts
from uag.models.cached_lm import CachedLM
from uag.sampling.greedy import most_likely
from uag.translation.detokenizer import TextBytes

LENGTH = 24


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("drafting", [False, True])
def test_every_part_holds_the_emitted_text(pair: tuple[str, str], drafting: bool) -> None:
    own, other = (tokenizer(name) for name in pair)
    model = with_story(random_model("llama", own), own)
    prompt, theirs = (each(PROMPT)["input_ids"] for each in (own, other))
    expected = plain_ids(model, prompt, max_new_tokens=LENGTH)
    bridge = Bridge(own, other)
    target, translation = CachedLM(model), bridge.start(prompt, theirs)
    target.append(prompt)
    drafts: DraftSource = NoDrafts()
    if drafting:
        text = TextBytes(bridge.target).add(prompt + expected)
        drafts = ScriptedDrafts(bridge.assistant, theirs, text, seed=1)
    stop = Stop(len(prompt) + LENGTH, frozenset(), ())
    verify = verifier(LogitsProcessorList(), most_likely)
    emitted: list[int] = []
    for done in rounds(target, drafts, translation, verify, stop, Fixed(5)):
        emitted += done.tokens
        assert target.ids == translation.target_ids == prompt + emitted
        assert not drafting or drafts._ids == translation.assistant_ids
        assert (
            done.tokens[: done.accepted]
            == expected[len(emitted) - len(done.tokens) :][: done.accepted]
        )
        assert done.drafted_accepted <= done.drafted and done.accepted <= done.candidates
    assert emitted == expected
    assert target.forwards < LENGTH or not drafting
