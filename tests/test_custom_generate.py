"""In transformers' own calls the output is transformers' own output."""

import asyncio
from collections.abc import Iterator
from functools import cache, partial
from threading import Thread
from typing import Any

import pytest
import torch
import transformers
import uag
from fakes import PROMPT, TEXT, random_model, telling, tokenizer
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import (
    AsyncTextIteratorStreamer,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    MaxLengthCriteria,
    PreTrainedTokenizerFast,
    StoppingCriteria,
    StoppingCriteriaList,
    TextIteratorStreamer,
    TextStreamer,
)
from transformers.generation import BaseStreamer
from uag import OptionError, PromptError, SpeculativeDecoder
from uag.models.properties import cache_name

TARGET = "gpt2"
CACHE = cache_name(random_model("llama", tokenizer(TARGET)))


@cache
def padded() -> PreTrainedTokenizerFast:
    """The target's tokenizer, which pads on the left."""
    copy = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer(TARGET).backend_tokenizer, eos_token="<end>", pad_token="<begin>"
    )
    copy.padding_side = "left"
    return copy


@cache
def decoder(assistant: str = "llama2", **options: Any) -> SpeculativeDecoder:
    """With an assistant that is seldom right, or with "itself", which always is."""
    target = random_model("llama", padded())
    if assistant == "itself":
        return SpeculativeDecoder(target, padded(), target, padded(), lookahead=4, **options)
    other = tokenizer(assistant)
    return SpeculativeDecoder(target, padded(), random_model("llama", other), other, **options)


def inputs(*prompts: str) -> dict[str, Tensor]:
    return dict(padded()(list(prompts), return_tensors="pt", padding=True))


def both(decoder: SpeculativeDecoder, rows: dict[str, Tensor], **options: Any) -> tuple[Any, Any]:
    generate: Any = decoder.model.generate
    return generate(**rows, custom_generate=decoder, **options), generate(**rows, **options)


WORDS = TEXT.split()
OPTIONS: list[dict[str, Any]] = [
    {"max_new_tokens": 24},
    {"max_length": 250, "eos_token_id": [*range(0, 420, 9)]},
    {"max_new_tokens": 24, "repetition_penalty": 1.3, "pad_token_id": 0},
    {"max_new_tokens": 24, "no_repeat_ngram_size": 2, "min_new_tokens": 20},
    {"max_new_tokens": 12, "encoder_repetition_penalty": 0.7},
    {"max_new_tokens": 24, "encoder_no_repeat_ngram_size": 2, "begin_suppress_tokens": [5, 9]},
    {"max_new_tokens": 24, "exponential_decay_length_penalty": (4, 1.2), "min_length": 24},
    {"max_new_tokens": 24, "min_length": 20, "forced_eos_token_id": 7},
    {"generation_config": GenerationConfig(max_new_tokens=24, bad_words_ids=[[30], [31, 32]])},
]


@given(
    prompts=st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6), max_size=4),
    options=st.sampled_from(OPTIONS),
    assistant=st.sampled_from(["itself", "llama2", "bytes"]),
)
def test_ids_are_those_of_generate(
    prompts: list[list[str]], options: dict[str, Any], assistant: str
) -> None:
    rows = inputs(PROMPT, *map(" ".join, prompts))
    ours, theirs = both(decoder(assistant), rows, **options)
    assert ours.dtype == theirs.dtype and ours.tolist() == theirs.tolist()


def test_prefix_function_knows_its_row() -> None:
    def allowed(row: int, ids: Tensor) -> list[int]:
        return [*range(100 * row + 20, 100 * row + 90), len(ids)]

    rows = inputs(PROMPT, "Once", "One day, the")
    ours, theirs = both(
        decoder("itself"), rows, max_new_tokens=16, prefix_allowed_tokens_fn=allowed
    )
    assert torch.equal(ours, theirs)


class EachPlace(LogitsProcessor):
    """Knows how long each row is."""

    def __init__(self, lengths: Tensor) -> None:
        self.lengths = lengths

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        assert len(input_ids) == len(scores) == len(self.lengths)
        scores = scores.clone()
        scores[:, 50] += (self.lengths % 3).float() * (input_ids[:, -1] % 5)
        return scores


