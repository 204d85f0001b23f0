"""What is served, and whether: /v1/models, /health, /ready, /metrics."""

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from uag.serving.api.metrics import CONTENT_TYPE, Metrics
from uag.serving.failures import unavailable
from uag.serving.protocol.requests import unknown_model
from uag.serving.protocol.served import Served

STATES = {
    "loading": "the model is being loaded",
    "draining": "the server is stopping",
    "closed": "the server has stopped",
    "dead": "the engine has died; start the server again",
}


@dataclass(frozen=True, slots=True)
class Probes:
    """Endpoints that generate nothing."""

    engine: Any
    served: Served
    metrics: Metrics

    async def health(self, _: Request) -> Response:
        """Whether the server can decode at all, also while it stops."""
        return self._state("loading", "closed", "dead")

    async def ready(self, _: Request) -> Response:
        """Whether the server takes new requests."""
        return self._state(*STATES)

    async def models(self, _: Request) -> Response:
        """A list of the only model."""
        return JSONResponse({"object": "list", "data": [self._model()]})

    async def model(self, request: Request) -> Response:
        """The model, if it is asked for by its name."""
        if (name := request.path_params["name"]) != self.served.name:
            raise unknown_model(name, self.served)
        return JSONResponse(self._model())

    async def counts(self, _: Request) -> Response:
        """What Prometheus reads."""
        return Response(self.metrics.text(), media_type=CONTENT_TYPE)

    def _state(self, *bad: str) -> Response:
        if (state := self.engine.state) in bad:
            raise unavailable(STATES[state])
        return JSONResponse({"status": state})

    def _model(self) -> dict[str, Any]:
        return {
            "id": self.served.name,
            "object": "model",
            "created": self.served.created,
            "owned_by": "uag",
            "root": self.served.name,
            "max_model_len": self.served.window,
            "chat": self.served.has_template,
        }
