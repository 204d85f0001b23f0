"""What holds for all endpoints: one shape of errors, keys, ids, probes."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.asgi import Local, until
from tests.support.serving import running
from uag import SpeculativeDecoder
from uag.serving.api.settings import Settings
from uag.serving.app import build

ASK = {"prompt": "Once", "max_tokens": 4}


def test_the_model_is_listed_under_its_name(local: Local) -> None:
    (model,) = local.get("/v1/models").json()["data"]
    assert (model["id"], model["object"], model["max_model_len"]) == ("demo", "model", 512)
    assert local.get("/v1/models/demo").json() == model
    error = local.get("/v1/models/org/other")
    assert (error.status_code, error.json()["error"]["code"]) == (404, "model_not_found")
    error = local.post("/v1/completions", ASK | {"model": "other"})
    assert (error.status_code, error.json()["error"]["param"]) == (404, "model")


def test_what_is_not_there_has_the_shape_of_all_errors(local: Local) -> None:
    for method, path, status in (("GET", "/v2", 404), ("GET", "/v1/completions", 405)):
        answer = local.ask(method, path)
        assert answer.status_code == status
        assert {*answer.json()["error"]} == {"message", "type", "param", "code"}


def test_a_request_keeps_its_id(local: Local) -> None:
    assert local.get("/health", headers={"x-request-id": "a-1"}).headers["x-request-id"] == "a-1"
    made = [local.get("/health", headers={"x-request-id": id}).headers["x-request-id"]
            for id in ("", "two words", "x" * 1000)]  # fmt: skip
    assert len({*made}) == 3 and all(len(id) == 32 for id in made)


def test_a_page_whose_name_leads_here_is_kept_out(engine: Any) -> None:
    local = Local(build(engine, Settings(name="demo", hosts=("127.0.0.1", "::1", "localhost"))))
    for name in ("127.0.0.1:8000", "[::1]:8000", "LocalHost", "127.0.0.1"):
        assert local.get("/v1/models", headers={"host": name}).status_code == 200
    for name in ("attacker.example:8000", "", "127.0.0.1.attacker.example"):
        answer = local.get("/v1/models", headers={"host": name})
        assert answer.status_code == 421 and "is not called" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer secret"},
        {"authorization": "bearer other"},
        {"x-api-key": "secret"},
    ],
)
def test_a_key_opens_the_server(engine: Any, headers: dict[str, str]) -> None:
    local = Local(build(engine, Settings(name="demo", keys=("secret", "other"))))
    for path in ("/v1/models", "/metrics", "/nowhere"):
        assert local.get(path).status_code == 401
        assert local.get(path, headers={"authorization": "Bearer wrong"}).status_code == 401
    assert local.get("/v1/models", headers=headers).status_code == 200
    assert local.post("/v1/completions", ASK, headers=headers).status_code == 200
    assert local.get("/health").status_code == local.get("/ready").status_code == 200
    error = local.post("/v1/completions", ASK).json()["error"]
    assert error["type"] == "authentication_error"


@pytest.mark.parametrize(
    ("state", "health", "ready"),
    [("ready", 200, 200), ("loading", 503, 503), ("draining", 200, 503), ("dead", 503, 503)],
)
def test_probes_tell_the_state(
    engine: Any, monkeypatch: pytest.MonkeyPatch, state: str, health: int, ready: int
) -> None:
    local = Local(build(engine, Settings(name="demo")))
    monkeypatch.setattr(engine, "state", state)
    assert local.get("/health").status_code == health
    assert local.get("/ready").status_code == ready
    assert local.post("/v1/completions", ASK).status_code == ready


def test_a_full_server_says_when_to_come_back(decoder: SpeculativeDecoder) -> None:
    with running(decoder, batch_size=2, max_queued=1) as engine:
        local = Local(build(engine, Settings(name="demo", most_texts=3)))
        answer = local.post("/v1/completions", ASK | {"n": 4, "temperature": 1})
        assert answer.status_code == 400 and answer.json()["error"]["param"] == "n"
        engine._places.taken = 3
        answer = local.post("/v1/completions", ASK)
        assert answer.status_code == 429 and int(answer.headers["retry-after"]) >= 1
        assert answer.json()["error"]["code"] == "overloaded"
        assert "uag_requests_rejected_total 1.0" in local.get("/metrics").text
        engine._places.taken = 0
        assert local.post("/v1/completions", ASK).status_code == 200


def test_a_list_that_does_not_fit_frees_what_it_took(decoder: SpeculativeDecoder) -> None:
    with running(decoder, batch_size=2, max_queued=0) as engine:
        local = Local(build(engine, Settings(name="demo")))
        answer = local.post("/v1/completions", ASK | {"prompt": ["One", "Two", "Three"]})
        assert answer.status_code == 429
        until(lambda: engine.running + engine.queued == 0)
        assert local.complete(**ASK)["usage"]["completion_tokens"] == 4


def test_an_error_in_the_server_is_json(
    engine: Any, local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(engine, "submit", broken)
    answer = local.post("/v1/completions", ASK)
    assert answer.status_code == 500
    assert "RuntimeError" in answer.json()["error"]["message"]


def counted(local: Local) -> Callable[[str], float]:
    lines = local.get("/metrics").text.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return lambda name: float(values[name])


def test_metrics_count_what_was_used(engine: Any) -> None:
    local = Local(build(engine, Settings(name="demo")))
    used = [local.complete(**ASK | {"n": n, "temperature": 1})["usage"] for n in (1, 2)]
    value = counted(local)
    assert value("uag_generation_tokens_total") == sum(each["completion_tokens"] for each in used)
    assert value("uag_prompt_tokens_total") == sum(each["prompt_tokens"] for each in used)
    assert value('uag_requests_total{path="/v1/completions",status="200"}') == 2
    assert value("uag_time_to_first_token_seconds_count") == 2 == value("uag_request_seconds_count")
    until(lambda: counted(local)("vllm:num_requests_running") == 0)
    assert value("uag_requests_waiting") == 0
    details = [each["completion_tokens_details"] for each in used]
    accepted = sum(each["accepted_prediction_tokens"] for each in details)
    assert value("uag_accepted_tokens_total") == accepted
