"""transformers' text-generation pipeline, decoded by a `SpeculativeDecoder`."""

from pathlib import Path
from typing import Any, cast

import transformers
from transformers import TextGenerationPipeline

from uag.batching.session import TARGET
from uag.decoder import DEFAULT_LOOKAHEAD, SpeculativeDecoder
from uag.drafting.lookup import Lookup
from uag.errors import OptionError
from uag.lookahead.protocol import Lookahead
from uag.models.engines.choice import AUTO
from uag.models.loading.options import OF_FILES, OF_WEIGHTS
from uag.models.wrappers import language_model
from uag.requests.named_models import (
    AssistantSource,
    ModelSource,
    TokenizerSource,
    load_pair,
)
from uag.sampling.method import COUPLED
from uag.translation.bridge import SpecialPairs
from uag.values import shown


def pipeline(
    task: str = "text-generation",
    model: ModelSource | None = None,
    tokenizer: TokenizerSource | None = None,
    *,
    assistant_model: AssistantSource | None = None,
    assistant_tokenizer: TokenizerSource | None = None,
    lookup: Lookup | bool | None = None,
    lookahead: int | str | Lookahead = DEFAULT_LOOKAHEAD,
    special_pairs: SpecialPairs | None = None,
    draft_temperature: float | None = None,
    sampling: str = COUPLED,
    engine: str = AUTO,
    compile: bool | str = False,
    trust_remote_code: bool = False,
    model_kwargs: dict[str, Any] | None = None,
    assistant_options: dict[str, Any] | None = None,
    **options: Any,
) -> TextGenerationPipeline:
    """`transformers.pipeline("text-generation")` with an assistant that may have another tokenizer.

    Prompts, chats, batches and streamers work as usual. If you have a decoder already, pass it on:
    `transformers.pipeline(..., custom_generate=decoder)`.

    >>> import uag
    >>> pipe = uag.pipeline(model=target, tokenizer=target_tokenizer,
    ...                     assistant_model=assistant, assistant_tokenizer=assistant_tokenizer)
    >>> (out,) = pipe("Once upon a time", max_new_tokens=8, do_sample=False)
    >>> out["generated_text"].startswith("Once upon a time")
    True

    Args:
        task: "text-generation", the only task that is supported.
        model: the target: a hub name, a folder, or a loaded model. Required.
        tokenizer: the target's tokenizer, or its name; by default the model's name is used.
        assistant_model: the assistant: a hub name, a folder, or a loaded model; "lookup", a
            `Lookup` or a `Drafter`; `None` (default) to decode without drafts.
        assistant_tokenizer: the assistant's tokenizer, or its name; by default the assistant's name
            is used.
        lookup: see `SpeculativeDecoder`.
        lookahead: see `SpeculativeDecoder`.
        special_pairs: see `SpeculativeDecoder`.
        draft_temperature: see `SpeculativeDecoder`.
        sampling: see `SpeculativeDecoder`.
        engine: see `SpeculativeDecoder`.
        compile: see `SpeculativeDecoder`.
        trust_remote_code: whether to run Python code that comes with models given by name.
        model_kwargs: passed to the `from_pretrained` of models given by name: `dtype`,
            `device_map`, `use_safetensors` (see `SpeculativeDecoder.from_pretrained`).
        assistant_options: see `SpeculativeDecoder.from_pretrained`.
        options: these too, by themselves (`dtype=`, `revision=`); all others are passed to
            `transformers.pipeline`: `batch_size`, generation options, ...

    Raises:
        OptionError: for another task, a loaded model without its tokenizer, or options for loading
            that are given twice or for models that are loaded.
        LoadError: if a model or tokenizer cannot be loaded.
        UagError: for what `SpeculativeDecoder` refuses.
    """
    if task != "text-generation":
        raise OptionError(f'task={task!r}: only "text-generation" is supported')
    if model is None:
        raise OptionError("model is missing; give a hub name, a folder or a model")
    loading = {name: options.pop(name) for name in (*OF_FILES, *OF_WEIGHTS) if name in options}
    by_name = any(isinstance(each, str | Path) for each in (model, assistant_model))
    _check_loading(loading, model_kwargs or {}, by_name=by_name)
    pair = load_pair(
        model,
        assistant_model,
        tokenizer=tokenizer,
        assistant_tokenizer=assistant_tokenizer,
        options=dict(model_kwargs or {}, **loading, trust_remote_code=trust_remote_code),
        assistant_options=assistant_options,
    )
    decoder = SpeculativeDecoder(
        *pair,
        lookup=lookup,
        lookahead=lookahead,
        special_pairs=special_pairs,
        draft_temperature=draft_temperature,
        sampling=sampling,
        engine=engine,
        compile=compile,
    )
    given = pair.model  # a DataParallel has no generate
    return cast("Any", transformers.pipeline)(
        task,
        model=given if hasattr(given, "generate") else language_model(given, TARGET),
        tokenizer=decoder.tokenizer,
        custom_generate=decoder,
        **options,
    )


def _check_loading(given: dict[str, Any], model_kwargs: dict[str, Any], *, by_name: bool) -> None:
    for name, value in given.items():
        if name in model_kwargs:
            raise OptionError(f"{name} is given twice, by itself and in model_kwargs; give it once")
        if not by_name:
            raise OptionError(
                f"{name}={shown(value)}: the models are loaded already; give it to from_pretrained"
            )
