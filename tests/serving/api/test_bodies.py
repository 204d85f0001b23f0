"""What is no JSON object is a 400 that says why; too much of it a 413."""

import json
from typing import Any

import pytest

from tests.support.asgi import Local
from uag.serving.api.settings import Settings
from uag.serving.app import build

JSON = {"content-type": "application/json"}
SURROGATE = b'{"prompt": "\\ud800"}'


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting"),
        (b"[]", "[]"),
        (b'"prompt"', "'prompt'"),
        (b"null", "None"),
        (b'{"n": NaN}', "NaN"),
        (b'{"n": -Infinity}', "-Infinity"),
        (b'{"n": 1e999}', "too large"),
        (b'{"n": %s}' % (b"9" * 5000), "5000"),
        (b'{"n": 1, "n": 2}', "'n' is there twice"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "deep"),
        (b'{"a": ' + b"[" * 200 + b"]" * 200 + b"}", "deep"),
        (SURROGATE, "surrogate"),
        (b'{"\\udfff": 1}', "surrogate"),
        (b'{"a": "\xff"}', "UTF-8"),
    ],
)
def test_what_is_no_object_of_json(local: Local, body: bytes, word: str) -> None:
    for path in ("/v1/completions", "/v1/chat/completions", "/tokenize", "/detokenize"):
        answer = local.ask("POST", path, content=body, headers=JSON)
        assert answer.status_code == 400
        assert word in answer.json()["error"]["message"]


def test_another_type_is_refused(local: Local) -> None:
    body = json.dumps({"prompt": "Once", "max_tokens": 2})
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = local.ask("POST", "/v1/completions", content=body, headers={"content-type": kind})
        assert answer.status_code == 415
    kind = "application/json; charset=utf-8"
    answer = local.ask("POST", "/v1/completions", content=body, headers={"content-type": kind})
    assert answer.status_code == 200


def test_a_body_that_is_too_large(engine: Any) -> None:
    local = Local(build(engine, Settings(name="demo", most_bytes=1000)))
    fits = {"prompt": "Once", "max_tokens": 2, "user": "x" * 900}
    assert local.post("/v1/completions", fits).status_code == 200
    for size in (1000, 100_000):
        answer = local.post("/v1/completions", {"prompt": "Once", "user": "x" * size})
        assert answer.status_code == 413
        assert "1,000 bytes" in answer.json()["error"]["message"]
