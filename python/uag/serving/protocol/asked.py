"""What a request asks for, in the engine's terms."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from uag.requests.prompts.chat import Chat
from uag.serving.processors.grammar import Grammars
from uag.serving.processors.logprobs import Record, Recorder
from uag.serving.processors.penalties import Penalties


@dataclass(frozen=True, slots=True)
class Sampling:
    """How texts are decoded.

    Attributes:
        options: of `SpeculativeDecoder.generate`, without processors.
        count: how many texts of each prompt.
        seed: of their tokens; `None` for any.
        limit: the name and value of the field that limits new tokens; `None` if the request has
            none.
        stops: strings that end a text.
        keep_stop: whether the text keeps the string that ended it.
        presence, frequency, bias: of `Penalties`.
        schema: the JSON schema that texts must follow; `None` for any text.
        alternatives: how many of the likeliest tokens to tell of each place; `None` for no
            log-probabilities at all.
    """

    options: dict[str, Any]
    count: int = 1
    seed: int | None = None
    limit: tuple[str, int] | None = None
    stops: Sequence[str] = ()
    keep_stop: bool = False
    presence: float = 0.0
    frequency: float = 0.0
    bias: dict[int, float] = field(default_factory=dict[int, float])
    schema: dict[str, Any] | None = None
    alternatives: int | None = None

    def new_record(self) -> Record | None:
        """Where the log-probabilities of one prompt's texts are kept; `None` if nobody asks."""
        return None if self.alternatives is None else Record(self.alternatives)

    def with_processors(self, grammars: Grammars, record: Record | None) -> dict[str, Any]:
        """The options for one prompt, with processors of its own.

        Raises:
            OptionError: for a schema that cannot be followed.
        """
        given: list[Any] = [] if record is None else [Recorder(record)]
        if self.presence or self.frequency or self.bias:
            given.append(Penalties(self.presence, self.frequency, self.bias))
        if self.schema is not None:
            given.append(grammars.compiled(self.schema))
        return {**self.options, **({"logits_processor": given} if given else {})}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was read and checked.

    Attributes:
        prompts: texts, lists of ids, or a chat.
        sampling: how they are continued.
        field: the name of the field that the prompts came in.
        stream: whether texts are sent as they are decoded.
        usage: whether a stream ends with the usage.
        usage_always: whether each part of a stream has the usage so far.
        tools: that the reply may call.
        parts: whether to tell, of each piece of text, if the assistant drafted it.
        salt: texts with different salts share nothing.
    """

    prompts: Sequence[str | list[int] | Chat]
    sampling: Sampling
    field: str
    stream: bool = False
    usage: bool = False
    usage_always: bool = False
    tools: list[dict[str, Any]] | None = None
    parts: bool = False
    salt: str = ""

    @property
    def is_chat(self) -> bool:
        """Whether it is a chat that is continued."""
        return isinstance(self.prompts[0], Chat)
