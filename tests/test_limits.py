"""Values at both sides of each limit."""

import math
import re
from typing import Any

import pytest
from transformers import LogitsProcessorList, TextStreamer, WatermarkingConfig

from tests.support.tokenizers import tokenizer
from uag.errors import OptionError
from uag.limits import LIMITS, SCORED, check_limits, check_positive, check_scored
from uag.values import shown

SCALES = ([1e-9, 5], [0, -1, math.inf, math.nan, 10**400])
SHARES = ([1e-9, 1], [0, 1.01, math.nan])
CUTOFFS = ([0, 0.99], [1, -0.1, math.nan])
COUNTS = ([0, 1, 9], [-1, 1.0, 2.5, math.inf])
NUMBERS = ([1, 9], [0, 1.5, 2.0, math.inf, math.nan])
GRAMS = ([0, 3, 2**20 - 1], [-1, 2.0, 10**30])
SWITCHES = ([False, 0, 1], [2, [], math.nan])
IDS = ([0, 9999, [5, 6]], [-7, [], [-1], [5, 2.5], [True], 2**63])
SAVED = ([0, -1], [2.0, [5], 2**63])
LISTED = ([[5, 6], [], 5], [[-1], [[5]], 2.5])
CALLABLES = ([LogitsProcessorList(), [print]], [5, [5], {}])

# (name, values that are in range, values that are not)
EDGES: list[tuple[str, list[Any], list[Any]]] = [
    *((name, *SCALES) for name in ("temperature", "draft_temperature", "repetition_penalty",
                                   "encoder_repetition_penalty")),
    *((name, *SHARES) for name in ("top_p", "top_h", "typical_p")),
    *((name, *CUTOFFS) for name in ("epsilon_cutoff", "eta_cutoff")),
    *((name, *COUNTS) for name in ("max_new_tokens", "max_length", "min_new_tokens", "min_length",
                                   "top_k")),
    *((name, *NUMBERS) for name in ("batch_size",)),
    ("num_return_sequences", [1, 100_000], [0, 1.5, 100_001]),
    *((name, *GRAMS) for name in ("no_repeat_ngram_size", "encoder_no_repeat_ngram_size")),
    *((name, *SWITCHES) for name in ("do_sample", "renormalize_logits", "remove_invalid_values",
                                     "trace")),
    *((name, *IDS) for name in ("eos_token_id", "forced_eos_token_id")),
    *((name, *SAVED) for name in ("pad_token_id", "bos_token_id")),
    *((name, *LISTED) for name in ("suppress_tokens", "begin_suppress_tokens")),
    *((name, *CALLABLES) for name in ("logits_processor", "stopping_criteria")),
    ("min_p", [0, 1], [-0.1, 1.1]),
    ("tree", [0, 2, 31], [-1, 32, 1.5]),
    ("seed", [0, 2**63 - 1], [-1, 2**63, 1.5, math.inf]),
    ("max_time", [0, 1.5, math.inf], [-1, math.nan]),
    ("stop_strings", ["end", ["a", "é"]], ["", [""], [], 5, "\ud800", ["a", 5], {}]),
    ("forced_bos_token_id", [5], [-1, [5], 5.0]),
    ("bad_words_ids", [[[5], [6, 7]]], [[], [5], [[]], [[-1]], [["a"]], {}]),
    ("sequence_bias", [{(5, 6): 1.5}, [[[5], -2.0]]], [{"5": 1.0}, [[5, 1.0]], [[[5], math.nan]]]),
    ("exponential_decay_length_penalty", [(5, 1.1), [0, 2]], [(5,), (-1, 1.1), (5, math.inf), 5]),
    ("watermarking_config", [WatermarkingConfig(), {"bias": 1.5}],
     [{"bias": "x"}, {"hashing_key": 1.5}, 5]),
    ("prefix_allowed_tokens_fn", [print], [5, []]),
    ("streamer", [TextStreamer(tokenizer("gpt2"))], [5, print]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "right", "wrong"), EDGES, ids=[name for name, *_ in EDGES])
def test_limits(name: str, right: list[Any], wrong: list[Any]) -> None:
    for value in [None, *right]:
        check_limits({name: value, "another": "anything"})
    strange = [value for value in (True, "5") if value not in right and name != "stop_strings"]
    for value in [*wrong, *strange]:
        given = re.escape(f"{name}={shown(value)}")
        with pytest.raises(OptionError, match=f"^{given} is out of range: it must be "):
            check_limits({name: value})


def test_every_limit_is_tried() -> None:
    assert {*LIMITS} == {name for name, *_ in EDGES}


@pytest.mark.parametrize("name", SCORED)
def test_ids_that_need_a_score(name: str) -> None:
    def holding(id: int) -> Any:
        match name:
            case "bad_words_ids":
                return [[5], [id]]
            case "sequence_bias":
                return {(5, id): 1.5}
            case "forced_bos_token_id":
                return id
            case _:
                return [5, id]

    check_scored({name: holding(419)}, rows=420)
    for sequences in (holding(420), holding(10**9)):
        with pytest.raises(OptionError, match=f"{name} has id .* ids go from 0 to 419"):
            check_scored({name: sequences}, rows=420)
    with pytest.raises(OptionError, match="sequence_bias has id 420"):
        check_scored({"sequence_bias": [[[5, 420], 1.0]]}, rows=420)


def test_counts_below_one() -> None:
    check_positive(runs=1, limit=None)
    for wrong in (0, 2.5, True, "many"):
        with pytest.raises(OptionError, match=f"limit is {wrong!r}, but must be at least 1"):
            check_positive(runs=1, limit=wrong)  # type: ignore[arg-type]
