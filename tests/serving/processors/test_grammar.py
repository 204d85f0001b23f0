"""A text with a JSON schema follows it, with drafts and in company, and is the target's own."""

import json
from typing import Any

import pytest

from tests.support.asgi import Local
from uag import SpeculativeDecoder
from uag.serving.protocol.served import Served

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"enum": ["Lily", "Tim"]}, "age": {"type": "integer", "maximum": 99}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "child", "schema": SCHEMA}}


@pytest.mark.parametrize("fields", [{}, {"temperature": 1.5, "seed": 2, "n": 3}])
def test_texts_follow_the_schema(local: Local, fields: dict[str, Any]) -> None:
    whole = local.complete(prompt="A girl:", max_tokens=60, response_format=FORMAT, **fields)
    for choice in whole["choices"]:
        child = json.loads(choice["text"])
        assert child["name"] in ("Lily", "Tim") and child["age"] <= 99
        assert choice["finish_reason"] == "stop"


def test_any_object(local: Local) -> None:
    body = {"prompt": "A girl:", "max_tokens": 30, "response_format": {"type": "json_object"}}
    assert local.complete(**body)["choices"][0]["text"].lstrip().startswith("{")


def test_drafts_do_not_change_the_text(decoder: SpeculativeDecoder, served: Served) -> None:
    plain = SpeculativeDecoder(decoder.model, decoder.tokenizer)
    outs = [
        each.generate(
            "A girl:", max_new_tokens=60, logits_processor=[served.grammars.compiled(SCHEMA)]
        )
        for each in (decoder, plain)
    ]
    assert outs[0].token_ids == outs[1].token_ids
    assert outs[0].stats.drafted


def test_each_text_has_its_own_place(decoder: SpeculativeDecoder, served: Served) -> None:
    grammar = [served.grammars.compiled(SCHEMA)]
    outs = decoder.generate(
        ["A girl:", "A boy:", "Once"], max_new_tokens=60, logits_processor=grammar
    )
    assert all(json.loads(out.text) for out in outs)
