"""Logits processors and stopping criteria for one of several texts: each needs a memory of its own.

A processor may remember what it has seen: a grammar's place, counts, a random state. Texts that are
decoded in turns would mix that up if they shared one object.
"""

import copy
from typing import Any, TypeVar, cast

import torch
from tokenizers import Tokenizer
from transformers import (
    EosTokenCriteria,
    MaxLengthCriteria,
    MaxTimeCriteria,
    PreTrainedTokenizerBase,
    StopStringCriteria,
)

from uag.errors import OptionError

T = TypeVar("T")
# Options that hold objects which may remember what they have read.
REMEMBERING = ("logits_processor", "stopping_criteria")
# Criteria that remember nothing; they look at the end of a text only, or a plan replaces them.
STATELESS = (StopStringCriteria, MaxTimeCriteria, MaxLengthCriteria, EosTokenCriteria)
# Large, and not changed by what reads a text.
SHARED = (torch.nn.Module, PreTrainedTokenizerBase, Tokenizer)


def with_own_state(options: dict[str, Any]) -> dict[str, Any]:
    """The options for one of several texts, with processors and criteria of its own.

    Raises:
        OptionError: for one that cannot be copied.
    """
    given = {name: options[name] for name in REMEMBERING if options.get(name) is not None}
    return options | {
        name: type(several)([own_copy(each) for each in several]) for name, several in given.items()
    }


def own_copy(original: T) -> T:
    """A deep copy, which shares models and tokenizers with the original.

    Raises:
        OptionError: for an object that cannot be copied.
    """
    if isinstance(original, STATELESS):
        return original
    try:
        return copy.deepcopy(original, _shared(original))
    except Exception as error:  # a user's class may raise anything
        kind = type(original).__name__
        raise OptionError(
            f"{kind} cannot be copied ({type(error).__name__}: {error}), but each of several texts "
            "needs one of its own, as it may remember what it has read; give one prompt at a time, "
            f"or give {kind} a __deepcopy__"
        ) from error


def _shared(original: object) -> dict[int, Any]:
    """What `deepcopy` takes for copied: it returns what it finds under an object's id."""
    attributes = cast("dict[str, Any]", getattr(original, "__dict__", {}))
    return {id(value): value for value in attributes.values() if isinstance(value, SHARED)}
