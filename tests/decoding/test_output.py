"""The text of outputs and streams: what the tokenizer makes of the ids, in whole characters."""

import json
from typing import Any

import pytest

import uag
from tests.support.models import cache_in, random_model, with_story
from tests.support.scripted import scripted_pair, small_pair
from tests.support.tokenizers import PROMPT, tokenizer
from uag import SpeculativeDecoder


@pytest.mark.parametrize(
    ("target", "assistant"), [("gpt2", "llama2"), ("llama2", "gpt2"), ("bytes", "llama3")]
)
def test_text_is_what_the_tokenizer_makes_of_the_ids(target: str, assistant: str) -> None:
    decoder = scripted_pair(target, assistant)
    out = decoder.generate(PROMPT, max_new_tokens=40)
    prompt = decoder.tokenizer(PROMPT)["input_ids"]
    before, whole = (
        decoder.tokenizer.decode(ids, skip_special_tokens=True)
        for ids in (prompt, prompt + out.token_ids)
    )
    assert whole == before + out.text


@pytest.mark.parametrize("beginning", ["", "<s>"])
def test_a_text_from_nothing_has_no_leading_space_of_the_tokenizer(beginning: str) -> None:
    target = tokenizer("llama2")
    decoder = SpeculativeDecoder(with_story(random_model("llama", target), target), target)
    out = decoder.generate(beginning, max_new_tokens=12)
    assert out.text == target.decode(
        target(beginning)["input_ids"] + out.token_ids, skip_special_tokens=True
    )


@pytest.mark.parametrize("seed", range(3))
def test_streamed_pieces_are_whole_characters_and_add_up(seed: int) -> None:
    # A random model over bytes says every kind of broken UTF-8.
    target, assistant = tokenizer("bytes"), tokenizer("llama2")
    model = random_model("llama", target, seed=seed)
    decoder = SpeculativeDecoder(model, target, random_model("llama", assistant), assistant)
    prompt = "日本語"
    pieces = list(decoder.stream(prompt, max_new_tokens=60))
    out = decoder.generate(prompt, max_new_tokens=60)
    assert all(pieces) and "".join(pieces) == out.text
    assert out.text == bytes(
        b for id in out.token_ids for b in decoder.bridge.target.token_bytes(id) or b""
    ).decode(errors="replace")


def test_a_multi_byte_character_is_never_split() -> None:
    target = tokenizer("bytes")
    text = "é日🙂" * 4
    story = target(text)["input_ids"]

    def tell(_: object, __: object, named: dict[str, Any], output: Any) -> None:
        output.logits.zero_()
        end = cache_in(named).get_seq_length()
        for row in range(output.logits.shape[1]):
            output.logits[0, row, story[end - output.logits.shape[1] + row + 1]] = 1

    model = random_model("llama", target)
    model.register_forward_hook(tell, with_kwargs=True)
    decoder = SpeculativeDecoder(model, target)
    assert list(decoder.stream(story[:1], max_new_tokens=len(story) - 1)) == list(text)


def test_a_stream_that_was_read_half_way_is_finished_whole() -> None:
    pair = small_pair("gpt2", "llama2", lookahead=3)
    expected = pair.generate(PROMPT, max_new_tokens=20)
    stream = uag.SpeculativeDecoder.stream(pair, PROMPT, max_new_tokens=20)
    next(stream)
    out = stream.finish()
    assert (out.text, out.token_ids) == (expected.text, expected.token_ids)


@pytest.mark.parametrize(
    ("options", "reason", "by", "words"),
    [
        ({"max_new_tokens": 5}, "length", None, "length"),
        ({"stop_strings": ["never", "dog"]}, "stop_string", "dog", "stop string 'dog'"),
        ({"eos_token_id": [*range(100, 400)]}, "eos", 300, "end id 300"),
        ({"max_time": 1e-9}, "criterion", "MaxTimeCriteria", "MaxTimeCriteria"),
    ],
)
def test_an_output_says_why_it_ended(
    options: dict[str, Any], reason: str, by: object, words: str
) -> None:
    decoder = scripted_pair("gpt2")
    out = decoder.generate(PROMPT, **{"max_new_tokens": 60} | options)
    by = out.token_ids[-1] if reason == "eos" else by
    words = f"end id {by}" if reason == "eos" else words
    assert (out.finish_reason, out.stop_reason) == (reason, by)
    assert repr(out).endswith(f", ended by {words})")
    described = out.as_dict()
    assert json.loads(json.dumps(described)) == described
    assert (described["finish_reason"], described["stop_reason"]) == (reason, by)


def test_all_that_a_user_holds_is_written_in_one_line() -> None:
    pair = small_pair("gpt2", "llama2", lookup=uag.Lookup(["a text"]), lookahead=3)
    stream = uag.SpeculativeDecoder.stream(pair, PROMPT, max_new_tokens=200)
    begun = repr(stream)
    next(stream)
    half, out = repr(stream), stream.finish()
    shown = [begun, half, repr(out), str(out), repr(out.stats), repr(pair), repr(pair.bridge)]
    assert all(len(each) < 300 and each.isprintable() for each in shown), shown
    assert begun == "TextStream('', 0 tokens in 0.00 s, 0.00 a pass)"
    assert "ended by" not in half and "200 tokens" in repr(out)
    assert "LlamaForCausalLM + Lookup(1 texts of 6 bytes), lookahead=3" in repr(pair)
    assert repr(pair.bridge).startswith("Bridge(byte-level BPE of 420 ids <- ")
    trace = pair.generate(PROMPT, max_new_tokens=60, trace=True).trace
    compared = uag.compare(pair, PROMPT, runs=1, max_new_tokens=5)
    assert all(len(each) < 300 and each.isprintable() for each in map(repr, (trace, compared)))
    plain = uag.SpeculativeDecoder(pair.model, pair.tokenizer)
    assert "LlamaForCausalLM <- no drafts" in repr(plain)
