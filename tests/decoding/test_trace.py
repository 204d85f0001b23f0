"""A trace tells what happened: it is held against the core's own account of the text."""

from typing import Any

import pytest
import transformers

import uag
from tests.support.branching import branch
from tests.support.models import random_model, with_story
from tests.support.pairs import PAIRS
from tests.support.scripted import scripted_target, small_pair
from tests.support.tokenizers import PROMPT, tokenizer
from uag.decoding.candidates import Trees
from uag.decoding.trace import Trace


@pytest.mark.parametrize(("target", "assistant"), PAIRS)
def test_the_steps_are_those_of_the_text(
    target: str, assistant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = small_pair(target, assistant, lookahead=6)
    sequences: list[Any] = []
    follow = Trace.follow

    def spied(trace: Trace, sequence: Any, trees: Trees) -> Any:
        sequences.append(sequence._translator)
        return follow(trace, sequence, trees)

    monkeypatch.setattr(Trace, "follow", spied)
    out = pair.generate(PROMPT, max_new_tokens=40, trace=True)
    trace, core = out.trace, pair.bridge
    assert [id for step in trace.steps for id in step.tokens] == out.token_ids
    assert trace.target.prompt + out.token_ids == sequences[0].target_ids
    ids = list(trace.assistant.prompt)
    for step, done in zip(trace.steps, out.stats.history, strict=True):
        assert (len(step.draft), step.tokens) == (done.drafted, done.tokens)
        assert step.candidates[: done.accepted] == step.tokens[: done.accepted]
        assert len(step.candidates) >= done.candidates
        # What was dropped is the end of what was there, and what was fed follows the rest.
        ids += step.draft
        kept = len(ids) - len(step.dropped)
        assert ids[kept:] == step.dropped
        assert step.dropped_before == max(0, len(step.dropped) - len(step.draft))
        assert bool(step.dropped) == bool(step.cause)
        ids[kept:] = step.feed
        if step.candidates and not step.cut:
            text = b"".join(core.target.token_bytes(id) or b"" for id in step.candidates)
            drafted = b"".join(core.assistant.token_bytes(id) or b"" for id in step.draft)
            assert text == drafted[step.held :]
            assert step.draft_ends[-1] == len(step.draft)
    assert ids == sequences[0].assistant_ids
    assert any(step.draft for step in trace.steps)


def test_nothing_else_changes_and_nothing_is_kept_unasked() -> None:
    pair = small_pair("gpt2", "llama2", uag.SpeculativeDecoder)
    traced, plain = (
        pair.generate(PROMPT, max_new_tokens=24, trace=trace) for trace in (True, False)
    )
    assert traced.token_ids == plain.token_ids and plain.trace is None
    assert traced.trace.lookahead == "auto"
    assert (
        traced.trace.conditions["dtype"] == traced.trace.conditions["assistant_dtype"] == "float32"
    )
    stream = pair.stream(PROMPT, max_new_tokens=24, trace=True)
    assert "".join(stream) == traced.text
    assert [step.tokens for step in stream.trace.steps] == [
        done.tokens for done in stream.stats.history
    ]


@pytest.mark.parametrize("sampling", ["coupled", "rejection"])
def test_sampled_texts_and_several_are_traced_too(sampling: str) -> None:
    pair = small_pair("gpt2", "llama2", uag.SpeculativeDecoder, lookahead=3, sampling=sampling)
    options = {"do_sample": True, "seed": 3, "max_new_tokens": 12}
    outs = pair.generate([PROMPT, "One day"], trace=True, **options)
    for out in outs:
        assert [id for step in out.trace.steps for id in step.tokens] == out.token_ids
    assert outs[0].token_ids == pair.generate(PROMPT, **options).token_ids


def test_without_an_assistant_each_step_is_a_token() -> None:
    name = tokenizer("gpt2")
    out = uag.SpeculativeDecoder(random_model("llama", name), name).generate(
        PROMPT, max_new_tokens=6, trace=True
    )
    assert out.trace.assistant.name == ""
    assert [len(step.tokens) for step in out.trace.steps] == [1] * len(out.token_ids)


def test_texts_that_were_looked_up_are_among_the_candidates() -> None:
    name = tokenizer("llama2")
    model = with_story(random_model("llama", name), name)
    looking = uag.SpeculativeDecoder(model, name, "lookup", lookahead=4)
    out = looking.generate(PROMPT * 2, max_new_tokens=40, trace=True)
    assert out.trace is not None and out.stats.looked_up > 0
    for step, done in zip(out.trace.steps, out.stats.history, strict=True):
        assert step.tokens[: done.accepted] == step.candidates[: done.accepted]
        assert step.draft == [] and len(step.candidates) >= done.candidates


def test_a_streamer_leaves_the_trace() -> None:
    pair = small_pair("gpt2", "llama2", lookahead=3)
    heard: list[int] = []

    class Streamer(transformers.generation.streamers.BaseStreamer):
        def put(self, value: Any) -> None:
            heard.extend(value.flatten().tolist())

        def end(self) -> None:
            pass

    out = pair.generate(PROMPT, max_new_tokens=20, trace=True, streamer=Streamer())
    assert heard == [*out.trace.target.prompt, *out.token_ids]
    assert len(out.trace.steps) == out.stats.rounds


def test_of_a_tree_the_trace_follows_the_text() -> None:
    decoder = branch(scripted_target("llama", ("gpt2", "llama2")))
    out = decoder.generate(PROMPT, max_new_tokens=40, trace=True)
    assert out.trace is not None
    for step, done in zip(out.trace.steps, out.stats.history, strict=True):
        assert step.candidates[: done.accepted] == done.tokens[: done.accepted]
        assert len(step.candidates) == len(step.draft_ends)
        assert (step.verified == []) == (done.tree is None or not done.candidates)
    assert any(done.tree is not None and done.accepted for done in out.stats.history)


def test_of_a_tree_all_that_was_verified_is_in_the_trace() -> None:
    decoder = branch(scripted_target("llama", ("gpt2", "llama2")))
    out = decoder.generate(PROMPT, max_new_tokens=40, trace=True)
    steps = [
        (step, done)
        for step, done in zip(out.trace.steps, out.stats.history, strict=True)
        if done.tree is not None
    ]
    for step, done in steps:
        assert len(step.verified) == len(step.parents) == done.candidates
        assert all(parent < node for node, parent in enumerate(step.parents))
        # The path is what was accepted, and goes on to an end of the tree.
        path = step.path
        assert [step.parents[node] for node in path] == [-1, *path][: len(path)]
        assert [step.verified[node] for node in path] == step.candidates[: len(path)]
        assert done.accepted <= len(path) and (not path or path[-1] not in step.parents)
    assert any(len(step.path) < len(step.verified) for step, _ in steps)
