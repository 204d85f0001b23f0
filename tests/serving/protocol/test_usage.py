"""Counts of several texts are the sums of their rounds."""

from uag import SpeculativeDecoder
from uag.serving.protocol.usage import Usage


def test_the_names_that_tools_read(decoder: SpeculativeDecoder) -> None:
    outs = decoder.generate(["Once", "One day"], max_new_tokens=30)
    usage = Usage(prompt=5, cached=2)
    for out in outs:
        usage.add(out.stats.history)
    rounds = [done for out in outs for done in out.stats.history if done.candidates]
    told, drafts, times = usage.as_dict(), usage.speculative(), usage.timings()
    assert told["completion_tokens"] == times["predicted_n"] == 60
    assert told["prompt_tokens_details"]["cached_tokens"] == times["cache_n"] == 2
    assert times["prompt_n"] == 3
    accepted = sum(out.stats.accepted for out in outs)
    assert drafts["num_accepted_draft_tokens"] == times["draft_n_accepted"] == accepted
    assert drafts["num_spec_steps"] == len(rounds)
    assert usage.looked_up == sum(out.stats.looked_up_accepted for out in outs)
    assert drafts["num_draft_tokens"] == sum(done.candidates for done in rounds)
    assert drafts["mean_acceptance_length"] == 1 + accepted / len(rounds)
    assert drafts["draft_acceptance_rate"] == accepted / drafts["num_draft_tokens"]
    histogram = drafts["acceptance_histogram"]
    assert sum(histogram.values()) == len(rounds)
    assert sum(int(size) * count for size, count in histogram.items()) == accepted


def test_nothing_yet_is_no_division_by_zero() -> None:
    usage = Usage()
    assert usage.speculative()["mean_acceptance_length"] == 1
    assert usage.timings()["predicted_per_second"] == 0
