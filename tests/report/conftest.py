"""The texts that reports are written of."""

from collections.abc import Generator
from typing import Any

import pytest

import uag
from tests.support.browsing import CHROMIUM
from tests.support.pages import hostile_text, story


@pytest.fixture(scope="module")
def out() -> uag.Output:
    return story()


@pytest.fixture(scope="module")
def hostile() -> uag.Output:
    return hostile_text()


@pytest.fixture(scope="module")
def browser() -> Generator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
