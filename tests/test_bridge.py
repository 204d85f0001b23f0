"""The core's translation is that of the slow reference, on tokenizers made here."""

from random import Random

import pytest
from fakes import PAIRS, PROMPT, TEXT, tokenizer
from hypothesis import given
from hypothesis import strategies as st
from reference import ReferenceBridge, ReferenceTokenizer, unfinished
from uag import Bridge
from uag.text import TextBytes


def is_text(data: bytes) -> bool:
    """Whether the bytes are characters, the last one perhaps unfinished."""
    return "\ufffd" not in data[: len(data) - unfinished(data)].decode(errors="replace")


@pytest.mark.parametrize("pair", PAIRS)
@given(seed=st.integers(0, 10**6))
def test_rounds_are_those_of_the_reference(pair: tuple[str, str], seed: int) -> None:
    target, assistant = (tokenizer(name) for name in pair)
    bridge, random = Bridge(target, assistant), Random(seed)
    slow = ReferenceBridge(
        *(ReferenceTokenizer(each.backend_tokenizer.to_str()) for each in (target, assistant)),
        bridge.special_pairs,
    )
    prompts = target(PROMPT)["input_ids"], assistant(PROMPT)["input_ids"]
    text, expected = bridge.start(*prompts), slow.start(*prompts)
    rest = TEXT
    for _ in range(6):
        start = random.randrange(len(rest))
        draft = bridge.assistant.encode(rest[start : start + 12].encode())[: random.randint(0, 6)]
        proposal = text.propose(draft)
        # Where boundaries disagree there are several right answers; the reference stops before an
        # unfinished character.
        wanted = expected.propose(draft)
        if proposal.exact and wanted.exact:
            assert proposal.ids[: len(wanted.ids)] == wanted.ids
        own = random.choice([*range(5, 60), *bridge.target.encode(b" and so")])
        emitted = [*proposal.ids[: random.randint(0, len(proposal.ids))], own]
        edit, slow_edit = text.commit(emitted), expected.commit(emitted)
        assert text.target_ids == expected.target_ids
        if not is_text(TextBytes(bridge.target).add(text.target_ids)):
            return  # no tokenizer says how such bytes are encoded
        assert text.assistant_ids == expected.assistant_ids
        assert (
            edit.keep + len(edit.feed)
            == slow_edit.keep + len(slow_edit.feed)
            == len(text.assistant_ids)
        )
        assert edit.keep <= slow_edit.keep


@pytest.mark.parametrize("pair", PAIRS)
def test_special_tokens_are_paired_by_role_and_by_request(pair: tuple[str, str]) -> None:
    target, assistant = (tokenizer(name) for name in pair)
    bridge = Bridge(target, assistant, special_pairs=[(target.eos_token, 5)])
    assert bridge.special_pairs == [
        (target.eos_token_id, 5),
        (target.eos_token_id, assistant.eos_token_id),
    ]
