"""Copies of logits processors and stopping criteria, so that each generation has its own.

A processor may keep state: its place in a grammar, counts, a random state. Generations in a batch
take turns, so a shared object would mix their states.
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
# Options that hold objects which may keep state.
REMEMBERING = ("logits_processor", "stopping_criteria")
# Criteria without state: they only look at the last ids or at the time, or `Stop` replaces them.
STATELESS = (StopStringCriteria, MaxTimeCriteria, MaxLengthCriteria, EosTokenCriteria)
# Large objects that decoding does not change: copies share them.
SHARED = (torch.nn.Module, PreTrainedTokenizerBase, Tokenizer)


def with_own_state(options: dict[str, Any]) -> dict[str, Any]:
    """The options for one of several generations, with its own copies of processors and criteria.

    Raises:
        OptionError: for one that cannot be copied.
    """
    given = {name: options[name] for name in REMEMBERING if options.get(name) is not None}
    return options | {
        name: type(several)([own_copy(each) for each in several]) for name, several in given.items()
    }


def own_copy(original: T) -> T:
    """A deep copy that shares models and tokenizers with the original.

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
    """A memo for `deepcopy`, by object id, of attributes that it must not copy."""
    attributes = cast("dict[str, Any]", getattr(original, "__dict__", {}))
    return {id(value): value for value in attributes.values() if isinstance(value, SHARED)}
