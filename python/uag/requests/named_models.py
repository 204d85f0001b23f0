"""Loads a target and an assistant that are given by name, or takes them as loaded objects."""

from typing import Any, NamedTuple, cast

from uag.drafting.custom import Drafter, is_model
from uag.drafting.lookup import LOOKUP, Lookup
from uag.errors import OptionError
from uag.models.loading import load_model, load_tokenizer
from uag.models.wrappers import AnyModel
from uag.translation.tokenizers import AnyTokenizer

# How a caller may give a target, a tokenizer and an assistant.
ModelSource = str | AnyModel
TokenizerSource = str | AnyTokenizer
AssistantSource = str | AnyModel | Drafter | Lookup


# Options of `from_pretrained` that mean the same for a model and its tokenizer.
OF_FILES = (
    "trust_remote_code",
    "subfolder",
    "revision",
    "code_revision",
    "token",
    "cache_dir",
    "gguf_file",
    "local_files_only",
    "force_download",
    "proxies",
)
# Further ones, of a model alone.
OF_WEIGHTS = (
    "dtype",
    "torch_dtype",
    "device_map",
    "max_memory",
    "offload_folder",
    "quantization_config",
    "attn_implementation",
    "tp_plan",
    "use_safetensors",
)


class ModelPair(NamedTuple):
    """The first four arguments of `SpeculativeDecoder`: both models and their tokenizers."""

    model: AnyModel
    tokenizer: AnyTokenizer
    assistant: AnyModel | Drafter | Lookup | str | None
    assistant_tokenizer: AnyTokenizer | None


def load_pair(
    model: ModelSource,
    assistant: AssistantSource | None,
    *,
    tokenizer: TokenizerSource | None = None,
    assistant_tokenizer: TokenizerSource | None = None,
    options: dict[str, Any] | None = None,
    assistant_options: dict[str, Any] | None = None,
) -> ModelPair:
    """Load models and tokenizers that are given by name; return loaded ones unchanged.

    >>> pair = load_pair(target, "lookup", tokenizer=target_tokenizer)
    >>> pair.model is target, pair.assistant
    (True, 'lookup')

    Args:
        model: hub name or folder of the target, or the loaded model.
        assistant: hub name or folder of the assistant, or the loaded model; "lookup", a `Lookup` or
            a `Drafter`; or `None`.
        tokenizer: the target's tokenizer, or its name; by default the model's name is used.
        assistant_tokenizer: the assistant's tokenizer, or its name; by default the assistant's name
            is used.
        options: passed to `from_pretrained` of models; those that say where the files are and
            whether they may run code (`OF_FILES`) reach tokenizers too.
        assistant_options: options of the assistant that differ from `options`, such as another
            device.

    Raises:
        OptionError: for a loaded model without its tokenizer.
        LoadError: if a model or tokenizer cannot be loaded.
    """
    options = options or {}
    others = options | (assistant_options or {})
    by_name = isinstance(assistant, str) and assistant != LOOKUP
    # Tokenizers first: a mistake in a name then shows before gigabytes are loaded.
    own = _tokenizer("tokenizer", tokenizer, model, options)
    other = None
    if by_name or is_model(assistant):
        source = cast("ModelSource", assistant)
        other = _tokenizer("assistant_tokenizer", assistant_tokenizer, source, others)
    elif assistant_tokenizer is not None:
        other = _tokenizer("assistant_tokenizer", assistant_tokenizer, "", others)
    target = load_model(model, **options) if isinstance(model, str) else model
    if by_name:
        return ModelPair(target, own, load_model(cast("str", assistant), **others), other)
    return ModelPair(target, own, assistant, other)


def _tokenizer(
    name: str, given: TokenizerSource | None, model: ModelSource, options: dict[str, Any]
) -> AnyTokenizer:
    if given is None:
        if not isinstance(model, str):
            raise OptionError(f"{name} is missing; a loaded model needs its tokenizer too")
        given = model
    if not isinstance(given, str):
        return given
    return load_tokenizer(
        given, **{name: value for name, value in options.items() if name in OF_FILES}
    )
