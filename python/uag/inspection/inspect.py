"""Compares a target with assistants from tokenizers and configurations, before any model runs."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig

from uag.inspection.advice import advise
from uag.inspection.model_facts import ModelFacts, Source, read_facts
from uag.inspection.pair import Pair
from uag.inspection.spelling import own_text, sample, sample_texts, strings_of
from uag.models.loading.options import for_assistant


def inspect_pair(
    target: Source,
    assistant: Source,
    *,
    config: PreTrainedConfig | None = None,
    assistant_config: PreTrainedConfig | None = None,
    text: str | Path | None = None,
    assistant_options: dict[str, Any] | None = None,
    **options: Any,
) -> Pair:
    """Compare a target and an assistant: does the pair work, and what speed-up can it give?

    Reads tokenizers and configurations only, no weights.

    >>> pair = inspect_pair(target_tokenizer, assistant_tokenizer, config=target.config,
    ...                     assistant_config=assistant.config, text="Once upon a time")
    >>> pair.costs, pair.samples[0].bytes
    (Range(low=0.5, high=0.7801104972375691), 16)

    Args:
        target: hub name, folder or `tokenizer.json` of the target, or its loaded tokenizer.
        assistant: the same for the assistant.
        config: the target's configuration, if `target` is a tokenizer or its file; without it the
            model's size is unknown.
        assistant_config: the same for the assistant.
        text: a text to compare the tokenizers on, or the `Path` of one; by default, texts of many
            kinds that come with the package.
        assistant_options: further options of the assistant, such as its `revision`.
        options: passed to `from_pretrained` of tokenizers and configurations given by name:
            `trust_remote_code`, `revision`, `token`, ... (`revision` and `subfolder` hold for the
            target alone).

    Raises:
        LoadError: if a tokenizer cannot be loaded.
        UnsupportedTokenizerError: for a slow (Python-only) tokenizer.
        FileError: if the file `text` cannot be read or is empty.
    """
    texts = _texts(text)
    first = read_facts(target, config, **options)
    second = read_facts(assistant, assistant_config, **for_assistant(options, assistant_options))
    return _pair(first, second, texts)


def rank_assistants(
    target: Source,
    assistants: Sequence[Source],
    *,
    text: str | Path | None = None,
    assistant_options: dict[str, Any] | None = None,
    **options: Any,
) -> list[Pair]:
    """Compare a target with several assistants; returns the pairs, the most promising first.

    Pairs are ordered by `Pair.score`. After them come those of unknown size, and last those that
    cannot work. Arguments and errors are those of `inspect_pair`.

    >>> pairs = rank_assistants(target_tokenizer, [assistant_tokenizer, target_tokenizer])
    >>> pairs[0].same_tokenizer
    True
    """
    texts = _texts(text)
    first, others = read_facts(target, **options), for_assistant(options, assistant_options)
    sides = [read_facts(source, **others) for source in assistants]
    return sorted((_pair(first, side, texts) for side in sides), key=_rank, reverse=True)


def _texts(text: str | Path | None) -> dict[str, str]:
    if text is None:
        return sample_texts()
    return own_text(text) if isinstance(text, Path) else {"text": text}


def _pair(target: ModelFacts, assistant: ModelFacts, texts: dict[str, str]) -> Pair:
    strings = strings_of(target.core), strings_of(assistant.core)
    pair = Pair(
        target,
        assistant,
        [
            sample(name, text, target.core, assistant.core, strings[1])
            for name, text in texts.items()
        ],
        shared_strings=len(strings[0] & strings[1]),
        target_strings=len(strings[0]),
        assistant_strings=len(strings[1]),
    )
    return replace(pair, advice=advise(pair))


def _rank(pair: Pair) -> tuple[bool, bool, float]:
    return not pair.obstacles, pair.costs is not None, pair.score
