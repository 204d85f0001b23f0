"""In transformers' own calls the output is transformers' own output."""

from functools import partial
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from transformers import GenerationConfig

from tests.support.models import SMALL, random_model
from tests.support.tokenizers import PROMPT, TEXT, tokenizer
from tests.support.transformers_calls import (
    TARGET,
    RecordingStreamer,
    both,
    decoder,
    inputs,
    padded,
    refused,
)
from uag import OptionError, SpeculativeDecoder
from uag.models.properties import cache_name
from uag.requests.transformers_call import GenerateCall, check_call

CACHE = cache_name(random_model("llama", tokenizer(TARGET)))

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


def test_models_and_config_stay_unchanged() -> None:
    one = decoder()
    before = one.model.generation_config.to_dict(), one.model.config.to_dict()
    both(one, inputs("Once", "One day"), max_new_tokens=5, pad_token_id=3)
    assert before == (one.model.generation_config.to_dict(), one.model.config.to_dict())


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
        ({"streamer": RecordingStreamer()}, "a streamer gets one generation, but there are 2"),
        ({CACHE: transformers.DynamicCache()}, "keeps its own caches"),
        ({"position_ids": torch.zeros(2, 5, dtype=torch.long)}, "position_ids: only the usual"),
    ],
    ids=lambda given: ",".join(given) if isinstance(given, dict) else str(given),
)
def test_other_methods_of_decoding(options: dict[str, Any], message: str) -> None:
    rows = inputs("Once", "One day, the")
    if "position_ids" in options:
        options = {"position_ids": torch.zeros_like(rows["input_ids"])}
    refused(message, rows, **options)


def test_two_assistants() -> None:
    refused("assistant_model", inputs("Once"), assistant_model=decoder().assistant)


def test_two_streamers() -> None:
    custom = partial(decoder(), streamer=RecordingStreamer())
    refused("streamer: one", inputs("Once"), streamer=RecordingStreamer(), custom_generate=custom)


def test_embeddings_instead_of_ids() -> None:
    embedded = decoder().model.get_input_embeddings()(inputs("Once")["input_ids"])
    refused("inputs_embeds", {"inputs_embeds": embedded.detach()})


VISION: dict[str, Any] = {
    "depth": 1,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_heads": 2,
    "out_hidden_size": 32,
    "patch_size": 4,
    "spatial_merge_size": 2,
    "fullatt_block_indexes": [0],
}


@pytest.fixture(scope="module")
def reads_images() -> SpeculativeDecoder:
    """A target that could read images beside text: four ids more stand for these."""
    size = len(padded())
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}
    text = SMALL | {"vocab_size": size + 4, "rope_parameters": rope, "tie_word_embeddings": False}
    config = transformers.Qwen2_5_VLConfig(
        text_config=text | {"bos_token_id": None, "eos_token_id": None, "pad_token_id": 0},
        vision_config=VISION,
        image_token_id=size,
        video_token_id=size + 1,
        vision_start_token_id=size + 2,
        vision_end_token_id=size + 3,
    )
    torch.manual_seed(0)
    model = transformers.Qwen2_5_VLForConditionalGeneration(config).eval()
    model.generation_config.pad_token_id = 0
    return SpeculativeDecoder(model, padded())


@pytest.mark.parametrize("prompts", [["Once"], ["Once", "One day, the dog"]])
def test_text_for_a_model_that_could_read_images(
    reads_images: SpeculativeDecoder, prompts: list[str]
) -> None:
    """transformers adds positions of several axes, and an empty `mm_encoder_outputs`."""
    rows = inputs(*prompts)
    ours, theirs = both(reads_images, rows, max_new_tokens=12, do_sample=False)
    assert ours.tolist() == theirs.tolist()
    given = {"mm_encoder_outputs": {"image": None}}
    assert both(reads_images, rows, max_new_tokens=12, **given)[0].tolist() == theirs.tolist()


def test_what_transformers_adds_by_itself_is_not_asked_for() -> None:
    """Of an input, under whatever name, only what says anything counts."""
    model, ids = decoder().model, inputs("Once")["input_ids"]
    zeros = torch.zeros_like(ids)
    for name, empty, full in (
        ("token_type_ids", zeros, zeros + 1),
        ("mm_encoder_outputs", {}, {"text": zeros}),
        ("mm_encoder_outputs", {"image": None}, {"text": zeros}),
        ("new_flags", zeros, zeros + 1),
    ):
        check_call(model, model, ids, GenerateCall(), None, {name: empty})
        with pytest.raises(OptionError, match=name):
            check_call(model, model, ids, GenerateCall(), None, {name: full})


def test_images_come_with_one_row(reads_images: SpeculativeDecoder) -> None:
    image_id = len(padded())
    rows = {"input_ids": torch.tensor([[5, image_id + 2, image_id, image_id + 3, 6]])}
    pixels = {"pixel_values": torch.rand(4, 3 * 2 * 4 * 4)}
    media = pixels | {"image_grid_thw": torch.tensor([[1, 2, 2]])}
    kinds = {"mm_token_type_ids": (rows["input_ids"] == image_id).int()}
    ours, theirs = both(reads_images, rows | media | kinds, max_new_tokens=12, do_sample=False)
    assert ours.tolist() == theirs.tolist()
    options = {"max_new_tokens": 2, "do_sample": True, "num_return_sequences": 2}
    with pytest.raises(
        OptionError, match=r"image: images are read one prompt at a time, .* 2 rows"
    ):
        both(reads_images, rows | media | kinds, **options)


def test_positions_of_several_axes_are_checked(reads_images: SpeculativeDecoder) -> None:
    rows = inputs("Once", "One day, the dog")
    generate: Any = reads_images.model.generate
    usual = (rows["attention_mask"].cumsum(-1) - 1).clamp(min=0)
    for positions, right in ((usual, True), (usual + 1, False)):
        options = {"position_ids": positions.expand(4, *usual.shape), "max_new_tokens": 2}
        if right:
            generate(**rows, **options, custom_generate=reads_images)
            continue
        with pytest.raises(OptionError, match="position_ids: only the usual"):
            generate(**rows, **options, custom_generate=reads_images)
