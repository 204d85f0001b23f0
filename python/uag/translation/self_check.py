"""Checks that the core encodes as the tokenizer does: some 700 short texts, a few milliseconds.

The check finds every difference that shows on common text: in the pattern, the normaliser, the
decoder, the order of merges, or the flags of added tokens. It finds one wrong merge or id among
100,000 only if that token is among those sampled. The output does not depend on it: the target
verifies all candidates, so wrong ones are only accepted less often.
"""

import random
from collections.abc import Iterator

import tokenizers

from uag._core import Bridge, IncrementalEncoder, Tokenizer
from uag.translation.detokenizer import TextBytes
from uag.translation.tokenizers import is_failure

# Texts on which tokenizers differ: leading and repeated spaces, line ends, digits, scripts,
# contractions, combining marks, emoji with joiners, text that looks like a byte token.
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
# How many single ids and added tokens are sampled.
SINGLES = 400
ADDED = 40
# Where an added token is put. These are separate texts: the core claims nothing about the rest of a
# text in which the tokenizer has put a space that was not there.
CONTEXTS = ("a{0}", "{0} b", "  {0}", "a {0} b", "a{0}b", "{0}{0}  {0}\n{0}\n b")


def disagreement(core: Tokenizer, tokenizer: tokenizers.Tokenizer) -> str | None:
    """The first text tried that the two treat differently; `None` if there is no such text.

    Two things are compared for each text: the ids, if the core claims that its own are exactly the
    tokenizer's, and what the two decode the tokenizer's ids to. The second is skipped if the ids
    include an unknown token, which does not tell what it stands for. Texts that contain special
    tokens are skipped, since the core never parses them.

    >>> core = Tokenizer(target_tokenizer.backend_tokenizer.to_str())
    >>> disagreement(core, target_tokenizer.backend_tokenizer) is None
    True
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
    return _disagreement_after_special(core, tokenizer)


def ids_of(tokenizer: tokenizers.Tokenizer, text: str) -> list[int] | None:
    """The tokenizer's ids for a text; `None` if it fails or panics, as some tokenizers do."""
    try:
        return tokenizer.encode(text, add_special_tokens=False).ids
    except BaseException as error:
        if is_failure(error):
            return None
        raise


def space_before(tokenizer: tokenizers.Tokenizer) -> str:
    """What the tokenizer puts before every text and its decoder does not remove."""
    decoded = tokenizer.decode(ids_of(tokenizer, "a") or [])
    return decoded.removesuffix("a") if decoded.endswith("a") else ""


def spells(text: str, decoded: str, space: str) -> bool:
    """Whether two decoded texts are the same, apart from spaces at the start.

    >>> spells("a cat", " a cat", space=" "), spells("a cat", "a bat", space="")
    (True, False)
    """
    return text.lstrip(" ") == decoded.removeprefix(space).lstrip(" ")


def misspelled(tokenizer: tokenizers.Tokenizer) -> set[int]:
    """Ids of added tokens that the library does not decode to their own content.

    Byte-level decoding takes their letters for bytes, which changes all but ASCII.
    """
    added = tokenizer.get_added_tokens_decoder().items()
    return {id for id, token in added if tokenizer.decode([id]) not in ("", token.content)}


def _around(added: list[str]) -> Iterator[str]:
    """Texts with a sample of the added tokens next to letters, spaces, line ends and each other."""
    for token in random.Random(0).sample(added, min(ADDED, len(added))):
        yield from (context.format(token) for context in CONTEXTS)


def _random_texts(core: Tokenizer) -> Iterator[str]:
    """The texts of random ids, one at a time and in lists; the same ones every time."""
    rng = random.Random(0)
    few = core.vocab_size <= SINGLES
    singles = range(core.vocab_size) if few else rng.sample(range(core.vocab_size), SINGLES)
    sizes = (2, 3, 5, 8, 13) * 12
    lists = [[rng.randrange(core.vocab_size) for _ in range(size)] for size in sizes]
    for ids in (*([id] for id in singles), *lists):
        yield b"".join(core.token_bytes(id) or b"" for id in ids).decode(errors="ignore")


def _disagreement_after_special(core: Tokenizer, tokenizer: tokenizers.Tokenizer) -> str | None:
    """A text that the two encode differently after a special token, or `None`.

    Tokenizers differ in whether they put a space before the text there.
    """
    added = tokenizer.get_added_tokens_decoder()
    for id in [id for id, token in added.items() if token.special][:4]:
        text = f"a{added[id].content}a"
        ids = ids_of(tokenizer, text) or []
        if ids.count(id) == 1:
            before, after = ids[: ids.index(id) + 1], ids[ids.index(id) + 1 :]
            proposal = Bridge(core, core, []).start(before, before).propose([], b"a")
            if not proposal.cut and proposal.ids != after:
                return text
    return None
