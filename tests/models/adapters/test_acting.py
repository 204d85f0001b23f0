"""Which adapters act, and which kinds only PEFT's own generate applies."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.models import random_model
from tests.support.tokenizers import tokenizer
from uag import UnsupportedModelError
from uag.models.adapters.acting import Adapters, SameAdapters, check_wrapper

WORDS = tokenizer("gpt2")


def test_a_model_without_adapters() -> None:
    model = random_model("llama", WORDS)
    assert not Adapters(model)
    assert not SameAdapters(model, "target")
    assert Adapters(model).acting == []


@pytest.mark.filterwarnings("ignore")  # of PEFT
def test_the_adapters_of_each_layer() -> None:
    pytest.importorskip("peft")
    from tests.support.adapters import two_adapters

    model = two_adapters(num_hidden_layers=1)
    adapters = Adapters(model.get_base_model())
    assert adapters.acting == [("default",), ("default",)]
    model.base_model.model.model.layers[0].self_attn.q_proj.set_adapter("other")
    assert adapters.acting == [("other",), ("default",)]
    model.base_model.model.model.layers[0].self_attn.v_proj.enable_adapters(enabled=False)
    assert adapters.acting == [("other",), ()]


@pytest.mark.parametrize(
    ("kind", "settings", "what"),
    [
        ("XLORA", {}, "mixes adapters by a pass of its own"),
        ("POLY", {}, "chooses adapters by the argument task_ids"),
        ("P_TUNING", {"is_prompt_learning": True}, "puts ids before the text"),
    ],
)
def test_kinds_that_are_refused(kind: str, settings: dict[str, Any], what: str) -> None:
    config = SimpleNamespace(peft_type=SimpleNamespace(value=kind), **settings)
    with pytest.raises(UnsupportedModelError, match=rf"assistant's adapter 'a' \({kind}\) {what}"):
        check_wrapper(SimpleNamespace(peft_config={"a": config}), "assistant")
