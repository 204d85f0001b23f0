"""Loads a target and an assistant that are given by name, or takes them as loaded objects."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

from transformers import ProcessorMixin

from uag.drafting.custom import Drafter, is_model
from uag.drafting.lookup import LOOKUP, Lookup
from uag.errors import OptionError
from uag.models.loading.by_name import load_model, load_tokenizer
from uag.models.loading.options import check_dtype, for_assistant, of_access, of_files
from uag.models.wrappers import AnyModel
from uag.translation.tokenizers import AnyTokenizer

# How a caller may give a target, a tokenizer and an assistant.
ModelSource = str | Path | AnyModel
TokenizerSource = str | Path | AnyTokenizer | ProcessorMixin
AssistantSource = str | Path | AnyModel | Drafter | Lookup


class ModelPair(NamedTuple):
    """The first four arguments of `SpeculativeDecoder`: both models and their tokenizers."""

    model: AnyModel
    tokenizer: AnyTokenizer | ProcessorMixin
    assistant: AnyModel | Drafter | Lookup | str | None
    assistant_tokenizer: AnyTokenizer | ProcessorMixin | None


def load_pair(
    model: ModelSource,
    assistant: AssistantSource | None,
    *,
    tokenizer: TokenizerSource | None = None,
    assistant_tokenizer: TokenizerSource | None = None,
    options: dict[str, Any] | None = None,
    assistant_options: dict[str, Any] | None = None,
    loading: Callable[[str, str], None] = lambda _role, _name: None,
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
        options: passed to `from_pretrained` of models; those of files (`OF_FILES`) reach tokenizers
            too, and those of a repository (`OF_REPOSITORY`) the target's alone.
        assistant_options: further options of the assistant, or other ones, such as another device.
        loading: called with the role and name of each model whose weights are loaded next.

    Raises:
        OptionError: for a loaded model without its tokenizer.
        LoadError: if a model or tokenizer cannot be loaded.
    """
    options = options or {}
    others = for_assistant(options, assistant_options)
    by_name = isinstance(assistant, str | Path) and assistant != LOOKUP
    for each in (options, others):
        check_dtype(each)
    # Tokenizers first: a mistake in a name then shows before gigabytes are loaded.
    own = _tokenizer("tokenizer", tokenizer, model, options)
    other = None
    if by_name or is_model(assistant):
        source = cast("ModelSource", assistant)
        other = _tokenizer("assistant_tokenizer", assistant_tokenizer, source, others)
    elif assistant_tokenizer is not None:
        other = _tokenizer("assistant_tokenizer", assistant_tokenizer, "", others)
    if isinstance(model, str | Path):
        loading("target", str(model))
        model = load_model(model, **options)
    if by_name:
        loading("assistant", str(assistant))
        assistant = load_model(cast("str | Path", assistant), **others)
    return ModelPair(model, own, cast("Any", assistant), other)


def _tokenizer(
    name: str, given: TokenizerSource | None, model: ModelSource, options: dict[str, Any]
) -> AnyTokenizer | ProcessorMixin:
    if given is None:
        if not isinstance(model, str | Path):
            raise OptionError(f"{name} is missing; a loaded model needs its tokenizer too")
        given = model
    if not isinstance(given, str | Path):
        return given
    # A tokenizer from another place than the model has other branches and folders.
    same = str(given) == str(model)
    return load_tokenizer(given, **(of_files(options) if same else of_access(options)))
