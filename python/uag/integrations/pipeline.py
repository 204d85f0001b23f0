"""transformers' text-generation pipeline with an assistant of another vocabulary."""

from typing import Any, cast

import transformers
from transformers import PreTrainedModel, TextGenerationPipeline

from uag.decoder import DEFAULT_LOOKAHEAD, SpeculativeDecoder
from uag.errors import OptionError
from uag.lookahead.protocol import Lookahead
from uag.models.loading import load_model, load_tokenizer
from uag.sampling.method import COUPLED
from uag.translation.tokenizers import AnyTokenizer


def pipeline(
    task: str = "text-generation",
    model: str | PreTrainedModel | None = None,
    tokenizer: str | AnyTokenizer | None = None,
    *,
    assistant_model: str | PreTrainedModel | None = None,
    assistant_tokenizer: str | AnyTokenizer | None = None,
    lookahead: int | str | Lookahead = DEFAULT_LOOKAHEAD,
    draft_temperature: float | None = None,
    sampling: str = COUPLED,
    compile: bool | str = False,
    trust_remote_code: bool = False,
    model_kwargs: dict[str, Any] | None = None,
    **options: Any,
) -> TextGenerationPipeline:
    """`transformers.pipeline("text-generation")`, faster by an assistant.

    It takes prompts, chats, batches and streamers as ever. With a decoder at hand,
    `transformers.pipeline(..., custom_generate=decoder)` is the same.

    >>> import uag
    >>> pipe = uag.pipeline(model=target, tokenizer=target_tokenizer,
    ...                     assistant_model=assistant, assistant_tokenizer=assistant_tokenizer)
    >>> (out,) = pipe("Once upon a time", max_new_tokens=8, do_sample=False)
    >>> out["generated_text"].startswith("Once upon a time")
    True

    Args:
        task: "text-generation".
        model: the target: a hub name, a folder, or a model.
        tokenizer: the target's; by default the one of the same name as the model.
        assistant_model: the assistant, likewise; `None` to decode plainly.
        assistant_tokenizer: the assistant's, likewise.
        lookahead: see `SpeculativeDecoder`; so are the next three.
        draft_temperature: likewise.
        sampling: likewise.
        compile: likewise.
        trust_remote_code: whether to run Python code that comes with models given by name.
        model_kwargs: passed to the `from_pretrained` of models given by name: `dtype`,
            `device_map`, `use_safetensors` (see `SpeculativeDecoder.from_pretrained`).
        options: passed to `transformers.pipeline`: `batch_size`, and options of generation.

    Raises:
        OptionError: for another task, or a tokenizer that cannot be found by a model's name.
        LoadError: if a model or tokenizer cannot be loaded.
    """
    if task != "text-generation":
        raise OptionError(f'task={task!r}: only "text-generation" has a decoder to assist')
    if model is None:
        raise OptionError("model is missing; give a hub name, a folder or a model")
    loading = dict(model_kwargs or {}, trust_remote_code=trust_remote_code)
    tokenizers = _tokenizer("tokenizer", tokenizer, model, loading), None
    if assistant_model is not None:
        other = _tokenizer("assistant_tokenizer", assistant_tokenizer, assistant_model, loading)
        tokenizers = tokenizers[0], other
    decoder = SpeculativeDecoder(
        load_model(model, **loading) if isinstance(model, str) else model,
        tokenizers[0],
        load_model(assistant_model, **loading)
        if isinstance(assistant_model, str)
        else assistant_model,
        tokenizers[1],
        lookahead=lookahead,
        draft_temperature=draft_temperature,
        sampling=sampling,
        compile=compile,
    )
    return cast("Any", transformers.pipeline)(
        task,
        model=decoder.model,
        tokenizer=decoder.tokenizer,
        custom_generate=decoder,
        **options,
    )


def _tokenizer(
    name: str,
    given: str | AnyTokenizer | None,
    model: str | PreTrainedModel,
    loading: dict[str, Any],
) -> AnyTokenizer:
    if given is None:
        if not isinstance(model, str):
            raise OptionError(f"{name} is missing; a model that is given as such needs it beside")
        given = model
    if not isinstance(given, str):
        return given
    return load_tokenizer(given, trust_remote_code=loading["trust_remote_code"])
