"""Counts and times of a server, in the form that Prometheus reads."""

from collections.abc import Callable
from http import HTTPStatus

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from uag.serving.protocol.usage import Usage

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Metrics:
    """The metrics of one server.

    >>> metrics = Metrics(running=lambda: 2, waiting=lambda: 0)
    >>> metrics.count(Usage(prompt=5, new=3))
    >>> "uag_prompt_tokens_total 5.0" in metrics.text().decode()
    True

    Args:
        running: how many texts are decoded now.
        waiting: how many wait for a place.
    """

    def __init__(self, running: Callable[[], float], waiting: Callable[[], float]) -> None:
        own = self._registry = CollectorRegistry()
        # Routers look for vLLM's names.
        for name in ("uag_requests_running", "vllm:num_requests_running"):
            Gauge(name, "Texts that are decoded now.", registry=own).set_function(running)
        for name in ("uag_requests_waiting", "vllm:num_requests_waiting"):
            Gauge(name, "Texts that wait for a place.", registry=own).set_function(waiting)
        self.requests = Counter(
            "uag_requests", "Answers by path and status.", ["path", "status"], registry=own
        )
        self.rejected = Counter("uag_requests_rejected", "Refused as all is full.", registry=own)
        self.cancelled = Counter("uag_requests_cancelled", "The client has left.", registry=own)
        self.first = Histogram(
            "uag_time_to_first_token_seconds", "Until the first piece.", buckets=SECONDS,
            registry=own,
        )  # fmt: skip
        self.between = Histogram(
            "uag_inter_token_latency_seconds", "Between pieces, for each token.", buckets=SHORT,
            registry=own,
        )  # fmt: skip
        self.whole = Histogram(
            "uag_request_seconds", "Until the end of a request.", buckets=SECONDS, registry=own
        )
        self._prompt = Counter("uag_prompt_tokens", "Ids of prompts.", registry=own)
        self._cached = Counter("uag_cached_tokens", "Ids that were not read again.", registry=own)
        self._new = Counter("uag_generation_tokens", "New ids.", registry=own)
        self._drafts = Counter("uag_drafts", "Rounds with a draft.", registry=own)
        self._drafted = Counter("uag_drafted_tokens", "Drafted ids of the target.", registry=own)
        self._accepted = Counter(
            "uag_accepted_tokens", "Drafted ids that were right.", registry=own
        )

        self._looked_up = Counter(
            "uag_looked_up_tokens", "Those of them that were copied from texts.", registry=own
        )

    def answered(self, path: str, status: int) -> None:
        """A request was answered."""
        self.requests.labels(path, status).inc()
        self.rejected.inc(status == HTTPStatus.TOO_MANY_REQUESTS)

    def count(self, usage: Usage) -> None:
        """Add what a request has used."""
        self._prompt.inc(usage.prompt)
        self._cached.inc(usage.cached)
        self._new.inc(usage.new)
        self._drafts.inc(usage.drafts)
        self._drafted.inc(usage.drafted)
        self._accepted.inc(usage.accepted)
        self._looked_up.inc(usage.looked_up)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)