class EachEnd(StoppingCriteria):
    """Ends each row behind another id."""

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        return input_ids[:, -1] % (7 + torch.arange(len(input_ids))) == 0


def test_processors_and_criteria_of_a_batch() -> None:
    rows = inputs(PROMPT, "Once", "One day, the", "She")
    ours, theirs = both(
        decoder("itself"),
        rows,
        max_new_tokens=40,
        logits_processor=LogitsProcessorList([EachPlace(rows["attention_mask"].sum(-1))]),
        stopping_criteria=StoppingCriteriaList([EachEnd()]),
    )
    assert torch.equal(ours, theirs)
    ends = (ours[:, rows["input_ids"].shape[1] :] != 0).sum(-1)  # 0 pads
    assert len(set(ends.tolist())) > 1


class Counts(LogitsProcessor):
    """Remembers how often each row's last id came before."""

    def __init__(self, rows: int) -> None:
        self.before: list[list[int]] = [[] for _ in range(rows)]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        scores = scores.clone()
        for row, id in enumerate(input_ids[:, -1].tolist()):
            scores[row, 40 + self.before[row].count(id)] += 3
            self.before[row] = [*self.before[row], id]
        return scores


def test_a_processor_remembers_each_row_by_itself() -> None:
    rows = inputs(PROMPT, "Once", "One day, the")
    generate: Any = decoder("itself").model.generate
    processors = [LogitsProcessorList([Counts(3)]) for _ in range(2)]
    ours = generate(
        **rows, max_new_tokens=20, logits_processor=processors[0], custom_generate=decoder("itself")
    )
    theirs = generate(**rows, max_new_tokens=20, logits_processor=processors[1])
    assert torch.equal(ours, theirs)


def test_a_criterion_may_answer_with_a_bool() -> None:
    class Odd(StoppingCriteria):
        def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Any:
            return bool(input_ids[0, -1] % 3 == 0)

    criteria = StoppingCriteriaList([Odd()])
    ours, theirs = both(decoder(), inputs("Once"), max_new_tokens=30, stopping_criteria=criteria)
    assert torch.equal(ours, theirs) and ours.shape[1] < 30


def test_a_length_that_is_reached_already() -> None:
    criteria = StoppingCriteriaList([MaxLengthCriteria(3)])
    ours, theirs = both(decoder(), inputs(PROMPT, "Once"), stopping_criteria=criteria)
    assert torch.equal(ours, theirs)


def test_a_criterion_of_length_in_place_of_the_option() -> None:
    criteria = StoppingCriteriaList([MaxLengthCriteria(12)])
    ours, theirs = both(decoder(), inputs("Once"), stopping_criteria=criteria)
    assert torch.equal(ours, theirs) and ours.shape[1] == 12
    out = decoder().generate("Once", stopping_criteria=criteria)
    assert out.token_ids == theirs[0, -len(out.token_ids) :].tolist()


@pytest.mark.parametrize("assistant", ["itself", "llama2"])
def test_scores_and_logits(assistant: str) -> None:
    rows = inputs(PROMPT, "Once", "One day, the")
    ours, theirs = both(
        decoder(assistant),
        rows,
        max_new_tokens=16,
        no_repeat_ngram_size=2,
        eos_token_id=[*range(0, 420, 9)],
        return_dict_in_generate=True,
        output_scores=True,
        output_logits=True,
    )
    assert isinstance(ours, transformers.generation.GenerateDecoderOnlyOutput)
    assert torch.equal(ours.sequences, theirs.sequences)
    start = rows["input_ids"].shape[1]
    for name in ("scores", "logits"):
        kept, expected = getattr(ours, name), getattr(theirs, name)
        assert len(kept) == len(expected) == ours.sequences.shape[1] - start
        for step, (one, other) in enumerate(zip(kept, expected, strict=True)):
            assert one.dtype == other.dtype and not one.is_inference()
            for row in range(3):
                if step and (ours.sequences[row, start : start + step] % 9 == 0).any():
                    assert not one[row].any()  # it has ended
                else:
                    torch.testing.assert_close(one[row], other[row], atol=1e-4, rtol=1e-4)
    assert [stats.tokens for stats in ours.stats] == [
        sum(bool(scores[row].any()) for scores in ours.scores) for row in range(3)
    ]


