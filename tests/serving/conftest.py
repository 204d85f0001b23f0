"""The demo pair, which also takes chats here, and a server of it."""

from collections.abc import Generator
from typing import Any

import pytest

from tests.support.asgi import Local
from tests.support.serving import running
from uag import SpeculativeDecoder
from uag.demo import demo_decoder
from uag.serving.api.settings import Settings
from uag.serving.app import build
from uag.serving.protocol.served import Served

TEMPLATE = (
    "{% if tools %}{{ tools | tojson }}{% endif %}"
    "{% for message in messages %}{{ message.content }}{% endfor %}"
    "{% if add_generation_prompt %} {% endif %}{% if loud %}LOUD{% endif %}"
)


@pytest.fixture(scope="session")
def decoder() -> SpeculativeDecoder:
    decoder = demo_decoder(lookahead=4)  # drafts always, however busy the machine is
    decoder.tokenizer.chat_template = TEMPLATE
    return decoder


@pytest.fixture(scope="session")
def served(decoder: SpeculativeDecoder) -> Served:
    return Served(decoder, "demo")


@pytest.fixture(scope="session")
def engine(decoder: SpeculativeDecoder) -> Generator[Any]:
    with running(decoder) as engine:
        yield engine


@pytest.fixture(scope="session")
def local(engine: Any) -> Local:
    return Local(build(engine, Settings(name="demo", most_texts=80)))
