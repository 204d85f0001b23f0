"""Facts about a model from its tokenizer and configuration, without its weights."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import tokenizers
from transformers import AutoConfig, GenerationConfig, PreTrainedConfig

from uag._core import Tokenizer
from uag.errors import LoadError
from uag.files import is_file
from uag.inspection.model_size import Size, size_of, unloaded
from uag.models.adapters.files import base_of
from uag.models.check.trees import known_fault
from uag.models.loading.by_name import load_tokenizer
from uag.translation.chat_template import turn_end
from uag.translation.core_tokenizer import core_tokenizer
from uag.translation.tokenizers import AnyTokenizer, backend_of, prefix_ids, special_ids

Source = str | Path | AnyTokenizer
ROLES = ("bos", "eos", "pad", "unk", "cls", "sep", "mask")


@dataclass(frozen=True, slots=True)
class Special:
    """A special token.

    Attributes:
        id: its id.
        content: its text, such as "<s>".
        roles: "bos", "eos", "pad" and so on, by the tokenizer and the generation defaults.
        in_chat: whether the chat template contains it.
    """

    id: int
    content: str
    roles: tuple[str, ...]
    in_chat: bool


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Facts about a model: the target or the assistant of a pair.

    Attributes:
        name: hub name, folder, file, or class of the tokenizer.
        core: the core's tokenizer.
        begins: tokens that the tokenizer puts before a text.
        specials: the special tokens.
        chat_template: whether there is a chat template.
        open_turn: the token that ends a turn in it, if no text ends there; else empty.
        architecture: the model's class or type by its configuration; empty without one.
        decoder_only: `False` if the configuration has an encoder.
        rows: number of ids that the model can read; `None` without a configuration.
        window: maximum length in ids that the model was made for; `None` if it is unknown.
        size: parameters and costs; `None` if the configuration is missing or not supported.
        chains: why the model as a target would verify chains and no trees, as far as that is seen
            without running it; empty if nothing is in the way, `None` if `size` is unknown.
        refused_code: whether the size is unknown because the model's classes are code of its
            repository, which was not allowed to run.
    """

    name: str
    core: Tokenizer
    begins: tuple[str, ...]
    specials: tuple[Special, ...]
    chat_template: bool
    open_turn: str
    architecture: str
    decoder_only: bool
    rows: int | None
    window: int | None
    size: Size | None
    chains: str | None
    refused_code: bool

    def ids_of(self, role: str) -> list[int]:
        """The ids of the special tokens with this role."""
        return [special.id for special in self.specials if role in special.roles]

    def as_dict(self) -> dict[str, Any]:
        """All facts as a dict of JSON values."""
        size = self.size
        return {
            "name": self.name,
            "family": self.core.family,
            "fast": self.core.fast,
            "reason": self.core.reason,
            "vocabulary": self.core.vocab_size,
            "begins": list(self.begins),
            "specials": [
                {"id": one.id, "content": one.content, "roles": list(one.roles)}
                for one in self.specials
            ],
            "chat_template": self.chat_template,
            "open_turn": self.open_turn or None,
            "architecture": self.architecture or None,
            "window": self.window,
            "parameters": size and size.parameters,
            "active_parameters": size and size.active,
            "bits": size and size.bits,
            "bytes": size and size.bytes,
            "layers": size and size.layers,
            "cache_bytes_per_token": size and size.cache_bytes,
            "chains": self.chains,
            "refused_code": self.refused_code,
        }


