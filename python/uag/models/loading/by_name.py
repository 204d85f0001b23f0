"""Loads models and tokenizers by name or folder."""

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)
from transformers.utils import hub

from uag.errors import (
    LoadError,
    UagWarning,
)
from uag.files import is_folder
from uag.models.adapters.files import adapter_at
from uag.models.loading.diagnosis import AGAIN, damage, located
from uag.models.loading.options import check_dtype
from uag.models.wrappers import AnyModel
from uag.translation.tokenizers import is_fast

# Without the first option, transformers asks at the terminal whether to run a model's code. Without
# the second, it also loads weights from pickles, which can run code.
SAFE = {"trust_remote_code": False, "use_safetensors": True}
WITH_CODE = (
    "it is code of its repository, which does not run unless you allow it: read it, and pass "
    "trust_remote_code=True (--trust-remote-code) if you trust it"
)
PICKLED = (
    "; a model with no safetensors can run code when it is loaded: convert its weights, or pass "
    "use_safetensors=False (--no-use-safetensors) if you trust where they come from"
)

# Kinds of models that are encoders unless their configuration has `is_decoder`.
ENCODERS = {*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES} & {*MODEL_FOR_MASKED_LM_MAPPING_NAMES}


def load_model(name: str | Path, **options: Any) -> AnyModel:
    """Load a model with `AutoModelForCausalLM.from_pretrained(name, **options)`, in eval mode.

    Where an adapter of PEFT is instead of a model, its base model is loaded, and it in a
    `PeftModel`. A model for images and text that this class does not know is one of
    AutoModelForImageTextToText.

    Nothing that comes with a model runs unless you allow it: its own code with
    `trust_remote_code=True`, weights in pickles with `use_safetensors=False`.

    Raises:
        LoadError: if there is no such model, a file of it is damaged, it has no safetensors, lacks
            weights or has others than its configuration says, or is an encoder; or if it is an
            adapter and PEFT is not installed.
    """
    check_dtype(options)
    name, options = located(name), SAFE | options
    with _telling(name, options):
        if adapter := adapter_at(name, options):
            adapter.check(pickles=not options["use_safetensors"])
    if adapter is None or not adapter.alone:
        return _whole_model(name, options)
    model = _whole_model(located(adapter.base), adapter.of_base(options))
    with _telling(name, options):
        return adapter.on(model)


def _whole_model(name: str, options: dict[str, Any]) -> PreTrainedModel:
    # transformers would go on without it, and then not know where a text ends.
    if fault := damage(name, options, "generation_config.json"):
        raise LoadError(f"cannot load a causal language model from {_of(name, options)}: {fault}")
    replaces = bool(options.get("ignore_mismatched_sizes"))
    told = options | {"output_loading_info": True, "ignore_mismatched_sizes": True}
    with _telling(name, options):
        model, info = _from_pretrained(name, told)
    if reason := _unread(model, info, replaces=replaces) or _encodes(model):
        raise LoadError(f"cannot load a causal language model from {_of(name, options)}: {reason}")
    return model.eval()


@contextmanager
def _telling(name: str, options: dict[str, Any]) -> Generator[None]:
    """What loading raises becomes a `LoadError` with the remedy."""
    try:
        yield
    except LoadError:
        raise
    except Exception as error:  # damaged files and a model's own code may raise anything
        pickled = bool(options["use_safetensors"]) and _only_pickled(name, error)
        raise LoadError(
            f"cannot load a causal language model from {_of(name, options)}: "
            f"{damage(name, options) or _reason(error)}{PICKLED if pickled else ''}"
        ) from error


def _from_pretrained(name: str, options: dict[str, Any]) -> Any:
    """The model by the first of the two classes that knows its configuration.

    Without `use_safetensors`, pickles may be read, but safetensors are if there are any.
    """
    if options["use_safetensors"] is False:
        try:
            return _from_pretrained(name, options | {"use_safetensors": True})
        except OSError as error:
            if not _only_pickled(name, error):
                raise
    try:
        return cast("Any", AutoModelForCausalLM).from_pretrained(name, **options)
    except ValueError as error:
        if "Unrecognized configuration class" not in str(error):
            raise
    return cast("Any", AutoModelForImageTextToText).from_pretrained(name, **options)