def test_scores_are_only_kept_when_asked_for() -> None:
    out, _ = both(decoder(), inputs("Once"), max_new_tokens=4, return_dict_in_generate=True)
    assert out.scores is None and out.logits is None and out.seed is None
    assert [stats.tokens for stats in out.stats] == [4]


def test_drawn_rows_are_those_drawn_alone() -> None:
    prompts = [PROMPT, "Once", "Once", "One day, the"]
    rows, options = inputs(*prompts), {"do_sample": True, "top_p": 0.9, "max_new_tokens": 16}
    generate: Any = decoder().model.generate
    out = generate(**rows, custom_generate=decoder(), seed=5, **options)
    new = out[:, rows["input_ids"].shape[1] :].tolist()
    alone = [decoder().generate(prompt, seed=5, **options).token_ids for prompt in prompts]
    assert new[0] == alone[0] and new[1] == alone[1] and new[3] == alone[3]
    assert new[2] != new[1]  # an independent draw of the same prompt
    several = generate(
        **inputs("Once"), custom_generate=decoder(), seed=5, num_return_sequences=2, **options
    )
    width = inputs("Once")["input_ids"].shape[1]
    assert several[:, width:].tolist() == [new[1], new[2]]


def test_torchs_seed_is_heeded() -> None:
    def drawn(seed: int) -> list[list[int]]:
        torch.manual_seed(seed)
        generate: Any = decoder().model.generate
        options = {"do_sample": True, "max_new_tokens": 12, "return_dict_in_generate": True}
        out = generate(**inputs("Once"), custom_generate=decoder(), **options)
        again = generate(**inputs("Once"), custom_generate=decoder(), seed=out.seed, **options)
        assert torch.equal(out.sequences, again.sequences)
        return out.sequences.tolist()

    assert drawn(1) == drawn(1) != drawn(2)


def test_stop_strings_need_no_tokenizer() -> None:
    plain = decoder().model.generate(**inputs("Once"), max_new_tokens=30)
    stop = padded().decode(plain[0, -8:-5])
    generate: Any = decoder().model.generate
    theirs = generate(**inputs("Once"), max_new_tokens=30, stop_strings=stop, tokenizer=padded())
    for options in ({}, {"tokenizer": padded()}):
        ours = generate(
            **inputs("Once"),
            max_new_tokens=30,
            stop_strings=stop,
            custom_generate=decoder(),
            **options,
        )
        assert torch.equal(ours, theirs) and ours.shape[1] < plain.shape[1]


def test_models_and_config_stay_as_they_are() -> None:
    one = decoder()
    before = one.model.generation_config.to_dict(), one.model.config.to_dict()
    both(one, inputs("Once", "One day"), max_new_tokens=5, pad_token_id=3)
    assert before == (one.model.generation_config.to_dict(), one.model.config.to_dict())


# Streamers


class Puts(BaseStreamer):
    """Remembers what it gets."""

    def __init__(self) -> None:
        self.values: list[Tensor] = []
        self.ended = 0

    def put(self, value: Tensor) -> None:
        assert value.device.type == "cpu" and not self.ended
        self.values.append(value)

    def end(self) -> None:
        self.ended += 1


@cache
def teller() -> SpeculativeDecoder:
    """Tells a story with characters of several bytes; its assistant guesses it well."""
    other = tokenizer("bytes")
    return SpeculativeDecoder(
        telling(random_model("llama", padded()), padded()),
        padded(),
        telling(random_model("llama", other), other),
        other,
        lookahead=12,
    )


def test_a_streamer_gets_whole_characters_as_they_are_accepted() -> None:
    expected = teller().generate(PROMPT, max_new_tokens=90)
    pieces = sum(1 for _ in teller().stream(PROMPT, max_new_tokens=90))
    for call in (
        lambda puts: teller().model.generate(
            **inputs(PROMPT), max_new_tokens=90, custom_generate=teller(), streamer=puts
        ),
        lambda puts: teller().model.generate(
            **inputs(PROMPT), max_new_tokens=90, custom_generate=partial(teller(), streamer=puts)
        ),
        lambda puts: teller().generate(PROMPT, max_new_tokens=90, streamer=puts),
    ):
        puts = Puts()
        call(puts)
        prompt, *values = puts.values
        assert prompt.tolist() == inputs(PROMPT)["input_ids"].tolist() and puts.ended == 1
        assert torch.cat(values).tolist() == expected.token_ids
        assert all(value.dim() == 1 for value in values)
        # Less often than text comes: an id may end one character and begin another.
        assert 0.8 * pieces < len(values) <= pieces
        decoded = [padded().decode(value) for value in values]
        assert "".join(decoded) == expected.text and not expected.text.isascii()


