"""Tokenizers trained in the process and tiny models with random weights: nothing is downloaded.

A random model's text is noise, and no tokenizer would give its ids. `telling` makes a model that
tells a story most of the time, so that drafts can be right.
"""

import json
from collections.abc import Callable
from functools import cache
from itertools import accumulate, product
from random import Random
from typing import Any

import tokenizers
import torch
import transformers
from tokenizers import (
    AddedToken,
    Regex,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from transformers.cache_utils import CacheLayerMixin
from uag._core import Tokenizer
from uag.decoder import SpeculativeDecoder
from uag.decoding.output import Output
from uag.draft import Draft
from uag.drafting.sides import Opening
from uag.drafting.source import DraftSource
from uag.models.properties import context_window
from uag.requests.prompt import Prompt, target_ids
from uag.translation.detokenizer import TextBytes

TEXT = (
    """
Once upon a time there was a little girl. She liked to play with her dog in the park. One day, the
dog ran away! "Where are you?" she said. I'll find you, don't worry. It's 12 o'clock, 345 people
and 6,789 birds were there. def add(x, y):
    return x + y  # sum
Ünïcödé: café, naïve, 日本語のテキスト。Привет, мир! 한국어 🙂🙃 emoji 👩‍👧
"""
    * 3
)

GPT2_SPLIT = ""
ODD_SPLIT = r"\p{L}+|\p{N}|[^\p{L}\p{N}]"  # nobody's: translated through the tokenizer itself
LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2_SPLIT = LLAMA3_SPLIT.replace(r"\p{N}{1,3}", r"\p{N}")


def byte_level(split: str, vocabulary: int, *, begin: bool = False) -> PreTrainedTokenizerFast:
    """Byte-level BPE behind a split pattern, with an end token and, if asked for, a beginning."""
    raw = tokenizers.Tokenizer(models.BPE())
    if split == GPT2_SPLIT:
        raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        raw.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(split), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    raw.decoder = decoders.ByteLevel()
    raw.train_from_iterator(
        [TEXT],
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=["<end>", "<begin>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    if begin:
        raw.post_processor = processors.TemplateProcessing(
            single="<begin> $A", special_tokens=[("<begin>", raw.token_to_id("<begin>"))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, eos_token="<end>", bos_token="<begin>" if begin else None
    )


def unigram(vocabulary: int, specials: tuple[str, ...] = ("<unk>",)) -> tokenizers.Tokenizer:
    """Unigram as T5's, but for a normalizer; the first of `specials` is the unknown token."""
    raw = tokenizers.Tokenizer(models.Unigram())
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    raw.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=vocabulary,
        unk_token=specials[0],
        special_tokens=[*specials],
        show_progress=False,
    )
    raw.train_from_iterator(TEXT.splitlines(), trainer)
    return raw


def sentencepiece_style(vocabulary: int) -> PreTrainedTokenizerFast:
    """BPE without a split, a space before every text, byte fallback: as Llama-2."""
    specials = [
        AddedToken(token, special=True, normalized=False) for token in ("<unk>", "<s>", "</s>")
    ]
    trained = tokenizers.Tokenizer(models.BPE())
    trained.normalizer = normalizers.Replace(" ", "▁")
    trained.pre_tokenizer = pre_tokenizers.Split(Regex("▁"), "merged_with_next")
    trainer = trainers.BpeTrainer(vocab_size=vocabulary - 256, show_progress=False)
    trained.train_from_iterator([TEXT.replace("\n", " ")], trainer)
    learned = trained.to_str()
    learned_model: dict[str, Any] = json.loads(learned)["model"]
    pieces = [str(token) for token in specials] + [f"<0x{byte:02X}>" for byte in range(256)]
    pieces = [
        "<unk>",
        "<s>",
        "</s>",
        *pieces[3:],
        *sorted(learned_model["vocab"], key=learned_model["vocab"].get),
    ]
    raw = tokenizers.Tokenizer(
        models.BPE(
            vocab={piece: id for id, piece in enumerate(pieces)},
            merges=[tuple(merge) for merge in learned_model["merges"]],
            unk_token="<unk>",
            byte_fallback=True,
        )
    )
    raw.add_special_tokens(specials)
    raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    raw.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    raw.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


TOKENIZERS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "gpt2": lambda: byte_level(GPT2_SPLIT, 420),
    "llama3": lambda: byte_level(LLAMA3_SPLIT, 480, begin=True),
    "qwen2": lambda: byte_level(QWEN2_SPLIT, 320),
    "llama2": lambda: sentencepiece_style(460),
    "odd": lambda: byte_level(ODD_SPLIT, 350),
    "bytes": lambda: byte_level(GPT2_SPLIT, 258),
}


@cache
def tokenizer(name: str) -> PreTrainedTokenizerFast:
    """A tokenizer by name, made once."""
    return TOKENIZERS[name]()


SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "head_dim": 8,
}
GPT: dict[str, Any] = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}
FALCON: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "new_decoder_architecture": True,
    "num_kv_heads": 2,
}
NEOX: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
}
MAMBA: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}
HYBRID: dict[str, Any] = SMALL | {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
}
CONV: dict[str, Any] = SMALL | {"layer_types": ["conv", "full_attention"], "block_multiple_of": 8}

