"""`SpeculativeDecoder` between calls: what it leaves unchanged, and what does not disturb it."""

import hashlib

import pytest
from transformers import PreTrainedModel

from tests.support.scripted import ScriptedDecoder, scripted_pair
from tests.support.tokenizers import PROMPT


def fingerprint(model: PreTrainedModel) -> str:
    digest = hashlib.sha256(repr((model.config, model.generation_config)).encode())
    for name, value in model.state_dict().items():
        digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()


def test_nothing_is_changed() -> None:
    decoder = scripted_pair("gpt2", "llama2")
    parts = decoder.model, decoder.assistant
    tokenizers = decoder.tokenizer, decoder.assistant_tokenizer
    before = (
        [fingerprint(model) for model in parts],
        [each.backend_tokenizer.to_str() for each in tokenizers],
    )
    decoder.generate(PROMPT, max_new_tokens=20, repetition_penalty=1.2, stop_strings=["zzz"])
    after = (
        [fingerprint(model) for model in parts],
        [each.backend_tokenizer.to_str() for each in tokenizers],
    )
    assert before == after


def test_an_abandoned_or_interrupted_call_leaves_the_decoder_usable() -> None:
    decoder = scripted_pair("gpt2", "llama2")
    expected = decoder.generate(PROMPT, max_new_tokens=30).token_ids

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    next(decoder.stream(PROMPT, max_new_tokens=30))
    hook = decoder.model.register_forward_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        super(ScriptedDecoder, decoder).generate(PROMPT, max_new_tokens=30)
    hook.remove()
    assert decoder.generate(PROMPT, max_new_tokens=30).token_ids == expected


def test_two_streams_do_not_disturb_each_other() -> None:
    decoder = scripted_pair("gpt2", "llama2")
    prompts = PROMPT, "One day, the dog"
    alone = ["".join(decoder.stream(prompt, max_new_tokens=20)) for prompt in prompts]
    streams = [decoder.stream(prompt, max_new_tokens=20) for prompt in prompts]
    texts = ["", ""]
    for _ in range(30):
        texts = [text + next(stream, "") for text, stream in zip(texts, streams, strict=True)]
    assert texts == alone
