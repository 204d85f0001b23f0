"""A trace tells what happened: it is held against the core's own account of the text."""

from typing import Any

import pytest
import transformers
import uag
from fakes import PAIRS, PROMPT, ScriptedDecoder, random_model, telling, tokenizer
from hypothesis import given
from hypothesis import strategies as st
from uag.decoding.trace import Trace
from uag.report.curves import by_confidence, by_position, plain_seconds
from uag.stats import Round

SIZE = {"hidden_size": 16, "num_hidden_layers": 1}


def decoder(target: str, assistant: str, kind: type = ScriptedDecoder, **options: Any) -> Any:
    names = tokenizer(target), tokenizer(assistant)
    models = random_model("llama", names[0]), random_model("llama", names[1], **SIZE)
    return kind(telling(models[0], names[0]), names[0], models[1], names[1], **options)


@pytest.mark.parametrize(("target", "assistant"), PAIRS)
def test_the_steps_are_those_of_the_text(
    target: str, assistant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = decoder(target, assistant, lookahead=6)
    sequences: list[Any] = []
    follow = Trace.follow

    def spied(trace: Trace, sequence: Any) -> Any:
        sequences.append(sequence._translator)
        return follow(trace, sequence)

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
    pair = decoder("gpt2", "llama2", uag.SpeculativeDecoder)
    traced, plain = (
        pair.generate(PROMPT, max_new_tokens=24, trace=trace) for trace in (True, False)
    )
    assert traced.token_ids == plain.token_ids and plain.trace is None
    assert traced.trace.lookahead == "auto"
    stream = pair.stream(PROMPT, max_new_tokens=24, trace=True)
    assert "".join(stream) == traced.text
    assert [step.tokens for step in stream.trace.steps] == [
        done.tokens for done in stream.stats.history
    ]


@pytest.mark.parametrize("sampling", ["coupled", "rejection"])
def test_drawn_texts_and_several_are_traced_too(sampling: str) -> None:
    pair = decoder("gpt2", "llama2", uag.SpeculativeDecoder, lookahead=3, sampling=sampling)
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


rounds = st.builds(
    lambda drafted, right, spread, extra, confidences: Round(
        tokens=[0] * (min(drafted, right) * spread + 1),
        accepted=min(drafted, right) * spread,
        drafted=drafted,
        drafted_accepted=min(drafted, right),
        candidates=min(drafted, right) * spread + (extra if right < drafted else 0),
        seconds={"verify": 0.5},
        confidences=confidences[:drafted],
    ),
    drafted=st.integers(0, 6),
    right=st.integers(0, 6),
    spread=st.integers(1, 3),
    extra=st.integers(0, 3),
    confidences=st.lists(st.floats(0, 1), min_size=6, max_size=6),
)


@given(st.lists(rounds, max_size=8))
def test_the_curves_count_every_judged_id_once(history: list[Round]) -> None:
    seen = [
        (index, done.confidences[index], index < done.drafted_accepted)
        for done in history
        for index in range(done.drafted)
        if index < done.drafted_accepted
        or (index == done.drafted_accepted and done.accepted < done.candidates)
    ]
    assert len(seen) == sum(done.judged for done in history)
    places = by_position(history)
    assert [(rate.tried, rate.true) for rate in places] == [
        (
            sum(index == place for index, *_ in seen),
            sum(right for index, _, right in seen if index == place),
        )
        for place in range(len(places))
    ]
    assert sum(rate.tried for rate in places) == len(seen)
    bins = by_confidence(history)
    for number, rate in enumerate(bins):
        inside = [
            right
            for _, confidence, right in seen
            if min(int(confidence * 10), 9) == number
        ]  # fmt: skip
        assert (rate.tried, rate.true) == (len(inside), sum(inside))
    assert bool(bins) == bool(seen)
    plain = [0.5 for done in history[1:] if not done.drafted]
    assert plain_seconds(history) == (0.5 if plain else None)


def test_texts_that_were_looked_up_are_among_the_candidates() -> None:
    name = tokenizer("llama2")
    model = telling(random_model("llama", name), name)
    looking = uag.SpeculativeDecoder(model, name, "lookup", lookahead=4)
    out = looking.generate(PROMPT * 2, max_new_tokens=40, trace=True)
    assert out.trace is not None and out.stats.looked_up > 0
    for step, done in zip(out.trace.steps, out.stats.history, strict=True):
        assert step.tokens[: done.accepted] == step.candidates[: done.accepted]
        assert step.draft == [] and len(step.candidates) >= done.candidates


def test_a_streamer_leaves_the_trace() -> None:
    pair = decoder("gpt2", "llama2", lookahead=3)
    heard: list[int] = []

    class Streamer(transformers.generation.streamers.BaseStreamer):
        def put(self, value: Any) -> None:
            heard.extend(value.flatten().tolist())

        def end(self) -> None:
            pass

    out = pair.generate(PROMPT, max_new_tokens=20, trace=True, streamer=Streamer())
    assert heard == [*out.trace.target.prompt, *out.token_ids]
    assert len(out.trace.steps) == out.stats.rounds


def test_a_stream_that_was_read_half_way_is_finished_whole() -> None:
    pair = decoder("gpt2", "llama2", lookahead=3)
    expected = pair.generate(PROMPT, max_new_tokens=20)
    stream = uag.SpeculativeDecoder.stream(pair, PROMPT, max_new_tokens=20)
    next(stream)
    out = stream.finish()
    assert (out.text, out.token_ids) == (expected.text, expected.token_ids)
