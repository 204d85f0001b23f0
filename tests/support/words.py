"""The tokens of a tokenizer of which any two in a row are spelled as it spells their text."""

from functools import cache
from random import Random

from tests.support.tokenizers import tokenizer
from uag._core import IncrementalEncoder
from uag.translation.core_tokenizer import core_tokenizer
from uag.translation.tokenizers import AnyTokenizer

# A text of these is about as varied as one of random ids.
MOST = 48


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
