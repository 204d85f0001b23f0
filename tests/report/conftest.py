"""The texts that reports are written of."""

import pytest

import uag
from tests.support.browsing import browser
from tests.support.pages import hostile_text, story

__all__ = ["browser"]


@pytest.fixture(scope="module")
def out() -> uag.Output:
    return story()


@pytest.fixture(scope="module")
def hostile() -> uag.Output:
    return hostile_text()
