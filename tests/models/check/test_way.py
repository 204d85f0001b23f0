"""The check of a model tells apart what can be read together and what cannot, and says why."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.models.llama.modeling_llama import LlamaForCausalLM, LlamaRotaryEmbedding

from tests.support.models import ARCHITECTURES, plain_ids, random_model
from tests.support.tokenizers import PROMPT, tokenizer
from uag import SpeculativeDecoder, UagError, UagWarning
from uag.batching.batch_cache import reads_rows
from uag.models.caches.protocol import TOGETHER
from uag.models.check.comparison import Comparison
from uag.models.check.way import way_of

VOCABULARY = tokenizer("qwen2")


class Broken(LlamaForCausalLM):
    """A model that reads ids as the classes below say; by itself as a Llama does."""

    def forward(self, input_ids: Tensor, position_ids: Any = None, **named: Any) -> Any:
        return super().forward(input_ids=input_ids, position_ids=position_ids, **named)


class KeepsState(Broken):
    """Adds the ids of the pass before, whosever they were, in a list that nobody sees."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.last: list[int] = [0]

    def forward(self, input_ids: Tensor, position_ids: Any = None, **named: Any) -> Any:
        output = super().forward(input_ids, position_ids, **named)
        output.logits = output.logits + self.last[0] * torch.linspace(
            -1, 1, output.logits.shape[-1]
        )
        self.last = [int(input_ids[0, -1])]
        return output


class RestartsPositions(Broken):
    """Counts positions from 0 in each pass over several ids."""

    def forward(self, input_ids: Tensor, position_ids: Any = None, **named: Any) -> Any:
        if input_ids.shape[1] > 1:
            position_ids = torch.arange(input_ids.shape[1])[None]
        return super().forward(input_ids, position_ids, **named)


class CutsMask(Broken):
    """Each id sees no further back than the block of the pass has ids."""

    def forward(self, input_ids: Tensor, position_ids: Any = None, **named: Any) -> Any:
        past, width = named.get("past_key_values"), input_ids.shape[1]
        held = 0 if past is None else past.get_seq_length()
        if width > 1 and held:
            keys, queries = torch.arange(held + width), torch.arange(held, held + width)[:, None]
            named["attention_mask"] = ((keys <= queries) & (keys > queries - width))[None, None]
        return super().forward(input_ids, position_ids, **named)


