"""The page for a chat: three files that need nothing but the server they come from."""

from importlib.resources import files

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

FRAME = "chat.html"
KINDS = {"chat.css": "text/css", "chat.js": "text/javascript"}
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


async def index(_: Request) -> Response:
    """The page."""
    return Response(_read(FRAME), headers=HEADERS, media_type="text/html")


async def asset(request: Request) -> Response:
    """Its style or its script."""
    if (name := request.path_params["name"]) not in KINDS:
        raise HTTPException(404)
    return Response(_read(name), headers=HEADERS, media_type=KINDS[name])


def _read(name: str) -> bytes:
    return (files("uag.serving.page") / "assets" / name).read_bytes()
