"""An object of the user's in an assistant model's place: faster where it is right, never wrong."""

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.models import plain_ids, random_model, with_story
from tests.support.pairs import PAIRS
from tests.support.tokenizers import PROMPT, tokenizer
from uag import Drafter, OptionError, SpeculativeDecoder, UnsupportedModelError, compare
from uag.translation.core_tokenizer import core_tokenizer
from uag.translation.detokenizer import TextBytes


def story(model: Any, own: Any, prompt: str = PROMPT, length: int = 64) -> bytes:
    """Prompt and continuation, as the model will tell it."""
    ids = own(prompt)["input_ids"]
    core = core_tokenizer(own)
    return TextBytes(core).add(ids + plain_ids(model, ids, max_new_tokens=length))


class KnowingDrafter:
    """Knows the story; guesses in bytes, text or ids, now and then something else."""

    def __init__(self, kind: str, told: bytes, own: Any = None, seed: int | None = None) -> None:
        self.kind = kind
        self.told = told
        self.own = own
        self.random = None if seed is None else Random(seed)
        self.seen: list[tuple[bytes, list[int]]] = []

    def propose(self, text: bytes, ids: Sequence[int], k: int) -> Any:
        self.seen.append((text, list(ids)))
        told = self.told[len(text) : len(text) + 30]
        if self.random is not None and self.random.random() < 0.1:
            told = self.random.randbytes(5) + told
        match self.kind:
            case "bytes":
                return told
            case "str":
                return told.decode(errors="ignore")
            case _:
                return self.own.encode(told.decode(errors="ignore"), add_special_tokens=False)


@given(
    kind=st.sampled_from(["bytes", "str", "ids"]),
    pair=st.sampled_from(PAIRS),
    seed=st.integers(0, 99),
    k=st.integers(1, 9),
    do_sample=st.booleans(),
)
def test_output_is_the_targets_own(
    kind: str, pair: tuple[str, str], seed: int, k: int, do_sample: bool
) -> None:
    target, own = (tokenizer(name) for name in pair)
    model = random_model("llama", target)
    knowing = KnowingDrafter(kind, story(model, target), own if seed % 2 else target, seed)
    decoder = SpeculativeDecoder(model, target, knowing, own if seed % 2 else None, lookahead=k)
    options: dict[str, Any] = {"max_new_tokens": 30}
    if do_sample:
        options |= {"do_sample": True, "seed": seed, "temperature": 0.5}
        expected = SpeculativeDecoder(model, target).generate(PROMPT, **options).token_ids
    else:
        expected = plain_ids(model, target(PROMPT)["input_ids"], **options)
    out = decoder.generate(PROMPT, **options)
    assert out.token_ids == expected
    assert all(len(done.tokens) - done.accepted <= 1 for done in out.stats.history)


def test_right_guesses_pay() -> None:
    target = tokenizer("gpt2")
    model = with_story(random_model("llama", target), target)
    for kind in ("bytes", "str", "ids"):
        knowing = KnowingDrafter(kind, story(model, target), target)
        decoder = SpeculativeDecoder(model, target, knowing, lookahead=8)
        out = decoder.generate(PROMPT, max_new_tokens=60)
        assert out.stats.tokens_per_forward > 2


def test_it_sees_the_text_so_far() -> None:
    target, own = tokenizer("llama3"), tokenizer("llama2")
    model = with_story(random_model("llama", target), target)
    knowing = KnowingDrafter("bytes", story(model, target))
    decoder = SpeculativeDecoder(model, target, knowing, own, lookahead=5)
    out = decoder.generate(PROMPT, max_new_tokens=60)
    tokens = [*target(PROMPT)["input_ids"]]
    after = {len(tokens)}
    for done in out.stats.history:
        tokens += done.tokens
        after.add(len(tokens))
    data = [decoder.bridge.target.token_bytes(id) or b"" for id in tokens]
    texts = {b"".join(data[:end]) for end in after}
    for text, ids in knowing.seen:
        whole = [known for known in texts if known.startswith(text)]
        assert whole and min(len(known) for known in whole) - len(text) < 4
        spelled = b"".join(decoder.bridge.assistant.token_bytes(id) or b"" for id in ids)
        assert spelled.lstrip() == text.lstrip()
    assert len(knowing.seen) >= out.stats.rounds - 1 and knowing.seen[0][0] == PROMPT.encode()


def test_it_drafts_when_that_pays() -> None:
    target = tokenizer("gpt2")
    model = with_story(random_model("llama", target, num_hidden_layers=6), target)
    decoder = SpeculativeDecoder(model, target, KnowingDrafter("bytes", story(model, target)))
    for _ in range(3):
        out = decoder.generate(PROMPT, max_new_tokens=60)
    assert out.stats.drafted > 10
    assert out.token_ids == plain_ids(model, target(PROMPT)["input_ids"], max_new_tokens=60)
    comparison = compare(decoder, PROMPT, runs=1, max_new_tokens=8)
    assert [method.name for method in comparison.methods] == ["plain", "uag"]
    assert comparison.identical


class ConstantDrafter:
    """Proposes always the same."""

    def __init__(self, words: Any) -> None:
        self.words = words

    def propose(self, text: bytes, ids: Sequence[int], k: int) -> Any:
        return self.words


@pytest.mark.parametrize("words", [b"", "", [], (), b"\xff\xfe", [0], [2**31], b"x" * 5000])
def test_odd_guesses_only_cost_time(words: Any) -> None:
    target = tokenizer("gpt2")
    model = random_model("llama", target)
    decoder = SpeculativeDecoder(model, target, ConstantDrafter(words), lookahead=6)
    out = decoder.generate(PROMPT, max_new_tokens=9)
    assert out.token_ids == plain_ids(model, target(PROMPT)["input_ids"], max_new_tokens=9)


@pytest.mark.parametrize("words", [None, 5, [1.5], [-1], [2**32], ["Once"], {1: 2}])
def test_what_is_no_guess(words: Any) -> None:
    target = tokenizer("gpt2")
    says = ConstantDrafter(words)
    decoder = SpeculativeDecoder(random_model("llama", target), target, says, lookahead=6)
    with pytest.raises(OptionError, match=r"ConstantDrafter.propose returned .* must return bytes"):
        decoder.generate(PROMPT, max_new_tokens=9)
    says.words = b" and"
    assert len(decoder.generate(PROMPT, max_new_tokens=3).token_ids) == 3


@pytest.mark.parametrize("assistant", ["gpt2", 7, KnowingDrafter, object()])
def test_what_is_no_assistant(assistant: Any) -> None:
    target = tokenizer("gpt2")
    with pytest.raises(UnsupportedModelError, match="give a transformers model, an object"):
        SpeculativeDecoder(random_model("llama", target), target, assistant)


def test_the_protocol_is_checked_by_its_method() -> None:
    assert isinstance(ConstantDrafter(b""), Drafter) and not isinstance(object(), Drafter)
