"""Log-probabilities are those of the model after each token of each text."""

from typing import Any

import pytest
import torch

from tests.support.asgi import Local, events
from uag import SpeculativeDecoder

PROMPT = "Once upon a time"


@torch.no_grad()
def expected(decoder: SpeculativeDecoder, text: str) -> list[tuple[str, float]]:
    """The tokens of a text after the prompt, with their log-probabilities."""
    tokenizer = decoder.tokenizer
    prompt, new = (
        tokenizer.encode(each, add_special_tokens=False) for each in (PROMPT, PROMPT + text)
    )
    logits = decoder.model(torch.tensor([new])).logits[0].log_softmax(-1)
    return [
        (tokenizer.decode([id]), float(logits[place - 1, id]))
        for place, id in enumerate(new)
        if place >= len(prompt)
    ]


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat(local: Local, decoder: SpeculativeDecoder, *, stream: bool) -> None:
    messages = [{"role": "assistant", "content": PROMPT}]
    body: dict[str, Any] = {"messages": messages, "continue_final_message": True,
                            "max_tokens": 16, "logprobs": True, "top_logprobs": 2}  # fmt: skip
    answer = local.post("/v1/chat/completions", body | {"stream": stream})
    parts = [each["choices"][0] for each in (events(answer.text) if stream else [answer.json()])]
    tokens = [each for part in parts for each in (part.get("logprobs") or {}).get("content", [])]
    text = "".join(each["token"] for each in tokens)
    assert len(tokens) == 16
    for found, (token, logprob) in zip(tokens, expected(decoder, text), strict=True):
        assert found["token"] == token and found["bytes"] == [*token.encode()]
        assert found["logprob"] == pytest.approx(logprob, abs=1e-3)
        best = found["top_logprobs"]
        assert len(best) == 2 and best[0]["logprob"] >= best[1]["logprob"]
        assert best[0]["token"] == token  # greedy


@torch.no_grad()
def test_several_texts_and_the_old_form(local: Local, decoder: SpeculativeDecoder) -> None:
    whole = local.complete(
        prompt=PROMPT, n=3, max_tokens=12, logprobs=1, temperature=1.2, seed=3, ignore_eos=True
    )
    for choice in whole["choices"]:
        told, text = choice["logprobs"], choice["text"]
        assert "".join(told["tokens"]) == text
        assert [text[at:].startswith(token) for token, at in
                zip(told["tokens"], told["text_offset"], strict=True)] == [True] * 12  # fmt: skip
        prompt = decoder.tokenizer.encode(PROMPT)
        rows = decoder.model(torch.tensor([[*prompt, *_ids(decoder, told["tokens"])]])).logits[0]
        values = rows.log_softmax(-1)
        for place, id in enumerate(_ids(decoder, told["tokens"])):
            logprob = float(values[len(prompt) - 1 + place, id])
            assert told["token_logprobs"][place] == pytest.approx(logprob, abs=1e-3)
            (best,) = told["top_logprobs"][place].values()
            assert best >= told["token_logprobs"][place] - 1e-6


def _ids(decoder: SpeculativeDecoder, tokens: list[str]) -> list[int]:
    vocabulary = {decoder.tokenizer.decode([id]): id for id in range(4096)}
    return [vocabulary[token] for token in tokens]


def test_the_end_of_a_text_has_none(local: Local) -> None:
    whole = local.complete(prompt="They were happy. The end", max_tokens=20, logprobs=0)
    (choice,) = whole["choices"]
    assert choice["finish_reason"] == "stop"
    assert "".join(choice["logprobs"]["tokens"]) == choice["text"]
    assert len(choice["logprobs"]["tokens"]) == whole["usage"]["completion_tokens"] - 1
