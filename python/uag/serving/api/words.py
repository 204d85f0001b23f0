"""Texts to ids and back: /tokenize and /detokenize, in vLLM's form."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from uag.errors import PromptError
from uag.limits import Limit
from uag.serving.api.bodies import read_body
from uag.serving.api.settings import Settings
from uag.serving.dialects.messages import as_chat
from uag.serving.failures import Failure, failure_of
from uag.serving.protocol.fields import BOOL, CHAT, TEXT, check_fields, check_known_id
from uag.serving.protocol.requests import check_model, read_messages
from uag.serving.protocol.served import Served
from uag.translation.tokenizers import backend_of, bare_ids
from uag.values import is_id

TOKENIZE: dict[str, Limit] = {
    "model": TEXT,
    "prompt": TEXT,
    "add_special_tokens": BOOL,
    "return_token_strs": BOOL,
    **{
        name: CHAT[name]
        for name in (
            *("messages", "tools", "chat_template_kwargs"),
            *("add_generation_prompt", "continue_final_message"),
        )
    },
}
DETOKENIZE: dict[str, Limit] = {
    "model": TEXT,
    "tokens": Limit(
        lambda value: isinstance(value, list) and all(map(is_id, cast("list[Any]", value))),
        "a list of ids",
    ),
}


@dataclass(frozen=True, slots=True)
class Words:
    """The endpoints of a tokenizer."""

    served: Served
    settings: Settings

    async def tokenize(self, request: Request) -> Response:
        """The ids of a text or a chat."""
        body = await read_body(request, self.settings.most_bytes)
        check_fields(body, TOKENIZE)
        check_model(body, self.served)
        ids = await asyncio.to_thread(self._ids, body)
        told: dict[str, Any] = {
            "count": len(ids),
            "max_model_len": self.served.window,
            "tokens": ids,
            "token_strs": None,
        }
        if body.get("return_token_strs"):
            told["token_strs"] = [self.served.token(id) for id in ids]
        return JSONResponse(told)

    async def detokenize(self, request: Request) -> Response:
        """The text of some ids, with the names of special tokens."""
        body = await read_body(request, self.settings.most_bytes)
        check_fields(body, DETOKENIZE)
        check_model(body, self.served)
        ids = cast("list[int] | None", body.get("tokens"))
        if ids is None:
            raise Failure("tokens is missing; give a list of ids", param="tokens")
        for id in ids:
            check_known_id("tokens", id, self.served.rows)
        backend = backend_of(self.served.decoder.tokenizer)
        text = await asyncio.to_thread(backend.decode, ids, skip_special_tokens=False)
        return JSONResponse({"prompt": text})

    async def count(self, request: Request) -> Response:
        """How many ids a request of /v1/messages has."""
        body = as_chat(await read_body(request, self.settings.most_bytes))
        check_fields(body, CHAT)
        check_model(body, self.served)
        ids = await asyncio.to_thread(self._ids, body)
        return JSONResponse({"input_tokens": len(ids)})

    def _ids(self, body: Mapping[str, Any]) -> list[int]:
        if body.get("messages") is not None:
            chat = read_messages(body, body.get("tools") or None)
            try:
                return self.served.ids_of(chat)
            except PromptError as error:
                raise failure_of(error, "messages") from error
        if (text := body.get("prompt")) is None:
            raise Failure("prompt is missing; give a text, or messages", param="prompt")
        if body.get("add_special_tokens") is False:
            return bare_ids(self.served.decoder.tokenizer, text)
        return self.served.ids_of(text)
