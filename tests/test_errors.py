"""What a user can cause is a `ValueError` of ours; a warning comes once."""

import warnings

import pytest

import uag
from uag import errors
from uag.errors import UagError, UagWarning, warn_once


def test_every_error_is_public_and_a_value_error() -> None:
    found = [each for each in vars(errors).values() if isinstance(each, type)]
    assert len(found) > 7
    for kind in found:
        assert getattr(uag, kind.__name__) is kind and kind.__doc__
        assert issubclass(kind, UagWarning) or issubclass(kind, UagError)
    assert issubclass(UagError, ValueError) and issubclass(UagWarning, UserWarning)


def test_a_warning_is_given_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "_warned", set[str]())
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for message in ("one", "two", "one", "one"):
            warn_once(message)
    assert [str(each.message) for each in seen] == ["one", "two"]
