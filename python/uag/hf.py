"""Everything that is specific to Hugging Face models and tokenizers, other than the cache."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import tokenizers
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from uag import _core
from uag.cache import text_config
from uag.errors import (
    LoadError,
    UagWarning,
    UnsupportedModelError,
    UnsupportedTokenizerError,
)
from uag.selfcheck import disagreement

AnyTokenizer = PreTrainedTokenizerBase | tokenizers.Tokenizer
# Without the first, transformers asks at the terminal; without the second, it reads pickles.
SAFE = {"trust_remote_code": False, "use_safetensors": True}
WITH_CODE = (
    " It does not run unasked: read it, and pass trust_remote_code=True (--trust-remote-code) "
    "if you trust it"
)
PICKLED = (
    "; weights that are no safetensors can run code when they are read: convert them, or pass "
    "use_safetensors=False (--no-use-safetensors) if you trust where they come from"
)


def load_model(name: str, **options: Any) -> PreTrainedModel:
    """`AutoModelForCausalLM.from_pretrained(name, **options)`, ready for decoding.

    Nothing that comes with a model runs unless it is asked for: code by `trust_remote_code=True`,
    weights in pickles by `use_safetensors=False`.

    Raises:
        LoadError: if there is no such model, or no safetensors of it.
    """
    options = SAFE | options
    try:
        return cast(
            "PreTrainedModel",
            cast("Any", AutoModelForCausalLM).from_pretrained(name, **options).eval(),
        )
    except (OSError, ValueError, ImportError, AttributeError, RuntimeError) as error:
        pickled = bool(options["use_safetensors"]) and _only_pickled(name, error)
        raise LoadError(
            f"cannot load a causal language model from {name!r}: "
            f"{_first_line(error)}{PICKLED if pickled else _code_remedy(error)}"
        ) from error


def load_tokenizer(name: str, **options: Any) -> PreTrainedTokenizerBase:
    """`AutoTokenizer.from_pretrained(name, **options)`; see `load_model` for what may run.

    Raises:
        LoadError: if there is no tokenizer there.
    """
    try:
        return cast(
            "PreTrainedTokenizerBase",
            cast("Any", AutoTokenizer).from_pretrained(
                name, **{"trust_remote_code": False} | options
            ),
        )
    except (OSError, ValueError, ImportError, AttributeError, KeyError) as error:
        raise LoadError(
            f"cannot load a tokenizer from {name!r} (it needs a tokenizer.json): "
            f"{_first_line(error)}{_code_remedy(error)}"
        ) from error


def core_tokenizer(tokenizer: AnyTokenizer) -> _core.Tokenizer:
    """The core's reading of a tokenizer, checked against the tokenizer itself.

    Where the two disagree on a text, the core works through the tokenizer instead: slower, never
    wrong.

    Raises:
        UnsupportedTokenizerError: for a tokenizer that only exists in Python.
    """
    backend = backend_of(tokenizer)
    json = backend.to_str()
    try:
        core = _core.Tokenizer(json)
    except _core.UnsupportedTokenizer:
        return _core.Tokenizer(json, _encoder(json))
    # Reading the tokenizer a second time costs up to a second: the original answers if it may.
    plain = plain_copy(json) if _shortens(backend) else backend
    if (text := disagreement(core, plain)) is not None:
        warnings.warn(
            f"the fast path disagrees with the tokenizer on {text!r}; "
            "going through the tokenizer, which is slower",
            UagWarning,
            stacklevel=2,
        )
        return _core.Tokenizer(json, _encoder(json), f"disagrees with the tokenizer on {text!r}")
    return core


def _code_remedy(error: Exception) -> str:
    return WITH_CODE if "trust_remote_code" in str(error) else ""


def _only_pickled(name: str, error: Exception) -> bool:
    """Whether a model may be there, but not as safetensors."""
    if Path(name).is_dir():
        return any(Path(name).glob("*.bin")) and not any(Path(name).glob("*.safetensors"))
    return "cannot be loaded with `safetensors`" in str(error)


def backend_of(tokenizer: AnyTokenizer) -> tokenizers.Tokenizer:
    """The Rust tokenizer inside a fast tokenizer.

    Raises:
        UnsupportedTokenizerError: if there is none.
    """
    if isinstance(tokenizer, tokenizers.Tokenizer):
        return tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, tokenizers.Tokenizer):
        raise UnsupportedTokenizerError(
            f"{type(tokenizer).__name__} is a slow (Python-only) tokenizer; "
            "load or convert it to a fast one (a tokenizer.json)"
        )
    return backend


def _encoder(json: str) -> Callable[[str], list[tuple[int, int, int]]]:
    """Plain encoding with offsets, through a copy that parses no special tokens in the text."""
    copy = plain_copy(json)

    def encode(text: str) -> list[tuple[int, int, int]]:
        encoding = copy.encode(text, add_special_tokens=False)
        return [
            (id, start, end)
            for id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
        ]

    return encode


def plain_copy(json: str) -> tokenizers.Tokenizer:
    """A copy that encodes a text by itself, alike every time.

    To it special tokens in the text are text; nothing is cut off, padded or left to chance.
    """
    copy = tokenizers.Tokenizer.from_str(json)
    copy.encode_special_tokens = True
    copy.no_truncation()
    copy.no_padding()
    if getattr(copy.model, "dropout", None):
        copy.model.dropout = None
    return copy


def _shortens(backend: tokenizers.Tokenizer) -> bool:
    return any(
        setting is not None
        for setting in (cast("Any", backend).truncation, cast("Any", backend).padding)
    )


def check_model(model: PreTrainedModel, role: str) -> None:
    """Refuse what is not a decoder.

    Raises:
        UnsupportedModelError: for an encoder-decoder, or a model without a language-model head or
            without weights.
    """
    if model.config.is_encoder_decoder:
        raise UnsupportedModelError(
            f"{type(model).__name__} is an encoder-decoder; "
            "use a decoder-only model (AutoModelForCausalLM)"
        )
    if not model.can_generate():
        raise UnsupportedModelError(
            f"{type(model).__name__} cannot generate; "
            "load the model with a language-model head (AutoModelForCausalLM)"
        )
    # Weights that are kept on a disk seem to be there, too.
    kept = getattr(model, "hf_device_map", None) is not None
    if not kept and any(parameter.is_meta for parameter in model.parameters()):
        raise UnsupportedModelError(
            f"the {role} ({type(model).__name__}) has weights on the meta device, where there are "
            "none; load it with from_pretrained, or move it with to_empty() and load its weights"
        )


def device_of(model: PreTrainedModel) -> torch.device:
    """Where a model reads ids: its weights' device, or the one they are brought to when needed."""
    if model.device.type != "meta":
        return model.device
    modules: list[object] = list(cast("Any", model).modules())
    hooks = [getattr(module, "_hf_hook", None) for module in modules]
    places = [getattr(hook, "execution_device", None) for hook in hooks]
    return torch.device(next((place for place in places if place is not None), model.device))


