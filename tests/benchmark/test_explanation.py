"""Why outputs differ."""

from typing import Any

import pytest
import torch

import uag
from tests.support.models import random_model
from tests.support.pages import shown
from tests.support.tokenizers import PROMPT, tokenizer
from uag.benchmark.comparison import Comparison, Method, Run
from uag.benchmark.explanation import differences, margin_at
from uag.decoding.output import Output

NAME = tokenizer("gpt2")
IDS = [5, 6, 7]


def tied(ids: list[int], step: float) -> Any:
    """A model whose two best tokens after some ids are apart by a number, and which they are."""
    model = random_model("llama", NAME)
    with torch.no_grad():
        # A head of its own, with one row for two tokens.
        hidden = model.model(torch.tensor([ids])).last_hidden_state[0, -1]
        head = torch.nn.Linear(model.config.hidden_size, model.config.vocab_size, bias=False)
        head.weight.mul_(0.01)
        head.weight[1] = head.weight[2] = 10 * hidden / hidden.square().sum()
        head.weight[2] *= 1 - step / 10
    model.lm_head = head
    model.config.tie_word_embeddings = False
    return model


@pytest.mark.parametrize(
    ("dtype", "step", "tie"),
    [
        (torch.float32, 1e-5, True),
        (torch.float32, 0.05, False),
        (torch.bfloat16, 0.1, True),
        (torch.bfloat16, 2.0, False),
    ],
)
def test_a_tie_is_what_rounding_may_change(dtype: torch.dtype, step: float, tie: bool) -> None:
    model = tied(IDS, step).to(dtype)
    margin = margin_at(model, IDS, (1, 2))
    best, second = margin.best_two
    assert margin.tie == tie
    assert best - second == pytest.approx(step, abs=4 * margin.rounding)
    # Neighbours of 8 to 16 in the type.
    assert margin.rounding == 8 * torch.finfo(dtype).eps
    # A third token is none of the best, and an end that only one output has is no tie.
    assert not margin_at(model, IDS, (1, 3)).tie and not margin_at(model, IDS, (1, None)).tie


class OneWrong(uag.SpeculativeDecoder):
    """Gets the third id of a prompt wrong."""

    def generate(self, prompt: Any, **options: Any) -> Output:
        out = super().generate(prompt, **options)
        if prompt == PROMPT:
            out.token_ids[2] = (out.token_ids[2] + 1) % 100
        return out


def test_a_wrong_id_is_a_bug_and_said_to_be_one() -> None:
    decoder = OneWrong(random_model("llama", NAME), NAME)
    found = uag.compare(decoder, ["The dog", PROMPT], runs=1, max_new_tokens=5)
    (difference,) = found.differences
    plain, ours = (method.runs[0][1].token_ids for method in found.methods)
    assert (difference.method, difference.prompt, difference.position) == ("uag", 1, 2)
    assert (difference.expected, difference.found) == (plain[2], ours[2])
    assert difference.texts == tuple(NAME.decode([ids[2]]) for ids in (plain, ours))
    assert difference.margin is not None and not difference.margin.tie
    told = " ".join(shown(found).split())
    assert f"uag: prompt 2, token 3 is {ours[2]} " in told and "bug of uag" in told
    assert found.as_dict()["differences"][0]["explained_by_rounding"] is False


def test_sampled_texts_have_a_place_without_scores() -> None:
    decoder = OneWrong(random_model("llama", NAME), NAME)
    found = uag.compare(decoder, PROMPT, runs=1, max_new_tokens=5, temperature=1.0)
    (difference,) = found.differences
    assert difference.position == 2 and difference.margin is None
    assert "of uag alone" in " ".join(shown(found).split())


def test_a_difference_in_a_later_repetition_is_found() -> None:
    def method(name: str, *outputs: list[int]) -> Method:
        return Method(name, [[Run(ids, 1.0, 1)] for ids in outputs])

    methods = [method("plain", [1, 2], [1, 2]), method("uag", [1, 2], [1, 3])]
    model = random_model("llama", NAME)
    (difference,) = differences(Comparison(["a"], methods), [IDS], model, NAME)
    assert (difference.method, difference.position) == ("uag", 1)
