"""Tools reach the template, and calls come back as OpenAI's clients read them."""

import json
from collections.abc import Generator
from typing import Any

import pytest
import torch
from transformers import LogitsProcessor

from tests.serving.protocol.test_spoken import TEMPLATE
from tests.support.asgi import Local, events
from tests.support.chats import chatty
from tests.support.models import random_model
from tests.support.serving import running
from uag import SpeculativeDecoder
from uag.serving.api.settings import Settings
from uag.serving.app import build
from uag.serving.protocol.asked import Sampling

CHATML = (
    "{% if tools %}{{ tools | tojson }}{% endif %}{% for message in messages %}"
    "{{ message.role }}: {{ message.content }}{% for call in message.tool_calls or [] %}"
    "{{ call.function.arguments.city }}{% endfor %}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CALL = '{"name": "weather", "arguments": {"city": "Rome"}}'
SAYS = f"<think>Hm.</think>I look.<tool_call>{CALL}</tool_call><end>"


class Says(LogitsProcessor):
    """Makes a model say some ids."""

    def __init__(self, ids: list[int]) -> None:
        self.ids, self.start = ids, -1

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        if self.start < 0:
            self.start = input_ids.shape[1]
        forced = torch.full_like(scores, -torch.inf)
        forced[:, self.ids[min(input_ids.shape[1] - self.start, len(self.ids) - 1)]] = 0
        return forced


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> Generator[Local]:
    special = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<end>")
    tokenizer = chatty("gpt2", CHATML, *special)
    tokenizer.response_template = TEMPLATE
    model = random_model("llama", tokenizer, max_position_embeddings=1024)
    model.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids("<end>")
    ids = tokenizer.encode(SAYS, add_special_tokens=False)
    own = Sampling.with_processors

    def says(self: Sampling, *given: Any) -> dict[str, Any]:
        options = own(self, *given)
        return options | {"logits_processor": [Says(ids), *options.get("logits_processor", [])]}

    monkeypatch.setattr(Sampling, "with_processors", says)
    with running(SpeculativeDecoder(model, tokenizer)) as engine:
        yield Local(build(engine, Settings(name="demo")))


BODY: dict[str, Any] = {"messages": [{"role": "user", "content": "Rome?"}], "tools": [TOOL],
                        "max_tokens": 200}  # fmt: skip


def test_a_call_comes_back(local: Local) -> None:
    (choice,) = local.chat(**BODY)["choices"]
    message = choice["message"]
    assert choice["finish_reason"] == "tool_calls"
    assert (message["reasoning_content"], message["content"]) == ("Hm.", "I look.")
    (call,) = message["tool_calls"]
    assert call["type"] == "function" and call["id"].startswith("call_")
    assert json.loads(call["function"]["arguments"]) == {"city": "Rome"}


def test_a_call_comes_in_a_stream(local: Local) -> None:
    answer = local.post("/v1/chat/completions", BODY | {"stream": True})
    deltas = [each["choices"][0]["delta"] for each in events(answer.text)]
    assert "".join(each.get("content", "") for each in deltas) == "I look."
    assert "".join(each.get("reasoning_content", "") for each in deltas) == "Hm."
    (call,) = [call for each in deltas for call in each.get("tool_calls", [])]
    assert (call["index"], call["function"]["name"]) == (0, "weather")


def test_what_tools_gave_goes_back(local: Local) -> None:
    (choice,) = local.chat(**BODY)["choices"]
    tool = {"role": "tool", "tool_call_id": "x", "content": "sunny"}
    messages = [*BODY["messages"], choice["message"], tool]
    assert local.chat(**BODY | {"messages": messages})["choices"][0]["message"]["tool_calls"]
    shown = local.post("/tokenize", {"messages": messages, "tools": [TOOL]}).json()
    rendered = local.post("/detokenize", {"tokens": shown["tokens"]}).json()["prompt"]
    assert "assistant: I look.Rome" in rendered and "tool: sunny" in rendered
    assert rendered.startswith("[{") and shown["count"] == len(shown["tokens"])


def test_no_tools_if_none_may_be_called(local: Local) -> None:
    with_tools = local.chat(**BODY)["usage"]["prompt_tokens"]
    without = local.chat(**BODY | {"tool_choice": "none"})["usage"]["prompt_tokens"]
    assert without < with_tools
