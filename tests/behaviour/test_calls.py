"""Processors and criteria are called as plain decoding calls them, whatever is drafted.

Once for each new id of each text, with the ids before it, and never for a place after the end.
"""

from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    EosTokenCriteria,
    LogitsProcessorList,
    MaxLengthCriteria,
    StoppingCriteria,
    StoppingCriteriaList,
    StopStringCriteria,
)

from tests.support.models import STORY, random_model, with_story
from tests.support.plainly import Diary, plain_entries, plainly
from tests.support.tokenizers import tokenizer
from uag import SpeculativeDecoder
from uag.decoding.output import TextStream
from uag.sampling.coupled import Sampler, sequence_key
from uag.sampling.greedy import Pick, most_likely

LONGEST, SEED, PAD = 14, 5, 0
WORDS = tokenizer("gpt2")
# Beginnings of the story, of several lengths; one of them twice.
PROMPTS = [WORDS(STORY)["input_ids"][:length] for length in (9, 4, 13, 4)]
SAMPLED = {"do_sample": True, "temperature": 1.0, "top_k": 0, "seed": SEED}


@dataclass(frozen=True)
class Case:
    """A call, and an end that falls at a place of its first text."""

    sampling: str
    form: str
    end: str
    place: int
    lookahead: int
    assistant: str
    period: int
    tree: int

    @property
    def prompts(self) -> list[list[int]]:
        """The prompt of each text."""
        match self.form:
            case "one":
                return PROMPTS[:1]
            case "streams":
                return PROMPTS[:2]
            case "continuations":
                return [prompt for prompt in PROMPTS[:2] for _ in range(2)]
            case _:
                return PROMPTS

    @property
    def padding(self) -> list[list[int]]:
        """The padding of each text."""
        longest = max(map(len, self.prompts))
        padded = self.form == "padded"
        return [[PAD] * (longest - len(prompt)) * padded for prompt in self.prompts]

    @property
    def last(self) -> int | None:
        """The id after which the criterion of the diary ends a text."""
        return self.place + 1 if self.end == "criterion" else None


@cache
def decoder(sampling: str, assistant: str, tree: int = 0) -> SpeculativeDecoder:
    """A target that tells a story, and an assistant that tells it too or knows nothing."""
    model = with_story(random_model("llama", WORDS), WORDS)
    model.generation_config.eos_token_id = None
    other = model if assistant == "right" else random_model("llama", WORDS, seed=1)
    sampling = "coupled" if sampling == "greedy" else sampling
    return SpeculativeDecoder(model, WORDS, other, WORDS, sampling=sampling, tree=tree)


def ends(case: Case, ids: list[int]) -> tuple[dict[str, Any], list[StoppingCriteria]]:
    """The end that falls on the id at a place, as options and as transformers' criteria."""
    match case.end:
        case "eos":
            return {"eos_token_id": [ids[case.place]]}, [EosTokenCriteria(ids[case.place])]
        case "stop string":
            text = WORDS.decode(ids[case.place : case.place + 1])
            stop = "never there" if "\ufffd" in text else text
            return {"stop_strings": [stop]}, [StopStringCriteria(WORDS, [stop])]
        case _:
            return {}, []


def longest(case: Case) -> int:
    return case.place + 1 if case.end == "length" else LONGEST


def plain_texts(case: Case, criteria: list[StoppingCriteria]) -> list[list[int]]:
    """What plain decoding gives, whose own calls are those that the law says."""
    model, before, texts = decoder(case.sampling, case.assistant).model, Counter[int](), []
    names = decoder(case.sampling, case.assistant)._engine.sampling.target_names
    for prompt in case.prompts:
        diary = Diary()
        asks, ending = diary.pair(case.period, case.last)
        key = sequence_key(SEED, prompt, before[len(prompt)])
        sampler: Pick = Sampler(names, key, len(prompt))
        texts.append(
            plainly(
                model,
                prompt,
                LogitsProcessorList([asks]),
                StoppingCriteriaList(
                    [MaxLengthCriteria(len(prompt) + longest(case)), *criteria, ending]
                ),
                most_likely if case.sampling == "greedy" else sampler,
            )
        )
        assert diary.texts() == [plain_entries(prompt, texts[-1])]
        before[len(prompt)] += 1
    return texts


def assisted_texts(case: Case, options: dict[str, Any]) -> list[list[int]]:
    one = decoder(case.sampling, case.assistant, case.tree)
    one.lookahead = case.lookahead
    options |= {"do_sample": False} if case.sampling == "greedy" else SAMPLED
    options |= {"max_new_tokens": longest(case)}
    match case.form:
        case "one":
            return [one.generate(case.prompts[0], **options).token_ids]
        case "continuations":
            outs = one.generate(PROMPTS[:2], num_return_sequences=2, **options)
            return [out.token_ids for out in outs]
        case "streams":
            streams: list[TextStream] = []
            for prompt in case.prompts:  # each begins while those before it are half read
                streams.append(one.stream(prompt, **options))
                for stream in streams:
                    next(stream, None)
            return [stream.finish().token_ids for stream in streams]
        case "padded":
            rows = torch.tensor([*map(list.__add__, case.padding, case.prompts)])
            mask = torch.tensor(
                [
                    [0] * len(padding) + [1] * len(prompt)
                    for padding, prompt in zip(case.padding, case.prompts, strict=True)
                ]
            )
            generate: Any = one.model.generate
            options |= {"custom_generate": one, "return_dict_in_generate": True}
            out = generate(rows, attention_mask=mask, pad_token_id=PAD, **options)
            return [stats.token_ids for stats in out.stats]
        case _:
            return [out.token_ids for out in one.generate(case.prompts, **options)]


FORMS = ["one", "several", "continuations", "padded", "streams"]

cases = st.builds(
    Case,
    sampling=st.sampled_from(["greedy", "coupled", "rejection"]),
    form=st.sampled_from(FORMS),
    end=st.sampled_from(["eos", "stop string", "criterion", "length"]),
    place=st.integers(0, LONGEST - 1),
    lookahead=st.integers(1, 16),
    assistant=st.sampled_from(["right", "wrong"]),
    period=st.sampled_from([4, 99]),
    tree=st.sampled_from([0, 15]),
).filter(lambda case: (case.sampling, case.form) != ("greedy", "continuations"))


@pytest.mark.filterwarnings("ignore:tree=15 has no effect")  # in batches, and by rejection
@given(cases)
def test_each_text_is_asked_about_as_plain_decoding_asks(case: Case) -> None:
    without_end = Case(**vars(case) | {"end": "none", "form": "one"})
    options, criteria = ends(case, plain_texts(without_end, [])[0])
    diary = Diary()
    asks, ending = diary.pair(case.period, case.last)
    new = assisted_texts(
        case,
        options
        | {
            "logits_processor": LogitsProcessorList([asks]),
            "stopping_criteria": StoppingCriteriaList([ending]),
        },
    )
    # What rejection samples depends on the drafts; what is asked about it does not.
    if case.sampling != "rejection":
        assert new == plain_texts(case, criteria)
    assert diary.texts() == sorted(
        plain_entries(padding + prompt, ids)
        for padding, prompt, ids in zip(case.padding, case.prompts, new, strict=True)
    )
