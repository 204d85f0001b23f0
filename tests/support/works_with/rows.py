"""The rows of the table: what a user may have, built tiny.

A new row is a `Row` in a list of its own, which `GROUPS` names.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch

from tests.support.adapters import REFUSED, WEIGHTS, WORDS, adapted
from tests.support.models import random_model
from tests.support.tokenizers import PROMPT

PROMPTS = [WORDS(PROMPT)["input_ids"][:length] for length in (12, 5, 9)]


@dataclass(frozen=True)
class Given:
    """What a user has: a model, perhaps in a wrapper, its tokenizer, and prompts as ids.

    Attributes:
        generator: whose `generate` says what is right; the model itself by default.
        target: the target that the model assists; itself by default.
    """

    model: Any
    tokenizer: Any = WORDS
    prompts: Sequence[list[int]] = field(default_factory=lambda: PROMPTS)
    generator: Any = None
    target: Any = None


@dataclass(frozen=True)
class Row:
    """A kind of thing that users bring.

    Attributes:
        name: as the table calls it.
        given: builds it.
        needs: the package that it comes with; without it the row is not tried.
        lacks: columns that do not apply, each with the reason.
    """

    name: str
    given: Callable[[], Given]
    needs: str = "torch"
    lacks: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def can_be_tried(self) -> bool:
        return find_spec(self.needs) is not None


def _adapter(kind: str) -> Given:
    """Of the refused kinds each is refused as an assistant too, of a target that is not."""
    plain = random_model("llama", WORDS, seed=1) if kind in REFUSED else None
    return Given(adapted(kind), target=plain)


def _wrapped(wrapper: Callable[[Any], Any]) -> Given:
    model = random_model("llama", WORDS)
    return Given(wrapper(model), generator=model)


GROUPS: dict[str, list[Row]] = {
    "Adapters of PEFT": [
        Row(kind, partial(_adapter, kind), needs="peft") for kind in (*WEIGHTS, *REFUSED)
    ],
    "Wrappers": [
        Row("torch.compile", partial(_wrapped, torch.compile)),
        Row(
            "DataParallel",
            partial(_wrapped, torch.nn.DataParallel),
            lacks={"custom_generate": "it has no generate"},
        ),
    ],
}
