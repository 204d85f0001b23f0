"""Times plain decoding, transformers' assisted generation and uag on the same prompts."""

import copy
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

import torch
from transformers import PreTrainedModel

from uag.batching.session import ASSISTANT, TARGET
from uag.benchmark.comparison import (
    ALONE,
    BY_ENGINE,
    PLAIN,
    TRANSFORMERS,
    UAG,
    Comparison,
    Method,
    Run,
)
from uag.benchmark.prompts import read_prompts
from uag.decoder import SpeculativeDecoder
from uag.drafting.custom import Drafter, is_model
from uag.errors import PromptError
from uag.limits import check_limits
from uag.models.cached_lm import id_list
from uag.models.wrappers import AnyModel, language_model
from uag.requests.prompts.ids import target_ids
from uag.sampling.method import REJECTION
from uag.translation.tokenizers import AnyTokenizer

if TYPE_CHECKING:
    from uag.decoding.output import Output
from uag.limits import check_positive

PROMPTS = (
    "Once upon a time, there was a little girl named Lily.",
    "One day, a boy and his dog went to the park.",
    "Tom had a big red ball. He liked to play with it",
    "The cat was very hungry, so she",
    "It was a sunny day. Ben and his mom",
)
# Ids per lookup of transformers, the value in its documentation.
PROMPT_LOOKUP = 10
# Takes a prompt as text and as ids; returns the new ids, seconds by phase, and the target's forward
# passes.
Decode = Callable[[str, list[int]], tuple[list[int], Mapping[str, float], int]]


