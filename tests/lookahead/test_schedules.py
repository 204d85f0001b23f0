"""How many ids are drafted: as many as the schedule says."""

from typing import Any

import numpy as np
import pytest

from tests.support.models import random_model
from tests.support.tokenizers import PROMPT, tokenizer
from uag import Fixed, Heuristic, OptionError, SpeculativeDecoder


def test_schedules_draft_as_much_as_they_say() -> None:
    target, assistant = tokenizer("gpt2"), tokenizer("llama2")
    models = random_model("llama", target), random_model("llama", assistant)
    options: list[tuple[Any, int]] = [(1, 1), (np.int64(7), 7), (Fixed(3), 3)]
    for lookahead, first in [*options, ("heuristic", 20), (Heuristic(4), 4)]:
        decoder = SpeculativeDecoder(models[0], target, models[1], assistant, lookahead=lookahead)
        assert decoder.generate(PROMPT, max_new_tokens=30).stats.history[0].drafted == first


@pytest.mark.parametrize("lookahead", [0, -2, "fast", True, 1.5, None])
def test_lookahead_below_one_or_unknown(lookahead: Any) -> None:
    target = tokenizer("gpt2")
    with pytest.raises(OptionError, match=f"lookahead is {lookahead!r}"):
        SpeculativeDecoder(random_model("llama", target), target, lookahead=lookahead)
