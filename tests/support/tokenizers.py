"""Tokenizers of every kind, trained in the process on one text: nothing is downloaded."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import tokenizers
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
from transformers import PreTrainedTokenizerFast

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

PROMPT = "Once upon a time there was a little girl."

GPT2_SPLIT = ""

ODD_SPLIT = r"\p{L}+|\p{N}|[^\p{L}\p{N}]"  # nobody's: translated through the tokenizer itself

LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)

QWEN2_SPLIT = LLAMA3_SPLIT.replace(r"\p{N}{1,3}", r"\p{N}")


def byte_level(split: str, vocabulary: int, *, begin: bool = False) -> PreTrainedTokenizerFast:
    """Byte-level BPE after a split pattern, with an end token and, if asked for, a beginning."""
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


def unigram_style(vocabulary: int) -> PreTrainedTokenizerFast:
    """Unigram as T5's, with an end token."""
    raw = unigram(vocabulary, ("<unk>", "<end>"))
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>", unk_token="<unk>")


def wordpiece(vocabulary: int) -> PreTrainedTokenizerFast:
    """As BERT's: the core goes through the tokenizer itself."""
    raw = tokenizers.Tokenizer(models.WordPiece(unk_token="<unk>"))
    raw.normalizer = normalizers.BertNormalizer(lowercase=False)
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary, special_tokens=["<unk>", "<end>"], show_progress=False
    )
    raw.train_from_iterator([TEXT], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>", unk_token="<unk>")


TOKENIZERS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "gpt2": lambda: byte_level(GPT2_SPLIT, 420),
    "llama3": lambda: byte_level(LLAMA3_SPLIT, 480, begin=True),
    "qwen2": lambda: byte_level(QWEN2_SPLIT, 320),
    "llama2": lambda: sentencepiece_style(460),
    "odd": lambda: byte_level(ODD_SPLIT, 350),
    "bytes": lambda: byte_level(GPT2_SPLIT, 258),
}
# A vocabulary that is no byte-level BPE, and one that goes through the tokenizer itself.
ALL_TOKENIZERS = TOKENIZERS | {
    "unigram": lambda: unigram_style(150),
    "wordpiece": lambda: wordpiece(300),
}


@cache
def tokenizer(name: str) -> PreTrainedTokenizerFast:
    """One of `ALL_TOKENIZERS`, made once."""
    return ALL_TOKENIZERS[name]()