def read_facts(
    source: Source, config: PreTrainedConfig | None = None, **options: Any
) -> ModelFacts:
    """The facts about a model, given by hub name, folder, tokenizer file or loaded tokenizer.

    `options` are those of `from_pretrained`.

    >>> facts = read_facts(target_tokenizer, target.config)
    >>> facts.decoder_only, facts.rows == target.config.vocab_size
    (True, True)

    Raises:
        LoadError: if the tokenizer cannot be loaded.
        UnsupportedTokenizerError: for a slow (Python-only) tokenizer.
    """
    defaults: GenerationConfig | None = None
    base = ""
    if isinstance(source, str | Path):
        name = str(source)
        tokenizer = _tokenizer(source, options)
        if not is_file(name):
            base = base_of(name, options)
            config = config or _config(base, options)
            defaults = _generation_defaults(base, options)
    else:
        tokenizer = source
        name = str(getattr(source, "name_or_path", "")) or type(source).__name__
    template = _chat_template(tokenizer)
    text: Any = None if config is None else cast("Any", config).get_text_config(decoder=True)
    backend = backend_of(tokenizer)
    specials = tuple(_specials(tokenizer, template, defaults))
    turn = turn_end(tokenizer)
    ends = {special.id for special in specials if "eos" in special.roles}
    size, chains = (None, None) if config is None else _of_model(config, options)
    return ModelFacts(
        name=name,
        core=core_tokenizer(tokenizer),
        begins=tuple(backend.id_to_token(id) or str(id) for id in prefix_ids(tokenizer)),
        specials=specials,
        chat_template=bool(template),
        open_turn="" if turn is None or turn in ends else backend.id_to_token(turn) or str(turn),
        architecture=_architecture(config),
        decoder_only=config is None or not config.is_encoder_decoder,
        rows=getattr(text, "vocab_size", None),
        window=getattr(text, "max_position_embeddings", None),
        size=size,
        chains=chains,
        refused_code=bool(base) and size is None and _refuses_code(base, options),
    )


def _tokenizer(source: str | Path, options: dict[str, Any]) -> AnyTokenizer:
    if not is_file(source):
        return load_tokenizer(source, **options)
    try:
        return tokenizers.Tokenizer.from_file(str(source))
    except Exception as error:  # the library raises no more specific class
        raise LoadError(f"{source} is no tokenizer.json: {error}") from error


def _config(name: str, options: dict[str, Any]) -> PreTrainedConfig | None:
    try:
        return cast("Any", AutoConfig).from_pretrained(name, **options)
    except (OSError, ValueError, KeyError):
        return None  # the tokenizer alone is enough for a comparison


def _refuses_code(name: str, options: dict[str, Any]) -> bool:
    """Whether a model has classes of its own, which `options` do not allow to run."""
    if options.get("trust_remote_code"):
        return False
    try:
        found, _ = cast("Any", PreTrainedConfig).get_config_dict(name, **options)
    except (OSError, ValueError):
        return False
    return "auto_map" in found


def _generation_defaults(name: str, options: dict[str, Any]) -> GenerationConfig | None:
    try:
        return cast("Any", GenerationConfig).from_pretrained(name, **options)
    except (OSError, ValueError):
        return None


def _of_model(
    config: PreTrainedConfig, options: dict[str, Any]
) -> tuple[Size, str] | tuple[None, None]:
    """The size of the model, and why it would verify chains only; see `ModelFacts`."""
    trusted = bool(options.get("trust_remote_code"))
    try:
        model = unloaded(config, trust_remote_code=trusted)
        return size_of(model, config), known_fault(model)
    except (ValueError, AttributeError, ImportError, OSError, TypeError):
        return None, None  # an architecture that transformers does not know


def _architecture(config: PreTrainedConfig | None) -> str:
    names = cast("list[str] | None", getattr(config, "architectures", None))
    return names[0] if names else str(getattr(config, "model_type", ""))


def _chat_template(tokenizer: AnyTokenizer) -> str:
    found = cast("Any", getattr(tokenizer, "chat_template", None))
    if isinstance(found, dict):  # several, by name
        return "\n".join(map(str, cast("dict[str, str]", found).values()))
    return found or ""


def _specials(
    tokenizer: AnyTokenizer, template: str, defaults: GenerationConfig | None
) -> Iterable[Special]:
    roles: dict[int, list[str]] = {}
    for role in ROLES:
        id = cast("int | None", getattr(tokenizer, f"{role}_token_id", None))
        if id is not None:
            roles.setdefault(id, []).append(role)
    ends = cast("int | list[int] | None", getattr(defaults, "eos_token_id", None))
    for id in [ends] if isinstance(ends, int) else ends or []:
        if "eos" not in roles.setdefault(id, []):
            roles[id].append("eos")
    backend = backend_of(tokenizer)
    for id in sorted(special_ids(tokenizer) | set(roles)):
        content = backend.id_to_token(id) or str(id)
        yield Special(id, content, tuple(roles.get(id, ())), content in template)