class JumpingRope(LlamaRotaryEmbedding):
    """Rotates all ids of a pass otherwise if one of them is beyond a length."""

    def forward(self, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        if int(position_ids.max()) >= self.config.max_position_embeddings:
            position_ids = position_ids * 2
        return super().forward(x, position_ids)


class RopeJumps(Broken):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.model.rotary_emb = JumpingRope(config)


class IgnoresCache(Broken):
    """Swallows its cache and reads each pass without what was before it."""

    def forward(self, input_ids: Tensor, position_ids: Any = None, **named: Any) -> Any:
        for name in ("past_key_values", "cache"):
            named.pop(name, None)
        return super().forward(input_ids, position_ids, **named)


class ClampsSteps(Broken):
    """Computes a pass over one id a little otherwise (Zamba2 and Nemotron-H do)."""

    def forward(self, input_ids: Tensor, position_ids: Any = None, **named: Any) -> Any:
        output = super().forward(input_ids, position_ids, **named)
        if input_ids.shape[1] == 1:
            output.logits = output.logits.clamp(max=float(output.logits.max()) * 0.99)
        return output


class AddsInGenerate(Broken):
    """Its `generate` adds what its forward alone does not (PEFT's prompt tuning does)."""

    inside = False

    def generate(self, *args: Any, **named: Any) -> Any:
        self.inside = True
        try:
            return super().generate(*args, **named)
        finally:
            self.inside = False

    def forward(self, input_ids: Tensor, position_ids: Any = None, **named: Any) -> Any:
        output = super().forward(input_ids, position_ids, **named)
        if self.inside:
            output.logits = output.logits.roll(1, -1)
        return output


class SeesOtherRows(Broken):
    """Adds to the logits of a row what another row of its pass has."""

    def forward(self, input_ids: Tensor, position_ids: Any = None, **named: Any) -> Any:
        output = super().forward(input_ids, position_ids, **named)
        if len(output.logits) > 1:
            output.logits = output.logits + 0.01 * output.logits.roll(1, 0)
        return output


class SeesPromptBothWays(Broken):
    """Its first pass has no causal mask (PaliGemma)."""

    def forward(self, input_ids: Tensor, position_ids: Any = None, **named: Any) -> Any:
        past = named.get("past_key_values", named.get("cache"))
        if past is None or not past.get_seq_length():
            width = input_ids.shape[1]
            named["attention_mask"] = torch.ones((1, 1, width, width), dtype=torch.bool)
        return super().forward(input_ids, position_ids, **named)


def made(kind: type[PreTrainedModel]) -> PreTrainedModel:
    """A random model of a class of this file."""
    plain = random_model("llama", VOCABULARY)
    model = kind(plain.config)
    model.load_state_dict(plain.state_dict())
    model.generation_config = plain.generation_config
    return model.eval()


def offset(model: PreTrainedModel) -> PreTrainedModel:
    """The model with most logits lower by a constant, which changes no text among the others."""
    rows = model.get_output_embeddings().weight.shape[0]
    constant = torch.full((rows,), -1e4)
    constant[: rows // 2] = -10.0
    model.lm_head.bias = torch.nn.Parameter(constant)
    return model


def lowered(model: PreTrainedModel) -> PreTrainedModel:
    """The model with all logits lower by a constant, which rounds them to thousandths."""
    rows = model.get_output_embeddings().weight.shape[0]
    model.lm_head.bias = torch.nn.Parameter(torch.full((rows,), -1e4))
    return model


@pytest.mark.parametrize("kind", [RestartsPositions, CutsMask, RopeJumps, IgnoresCache])
def test_an_offset_hides_nothing(kind: type[PreTrainedModel]) -> None:
    assert way_of(lowered(made(Broken))) == TOGETHER
    assert not way_of(lowered(made(kind))).together


def test_a_cache_that_is_ignored_is_found_whatever_the_logits_say() -> None:
    model = lowered(made(IgnoresCache))
    with torch.no_grad():
        model.lm_head.weight *= 1e-9
    assert "keeps nothing of a text in the cache" in way_of(model).reason


@pytest.mark.parametrize(
    "kind", [RestartsPositions, CutsMask, RopeJumps, IgnoresCache, ClampsSteps]
)
def test_a_model_that_reads_several_ids_otherwise_decodes_without_drafts(
    kind: type[PreTrainedModel],
) -> None:
    model = made(kind)
    way = way_of(model)
    assert not way.together
    assert way.reason
    prompt = VOCABULARY(PROMPT)["input_ids"]
    with pytest.warns(UagWarning, match="drafts are switched off"):
        decoder = SpeculativeDecoder(model, VOCABULARY, "lookup")
    text = decoder.generate(prompt, max_new_tokens=24).token_ids
    assert text == plain_ids(model, prompt, max_new_tokens=24)


def test_a_rope_that_jumps_is_found_without_reading_that_far() -> None:
    assert way_of(made(Broken)) == TOGETHER
    assert "crosses length 256" in way_of(made(RopeJumps)).reason


def test_a_state_that_cannot_be_kept_apart_is_refused() -> None:
    with pytest.raises(UagError, match="KeepsState"):
        SpeculativeDecoder(made(KeepsState), VOCABULARY)


def test_a_generate_that_adds_something_is_refused() -> None:
    with pytest.raises(UagError, match=r"AddsInGenerate .* its generate adds something"):
        SpeculativeDecoder(made(AddsInGenerate), VOCABULARY)


def test_rows_that_see_each_other_are_read_one_after_the_other() -> None:
    model = made(SeesOtherRows)
    assert way_of(model) == TOGETHER
    assert not reads_rows(model)
    prompts = [VOCABULARY(text)["input_ids"] for text in (PROMPT, "One day")]
    outs = SpeculativeDecoder(model, VOCABULARY).generate(prompts, max_new_tokens=16)
    wants = [plain_ids(model, prompt, max_new_tokens=16) for prompt in prompts]
    assert [out.token_ids for out in outs] == wants


def test_a_crop_that_forgets_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    model = made(Broken)
    monkeypatch.setattr("uag.models.caches.layers.BufferedLayer.crop", lambda *_: None)
    assert not way_of(model).together


def test_a_prompt_that_sees_itself_both_ways_is_read_alone() -> None:
    model = made(SeesPromptBothWays)
    way = way_of(model)
    assert way.together
    assert way.prompt_alone
    prompt = VOCABULARY("the cat sat on the mat. " * 4)["input_ids"]
    out = SpeculativeDecoder(model, VOCABULARY, "lookup", lookahead=4).generate(
        prompt, max_new_tokens=24
    )
    assert out.token_ids == plain_ids(model, prompt, max_new_tokens=24)


@pytest.mark.parametrize("deviation", [0.02, 0.05, 0.3])
@pytest.mark.parametrize("change", [lambda model: model, offset], ids=["as it is", "offset"])
def test_neither_weights_nor_constants_hide_an_empty_state(
    deviation: float, change: Callable[[PreTrainedModel], PreTrainedModel]
) -> None:
    model = random_model("mamba", VOCABULARY)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and "A_log" not in name:
                torch.nn.init.normal_(parameter, std=deviation)
    assert not way_of(change(model)).together


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("change", [lambda model: model, offset], ids=["as it is", "offset"])
def test_what_is_right_passes(
    architecture: str, dtype: torch.dtype, change: Callable[[PreTrainedModel], PreTrainedModel]
) -> None:
    if architecture == "falcon" and change is offset:
        pytest.skip("its head has no place for a bias")
    if dtype == torch.float64 and architecture in ("mixtral", "qwen3-next"):
        pytest.skip("experts are multiplied in single precision")
    model = change(random_model(architecture, VOCABULARY)).to(dtype)
    assert way_of(model).together is (architecture != "mamba")


def test_constants_say_nothing_and_variation_says_all() -> None:
    random = torch.Generator().manual_seed(0)
    true = torch.randn((5, 50), generator=random)
    same = Comparison(torch.float32)
    noise = torch.randn((5, 50), generator=random)
    constant = torch.where(torch.arange(50) < 40, -1e4, 0.0)
    for add in (0.0, -50.0, -1e4, constant):
        assert same.logits(true + add + 1e-6 * noise, true + add)
        assert not same.logits(true + add + 0.01 * noise, true + add)


def test_in_double_precision_the_logits_of_generate_are_rounded() -> None:
    random = torch.Generator().manual_seed(0)
    # A large common part, as trained models have: rounding it shows in what varies.
    true = 300 + torch.randn((5, 50), generator=random, dtype=torch.float64)
    same = Comparison(torch.float64)
    assert same.logits(true, true.float())
    assert not same.logits(true + 1e-3 * torch.rand_like(true), true.float())


def test_a_right_model_is_used_without_a_word() -> None:
    model = random_model("llama", VOCABULARY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SpeculativeDecoder(model, VOCABULARY, "lookup")
