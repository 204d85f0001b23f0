"""Processes that share a model learn from the first one's times."""

from typing import Any

import pytest
import torch.distributed

from tests.support.models import random_model
from tests.support.tokenizers import tokenizer
from uag.lookahead.auto import Auto
from uag.lookahead.synced import SyncedLookahead
from uag.stats import Round


def test_the_first_process_s_times_count(monkeypatch: pytest.MonkeyPatch) -> None:
    first = ({"draft": 0.5, "verify": 2.0}, [0.5])

    def broadcast(times: list[Any], **_: Any) -> None:
        times[0] = first

    seen: list[Round] = []
    auto = Auto()
    monkeypatch.setattr(torch.distributed, "broadcast_object_list", broadcast)
    monkeypatch.setattr(auto, "update", seen.append)
    own = Round(
        [7, 8], 1, 1, 1, 1, {"verify": 9.0}, width=2, confidences=[0.9], draft_seconds=[8.0]
    )
    SyncedLookahead(auto, random_model("llama", tokenizer("gpt2"))).update(own)
    (done,) = seen
    assert (done.seconds, done.draft_seconds) == first
    assert (done.tokens, done.width, done.confidences) == (own.tokens, own.width, own.confidences)
