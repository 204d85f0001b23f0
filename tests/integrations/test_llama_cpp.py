"""The draft model of llama-cpp-python, called as its `generate` does: with one array of ids."""

from typing import Any

import numpy as np
import pytest

from tests.support.engine_runner import LENGTH, Runner, demo, expected, prompt
from uag import OptionError
from uag.llama_cpp import DraftModel


def draft_model(**options: Any) -> DraftModel:
    return DraftModel(demo("target")[1], *demo("assistant"), lookahead=5, **options)


@pytest.mark.parametrize(("text", "cut"), [(0, 0), (1, 1), (2, 2), (3, 0)])
def test_the_text_is_that_of_generate(text: int, cut: int) -> None:
    drafts = draft_model()

    def propose(rows: list[list[int]], limits: list[int]) -> list[list[int]]:
        (row,), (limit,) = rows, limits
        found = drafts(np.array(row, dtype=np.intc))
        assert found.dtype == np.intc
        return [found.astype(int)[:limit].tolist()]

    runner = Runner([prompt(text, cut)])
    runner.run(propose)
    (request,) = runner.requests
    assert request.output == expected(request.prompt)
    assert runner.passes < LENGTH or text != 0


def test_another_text_on_the_same_model() -> None:
    """A `Llama` keeps its draft model from text to text."""
    drafts = draft_model()
    texts = [np.array(prompt(text, 0), dtype=np.intc) for text in (0, 3, 0)]
    found = [drafts(text).tolist() for text in texts]
    assert found[0] == found[2] != found[1]


def test_its_options_are_checked() -> None:
    with pytest.raises(OptionError, match="num_pred_tokens is 0"):
        draft_model(num_pred_tokens=0)
