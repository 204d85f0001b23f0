"""`build`: the server's application, for uvicorn or whatever else serves ASGI."""

from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route

from uag.serving.api.front import Front, not_found
from uag.serving.api.generation import Generation
from uag.serving.api.metrics import Metrics
from uag.serving.api.probes import Probes
from uag.serving.api.settings import Settings
from uag.serving.api.words import Words
from uag.serving.dialects.messages import Message, read_message
from uag.serving.dialects.responses import Answered, read_response
from uag.serving.page import page
from uag.serving.protocol.requests import read_chat, read_completion
from uag.serving.protocol.served import Served

PUBLIC = ("/", "/page/chat.css", "/page/chat.js", "/health", "/ready")


def build(engine: Any, settings: Settings) -> Starlette:
    """The application that answers requests with an engine that was started.

    Args:
        engine: a `ServingEngine`.
        settings: what the server allows.
    """
    served = Served(engine.decoder, settings.name)
    metrics = Metrics(lambda: engine.running, lambda: engine.queued)
    probes, words = Probes(engine, served, metrics), Words(served, settings)
    common = engine, served, settings, metrics
    endpoints: dict[str, tuple[Any, str]] = {
        "/v1/chat/completions": (Generation(*common, read_chat).answer, "POST"),
        "/v1/completions": (Generation(*common, read_completion).answer, "POST"),
        "/v1/responses": (Generation(*common, read_response, Answered).answer, "POST"),
        "/v1/messages": (Generation(*common, read_message, Message).answer, "POST"),
        "/v1/messages/count_tokens": (words.count, "POST"),
        "/v1/models": (probes.models, "GET"),
        "/v1/models/{name:path}": (probes.model, "GET"),
        "/": (page.index, "GET"),
        "/page/{name}": (page.asset, "GET"),
        "/health": (probes.health, "GET"),
        "/ready": (probes.ready, "GET"),
        "/metrics": (probes.counts, "GET"),
        "/tokenize": (words.tokenize, "POST"),
        "/detokenize": (words.detokenize, "POST"),
    }
    return Starlette(
        routes=[
            Route(path, endpoint, methods=[method])
            for path, (endpoint, method) in endpoints.items()
        ],
        middleware=[
            Middleware(
                Front,
                keys=settings.keys,
                hosts=settings.hosts,
                public=PUBLIC,
                paths=endpoints,
                metrics=metrics,
            )
        ],
        exception_handlers={HTTPException: not_found},
    )
