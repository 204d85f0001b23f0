"""`uag demo`."""

import pytest

from tests.support.command_line import run


def test_the_demo_tells_a_story_and_compares(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "demo", "-n", "16", "--runs", "1")
    assert (status, err) == (0, "")
    assert "Once, there was a happy girl" in out and "identical output: yes" in out