def test_text_streamer(capsys: pytest.CaptureFixture[str]) -> None:
    streamer = TextStreamer(padded(), skip_prompt=True)
    out, _ = both(teller(), inputs(PROMPT), max_new_tokens=60, streamer=streamer)
    text = padded().decode(out[0, inputs(PROMPT)["input_ids"].shape[1] :])
    assert capsys.readouterr().out == (text + "\n") * 2


def test_text_iterator_streamer() -> None:
    streamer = TextIteratorStreamer(padded(), skip_prompt=True, timeout=60)
    options = inputs(PROMPT) | {"max_new_tokens": 60, "streamer": streamer}
    thread = Thread(target=teller().model.generate, kwargs=options | {"custom_generate": teller()})
    thread.start()
    pieces = list(streamer)
    thread.join()
    assert "".join(pieces) == teller().generate(PROMPT, max_new_tokens=60).text
    assert len(pieces) > 3


def test_async_streamer() -> None:
    async def heard() -> str:
        streamer = AsyncTextIteratorStreamer(padded(), skip_prompt=True, timeout=60)
        generate: Any = teller().model.generate
        options = {"max_new_tokens": 60, "streamer": streamer, "custom_generate": teller()}
        thread = Thread(target=generate, kwargs=inputs(PROMPT) | options)
        thread.start()
        text = "".join([piece async for piece in streamer])
        thread.join()
        return text

    assert asyncio.run(heard()) == teller().generate(PROMPT, max_new_tokens=60).text


# Pipelines


def pipelines() -> Iterator[Any]:
    one = decoder()
    generation: Any = {"model": one.model, "tokenizer": padded()}
    yield partial(transformers.pipeline("text-generation", **generation), custom_generate=one)
    yield transformers.pipeline("text-generation", **generation, custom_generate=one)
    yield uag.pipeline(
        **generation, assistant_model=one.assistant, assistant_tokenizer=one.assistant_tokenizer
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_size": 3, "max_new_tokens": 9},
        {"return_full_text": False},
        {"stop_sequence": "e"},
        {"return_tensors": True},
        {"return_dict_in_generate": True},
    ],
    ids=str,
)
def test_pipelines(options: dict[str, Any]) -> None:
    options = {"max_new_tokens": 12, "do_sample": False} | options
    plain = transformers.pipeline("text-generation", model=decoder().model, tokenizer=padded())
    prompts = [PROMPT, "Once", "One day, the"]
    expected = plain(prompts, **options)
    for pipe in pipelines():
        assert pipe(prompts, **options) == expected


def test_a_pipeline_by_name(tmp_path: Any) -> None:
    one = decoder()
    for name, model, own in (
        ("target", one.model, padded()),
        ("assistant", one.assistant, one.assistant_tokenizer),
    ):
        model.save_pretrained(tmp_path / name)
        own.save_pretrained(tmp_path / name)
    pipe = uag.pipeline(
        model=str(tmp_path / "target"),
        assistant_model=str(tmp_path / "assistant"),
        model_kwargs={"dtype": torch.float64},
        max_new_tokens=7,
        do_sample=False,
    )
    assert pipe.model.dtype == torch.float64
    text = one.generate("Once", max_new_tokens=7).text
    assert pipe("Once") == [{"generated_text": "Once" + text}]


# Bad input


def refused(message: str, rows: dict[str, Any] | None = None, **options: Any) -> None:
    one = decoder()
    generate: Any = options.pop("generate", one.model.generate)
    options = {"max_new_tokens": 4, "custom_generate": one} | options
    with pytest.raises((OptionError, PromptError), match=message):
        generate(**(rows or inputs("Once", "One day, the")), **options)
    assert len(one.generate(PROMPT, max_new_tokens=3).token_ids) == 3


