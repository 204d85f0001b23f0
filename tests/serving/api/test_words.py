"""Texts to ids and back are the tokenizer's own."""

from typing import Any

import pytest

from tests.support.asgi import Local
from uag import SpeculativeDecoder


def test_a_text_there_and_back(local: Local, decoder: SpeculativeDecoder) -> None:
    text = "Once upon a time 🙂"
    told = local.post("/tokenize", {"prompt": text, "return_token_strs": True}).json()
    assert told["tokens"] == decoder.tokenizer.encode(text)
    assert (told["count"], told["max_model_len"]) == (len(told["tokens"]), 512)
    assert len(told["token_strs"]) == told["count"] and told["token_strs"][1] == "Once"
    bare = local.post("/tokenize", {"prompt": text, "add_special_tokens": False}).json()
    assert bare["tokens"] == decoder.tokenizer.encode(text, add_special_tokens=False)
    back = local.post("/detokenize", {"tokens": bare["tokens"]}).json()
    assert back == {"prompt": text}


def test_a_chat_has_the_ids_that_a_reply_begins_with(local: Local) -> None:
    messages = [{"role": "user", "content": "Once"}]
    counted = local.post("/tokenize", {"messages": messages}).json()["count"]
    assert local.chat(messages=messages, max_tokens=1)["usage"]["prompt_tokens"] == counted


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/tokenize", {}, "prompt"),
        ("/tokenize", {"prompt": 5}, "prompt"),
        ("/tokenize", {"messages": [{"role": "x"}]}, "messages[0].role"),
        ("/detokenize", {}, "tokens"),
        ("/detokenize", {"tokens": [4096]}, "tokens"),
        ("/detokenize", {"tokens": ["a"]}, "tokens"),
        ("/detokenize", {"tokens": 3}, "tokens"),
    ],
)
def test_what_cannot_be_read(local: Local, path: str, body: dict[str, Any], param: str) -> None:
    assert local.refused(path, body)["param"] == param
