"""Stop strings, found in the last ids of a text without reading the whole vocabulary.

transformers' `StopStringCriteria` finds for every token of the vocabulary where it fits into which
stop string, which takes a second or two for a large vocabulary. Few of them are ever met: here the
text of a token is looked up when it is. What is matched is the same.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from transformers import PreTrainedTokenizerFast, StoppingCriteria, StopStringCriteria

from uag.decoding.token_texts import TokenTexts
from uag.errors import OptionError
from uag.translation.tokenizers import AnyTokenizer, backend_of, bare_ids
from uag.values import shown


class StopStrings(StoppingCriteria):
    """Ends a text at the first id that completes one of some strings.

    A string may begin in the prompt, begin and end inside of tokens, at any byte, and contain
    special tokens as they are written. As in transformers, it may reach over as many ids as the
    longest of the strings has bytes; characters, for a tokenizer without tokens for bytes.

    >>> stop = StopStrings(target_tokenizer, ["girl", "dog"])
    >>> stop.found(target_tokenizer.encode("Once there was a little girl"))
    'girl'
    >>> stop.found(target_tokenizer.encode("a girl played with")) is None
    True

    Attributes:
        strings: the strings.
        reach: how many of the last ids of a text `found` looks at.

    Raises:
        OptionError: if no token can end any of the strings.
    """

    def __init__(self, tokenizer: AnyTokenizer, strings: str | Sequence[str]) -> None:
        self.strings = (strings,) if isinstance(strings, str) else tuple(strings)
        self._texts = TokenTexts(tokenizer)
        self._wanted = [string.encode() for string in self.strings]
        self._longest = max(map(len, self._wanted))
        self.reach = self._longest if self._texts.has_bytes else max(map(len, self.strings))
        self._check_can_end(tokenizer)

    def found(self, ids: Sequence[int]) -> str | None:
        """The first of the strings that the last of `ids` completes; `None` if there is none."""
        last = self._texts[ids[-1]]
        if not last:
            return None
        before = self._before(ids)
        text = before + last
        for string, wanted in zip(self.strings, self._wanted, strict=True):
            # Its last byte at least is in the last token.
            if text.find(wanted, max(0, len(before) + 1 - len(wanted))) >= 0:
                return string
        return None

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        del scores, kwargs
        rows = cast("list[list[int]]", input_ids[:, -self.reach :].tolist())
        return torch.tensor([self.found(row) is not None for row in rows], device=input_ids.device)

    def _before(self, ids: Sequence[int]) -> bytes:
        """The text before the last id, as far back as a string can begin."""
        texts, size = list[bytes](), 0
        for id in reversed(ids[-self.reach : -1]):
            text = self._texts[id]
            if text is None or size >= self._longest:
                break
            texts.append(text)
            size += len(text)
        return b"".join(reversed(texts))

    def _check_can_end(self, tokenizer: AnyTokenizer) -> None:
        endings = (bare_ids(tokenizer, string)[-1:] for string in self.strings)
        if any(self._can_end(id) for ids in endings for id in ids):
            return
        # Another token may: transformers tries all of them.
        known: Any = tokenizer
        if tokenizer is (backend := backend_of(tokenizer)):
            known = PreTrainedTokenizerFast(tokenizer_object=backend)
        try:
            StopStringCriteria(known, [*self.strings])
        except ValueError as error:
            raise OptionError(
                f"stop_strings={shown([*self.strings])}: no token of the target can end any of "
                "them; leave them out, or give other ones"
            ) from error

    def _can_end(self, id: int) -> bool:
        text = self._texts[id] or b""
        starts = [text[:end] for end in range(1, len(text) + 1)]
        return any(wanted in text or any(map(wanted.endswith, starts)) for wanted in self._wanted)
