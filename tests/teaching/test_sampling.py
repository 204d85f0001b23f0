"""Texts that a target writes, and where an assistant was wrong."""

import pytest

from tests.support.models import looping, random_model
from tests.support.tokenizers import tokenizer
from uag import SpeculativeDecoder
from uag.demo import demo_decoder
from uag.teaching.sampling import written_texts

PROMPTS = ["Once upon a time", "One day", "The dog", "日本語", "def add"]
SAMPLED = {"do_sample": True, "seed": 3, "max_new_tokens": 12}


@pytest.fixture(scope="module", params=["gpt2", "llama2"])
def decoder(request: pytest.FixtureRequest) -> SpeculativeDecoder:
    names = (request.param, {"gpt2": "llama2", "llama2": "gpt2"}[request.param])
    target, assistant = (random_model("llama", tokenizer(name), seed=1) for name in names)
    words = [tokenizer(name) for name in names]
    return SpeculativeDecoder(target, words[0], assistant, words[1], lookahead=3)


def test_texts_are_those_of_each_prompt_alone(decoder: SpeculativeDecoder) -> None:
    """However many there are in a call, and at the same time."""
    alone = [
        [out.text for out in decoder.generate(prompt, num_return_sequences=3, **SAMPLED)]
        for prompt in PROMPTS
    ]
    for batch_size in (1, 4, 32):
        found = written_texts(decoder, PROMPTS, SAMPLED, samples=3, batch_size=batch_size)
        assert [[text.text for text in texts] for texts in found] == alone


def test_the_assistant_was_wrong_where_the_text_goes_on_otherwise(
    decoder: SpeculativeDecoder,
) -> None:
    """Each place is where a token of the target begins, in a text of any script."""
    seen = 0
    for prompt in PROMPTS:
        (text,) = next(written_texts(decoder, [prompt], {"max_new_tokens": 24}))
        out = decoder.generate(prompt, max_new_tokens=24)
        rejected = [
            done
            for done in out.stats.history
            if done.accepted < min(done.candidates, len(done.tokens))
        ]
        assert len(text.rejected) == len(rejected)
        assert text.rejected == sorted(text.rejected)
        assert all(0 <= at <= len(text.text) for at in text.rejected)
        seen += len(rejected)
    assert seen


def test_a_perfect_assistant_is_never_wrong() -> None:
    own = demo_decoder()
    model, words = own.model, own.tokenizer
    same = SpeculativeDecoder(model, words, model, words, lookahead=3)
    for decoder in (same, SpeculativeDecoder(model, words)):
        texts = written_texts(decoder, PROMPTS[:3], {"max_new_tokens": 8})
        assert [text.rejected for (text,) in texts] == [[], [], []]


def test_a_place_is_where_the_targets_own_token_begins() -> None:
    """The target says " the dog ran off." most of the time; the drafter always says " slept"."""
    target, words = looping("gpt2")
    decoder = SpeculativeDecoder(target, words, Sleeps(), lookahead=9)
    (text,) = next(written_texts(decoder, ["The dog"], {"max_new_tokens": 40}))
    ran = [at for at in range(len(text.text)) if text.text.startswith(" ran", at)]
    assert len(ran) > 3 and set(ran) <= {*text.rejected}


class Sleeps:
    """Goes on with " slept" after a dog, and with nothing after anything else."""

    def propose(self, text: bytes, ids: list[int], k: int) -> bytes:
        return b" slept" if text.endswith(b" dog") else b""
