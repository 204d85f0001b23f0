"""Text that follows a JSON schema: only tokens that can still lead to such a text are allowed."""

from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from uag.errors import OptionError
from uag.models.cached_lm import id_list
from uag.serving.processors.following import Following
from uag.translation.tokenizers import AnyTokenizer, backend_of

# White space as people lay out JSON. Without an end of it, a model may write nothing else.
LAYOUT: Any = {"whitespace_flexible": True, "whitespace_pattern": r"[ ]?|\n[ \t]{0,40}"}

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer


class Grammars:
    """Compiles JSON schemas for one target. Its vocabulary is prepared at the first one.

    >>> rows = len(target_tokenizer)
    >>> grammars = Grammars(target_tokenizer, rows, [target_tokenizer.eos_token_id])
    >>> grammar = grammars.compiled({"type": "object"})
    >>> allowed = grammar(torch.tensor([[5]]), torch.zeros(1, rows))[0].isfinite()
    >>> [bool(allowed[target_tokenizer.encode(text)[0]]) for text in ("{", "a")]
    [True, False]

    Args:
        tokenizer: the target's.
        rows: how many scores it has.
        ends: the ids that end its texts.
    """

    def __init__(self, tokenizer: AnyTokenizer, rows: int, ends: Sequence[int]) -> None:
        self._given = tokenizer
        self._rows = rows
        self._ends = [*ends]
        self._lock = Lock()
        self._tokenizer: LLTokenizer | None = None

    def compiled(self, schema: dict[str, Any]) -> "Grammar":
        """A processor for one text that must follow a schema.

        Raises:
            OptionError: for a schema that is wrong, or has something that is not supported.
        """
        from llguidance import LLMatcher

        prepared = self._prepared()
        try:
            grammar = LLMatcher.grammar_from_json_schema(schema, defaults=LAYOUT)
        except ValueError as error:  # a number that other programs cannot hold
            raise _unfollowed(str(error)) from error
        matcher = LLMatcher(prepared, grammar, log_level=0)
        if matcher.is_error():
            raise _unfollowed(matcher.get_error())
        return Grammar(matcher, self._ends)

    def _prepared(self) -> "LLTokenizer":
        from llguidance.hf import from_tokenizer

        with self._lock:
            if self._tokenizer is None:
                own = self._given
                if not isinstance(own, PreTrainedTokenizerFast):
                    own = PreTrainedTokenizerFast(tokenizer_object=backend_of(own))
                rows = max(self._rows, backend_of(own).get_vocab_size())
                try:
                    self._tokenizer = from_tokenizer(own, n_vocab=rows, eos_token=self._ends)
                except ValueError as error:
                    raise OptionError(
                        "texts of this model cannot be made to follow a schema, as its tokenizer "
                        f"is of an unknown kind: {' '.join(str(error).split()):.200}"
                    ) from error
            return self._tokenizer


def _unfollowed(reason: str) -> OptionError:
    told = " ".join(reason.split())
    return OptionError(f"the schema cannot be followed: {told:.300}; simplify it")


class Grammar(Following):
    """Allows only tokens with which a text can still follow its grammar.

    It keeps its place in the grammar, so each text has its own.
    """

    def __init__(self, matcher: "LLMatcher", ends: list[int]) -> None:
        super().__init__()
        self._matcher = matcher
        self._ends = ends

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride]
        """The scores `[1, vocabulary]`, minus infinity for what is not allowed."""
        self._matcher.consume_tokens(id_list(self.new(input_ids)))
        allowed = self._allowed(scores.shape[-1]).to(scores.device)
        return scores.masked_fill(~allowed, -torch.inf)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Grammar":
        """Another text's grammar, at the same place."""
        copied = Grammar(self._matcher.deep_copy(), self._ends)
        copied._seen = self._seen
        return copied

    def _allowed(self, rows: int) -> Tensor:
        if self._matcher.is_stopped():
            allowed = torch.zeros(rows, dtype=torch.bool)
            allowed[[id for id in self._ends if id < rows]] = True
            return allowed
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        return torch.tensor(np.unpackbits(bits, bitorder="little")[:rows], dtype=torch.bool)