def test_another_models_decoder() -> None:
    other = random_model("llama", padded(), seed=3)
    refused("built for a LlamaForCausalLM of its own", generate=other.generate)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_beams": 2}, "num_beams=2: beam search"),
        ({"penalty_alpha": 0.6, "top_k": 4}, "penalty_alpha=0.6: contrastive"),
        ({"dola_layers": "low"}, "dola_layers='low': DoLa"),
        ({"guidance_scale": 1.5}, "guidance_scale=1.5"),
        ({"prompt_lookup_num_tokens": 3}, "lookup=True"),
        ({"use_cache": False}, "needs the cache"),
        ({"cache_implementation": "static"}, "cache_implementation='static'"),
        ({"return_dict_in_generate": True, "output_attentions": True}, "output_attentions"),
        ({"return_dict_in_generate": True, "output_hidden_states": True}, "output_hidden_states"),
        ({"do_sample": True, "temperature": float("inf")}, "temperature=inf is out of range"),
        ({"seed": -1, "do_sample": True}, "seed=-1"),
        ({"streamer": Puts()}, "a streamer hears one text, but there are 2"),
        ({CACHE: transformers.DynamicCache()}, "keeps its own caches"),
        ({"position_ids": torch.zeros(2, 5, dtype=torch.long)}, "position_ids: only the usual"),
    ],
    ids=str,
)
def test_other_ways_to_decode(options: dict[str, Any], message: str) -> None:
    rows = inputs("Once", "One day, the")
    if "position_ids" in options:
        options = {"position_ids": torch.zeros_like(rows["input_ids"])}
    refused(message, rows, **options)


def test_two_assistants() -> None:
    refused("assistant_model", inputs("Once"), assistant_model=decoder().assistant)


def test_two_streamers() -> None:
    custom = partial(decoder(), streamer=Puts())
    refused("streamer: one", inputs("Once"), streamer=Puts(), custom_generate=custom)


def test_a_row_beyond_the_window() -> None:
    long = {"input_ids": torch.arange(300)[None] % 400}
    long["attention_mask"] = torch.ones_like(long["input_ids"])
    refused("window is 256", long)


def test_embeddings_instead_of_ids() -> None:
    embedded = decoder().model.get_input_embeddings()(inputs("Once")["input_ids"])
    refused("inputs_embeds", {"inputs_embeds": embedded.detach()})


def test_right_padding() -> None:
    rows = inputs("Once", "One day, the")
    turned = {name: value.flip(-1) for name, value in rows.items()}
    refused("row 0 of the batch is padded on the right", turned)


def test_a_pad_token_is_not_guessed() -> None:
    target = random_model("llama", padded())
    target.generation_config.pad_token_id = target.generation_config.eos_token_id = None
    one = SpeculativeDecoder(target, padded())
    generate: Any = partial(
        target.generate,
        **inputs("Once", "One day, the"),
        custom_generate=one,
        max_new_tokens=40,
        stopping_criteria=StoppingCriteriaList([EachEnd()]),
    )
    with pytest.raises(OptionError, match="give pad_token_id="):
        generate()
    assert (generate(pad_token_id=5) == 5).any()


def test_streamers_of_several_texts() -> None:
    with pytest.raises(OptionError, match="a streamer hears one text, but there are 2"):
        decoder().generate(["Once", "One day"], streamer=Puts())


def test_pipelines_of_something_else() -> None:
    with pytest.raises(OptionError, match="task='fill-mask'"):
        uag.pipeline("fill-mask", model="somewhere")
    with pytest.raises(OptionError, match="model is missing"):
        uag.pipeline()
    with pytest.raises(OptionError, match="assistant_tokenizer is missing"):
        uag.pipeline(model=decoder().model, tokenizer=padded(), assistant_model=decoder().model)


@given(ids=st.lists(st.integers(3, 400), min_size=1, max_size=12))
def test_a_streamer_gets_a_prompt_that_ends_within_a_character_once(ids: list[int]) -> None:
    puts = Puts()
    out = decoder().generate(ids, max_new_tokens=6, streamer=puts)
    prompt, *values = puts.values
    assert prompt[0].tolist() == ids
    assert torch.cat(values).tolist() == out.token_ids
