"""A model is read as its `generate` reads it, whatever its modules keep."""

from threading import Thread
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from transformers import PreTrainedModel

from tests.support.models import SMALL, drawn, plain_ids, random_model, recurrent_gemma
from tests.support.tokenizers import PROMPT, tokenizer
from uag import SpeculativeDecoder
from uag.models.check.way import way_of
from uag.models.reading import ModuleWatch, reading_of

VOCABULARY = tokenizer("gpt2")
TEXTS = [PROMPT, "the cat sat on the mat. " * 3, "One day"]
NEW = 20


def made(name: str, **settings: Any) -> PreTrainedModel:
    """A random model of a class of transformers."""
    config = getattr(transformers, f"{name}Config")(
        vocab_size=len(VOCABULARY), bos_token_id=None, eos_token_id=None, **settings
    )
    return drawn(config, seed=1)


def prompts() -> list[list[int]]:
    return [VOCABULARY(text)["input_ids"] for text in TEXTS]


def wants(make: Any) -> list[list[int]]:
    return [plain_ids(make(), prompt, max_new_tokens=NEW) for prompt in prompts()]


def test_states_in_modules_are_found_and_belong_to_their_text() -> None:
    model = recurrent_gemma(VOCABULARY)
    assert not way_of(model).together
    names = {name for _, name in reading_of(model).places}
    assert names == {"recurrent_states", "conv1d_state"}
    decoder, expected = (
        SpeculativeDecoder(model, VOCABULARY),
        wants(lambda: recurrent_gemma(VOCABULARY)),
    )
    streams = [decoder.stream(prompt, max_new_tokens=NEW) for prompt in prompts()]
    running = [*streams]
    while running:
        running = [stream for stream in running if next(stream, None) is not None]
        model(torch.tensor([[5, 6, 7]]), use_cache=True)  # and somebody else's pass
    assert [stream.stats.token_ids for stream in streams] == expected


def test_threads_read_one_after_the_other() -> None:
    model, expected = recurrent_gemma(VOCABULARY), wants(lambda: recurrent_gemma(VOCABULARY))
    found: dict[int, list[int]] = {}
    decoders = [SpeculativeDecoder(model, VOCABULARY) for _ in TEXTS]

    def tell(number: int) -> None:
        found[number] = decoders[number].generate(prompts()[number], max_new_tokens=NEW).token_ids

    threads = [Thread(target=tell, args=(number,)) for number in range(len(TEXTS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in range(len(TEXTS))] == expected


def test_such_a_model_assists() -> None:
    target = random_model("llama", VOCABULARY)
    decoder = SpeculativeDecoder(
        target, VOCABULARY, recurrent_gemma(VOCABULARY), VOCABULARY, lookahead=3
    )
    out = decoder.generate(PROMPT, max_new_tokens=NEW)
    assert out.token_ids == plain_ids(target, prompts()[0], max_new_tokens=NEW)
    assert out.stats.drafted


@pytest.mark.parametrize("name", ["Roberta", "Bamba"])
def test_positions_are_given_as_generate_gives_them(name: str) -> None:
    """Roberta would count from 2 by itself, Bamba from 0 in each pass."""
    bert = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    settings: dict[str, Any] = {
        "Roberta": bert | {"is_decoder": True, "pad_token_id": 1, "max_position_embeddings": 128},
        "Bamba": bert
        | {"num_key_value_heads": 2, "attn_layer_indices": [1]}
        | {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8}
        | {"mamba_n_groups": 1, "mamba_chunk_size": 8},
    }[name]
    model = made(name, **settings)
    outs = [
        SpeculativeDecoder(model, VOCABULARY).generate(prompt, max_new_tokens=NEW)
        for prompt in prompts()
    ]
    assert [out.token_ids for out in outs] == wants(lambda: model)


def test_what_an_image_left_does_not_move_the_next_text() -> None:
    vision = {"depth": 1, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2}
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}
    size = len(VOCABULARY)
    special = dict(
        zip(
            ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id"),
            range(size, size + 4),
            strict=True,
        )
    )
    config = transformers.Qwen2_5_VLConfig(
        text_config=SMALL
        | {"vocab_size": size + 4, "rope_parameters": rope, "tie_word_embeddings": False},
        vision_config=vision
        | {"out_hidden_size": 32, "patch_size": 4, "spatial_merge_size": 2}
        | {"fullatt_block_indexes": [0]},
        **special,
    )
    torch.manual_seed(0)
    model = transformers.Qwen2_5_VLForConditionalGeneration(config).eval()
    model.generation_config.pad_token_id = 0
    want = plain_ids(model, prompts()[0], max_new_tokens=NEW, eos_token_id=[9999])
    model.model.rope_deltas = torch.tensor([[7]])
    decoder = SpeculativeDecoder(model, VOCABULARY, "lookup", lookahead=4)
    out = decoder.generate(prompts()[0], max_new_tokens=NEW, eos_token_id=[9999])
    assert out.token_ids == want
    assert model.model.rope_deltas.item() == 7


class KeepsOne(nn.Module):
    """Makes a tensor in its first pass and keeps it."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.one: Tensor | None = None

    def forward(self, hidden: Tensor) -> Tensor:
        if self.one is None:
            self.one = hidden.new_ones(())
        return self.inner(hidden) * self.one


@pytest.mark.parametrize("prompt", [PROMPT, [PROMPT, "One day"]], ids=["one text", "a batch"])
def test_a_model_can_be_trained_after_it_has_generated(prompt: Any) -> None:
    model: Any = random_model("llama", VOCABULARY)
    model.model.layers[0].mlp = KeepsOne(model.model.layers[0].mlp)
    decoder = SpeculativeDecoder(model, VOCABULARY, "lookup")
    decoder.generate(prompt, max_new_tokens=3)
    model.train()
    ids = torch.tensor([[1, 2, 3]])
    model(input_ids=ids, labels=ids).loss.backward()
    assert model.model.layers[0].mlp.inner.up_proj.weight.grad is not None


def test_what_is_the_same_for_every_text_is_no_state() -> None:
    model: Any = random_model("llama", VOCABULARY)
    model.model.layers[0].mlp = KeepsOne(model.model.layers[0].mlp)
    watch = ModuleWatch(model)
    model(torch.tensor([[1, 2, 3]]))
    watch.mark()
    model(torch.tensor([[4, 5, 6]]))
    assert watch.found() == ([], [])
