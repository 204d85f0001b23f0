"""The page is there without a key, needs nothing from elsewhere, and may run nothing else."""

import re
from importlib.resources import files
from typing import Any

import pytest

from tests.support.asgi import Local
from uag.serving.api.settings import Settings
from uag.serving.app import build


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/", "text/html"), ("/page/chat.css", "text/css"), ("/page/chat.js", "text/javascript")],
)
def test_its_files(engine: Any, path: str, kind: str) -> None:
    local = Local(build(engine, Settings(name="demo", keys=("secret",))))
    answer = local.get(path)
    assert answer.status_code == 200 and answer.headers["content-type"].startswith(kind)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert not re.search(r"https?://|//[a-z]", answer.text.replace("// ", ""))


@pytest.mark.parametrize("name", ["chat.html", "..%2Fpage.py", "other"])
def test_no_other_files(local: Local, name: str) -> None:
    assert local.get(f"/page/{name}").status_code == 404


def test_text_is_never_read_as_html() -> None:
    script = (files("uag.serving.page") / "assets" / "chat.js").read_text(encoding="ascii")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval", script)