def compare(
    decoder: SpeculativeDecoder,
    prompts: str | Path | Sequence[str] = PROMPTS,
    *,
    runs: int = 3,
    max_new_tokens: int = 128,
    with_transformers: bool = True,
    num_assistant_tokens: int | None = None,
    temperature: float | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Comparison:
    """Time plain decoding, transformers' assisted generation and uag on the same prompts.

    All methods run interleaved, prompt by prompt, so that background load affects them equally.
    Decoding is greedy unless `temperature` is given. When sampling, there is one more method: uag
    without an assistant, whose output uag with the assistant must reproduce from the same seed,
    unless it samples by rejection. If the decoder drafts and its models are compiled or run by
    graphs, the target alone with that engine is a method too.

    If transformers' assisted generation fails, the result has its error in place of its numbers.

    >>> comparison = compare(decoder, "Once upon a time", runs=1, max_new_tokens=8)
    >>> [method.name for method in comparison.methods], comparison.identical
    (['plain', 'transformers', 'uag'], True)

    Args:
        decoder: has the target, and the assistant, which transformers uses too. For a decoder that
            only looks up, transformers uses its prompt lookup; without an assistant model or
            lookup, or with a `Drafter`, transformers' assisted generation is left out.
        prompts: one or more texts, or the `Path` of a file of them; by default five beginnings of
            stories.
        runs: how often each method decodes each prompt, after an untimed run on the first prompt.
        max_new_tokens: maximum number of new target ids of a run.
        with_transformers: whether to time transformers' assisted generation too.
        num_assistant_tokens: how many ids the assistant drafts in a round for transformers;
            `None` for transformers' default.
        temperature: the temperature for sampling; `None` for greedy decoding.
        seed: the seed for uag's sampling; transformers samples with torch's generator.
        progress: called with the number of finished runs and the number of all runs.

    Raises:
        PromptError: if there are no prompts, or one is empty or too long.
        OptionError: if a number is below 1, or temperature or seed is out of range.
    """
    check_positive(
        runs=runs, max_new_tokens=max_new_tokens, num_assistant_tokens=num_assistant_tokens
    )
    check_limits({"temperature": temperature, "seed": seed})
    target, assistant = language_model(decoder.model, TARGET), decoder.assistant
    if is_model(assistant):
        assistant = language_model(assistant, ASSISTANT)
    texts = _read(target, decoder.tokenizer, prompts)
    sampled = temperature is not None
    # Always given, as a model's own generation defaults may ask for sampling.
    options: dict[str, Any] = {"max_new_tokens": max_new_tokens, "do_sample": sampled}
    options |= {"temperature": temperature} if sampled else {}
    seeded = options | ({"seed": seed} if sampled else {})
    methods = [_TimedMethod(PLAIN, _plain(target, options), drawn=sampled)]
    with_lookup = assistant is None and decoder.lookup is not None
    if with_transformers and (with_lookup or isinstance(assistant, PreTrainedModel)):
        if sampled and isinstance(assistant, PreTrainedModel):
            assistant = _stand_in(assistant)
        assisted = _plain(target, options | _with_assistant(decoder, assistant))
        methods.append(_TimedMethod(TRANSFORMERS, assisted, may_fail=True, drawn=sampled))
    if sampled:
        alone = SpeculativeDecoder(decoder.model, decoder.tokenizer)
        methods.append(_TimedMethod(ALONE, _assisted(alone, seeded)))
    engine = decoder.engines["target"]
    if engine in BY_ENGINE and (decoder.assistant is not None or decoder.lookup is not None):
        # So that the gain from the engine is not taken for a gain from the assistant.
        alone = SpeculativeDecoder(
            decoder.model, decoder.tokenizer, engine=decoder.engine, compile=decoder.compile
        )
        methods.append(_TimedMethod(BY_ENGINE[engine], _assisted(alone, seeded)))
    # Sampled by rejection, the text for a seed depends on the drafts.
    by_rejection = sampled and decoder.sampling == REJECTION
    hints: dict[str, None] = {}  # a set in the order in which they came
    methods.append(_TimedMethod(UAG, _assisted(decoder, seeded, hints), drawn=by_rejection))
    # The first repetition is a warm-up on one prompt.
    schedule = [texts[:1], *[texts] * runs]
    done, total = 0, sum(map(len, schedule)) * len(methods)
    with _assistant_settings(assistant, num_assistant_tokens):
        for repetition in schedule:
            for method in methods:
                method.runs.append([])
            for text in repetition:
                for method in methods:
                    method.decode_once(text)
                    done += 1
                    progress(done, total)
    return Comparison(
        [text for text, _ in texts],
        [method.result() for method in methods],
        _decoding(target, temperature, seed),
        [*hints],
    )


def _decoding(model: PreTrainedModel, temperature: float | None, seed: int) -> str:
    """Whether the methods decode greedily or sample, and why."""
    if temperature is not None:
        return f"sampled at temperature {temperature:g}, uag with seed {seed}"
    own = bool(getattr(model.generation_config, "do_sample", None))
    though = ", though the target's own generation defaults sample" if own else ""
    return f"greedy, as no temperature is given{though}"


@dataclass(slots=True)
class _TimedMethod:
    """A method of decoding that is being timed."""

    name: str
    decode: Decode
    may_fail: bool = False
    drawn: bool = False
    runs: list[list[Run]] = field(default_factory=list[list[Run]])
    error: tuple[str, str] | None = None

    def decode_once(self, text: tuple[str, list[int]]) -> None:
        """Add a run to the last repetition; does nothing if the method has failed before."""
        if self.error is not None:
            return
        start = perf_counter()
        try:
            ids, phases, forwards = self.decode(*text)
        except Exception as error:
            if not self.may_fail:
                raise
            self.error = type(error).__name__, str(error).strip().split("\n")[0]
        else:
            self.runs[-1].append(Run(ids, perf_counter() - start, forwards, phases))

    def result(self) -> Method:
        """The result, without the warm-up."""
        return Method(self.name, [] if self.error else self.runs[1:], self.error, self.drawn)


def _read(
    model: PreTrainedModel, tokenizer: AnyTokenizer, prompts: str | Path | Sequence[str]
) -> list[tuple[str, list[int]]]:
    """The prompts with their ids; all of them are checked before anything runs."""
    if isinstance(prompts, str | Path):
        prompts = [prompts] if isinstance(prompts, str) else read_prompts(prompts)
    texts: list[tuple[str, list[int]]] = []
    for number, text in enumerate(prompts, start=1):
        try:
            texts.append((text, target_ids(text, tokenizer, model)))
        except PromptError as error:
            raise PromptError(f"prompt {number} of {len(prompts)}: {error}") from error
    if not texts:
        raise PromptError("there are no prompts; give at least one")
    return texts


def _plain(model: PreTrainedModel, options: dict[str, Any]) -> Decode:
    """Decoding by `model.generate`; with an assistant in `options`, its assisted generation."""
    generate = cast("Callable[..., torch.Tensor]", model.generate)

    def decode(_: str, prompt: list[int]) -> tuple[list[int], Mapping[str, float], int]:
        ids = torch.tensor([prompt], device=model.device)
        with _forwards(model) as forwards:
            out = generate(ids, attention_mask=torch.ones_like(ids), **options)
        return id_list(out[0, len(prompt) :]), {}, forwards[0]

    return decode


def _assisted(
    decoder: SpeculativeDecoder, options: dict[str, Any], hints: dict[str, None] | None = None
) -> Decode:
    def decode(text: str, _: list[int]) -> tuple[list[int], Mapping[str, float], int]:
        out = cast("Output", decoder.generate(text, **options))
        if hints is not None:
            hints.update(dict.fromkeys(out.stats.hints))
        # Not by a hook: models with hooks are not run by graphs.
        return out.token_ids, out.stats.seconds, out.stats.target_forwards

    return decode


# Kept, as transformers caches a translator for two tokenizers, and with it the model it was given.
_stand_ins: WeakKeyDictionary[PreTrainedModel, PreTrainedModel] = WeakKeyDictionary()


def _stand_in(assistant: PreTrainedModel) -> PreTrainedModel:
    """A copy of the assistant that shares its weights but not its modules.

    When transformers samples with two vocabularies, it replaces the assistant's head and embeddings
    with smaller ones and does not restore them.
    """
    if (known := _stand_ins.get(assistant)) is None:
        tensors = [*assistant.parameters(), *assistant.buffers()]
        known = copy.deepcopy(assistant, {id(tensor): tensor for tensor in tensors})
        _stand_ins[assistant] = known
    return known


def _with_assistant(decoder: SpeculativeDecoder, assistant: object) -> dict[str, Any]:
    """Options of `model.generate` for assisted generation.

    It refuses tokenizers as arguments if they are equal, and cannot combine an assistant with
    lookups.
    """
    if assistant is None:
        return {"prompt_lookup_num_tokens": PROMPT_LOOKUP}
    if _vocabulary(decoder.tokenizer) == _vocabulary(decoder.assistant_tokenizer):
        return {"assistant_model": assistant}
    return {
        "assistant_model": assistant,
        "tokenizer": decoder.tokenizer,
        "assistant_tokenizer": decoder.assistant_tokenizer,
    }


def _vocabulary(tokenizer: AnyTokenizer) -> dict[str, int]:
    return cast("dict[str, int]", cast("Any", tokenizer).get_vocab())


@contextmanager
def _forwards(model: PreTrainedModel) -> Generator[list[int]]:
    """Counts the model's forward passes: a list whose only number each pass increases by one."""
    count = [0]

    def add(*_: object) -> None:
        count[0] += 1

    with cast("Any", model).register_forward_hook(add):
        yield count


@contextmanager
def _assistant_settings(
    assistant: AnyModel | Drafter | None, num_assistant_tokens: int | None
) -> Generator[None]:
    """Set the generation config that transformers reads from the assistant; restore it at the end.

    transformers may change it while it decodes.
    """
    if not isinstance(assistant, PreTrainedModel):
        yield
        return
    settings = assistant.generation_config
    assistant.generation_config = copy.deepcopy(settings)
    if num_assistant_tokens is not None:
        assistant.generation_config.num_assistant_tokens = num_assistant_tokens
        assistant.generation_config.num_assistant_tokens_schedule = "constant"
    try:
        yield
    finally:
        assistant.generation_config = settings
