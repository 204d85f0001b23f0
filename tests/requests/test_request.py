"""What a caller asks for: a request for each text, each with objects of its own."""

import pytest
from transformers import LogitsProcessor, LogitsProcessorList

from tests.support.models import random_model
from tests.support.tokenizers import PROMPT, tokenizer
from uag import Bridge, OptionError
from uag.requests.prompts.reader import PromptReader
from uag.requests.request import RequestReader

PROMPTS = [PROMPT, "One day", tokenizer("gpt2")("The dog")["input_ids"]]


class Remembers(LogitsProcessor):
    """Has a list, which texts must not share."""

    def __init__(self) -> None:
        self.seen: list[int] = []


@pytest.fixture(scope="module")
def reader() -> RequestReader:
    own, other = tokenizer("gpt2"), tokenizer("llama2")
    return RequestReader(PromptReader(random_model("llama", own), own, other, Bridge(own, other)))


@pytest.mark.parametrize("count", [None, 1, 3])
def test_each_prompt_has_that_many_requests(reader: RequestReader, count: int | None) -> None:
    options = {"do_sample": True, "max_new_tokens": 4}
    requests = reader.read(PROMPTS, options, count=count, seed=1, trace=True)
    expected = [
        prompt if isinstance(prompt, list) else tokenizer("gpt2")(prompt)["input_ids"]
        for prompt in PROMPTS
        for _ in range(count or 1)
    ]
    assert [request.target_ids for request in requests] == expected
    assert all(request.trace and request.plan.sampling for request in requests)
    assert requests[0].assistant_ids == tokenizer("llama2")(PROMPT)["input_ids"]
    assert requests[0].plan.stop.room(len(expected[0])) == 4


def test_several_texts_have_processors_of_their_own_and_one_has_the_callers(
    reader: RequestReader,
) -> None:
    given = LogitsProcessorList([Remembers()])

    def found(prompts: list[str]) -> list[object]:
        requests = reader.read(prompts, {"logits_processor": given})
        return [each for r in requests for each in r.plan.processors if isinstance(each, Remembers)]

    assert found([PROMPT]) == [*given]
    own = found([PROMPT, "One day"])
    assert len({id(each) for each in own}) == len({id(each.seen) for each in own}) == 2


@pytest.mark.parametrize(("count", "seed"), [(0, 1), (2, None), (1, -1)])
def test_counts_and_seeds_that_cannot_be_met(
    reader: RequestReader, count: int, seed: int | None
) -> None:
    with pytest.raises(OptionError, match=r"num_return_sequences|seed"):
        reader.read([PROMPT], {"max_new_tokens": 4}, count=count, seed=seed)