# Windows are small enough for a short text to leave them.
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", SMALL),
    "mistral-window": ("MistralConfig", SMALL | {"sliding_window": 8}),
    "mixtral": ("MixtralConfig", SMALL | {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "gemma2": ("Gemma2Config", SMALL | {"sliding_window": 8, "query_pre_attn_scalar": 8}),
    "gemma3": ("Gemma3TextConfig", SMALL | {"sliding_window": 8, "query_pre_attn_scalar": 8}),
    "qwen2": ("Qwen2Config", SMALL),
    "qwen3": ("Qwen3Config", SMALL),
    "phi3": ("Phi3Config", SMALL | {"pad_token_id": 0}),
    "gpt2": ("GPT2Config", GPT),
    "gpt-bigcode": ("GPTBigCodeConfig", GPT | {"multi_query": True}),
    "gpt-neox": ("GPTNeoXConfig", NEOX),
    "falcon": ("FalconConfig", FALCON),
    "mamba": ("MambaConfig", MAMBA),
    "qwen3-next": ("Qwen3NextConfig", HYBRID),
    "lfm2": ("Lfm2Config", CONV),
}


def random_model(
    architecture: str, tokenizer: PreTrainedTokenizerFast, seed: int = 0, **changes: Any
) -> PreTrainedModel:
    """A tiny model with as many ids as the tokenizer, its weights drawn from `seed`."""
    name, settings = ARCHITECTURES[architecture]
    config = getattr(transformers, name)(
        **settings | changes,
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=False,
    )
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1 and "norm" not in name:
            torch.nn.init.normal_(parameter, std=0.3)
    model.generation_config.pad_token_id = 0
    return model


def cache_in(named: dict[str, Any]) -> Any:
    """The cache in what a model is called with, if there is one that knows how long it is."""
    past: Any = named.get("cache", named.get("past_key_values"))
    counted = past is not None and any(isinstance(at, CacheLayerMixin) for at in past.layers)
    return past if counted else None


def telling(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """Make the model tell a fixed story, with what its weights say at every fifth position."""
    story: list[int] = tokenizer(PROMPT + " " + TEXT)["input_ids"]

    def nudge(_: Any, inputs: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
        if (past := cache_in(named)) is None:
            return
        shape, end = output.logits.shape[:2], past.get_seq_length()
        places = torch.arange(end - shape[1], end)[None].expand(shape)
        # Where several texts are read at once, each has positions of its own.
        for text, row in product(*map(range, shape)):
            position = int(named.get("position_ids", places)[text, row - shape[1]])
            if position % 5 and position + 1 < len(story):
                output.logits[text, row, story[position + 1]] += 40

    model.register_forward_hook(nudge, with_kwargs=True)
    return model


PROMPT = "Once upon a time there was a little girl."

# (target's tokenizer, assistant's tokenizer)
PAIRS = [
    ("gpt2", "llama2"),
    ("llama2", "gpt2"),
    ("llama3", "qwen2"),
    ("qwen2", "bytes"),
    ("bytes", "llama3"),
    ("llama2", "bytes"),
    ("gpt2", "gpt2"),
    ("odd", "gpt2"),
    ("llama2", "odd"),
    ("llama3", "llama2"),
]


def plain_ids(model: PreTrainedModel, prompt: list[int], **options: Any) -> list[int]:
    """What transformers itself generates: the new ids."""
    ids = torch.tensor([prompt])
    generate: Callable[..., Any] = model.generate
    out = generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, **options)
    return out[0, len(prompt) :].tolist()


class ScriptedDrafts:
    """Knows the text that the target will produce and drafts it rightly or partly rightly."""

    def __init__(self, tokenizer: Tokenizer, prompt: list[int], text: bytes, seed: int) -> None:
        self._tokenizer = tokenizer
        self._text = text
        self._ids = list(prompt)
        self._random = Random(seed)

    def draft(self, k: int, goes_on: Any = None) -> Draft:
        del goes_on  # its rightness is no secret
        told = len(TextBytes(self._tokenizer).add(self._ids))
        # A full stop in front, so that no space is put there.
        rest = b"." + self._text[told : told + 60].decode(errors="ignore").encode()
        right = self._tokenizer.encode(rest)
        ends = list(accumulate(len(self._tokenizer.token_bytes(id) or b"") for id in right))
        known = sum(end - (ends[-1] - len(rest)) <= 1 for end in ends)
        ids = right[known : known + self._random.randint(0, k)]
        for index in range(len(ids)):
            if self._random.random() < 0.15:
                ids[index] = self._random.randrange(self._tokenizer.vocab_size)
        self._ids += ids
        return Draft(ids, [], [0.001] * len(ids))

    def apply(self, keep: int, feed: list[int]) -> None:
        self._ids = self._ids[:keep] + feed


def draft_from(decoder: SpeculativeDecoder, source: Callable[[Opening], DraftSource]) -> None:
    """Has a decoder draft from a source of the test's own, in place of its side's."""
    decoder._engine._side.source = source  # type: ignore[method-assign]


class ScriptedDecoder(SpeculativeDecoder):
    """Decodes with drafts near the right ones, which an untrained model would not find."""

    seed = 0
    script = b""
    longest = 48

    def __init__(self, *parts: Any, **settings: Any) -> None:
        super().__init__(*parts, **settings)
        draft_from(self, self._source)

    def generate(self, prompt: Prompt, **options: Any) -> Output:
        ids = target_ids(prompt, self.tokenizer, self.model)
        window = context_window(self.model) or 1000
        new = plain_ids(
            self.model, ids, max_new_tokens=min(self.longest, window - len(ids)), eos_token_id=None
        )
        self.script = TextBytes(self.bridge.target).add(ids + new)
        return super().generate(prompt, **options)

    def _source(self, opening: Opening) -> DraftSource:
        self.seed += 1
        return ScriptedDrafts(self.bridge.assistant, opening.prompt, self.script, self.seed)
