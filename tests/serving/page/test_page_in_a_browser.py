"""The page in a browser: it streams, shows who wrote what, stops, asks for a key."""

from typing import Any

import pytest

from tests.support.asgi import serving, until
from uag import SpeculativeDecoder
from uag.demo import demo_decoder
from uag.serving.api.settings import Settings
from uag.serving.app import build

LIMIT = 40


class Opened:
    """The page in a browser, and what it complained about."""

    def __init__(self, browser: Any, url: str, width: int = 1000) -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 800})
        self.page.set_default_timeout(20_000)
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))
        self.page.goto(url)

    def send(self, text: str) -> None:
        self.page.fill("#text", text)
        self.page.press("#text", "Enter")

    def ended(self) -> None:
        self.page.wait_for_selector("#send:visible")

    def texts(self, selector: str) -> list[str]:
        return self.page.locator(selector).all_text_contents()


@pytest.mark.parametrize("width", [1000, 360])
def test_a_chat(browser: Any, engine: Any, decoder: SpeculativeDecoder, width: int) -> None:
    with serving(build(engine, Settings(name="demo", most_tokens=LIMIT))) as url:
        opened = Opened(browser, url, width)
        opened.page.fill("#temperature", "0")
        said = "Once <b>upon</b> a time"
        opened.send(said)
        opened.ended()
        messages = [{"role": "user", "content": said}]
        first = decoder.generate(messages, max_new_tokens=LIMIT).text
        assert opened.texts("article p") == [said, first]
        spans = opened.page.locator("article.assistant span")
        kinds = {spans.nth(at).get_attribute("class") for at in range(spans.count())}
        assert kinds == {"drafted", "own"}
        (line,) = opened.texts("article small")
        assert "40 tokens, " in line and "tokens/s" in line and "% drafted" in line
        opened.send("And then")
        opened.ended()
        messages += [{"role": "assistant", "content": first},
                     {"role": "user", "content": "And then"}]  # fmt: skip
        assert (
            opened.texts("article p")[-1] == decoder.generate(messages, max_new_tokens=LIMIT).text
        )
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
        opened.page.click("#again")
        assert opened.texts("article") == []
        assert opened.complaints == [] and opened.hosts == {url.removeprefix("http://")}
        opened.page.close()


def test_a_reply_that_is_stopped(browser: Any, engine: Any) -> None:
    with serving(build(engine, Settings(name="demo"))) as url:
        opened = Opened(browser, url)
        opened.send("Once")
        opened.page.wait_for_selector("article.assistant span")
        opened.page.click("#stop")
        opened.ended()
        until(lambda: engine.running == 0)
        assert opened.texts("article p")[-1] and opened.page.is_hidden("#trouble")
        opened.page.close()


def test_a_key_and_errors(browser: Any, engine: Any) -> None:
    settings = Settings(name="demo", keys=("secret",), most_tokens=4)
    with serving(build(engine, settings)) as url:
        opened = Opened(browser, url)
        opened.page.wait_for_selector("#locked:visible")
        assert "key" in opened.page.inner_text("#trouble")
        opened.page.fill("#key", "secret")
        opened.page.press("#key", "Enter")
        opened.page.wait_for_selector("#trouble", state="hidden")
        assert opened.page.inner_text("#name") == "demo"
        opened.send("Once")
        opened.ended()
        assert len(opened.texts("article")) == 2 and opened.page.is_hidden("#locked")
        opened.send("dog " * 600)
        opened.ended()
        assert "window" in opened.page.inner_text("#trouble")
        assert len(opened.texts("article")) == 2
        assert opened.page.input_value("#text").startswith("dog dog")
        opened.page.close()


def test_a_model_without_chats_continues_texts(browser: Any) -> None:
    from tests.support.serving import running

    decoder = demo_decoder()
    with (
        running(decoder) as engine,
        serving(build(engine, Settings(name="demo", most_tokens=12))) as url,
    ):
        opened = Opened(browser, url)
        opened.send("Once upon")
        opened.ended()
        expected = decoder.generate("Once upon", max_new_tokens=12).text
        assert opened.texts("article p") == ["Once upon", expected]
        opened.page.close()
