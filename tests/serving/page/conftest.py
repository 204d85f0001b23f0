"""The browser that the page is opened in."""

from tests.support.browsing import browser

__all__ = ["browser"]
