"""The texts that reports are written of."""

import pytest

import uag
from tests.support.browsing import browser
from tests.support.pages import hostile_text, story, story_of_trees

__all__ = ["browser"]


@pytest.fixture(scope="module")
def out() -> uag.Output:
    return story()


@pytest.fixture(scope="module")
def trees() -> uag.Output:
    return story_of_trees()


@pytest.fixture(scope="module")
def hostile() -> uag.Output:
    return hostile_text()
