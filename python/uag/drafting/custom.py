"""A user-defined drafter in place of an assistant model."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeGuard, cast, runtime_checkable

from uag._core import IncrementalEncoder, Tokenizer
from uag.clock import now
from uag.draft import Draft, GoesOn
from uag.drafting.source import DraftSource
from uag.errors import OptionError, UnsupportedModelError
from uag.models.wrappers import AnyModel
from uag.translation.detokenizer import leading_space


@runtime_checkable
class Drafter(Protocol):
    """The interface of a user-defined drafter: a rule, a table, another engine.

    The target verifies its proposals like an assistant model's. A wrong one costs time but never
    changes the output.

    >>> from uag import SpeculativeDecoder
    >>> class Refrain:
    ...     def propose(self, text, ids, k):
    ...         return b" upon a time" if text.endswith(b"Once") else b""
    >>> decoder = SpeculativeDecoder(target, target_tokenizer, Refrain(), lookahead=4)
    >>> out = decoder.generate("Once", max_new_tokens=8)
    >>> out.stats.drafted > 0
    True
    """

    def propose(self, text: bytes, ids: Sequence[int], k: int) -> bytes | str | Sequence[int]:
        """Propose up to `k` ids, or text of about that length, that may follow; empty for none.

        It is called once a round. One drafter serves several generations in turn: keep no
        per-generation state, or key it by `text`.

        Args:
            text: prompt and output so far. Special tokens have no bytes. A character that the
                target has only begun is left out: a proposal must spell it from its first byte.
            ids: the same as ids of `assistant_tokenizer`, or of the target's tokenizer if there is
                no `assistant_tokenizer`. It must not be modified.
            k: how many ids to propose. Further ones are cut off.
        """
        ...


def is_model(assistant: object) -> TypeGuard[AnyModel]:
    """Whether an assistant is a model, or a wrapper of one, rather than a drafter.

    >>> is_model(assistant), is_model("lookup")
    (True, False)
    """
    return isinstance(assistant, AnyModel) and not isinstance(assistant, Drafter)


def check_drafter(assistant: object) -> None:
    """Refuse an assistant that is not a `Drafter`; call it only if it is no model.

    Raises:
        UnsupportedModelError: naming its type.
    """
    if isinstance(assistant, type) or not isinstance(assistant, Drafter):
        raise UnsupportedModelError(
            f"the assistant is a {type(assistant).__name__}; give a transformers model, an object "
            "with the method of uag.Drafter, or None; to load one by name, use from_pretrained"
        )


class CustomDrafts(DraftSource):
    """The drafts of a `Drafter` for one generation."""

    def __init__(self, drafter: Drafter, tokenizer: Tokenizer, prompt: list[int]) -> None:
        """Begin after a prompt.

        Args:
            drafter: the user's drafter.
            tokenizer: the core's tokenizer for the vocabulary of drafts and prompt.
            prompt: ids in that vocabulary.
        """
        self._drafter = drafter
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._text = bytearray()
        self._ends = [0]  # at index `n`, how many bytes the first `n` ids have
        self._drafted: list[int] = []
        self._unwanted = leading_space(tokenizer)
        self._add(prompt)

    def draft(self, k: int, goes_on: GoesOn | None = None) -> Draft:
        del goes_on  # the drafter gives no probabilities to decide by
        start = now()
        proposed = self._drafter.propose(bytes(self._text), self._ids, k)
        ids = self._drafted = self._encoded(proposed)[:k]
        each = (now() - start) / max(1, len(ids))
        return Draft(ids, seconds=[each] * len(ids))

    def apply(self, keep: int, feed: list[int]) -> None:
        known = len(self._ids)
        more = self._drafted[: max(0, keep - known)]
        if keep < known:
            del self._ids[keep:], self._ends[keep + 1 :], self._text[self._ends[keep] :]
        self._drafted = []
        self._add([*more, *feed])

    def _add(self, ids: list[int]) -> None:
        for id in ids:
            data = self._tokenizer.token_bytes(id) or b""
            # If a tokenizer puts a space before every text, it is not part of the text.
            self._text += data if self._text else data.removeprefix(self._unwanted)
            self._ids.append(id)
            self._ends.append(len(self._text))

    def _encoded(self, proposed: object) -> list[int]:
        match proposed:
            case str():
                return self._encoded(proposed.encode(errors="replace"))
            case bytes() | bytearray():
                stream = IncrementalEncoder(self._tokenizer, at_start=False)
                stream.append(bytes(proposed))
                return stream.ids
            case list() | tuple():
                ids = list(cast("Sequence[Any]", proposed))
                if all(isinstance(id, int) and 0 <= id < 2**32 for id in ids):
                    return ids
            case _:
                pass
        raise OptionError(
            f"{type(self._drafter).__name__}.propose returned {proposed!r:.60}; "
            "it must return bytes, a str, or a list of ids"
        )
