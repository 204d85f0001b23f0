"""How a server behaves: what it allows, and for how long."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """What a server allows.

    >>> Settings(name="demo", keys=("secret",)).timeout
    600.0

    Attributes:
        name: of the model.
        keys: one of them must be given; with none, everybody may ask.
        hosts: names by which requests may call the server; with none, any name. Where there is no
            key, it keeps web pages out whose name was made to lead to this machine.
        most_bytes: of a request's body.
        most_texts: that may ever run or wait at the same time; `None` if that is not known.
        most_tokens: new ones, of one text; `None` for as many as the window holds.
        timeout: seconds for a request, waiting included.
        ping: seconds after which a stream without news sends a comment.
    """

    name: str
    keys: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    most_bytes: int = 2**20
    most_texts: int | None = None
    most_tokens: int | None = None
    timeout: float = 600.0
    ping: float = 15.0