def check_belongs(model: PreTrainedModel, core: _core.Tokenizer, role: str) -> None:
    """Refuse a tokenizer with more ids than its model has embeddings.

    Raises:
        UnsupportedTokenizerError: naming both numbers.
    """
    if core.vocab_size > (rows := embedding_rows(model)):
        raise UnsupportedTokenizerError(
            f"the {role}'s tokenizer has {core.vocab_size} ids but its model only {rows} "
            "embeddings; "
            "they do not belong together: load both from the same place, or resize the "
            "model's embeddings"
        )


def embedding_rows(model: PreTrainedModel) -> int:
    """Number of ids the model can read."""
    return cast("torch.nn.Embedding", model.get_input_embeddings()).weight.shape[0]


def vocabulary_rows(model: PreTrainedModel) -> int:
    """Number of ids the model has logits for."""
    return cast("int", cast("Any", text_config(model)).vocab_size)


def parameter_count(model: PreTrainedModel) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def context_window(model: PreTrainedModel) -> int | None:
    """The longest text in ids that the model was made for; `None` if it has no limit."""
    return cast("int | None", getattr(text_config(model), "max_position_embeddings", None))


def has_learned_positions(model: PreTrainedModel) -> bool:
    """Whether positions are looked up in a table, so that none exist beyond the window."""
    window = context_window(model)
    modules: list[tuple[str, object]] = list(cast("Any", model).named_modules())
    return window is not None and any(
        isinstance(module, torch.nn.Embedding)
        and ("pos" in name or "wpe" in name)
        and window <= module.num_embeddings <= window + 8  # some tables have a few rows of padding
        for name, module in modules
    )


def special_ids(tokenizer: AnyTokenizer) -> set[int]:
    """The ids of special tokens."""
    added = backend_of(tokenizer).get_added_tokens_decoder()
    return {id for id, token in added.items() if token.special}


def end_ids(model: PreTrainedModel, tokenizer: AnyTokenizer) -> list[int]:
    """The ids that end a text, the main one first: the model's defaults, else the tokenizer's."""
    configured = cast(
        "int | list[int] | None", getattr(model.generation_config, "eos_token_id", None)
    )
    if configured is None:
        own = tokenizer_end_id(tokenizer)
        return [] if own is None else [own]
    return [configured] if isinstance(configured, int) else list(configured)


def tokenizer_end_id(tokenizer: AnyTokenizer) -> int | None:
    """The tokenizer's end-of-text id, where it names one."""
    return cast("int | None", getattr(tokenizer, "eos_token_id", None))


def token_id(tokenizer: AnyTokenizer, token: int | str) -> int:
    """The id of a token given by id or by its content.

    Raises:
        UnsupportedTokenizerError: if the tokenizer has no such token.
    """
    found = token if isinstance(token, int) else backend_of(tokenizer).token_to_id(token)
    if found is None:
        raise UnsupportedTokenizerError(
            f"the tokenizer has no token {token!r}; special_pairs need existing tokens"
        )
    return found


def prompt_ids(tokenizer: AnyTokenizer, text: str) -> list[int]:
    """The ids a model reads for a prompt, with whatever its tokenizer puts around a text."""
    if isinstance(tokenizer, tokenizers.Tokenizer):
        return tokenizer.encode(text).ids
    return cast("list[int]", tokenizer(text)["input_ids"])


def open_prompt_ids(tokenizer: AnyTokenizer, text: str) -> list[int]:
    """As `prompt_ids`, without what the tokenizer puts after a text: more text follows."""
    whole = prompt_ids(tokenizer, text)
    _, after = _around(tokenizer)
    return whole[: len(whole) - after]


def prefix_ids(tokenizer: AnyTokenizer) -> list[int]:
    """What the tokenizer puts before a text: beginning-of-text, usually, or nothing."""
    before, _ = _around(tokenizer)
    return prompt_ids(tokenizer, "a")[:before]


def _around(tokenizer: AnyTokenizer) -> tuple[int, int]:
    """How many ids the tokenizer puts before and after a text: seen on a short one."""
    whole = prompt_ids(tokenizer, "a")
    if isinstance(tokenizer, tokenizers.Tokenizer):
        bare = tokenizer.encode("a", add_special_tokens=False).ids
    else:
        bare = cast("list[int]", tokenizer("a", add_special_tokens=False)["input_ids"])
    starts = (start for start in range(len(whole)) if whole[start : start + len(bare)] == bare)
    before = next(starts, 0)
    return before, len(whole) - before - len(bare)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__
