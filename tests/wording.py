"""Tokenizers of every kind, and the tokens of each whose texts are spelled as it spells them."""

from functools import cache
from random import Random

import fakes
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast
from uag._core import IncrementalEncoder
from uag.translation.core_tokenizer import core_tokenizer
from uag.translation.tokenizers import AnyTokenizer

UNKNOWN, END = "<unk>", "<end>"
# A text of these is about as varied as one of random ids.
MOST = 48


def unigram() -> PreTrainedTokenizerFast:
    """As T5's."""
    raw = fakes.unigram(150, (UNKNOWN, END))
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token=END, unk_token=UNKNOWN)


def wordpiece() -> PreTrainedTokenizerFast:
    """As BERT's: the core goes through the tokenizer itself."""
    raw = tokenizers.Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    raw.normalizer = normalizers.BertNormalizer(lowercase=False)
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=300, special_tokens=[UNKNOWN, END], show_progress=False
    )
    raw.train_from_iterator([fakes.TEXT], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token=END, unk_token=UNKNOWN)


OTHERS = {"unigram": unigram, "wordpiece": wordpiece}
TOKENIZERS = (*fakes.TOKENIZERS, *OTHERS)


@cache
def tokenizer(name: str) -> PreTrainedTokenizerFast:
    """One of `TOKENIZERS`, made once."""
    return OTHERS[name]() if name in OTHERS else fakes.tokenizer(name)


@cache
def words(name: str) -> list[int]:
    """Ids of which any two in a row are what the tokenizer makes of their text."""
    return _words(tokenizer(name))


def _words(tokenizer: AnyTokenizer) -> list[int]:
    core = core_tokenizer(tokenizer)
    texts = {id: core.token_bytes(id) or b"" for id in range(core.vocab_size)}

    def spelled(*ids: int) -> bool:
        stream = IncrementalEncoder(core, at_start=False)
        stream.append(b"".join(texts[id] for id in ids) + b" ")
        return stream.ids[: len(ids)] == list(ids)

    ids = [id for id, text in texts.items() if text.isascii() and text.decode().isprintable()]
    ids = [id for id in ids if texts[id].strip()]
    Random(0).shuffle(ids)
    found: list[int] = []
    for id in sorted(ids, key=lambda each: -len(texts[each])):
        pairs = [(id, id), *((other, id) for other in found), *((id, other) for other in found)]
        if all(spelled(*pair) for pair in pairs):
            found.append(id)
        if len(found) == MOST:
            break
    return found