def _unread(model: PreTrainedModel, info: dict[str, Any], *, replaces: bool) -> str:
    """What of a model's weights is not in its files, in a sentence; empty if all is.

    transformers draws such weights at random. `replaces`: whether the caller has allowed that for
    weights of another shape.
    """
    own = {parameter for parameter, _ in model.named_parameters()}
    other = [] if replaces else sorted(info["mismatched_keys"])
    if other:
        weight, there, wanted = other[0]
        return (
            f"{weight} has the shape {list(there)} and by config.json {list(wanted)} "
            f"({len(other)} weights differ so); the files do not belong together: {AGAIN}"
        )
    if missing := sorted(own & set(info["missing_keys"])):
        return (
            f"its files lack {len(missing)} of the {len(own)} weights of {type(model).__name__}, "
            f"the first {missing[0]}, which would be random; the checkpoint is of another kind of "
            f"model, or incomplete: {AGAIN}, or load the model yourself and pass it"
        )
    return ""


def _encodes(model: PreTrainedModel) -> str:
    """Why a model that was made to read text both ways cannot continue one; empty for others."""
    config: Any = model.config
    if getattr(config, "is_decoder", True) or config.model_type not in ENCODERS:
        return ""
    return (
        f"{type(model).__name__} is an encoder here, as its config.json has no is_decoder: true; "
        "use a decoder-only model, or pass is_decoder=True if it was trained as one"
    )


def load_tokenizer(name: str | Path, **options: Any) -> PreTrainedTokenizerBase:
    """Load a tokenizer with `AutoTokenizer.from_pretrained(name, **options)`.

    If that is no fast one, though there is a `tokenizer.json`, the fast one is loaded from this
    file, with a warning. Where an adapter of PEFT has no tokenizer, its base model's is loaded. A
    tokenizer's own code runs only with `trust_remote_code=True`.

    Raises:
        LoadError: if there is no such tokenizer, or a file of it is damaged.
    """
    name, options = located(name), {"trust_remote_code": False} | options
    try:
        return _own_tokenizer(name, options)
    except LoadError:
        adapter = adapter_at(name, options)
        if adapter is None or not adapter.alone:
            raise
        return _own_tokenizer(located(adapter.base), adapter.of_base(options))


def _own_tokenizer(name: str, options: dict[str, Any]) -> PreTrainedTokenizerBase:
    try:
        loaded: Any = cast("Any", AutoTokenizer).from_pretrained(name, **options)
    except Exception as error:  # damaged files and a tokenizer's own code may raise anything
        raise LoadError(
            f"cannot load a tokenizer from {_of(name, options)}: "
            + (damage(name, options, "*.json") or _reason(error, "it needs a tokenizer.json"))
        ) from error
    return loaded if is_fast(loaded) else _fast(name, options) or loaded


def _fast(name: str, options: dict[str, Any]) -> PreTrainedTokenizerBase | None:
    """The tokenizer of the `tokenizer.json` that a slow one has beside it, if there is one."""
    files = {each: value for each, value in options.items() if each != "trust_remote_code"}
    try:
        if cast("Any", hub).cached_file(name, "tokenizer.json", **files) is None:
            return None
        loaded = cast("Any", PreTrainedTokenizerFast).from_pretrained(name, **files)
    except Exception:  # noqa: BLE001 - then there is none
        return None
    warnings.warn(
        f"AutoTokenizer gives no fast tokenizer for {name!r}; its tokenizer.json is used instead",
        UagWarning,
        stacklevel=4,
    )
    return loaded


def _of(name: str, options: dict[str, Any]) -> str:
    """A model's name, with the options that say where in its repository it is."""
    inner = {each: options[each] for each in ("subfolder", "gguf_file") if options.get(each)}
    return ", ".join([repr(name), *(f"{each}={value!r}" for each, value in inner.items())])


def _reason(error: Exception, need: str = "") -> str:
    """What an error of transformers means, after what is needed otherwise."""
    if "trust_remote_code" in str(error):
        return WITH_CODE
    return f"{need} ({_first_line(error)})" if need else _first_line(error)


def _only_pickled(name: str, error: Exception) -> bool:
    """Whether the model seems to exist, but without safetensors."""
    if is_folder(name):
        return any(Path(name).glob("*.bin")) and not any(Path(name).glob("*.safetensors"))
    return "cannot be loaded with `safetensors`" in str(error)


def _first_line(error: Exception) -> str:
    """What an error says, in a line; with its kind if it is none that speaks to people."""
    line = str(error).strip().split("\n")[0]
    said = isinstance(error, OSError | ValueError | ImportError | RuntimeError) and line
    return line if said else f"{type(error).__name__}: {line}".removesuffix(": ")
