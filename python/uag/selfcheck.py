"""Whether the core encodes as the tokenizer does: about ninety texts, a few milliseconds."""

import random

import tokenizers

from uag._core import Tokenizer
from uag.text import TextBytes

# Texts that tokenizers disagree about: leading and repeated spaces, line ends, digits, scripts,
# contractions, combining marks, emoji with joiners, what looks like a byte token.
STRESS_TEXTS = (
    "Hello world",
    " leading",
    "  two  spaces   three",
    "trailing ",
    "\n\nlines\r\n\ttabs \n ",
    "I'll don't WE'VE it's",
    "1234567890 3.14 1,000",
    "def f(x):\n    return x ** 2  # square\n",
    "日本語のテキスト、한국어 中文",
    "Привет мир Ελληνικά עברית العربية हिन्दी",
    "e\u0301 a\u030a \u00e9 \ufb01",
    "👩\u200d👩\u200d👧 🏳️\u200d🌈 é",
    "<0x41> <0x4",
    "a\u00a0b\u3000c\u200bd",
    "====----____ !!??...",
    "camelCaseWords snake_case HTTPServer",
)


def disagreement(core: Tokenizer, tokenizer: tokenizers.Tokenizer) -> str | None:
    """A text that the two encode differently, if there is one among those tried.

    Texts with special tokens in them are passed over, since the core never parses them; and so are
    texts that the tokenizer changes (by Unicode normalisation, say), since the core keeps bytes.
    """
    added = tokenizer.get_added_tokens_decoder().values()
    specials = [token.content for token in added if token.special]
    for text in [*STRESS_TEXTS, *_random_texts(core)]:
        if any(special in text for special in specials):
            continue
        expected = tokenizer.encode(text, add_special_tokens=False).ids
        kept = TextBytes(core).add(expected) == text.encode()
        if kept and core.encode(text.encode()) != expected:
            return text
    return None


def _random_texts(core: Tokenizer) -> list[str]:
    """The texts of random id lists, the same ones every time."""
    draw = random.Random(0)
    sizes = (1, 2, 3, 5, 8, 13) * 12
    lists = [[draw.randrange(core.vocab_size) for _ in range(size)] for size in sizes]
    return [
        b"".join(core.token_bytes(id) or b"" for id in ids).decode(errors="ignore") for ids in lists
    ]
