"""Whether the core encodes as the tokenizer does: some 700 short texts, a few milliseconds.

Found in this way is whatever shows on common text: another pattern, normaliser, decoder, order of
merges, flags of added tokens. A single merge or id among 100,000 that is another is found only if
its token is among those that are drawn. Nothing rests on it: candidates are verified, so what the
target writes is its own choice however wrong they are. It is accepted less often, that is all.
"""

import random
from collections.abc import Iterator

import tokenizers

from uag._core import Bridge, IncrementalEncoder, Tokenizer
from uag.translation.detokenizer import TextBytes

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
    "\ufb01 \u2460 \uff28\uff45 \u212b",
    "👩\u200d👩\u200d👧 🏳️\u200d🌈 é",
    "<0x41> <0x4",
    "a\u00a0b\u3000c\u200bd",
    "====----____ !!??...",
    "camelCaseWords snake_case HTTPServer",
    "".join(map(chr, range(0x20, 0x7F))),
    " ".join(map(chr, (*range(0x21, 0x7F), *range(0xA1, 0x180)))),
)
SINGLES = 400
ADDED = 40
# Apart, as nothing is claimed of a text any more once a space that is not there was put in it.
CONTEXTS = ("a{0}", "{0} b", "  {0}", "a {0} b", "a{0}b", "{0}{0}  {0}\n{0}\n b")


def disagreement(core: Tokenizer, tokenizer: tokenizers.Tokenizer) -> str | None:
    """A text that the two treat differently, if there is one among those tried.

    A text's ids are compared where the core claims that they are the tokenizer's, and what the two
    decode the tokenizer's ids to, but for an unknown token, which says nothing of its text. Texts
    with special tokens in them are passed over, since the core never parses them.
    """
    added = tokenizer.get_added_tokens_decoder()
    for id, token in added.items():
        carries = core.token_bytes(id) is not None
        if token.content and (core.is_special(id), carries) != (token.special, not token.special):
            return token.content
    specials = [token.content for token in added.values() if token.special]
    passed, space = misspelled(tokenizer), space_before(tokenizer)
    plain = [token.content for token in added.values() if not token.special]
    for text in (*STRESS_TEXTS, *_around(plain), *_random_texts(core)):
        if any(special in text for special in specials):
            continue
        expected = ids_of(tokenizer, text)
        if expected is None:
            continue
        stream = IncrementalEncoder(core)
        stream.append(text.encode())
        decoded = tokenizer.decode(expected)
        if stream.exact and stream.ids != expected:
            return text
        spelled = TextBytes(core).add(expected).decode(errors="replace")
        known = all(id in added or core.token_bytes(id) is not None for id in expected)
        if known and passed.isdisjoint(expected) and not spells(spelled, decoded, space):
            return text
    return _behind_special(core, tokenizer)


def ids_of(tokenizer: tokenizers.Tokenizer, text: str) -> list[int] | None:
    """What the tokenizer makes of a text; `None` where it fails or panics, as some do on some."""
    try:
        return tokenizer.encode(text, add_special_tokens=False).ids
    except BaseException as error:
        if is_failure(error):
            return None
        raise


def is_failure(error: BaseException) -> bool:
    """Whether the library failed: a panic in it is no `Exception`, of a class of no module."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def space_before(tokenizer: tokenizers.Tokenizer) -> str:
    """What decoding leaves of that which a tokenizer puts before every text."""
    decoded = tokenizer.decode(ids_of(tokenizer, "a") or [])
    return decoded.removesuffix("a") if decoded.endswith("a") else ""


def spells(text: str, decoded: str, space: str) -> bool:
    """Whether they are the same, whatever is left of the spaces at the start."""
    return text.lstrip(" ") == decoded.removeprefix(space).lstrip(" ")


def misspelled(tokenizer: tokenizers.Tokenizer) -> set[int]:
    """Added tokens that the library doesn't decode to what they stand for in a text.

    Byte-level decoding takes their letters for bytes, which only ASCII survives.
    """
    added = tokenizer.get_added_tokens_decoder().items()
    return {id for id, token in added if tokenizer.decode([id]) not in ("", token.content)}


def _around(added: list[str]) -> Iterator[str]:
    """Added tokens beside letters, spaces, line ends and each other."""
    for token in random.Random(0).sample(added, min(ADDED, len(added))):
        yield from (context.format(token) for context in CONTEXTS)


def _random_texts(core: Tokenizer) -> Iterator[str]:
    """The texts of random ids, by themselves and in lists, the same ones every time."""
    draw = random.Random(0)
    few = core.vocab_size <= SINGLES
    singles = range(core.vocab_size) if few else draw.sample(range(core.vocab_size), SINGLES)
    sizes = (2, 3, 5, 8, 13) * 12
    lists = [[draw.randrange(core.vocab_size) for _ in range(size)] for size in sizes]
    for ids in (*([id] for id in singles), *lists):
        yield b"".join(core.token_bytes(id) or b"" for id in ids).decode(errors="ignore")


def _behind_special(core: Tokenizer, tokenizer: tokenizers.Tokenizer) -> str | None:
    """Whether a text behind a special token gets the space in front that it should get."""
    added = tokenizer.get_added_tokens_decoder()
    for id in [id for id, token in added.items() if token.special][:4]:
        text = f"a{added[id].content}a"
        ids = ids_of(tokenizer, text) or []
        if ids.count(id) == 1:
            before, behind = ids[: ids.index(id) + 1], ids[ids.index(id) + 1 :]
            proposal = Bridge(core, core, []).start(before, before).propose([], b"a")
            if not proposal.cut and proposal.ids != behind:
                return text
    return None
