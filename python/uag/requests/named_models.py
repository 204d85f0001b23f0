"""A target and an assistant by name, or as objects that are loaded: one way to get both models."""

from typing import Any, NamedTuple, cast

from transformers import PreTrainedModel

from uag.drafting.custom import Drafter
from uag.drafting.lookup import LOOKUP, Lookup
from uag.errors import OptionError
from uag.models.loading import load_model, load_tokenizer
from uag.translation.tokenizers import AnyTokenizer

# What may stand for a target, a tokenizer and an assistant.
ModelSource = str | PreTrainedModel
TokenizerSource = str | AnyTokenizer
AssistantSource = str | PreTrainedModel | Drafter | Lookup


class ModelPair(NamedTuple):
    """A target, what drafts for it, and their tokenizers: arguments of `SpeculativeDecoder`."""

    model: PreTrainedModel
    tokenizer: AnyTokenizer
    assistant: PreTrainedModel | Drafter | Lookup | str | None
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
    """Load what is given by name, and keep what is loaded already; "lookup" is no name of a model.

    Args:
        model: hub name or folder of the target, or the target.
        assistant: the same of the assistant; "lookup", a `Lookup` or a `Drafter`; or `None`.
        tokenizer: the target's, or its name; by default that of the model.
        assistant_tokenizer: the assistant's, likewise.
        options: passed to `from_pretrained` of models, and `trust_remote_code` to that of
            tokenizers.
        assistant_options: over `options` for the assistant, such as another device.

    Raises:
        OptionError: for a model that is given as an object without its tokenizer.
        LoadError: if a model or tokenizer cannot be loaded.
    """
    options = options or {}
    others = options | (assistant_options or {})
    by_name = isinstance(assistant, str) and assistant != LOOKUP
    # Tokenizers first: a mistake in either name shows before gigabytes are read.
    own = _tokenizer("tokenizer", tokenizer, model, options)
    other = None
    if by_name or isinstance(assistant, PreTrainedModel):
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
            raise OptionError(f"{name} is missing; a model that is given as such needs it beside")
        given = model
    if not isinstance(given, str):
        return given
    trusted = bool(options.get("trust_remote_code", False))
    return load_tokenizer(given, trust_remote_code=trusted)
