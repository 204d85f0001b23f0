"""The errors of serving: what a client may try again, and what it may not."""

from uag.errors import UagError


class OverloadedError(UagError):
    """All places are taken.

    Attributes:
        retry_after: seconds after which to try again, an estimate.
    """

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ClosedError(UagError):
    """The engine takes no requests: it is being closed, or has failed."""


class DoesNotFitError(UagError):
    """A text whose KV caches can never fit into the memory for them."""
