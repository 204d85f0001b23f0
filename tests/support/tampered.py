"""Tokenizers that have been tampered with, one part of each."""

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from tokenizers import AddedToken, pre_tokenizers

from tests.support.tokenizers import ODD_SPLIT, QWEN2_SPLIT, TOKENIZERS, unigram

Spec = dict[str, Any]


@cache
def serialised(base: str) -> str:
    """A sound tokenizer's JSON: with added tokens, so that there is something to tamper with."""
    raw = (
        unigram(120)
        if base == "unigram"
        else TOKENIZERS[base.removesuffix("+metaspace")]().backend_tokenizer
    )
    if base.endswith("+metaspace"):
        raw.normalizer = None  # type: ignore[assignment]
        raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    raw.add_tokens([AddedToken("<tool>", normalized=False), AddedToken("xyz", normalized=False)])
    if base in ("gpt2", "llama3"):
        raw.add_tokens([AddedToken("   ", normalized=True)])
    return raw.to_str()


@dataclass(frozen=True)
class Tampering:
    """One change to a tokenizer's JSON."""

    base: str
    name: str
    change: Callable[[Spec], None]
    # Whether no text is encoded or decoded otherwise.
    harmless: bool = False

    @property
    def json(self) -> str:
        spec = copy.deepcopy(json.loads(serialised(self.base)))
        self.change(spec)
        return json.dumps(spec)

    def __str__(self) -> str:
        return f"{self.base}: {self.name}"


def put(*path: Any, value: Any) -> Callable[[Spec], None]:
    """Put a value at a place."""

    def change(spec: Spec) -> None:
        for step in path[:-1]:
            spec = spec[step]
        spec[path[-1]] = value

    return change


def added(content: str, **flags: bool) -> Callable[[Spec], None]:
    """Other flags of an added token."""

    def change(spec: Spec) -> None:
        next(t for t in spec["added_tokens"] if t["content"] == content).update(flags)

    return change


def merges(order: Callable[[list[Any]], list[Any]]) -> Callable[[Spec], None]:
    """Another order of merges."""

    def change(spec: Spec) -> None:
        spec["model"]["merges"] = order(spec["model"]["merges"])

    return change


def swap(a: str, b: str) -> Callable[[Spec], None]:
    """Two tokens with each other's ids."""

    def change(spec: Spec) -> None:
        ids = spec["model"]["vocab"]
        ids[a], ids[b] = ids[b], ids[a]

    return change


def lone_token(spec: Spec) -> None:
    """A token that no merge makes."""
    spec["model"]["vocab"]["zebra"] = 1000


def scores(spec: Spec) -> None:
    vocab = spec["model"]["vocab"]
    spec["model"]["vocab"] = [[piece, 1.5 * score - 1] for piece, score in vocab]


def both(*changes: Callable[[Spec], None]) -> Callable[[Spec], None]:
    def change(spec: Spec) -> None:
        for one in changes:
            one(spec)

    return change


SPLIT = ("pre_tokenizer", "pretokenizers", 0)

LEVEL = ("pre_tokenizer", "pretokenizers", 1)

BYTE_LEVEL = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": True,
    "use_regex": True,
}

NFC, NFKC = {"type": "NFC"}, {"type": "NFKC"}

REPLACE = {"type": "Replace", "pattern": {"String": "e"}, "content": "a"}

SPACES = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}

PREPEND = {"type": "Prepend", "prepend": "▁"}

STRIP = {"type": "Strip", "strip_left": True, "strip_right": True}

CUT = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}

PADDED = {
    "strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": None,
    "pad_id": 0, "pad_type_id": 0, "pad_token": "<end>",
}  # fmt: skip


def split_at(
    text: str, behavior: str = "Isolated", *, invert: bool = False
) -> Callable[[Spec], None]:
    """Another pre-tokenizer: a split at a text."""
    split = {"type": "Split", "pattern": {"String": text}, "behavior": behavior, "invert": invert}
    return put("pre_tokenizer", value=split)


def of(base: str, **changes: Callable[[Spec], None]) -> list[Tampering]:
    """Several of one tokenizer; names that end with an underscore are harmless."""
    return [
        Tampering(base, name.strip("_").replace("_", " "), change, name.endswith("_"))
        for name, change in changes.items()
    ]


def metaspace(**changes: Any) -> Callable[[Spec], None]:
    return lambda spec: spec["pre_tokenizer"].update(changes)


