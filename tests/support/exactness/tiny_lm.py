"""A transformer of a few operations with vocabularies of a few tokens."""

from typing import Any

import tokenizers
import torch
from tokenizers import decoders, models, pre_tokenizers
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention
from transformers import (
    DynamicCache,
    GenerationMixin,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

END = 0  # both vocabularies' end-of-text id

SPREAD = 0.35  # of the weights: all tokens are possible, few are likely

# Tokens that begin others, so that the same bytes are spelled in several ways.
TARGET_PIECES = ["a", "b", "c", "ab", "bc", "abc", "ca", "aa", "cab"]

TARGET_MERGES = [("a", "b"), ("b", "c"), ("ab", "c"), ("c", "a"), ("a", "a"), ("c", "ab")]

ASSISTANT_PIECES = ["c", "b", "a", "ba", "ac", "cc", "bac"]

ASSISTANT_MERGES = [("b", "a"), ("a", "c"), ("c", "c"), ("ba", "c")]


class TinyConfig(PretrainedConfig):
    """One layer of attention with one head."""

    model_type = "tiny"

    def __init__(self, vocab_size: int = 10, hidden_size: int = 16, **others: Any) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = 1
        self.max_position_embeddings = 64
        super().__init__(**others)


class Logits(dict[str, Tensor]):
    """What `generate` needs of an output: transformers' own takes longer than the model."""

    @property
    def logits(self) -> Tensor:
        return self["logits"]


class TinyLM(PreTrainedModel, GenerationMixin):
    """A transformer of a few operations: transformers' own take ten times as long a token."""

    config_class = TinyConfig

    def __init__(self, config: TinyConfig) -> None:
        super().__init__(config)
        self.tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.positions = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.attention = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=False)
        self.head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.tokens

    def forward(
        self,
        input_ids: Tensor,
        past_key_values: DynamicCache | None = None,
        position_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **_: Any,
    ) -> Logits:
        before = past_key_values.get_seq_length() if past_key_values is not None else 0
        count = input_ids.shape[1]
        if position_ids is None:
            position_ids = torch.arange(before, before + count)
        hidden = self.tokens.weight[input_ids] + self.positions.weight[position_ids]
        query, key, value = linear(hidden, self.attention.weight)[:, None].chunk(3, -1)
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, 0)
        seen = None if count == 1 else torch.ones(count, before + count).tril(before).bool()
        if attention_mask is not None and attention_mask.dim() > 2:
            seen = attention_mask  # of a tree
        read = scaled_dot_product_attention(query, key, value, attn_mask=seen)
        return Logits(logits=linear(hidden + read[:, 0], self.head.weight))


def spelling(pieces: list[str], merges: list[tuple[str, str]]) -> PreTrainedTokenizerFast:
    """Byte-level BPE with these tokens after an end-of-text token."""
    vocabulary = {piece: id for id, piece in enumerate(["<end>", *pieces])}
    raw = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    raw.decoder = decoders.ByteLevel()
    raw.add_special_tokens(["<end>"])
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>")


def random_lm(tokenizer: PreTrainedTokenizerFast, seed: int) -> TinyLM:
    """A model with random weights.

    In double precision, so that reading ids together or one by one rounds to the same scores.
    """
    config = TinyConfig(len(tokenizer), eos_token_id=END, bos_token_id=None)
    model = TinyLM(config).double().eval().requires_grad_(requires_grad=False)
    random = torch.Generator().manual_seed(seed)
    for weights in model.parameters():
        nn.init.normal_(weights, std=SPREAD, generator=random)
    return model
