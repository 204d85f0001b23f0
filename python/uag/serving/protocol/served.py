"""The model that is served, and what requests need to know of it."""

from functools import cached_property
from time import time
from typing import Any, cast

from uag.decoder import SpeculativeDecoder
from uag.errors import warn_once
from uag.models.properties import context_window, end_ids, position_limit, vocabulary_rows
from uag.models.wrappers import language_model
from uag.requests.prompts.chat import Chat, chat_inputs
from uag.serving.processors.grammar import Grammars
from uag.translation.chat_template import template_of
from uag.translation.detokenizer import OwnText, TextDecoder, text_decoder
from uag.translation.tokenizers import backend_of, prompt_ids, special_ids

# The new tokens of a text if neither the request nor the model's window limits them.
ENDLESS = 4096


class Served:
    """A decoder under the name by which clients ask for it.

    >>> served = Served(decoder, "demo")
    >>> served.window, served.token(target_tokenizer.encode("Once")[0])
    (256, 'Once')

    Attributes:
        decoder, name: as given.
        created: when it was loaded, in seconds since 1970.
        window: how many ids a prompt and its text may have together; `None` if any number.
        rows: how many ids have a score.
        ends: the ids that end a text.
    """

    def __init__(self, decoder: SpeculativeDecoder, name: str) -> None:
        self.decoder = decoder
        self.name = name
        self.created = int(time())
        model = language_model(decoder.model, "target")
        window = context_window(model)
        self.window = None if window is None else position_limit(model) or window
        self.rows = vocabulary_rows(model)
        self.ends = end_ids(model, decoder.tokenizer)
        self.defaults = model.generation_config
        self.grammars = Grammars(decoder.tokenizer, self.rows, self.ends)
        self._kind = str(getattr(model.config, "model_type", ""))
        self._core = decoder.bridge.target
        self._backend = backend_of(decoder.tokenizer)
        self._special = special_ids(decoder.tokenizer)

    @property
    def has_template(self) -> bool:
        """Whether the model knows chats."""
        return template_of(self.decoder.tokenizer) is not None

    def room_after(self, prompt: str | list[int] | Chat) -> int:
        """How many new ids the window holds after a prompt; at least 1.

        Raises:
            PromptError: for a chat that cannot be rendered.
        """
        if self.window is None:
            return ENDLESS
        return max(1, self.window - len(self.ids_of(prompt)))

    def ids_of(self, prompt: str | list[int] | Chat) -> list[int]:
        """The target's ids of a prompt.

        Raises:
            PromptError: for a chat that cannot be rendered.
        """
        tokenizer = self.decoder.tokenizer
        if isinstance(prompt, Chat):
            inputs, _, _ = chat_inputs(prompt, tokenizer, tokenizer)
            return cast("list[int]", inputs["input_ids"])
        return prompt_ids(tokenizer, prompt) if isinstance(prompt, str) else prompt

    def text_after(self, prompt: list[int]) -> TextDecoder | OwnText:
        """What decodes ids that follow those of a prompt, without special tokens."""
        text = text_decoder(self._core, self._backend)
        text.add(prompt)
        return text

    def token(self, id: int) -> str:
        """A token as text: a special one by its name, a part of a character as U+FFFD."""
        data = self.token_bytes(id)
        return data.decode("utf-8", "replace")

    def token_bytes(self, id: int) -> bytes:
        """The bytes of a token; of a special one, those of its name."""
        data = self._core.token_bytes(id)
        return (self._backend.id_to_token(id) or "").encode() if data is None else data

    def is_special(self, id: int) -> bool:
        """Whether a token has no text, such as the end of a text."""
        return id in self._special or self._core.token_bytes(id) is None

    def new_parser(self, prompt: list[int], tools: list[dict[str, Any]] | None) -> Any | None:
        """A `ResponseParser` of transformers for a reply; `None` if the model has no template."""
        if self._response_template is None:
            return None
        before = self._backend.decode(prompt, skip_special_tokens=False)
        tokenizer: Any = self.decoder.tokenizer
        return tokenizer.get_response_parser(self._response_template, prefix=before, tools=tools)

    @cached_property
    def _response_template(self) -> dict[str, Any] | None:
        """How replies with tool calls and reasoning are written, if the tokenizer can read them."""
        tokenizer: Any = self.decoder.tokenizer
        if not (self.has_template and hasattr(tokenizer, "get_response_parser")):
            return None
        own = getattr(tokenizer, "response_template", None)
        template = own or _known_templates().get(self._kind)
        try:
            return template and tokenizer.get_response_parser(template, prefix="") and template
        except ValueError as error:
            warn_once(
                f"the tokenizer's response template cannot be read ({error}): tool calls and "
                "reasoning stay in the text of replies"
            )
            return None


def _known_templates() -> dict[str, dict[str, Any]]:
    """Those that transformers keeps for kinds of models whose tokenizers have none yet."""
    try:
        from transformers.cli.serving.utils import (
            _RESPONSE_TEMPLATE_FALLBACKS as FALLBACKS,  # pyright: ignore[reportPrivateUsage]
        )
    except ImportError:  # private, so another version may lack it
        return {}
    known = cast("dict[tuple[str, ...], dict[str, Any]]", FALLBACKS)
    return {kind: template for kinds, template in known.items() for kind in kinds}
