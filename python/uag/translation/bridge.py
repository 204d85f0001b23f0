"""Translation between two tokenizers, for any engine that runs the two models."""

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar, cast

from uag._core import Bridge as CoreBridge
from uag._core import Tokenizer, Translation
from uag.errors import OptionError, UnsupportedTokenizerError
from uag.translation.core_tokenizer import core_tokenizer
from uag.translation.detokenizer import TextBytes
from uag.translation.tokenizers import AnyTokenizer, prefix_ids, token_id, tokenizer_end_id
from uag.values import is_pair, shown

T = TypeVar("T")
SpecialPairs = Sequence[tuple[int | str, int | str]]


class Both(NamedTuple, Generic[T]):
    """A pair of values: the target's and the assistant's.

    >>> Both("fast", "slow").assistant
    'slow'
    """

    target: T
    assistant: T


class Bridge:
    """A target's and an assistant's tokenizer, and which of their special tokens mean the same.

    Immutable; threads may share it, and it can be pickled. Each generation has its own
    `Translation`, for one thread at a time.

    A round of speculative decoding:

    >>> bridge = Bridge(target_tokenizer, assistant_tokenizer)
    >>> prompt = "Once upon"
    >>> text = bridge.start(target_tokenizer.encode(prompt), assistant_tokenizer.encode(prompt))
    >>> draft = bridge.assistant.encode(b" a time")              # the assistant model proposes
    >>> candidates = text.propose(draft).ids                     # the same bytes as target ids
    >>> edit = text.commit(candidates[:1])                       # the target model agrees to one
    >>> edit.keep + len(edit.feed) == len(text.assistant_ids)    # what the cache must become
    True

    Args:
        tokenizer: the target's: a fast transformers tokenizer or a `tokenizers.Tokenizer`.
        assistant_tokenizer: the assistant's, of either kind.
        special_pairs: pairs (target token, assistant token) that mean the same, each token by its
            id or its content. The two end-of-text tokens are always paired; special tokens
            without a pair carry no text.

    Raises:
        UnsupportedTokenizerError: for a Python-only tokenizer or an unknown special token.
        OptionError: for `special_pairs` that are no pairs.
    """

    def __init__(
        self,
        tokenizer: AnyTokenizer,
        assistant_tokenizer: AnyTokenizer,
        special_pairs: SpecialPairs | None = None,
    ) -> None:
        self._given = Both(tokenizer, assistant_tokenizer)
        self.target = core_tokenizer(tokenizer)
        same = assistant_tokenizer is tokenizer
        self.assistant = self.target if same else core_tokenizer(assistant_tokenizer)
        pairs = [
            (token_id(tokenizer, target), token_id(assistant_tokenizer, assistant))
            for target, assistant in as_pairs(special_pairs)
        ]
        ends = tokenizer_end_id(tokenizer), tokenizer_end_id(assistant_tokenizer)
        if ends[0] is not None and ends[1] is not None:
            pairs.append((ends[0], ends[1]))
        self._prefixes = prefix_ids(tokenizer), prefix_ids(assistant_tokenizer)
        self.special_pairs = _first_of_each(pairs)
        try:
            self._core = CoreBridge(self.target, self.assistant, self.special_pairs)
        except ValueError as error:
            raise UnsupportedTokenizerError(str(error)) from error

    def __reduce__(self) -> tuple[type["Bridge"], tuple[AnyTokenizer, AnyTokenizer, SpecialPairs]]:
        """Pickles as its tokenizers, from which it is built again where it is read."""
        return Bridge, (self._given.target, self._given.assistant, self.special_pairs)

    def __repr__(self) -> str:
        return f"Bridge({_described(self.target)} <- {_described(self.assistant)})"

    def start(self, target_ids: list[int], assistant_ids: list[int]) -> Translation:
        """Begin a generation from a prompt, given in both vocabularies.

        On the result, `propose(draft_ids)` returns the candidates: target ids that spell the draft.
        `commit(target_ids)` adds the ids that the target emitted and returns an `Edit`: how many
        ids the assistant's KV cache keeps and which ids it is fed. Both take time proportional to
        the new bytes only.
        """
        return self._core.start(target_ids, assistant_ids)

    def begin(self, target_ids: list[int]) -> Translation:
        """Begin a generation from target ids alone, which may end inside a character.

        The assistant's ids are those of the same text, after the assistant's own prefix.
        """
        prefix = self._prefixes[0]
        known = len(prefix) if target_ids[: len(prefix)] == prefix else 0
        text = self.start(target_ids[:known], list(self._prefixes[1]))
        text.commit(target_ids[known:])
        return text

    def assistant_prompt(self, target_ids: list[int]) -> list[int]:
        """Translate a prompt of target ids to assistant ids, with the assistant's own prefix."""
        start = (
            len(self._prefixes[0])
            if target_ids[: len(self._prefixes[0])] == self._prefixes[0]
            else 0
        )
        paired = dict(reversed(self.special_pairs))
        ids, text = list(self._prefixes[1]), TextBytes(self.target)
        open_text = b""
        for id in target_ids[start:]:
            open_text += text.add([id])
            if id in paired and self.target.token_bytes(id) is None:
                ids += [*self.assistant.encode(open_text), paired[id]]
                open_text = b""
        return ids + self.assistant.encode(open_text)

    @property
    def fast(self) -> Both[bool]:
        """For each side, whether text is encoded incrementally."""
        return Both(self.target.fast, self.assistant.fast)

    @property
    def reason(self) -> Both[str]:
        """For each side, why it is not `fast`; an empty string if it is."""
        return Both(self.target.reason, self.assistant.reason)


def _described(tokenizer: Tokenizer) -> str:
    slow = "" if tokenizer.fast else f", slow: {shown(tokenizer.reason)}"
    return f"{tokenizer.family} of {tokenizer.vocab_size:,} ids{slow}"


def as_pairs(special_pairs: SpecialPairs | None) -> list[tuple[int | str, int | str]]:
    """The option `special_pairs=` as a list.

    >>> as_pairs([("<end>", 2)]), as_pairs(None)
    ([('<end>', 2)], [])

    Raises:
        OptionError: for what is no list of pairs.
    """
    given: Any = [] if special_pairs is None else special_pairs
    if not isinstance(given, list | tuple) or not all(map(is_pair, cast("list[Any]", given))):
        raise OptionError(
            f"special_pairs={shown(special_pairs)}: give a list of pairs (target token, assistant "
            "token)"
        )
    return [(target, assistant) for target, assistant in cast("list[Any]", given)]


def _first_of_each(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Drop repeated pairs and keep the order: for a token in several pairs, the first counts."""
    return list(dict.fromkeys(pairs))