TAMPERINGS = [
    *of(
        "llama3",
        another_known_pattern=put(*SPLIT, "pattern", value={"Regex": QWEN2_SPLIT}),
        an_unknown_pattern=put(*SPLIT, "pattern", value={"Regex": ODD_SPLIT}),
        pattern_as_a_string=put(*SPLIT, "pattern", value={"String": " "}),
        behavior_=put(*SPLIT, "behavior", value="MergedWithNext"),
        matches_removed=put(*SPLIT, "behavior", value="Removed"),
        inverted_=put(*SPLIT, "invert", value=True),
        add_prefix_space=put(*LEVEL, "add_prefix_space", value=True),
        use_regex=put(*LEVEL, "use_regex", value=True),
        no_pre_tokenizer=put("pre_tokenizer", value=None),
        another_pre_tokenizer=put("pre_tokenizer", value={"type": "Whitespace"}),
        merges_reversed=merges(lambda pairs: pairs[::-1]),
        merges_exchanged=merges(lambda pairs: pairs[40:] + pairs[:40]),
        merges_missing=merges(lambda pairs: pairs[:40]),
        ids_exchanged=swap("e", "Ġ"),
        added_lstrip=added("<tool>", lstrip=True),
        added_rstrip=added("<tool>", rstrip=True),
        added_single_word=added("xyz", single_word=True),
        added_normalized_=added("xyz", normalized=True),
        added_special=added("<tool>", special=True),
        lowercase=put("normalizer", value={"type": "Lowercase"}),
        nfc=put("normalizer", value=NFC),
        nfd=put("normalizer", value={"type": "NFD"}),
        nfkc=put("normalizer", value=NFKC),
        strip=put("normalizer", value=STRIP),
        replace=put("normalizer", value=REPLACE),
        spaces_replaced=put("normalizer", value=SPACES),
        prepended=put("normalizer", value=PREPEND),
        several=put("normalizer", value={"type": "Sequence", "normalizers": [NFC, STRIP]}),
        decoder_of_words=put(
            "decoder", value={"type": "WordPiece", "prefix": "##", "cleanup": True}
        ),
        decoder_of_spaces=put(
            "decoder",
            value={
                "type": "Metaspace",
                "replacement": "▁",
                "prepend_scheme": "always",
                "split": True,
            },
        ),
        decoder_that_fuses=put("decoder", value={"type": "Fuse"}),
        decoder_in_two_steps=put(
            "decoder",
            value={
                "type": "Sequence",
                "decoders": [
                    {
                        "type": "ByteLevel",
                        "add_prefix_space": True,
                        "trim_offsets": True,
                        "use_regex": True,
                    },
                    {"type": "Strip", "content": "H", "start": 1, "stop": 0},
                ],
            },
        ),
        dropout=put("model", "dropout", value=0.3),
        no_dropout_=put("model", "dropout", value=0.0),
        ignore_merges=both(lone_token, put("model", "ignore_merges", value=True)),
        subword_prefix=both(
            merges(lambda _: []), put("model", "continuing_subword_prefix", value="##")
        ),
        word_suffix=put("model", "end_of_word_suffix", value="</w>"),
        unknown_=put("model", "unk_token", value="<end>"),
        fused_=put("model", "fuse_unk", value=True),
        byte_fallback_=put("model", "byte_fallback", value=True),
        post_processor_=put("post_processor", value=None),
        post_processor_of_bytes_=put("post_processor", value=BYTE_LEVEL),
        truncation=put("truncation", value=CUT),
        padding=put("padding", value=PADDED),
    ),
    *of(
        "gpt2",
        add_prefix_space=put("pre_tokenizer", "add_prefix_space", value=True),
        use_regex=put("pre_tokenizer", "use_regex", value=False),
        added_normalized_=added("   ", normalized=False),
        nfc=put("normalizer", value=NFC),
    ),
    *of(
        "llama2",
        no_prepend=put("normalizer", value=SPACES),
        prepended_twice=put(
            "normalizer", value={"type": "Sequence", "normalizers": [PREPEND, PREPEND, SPACES]}
        ),
        prepended_last_=put(
            "normalizer", value={"type": "Sequence", "normalizers": [SPACES, PREPEND]}
        ),
        nfkc=put("normalizer", value={"type": "Sequence", "normalizers": [NFKC, PREPEND, SPACES]}),
        added_normalized=added("xyz", normalized=True),
        added_special=added("xyz", special=True),
        byte_fallback=put("model", "byte_fallback", value=False),
        fused=both(
            put("model", "byte_fallback", value=False), put("model", "fuse_unk", value=True)
        ),
        split_at_spaces_=split_at(" "),
        split_at_spaces_inverted=split_at(" ", "Removed", invert=True),
        split_at_letters=split_at("e"),
        decoder_strips_nothing_=lambda spec: spec["decoder"]["decoders"].pop(),
        decoder_without_spaces=lambda spec: spec["decoder"]["decoders"].pop(0),
        decoder_without_bytes=lambda spec: spec["decoder"]["decoders"].pop(1),
        ids_exchanged=swap("e", "▁"),
        merges_reversed=merges(lambda pairs: pairs[::-1]),
    ),
    *of(
        "llama2+metaspace",
        prepend_always=metaspace(prepend_scheme="always"),
        prepend_never=metaspace(prepend_scheme="never"),
        split_=metaspace(split=True),
        replacement=metaspace(replacement="_"),
        added_lstrip=added("<tool>", lstrip=True),
        added_rstrip=added("<tool>", rstrip=True),
    ),
    *of(
        "unigram",
        scores=scores,
        no_unknown_=put("model", "unk_id", value=None),
        prepend_never=put("pre_tokenizer", "pretokenizers", 1, "prepend_scheme", value="never"),
        no_word_split=lambda spec: put(
            "pre_tokenizer", value=spec["pre_tokenizer"]["pretokenizers"][1]
        )(spec),
        nfkc=put("normalizer", value=NFKC),
        added_single_word=added("xyz", single_word=True),
    ),
]
