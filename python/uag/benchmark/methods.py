"""The methods of decoding that a comparison times, with what each needs."""

import copy
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

import torch
from transformers import PreTrainedModel
from transformers.generation.candidate_generator import AssistantVocabTranslatorCache

from uag.batching.session import ASSISTANT, TARGET
from uag.benchmark.comparison import ALONE, BY_ENGINE, PLAIN, TRANSFORMERS, UAG, Method, Run
from uag.clock import current_clock
from uag.decoder import SpeculativeDecoder
from uag.drafting.custom import is_model
from uag.models.cached_lm import id_list
from uag.models.wrappers import language_model
from uag.sampling.method import REJECTION
from uag.translation.tokenizers import AnyTokenizer

if TYPE_CHECKING:
    from uag.decoding.output import Output

# Ids per lookup of transformers, the value in its documentation.
PROMPT_LOOKUP = 10
# Takes a prompt as text and as ids; returns the new ids, seconds by phase, and the target's forward
# passes.
Decode = Callable[[str, list[int]], tuple[list[int], Mapping[str, float], int]]


@dataclass(slots=True)
class TimedMethod:
    """A method of decoding that is being timed: its runs by repetition, the first a warm-up."""

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
        # Not `now`: what is set up once in a run is a part of its time.
        clock = current_clock()
        start = clock()
        try:
            ids, phases, forwards = self.decode(*text)
        except Exception as error:
            if not self.may_fail:
                raise
            self.error = type(error).__name__, str(error).strip().split("\n")[0]
        else:
            self.runs[-1].append(Run(ids, clock() - start, forwards, phases))

    def seconds_a_run(self) -> float | None:
        """Mean seconds of a run: of the warm-up as long as there is no other, `None` before it."""
        if self.error is not None:
            return 0.0
        warm_up, timed = ([run for runs in part for run in runs] for part in self._parts())
        runs = timed or warm_up
        return sum(run.seconds for run in runs) / len(runs) if runs else None

    def result(self) -> Method:
        """What there is of it by now; the warm-up is apart."""
        if self.error is not None:
            return Method(self.name, [], self.error, self.drawn)
        warm_up, timed = self._parts()
        first = next((run for runs in warm_up for run in runs), None)
        return Method(self.name, [[*runs] for runs in timed if runs], None, self.drawn, first)

    def _parts(self) -> tuple[list[list[Run]], list[list[Run]]]:
        return self.runs[:1], self.runs[1:]


def timed_methods(
    decoder: SpeculativeDecoder,
    assistant: PreTrainedModel | None,
    options: dict[str, Any],
    seed: int,
    *,
    with_transformers: bool,
    hints: dict[str, None],
) -> list[TimedMethod]:
    """The methods to time for a decoder, plain decoding first and uag last.

    Args:
        decoder: has the target and what drafts.
        assistant: what drafts for transformers, by `assistant_for_transformers`.
        options: `max_new_tokens`, `do_sample` and, if it samples, `temperature`.
        seed: the seed for uag's sampling.
        with_transformers: whether transformers' assisted generation is one of them.
        hints: takes the hints of uag's runs as its keys.
    """
    target = language_model(decoder.model, TARGET)
    sampled = bool(options["do_sample"])
    seeded = options | ({"seed": seed} if sampled else {})
    methods = [TimedMethod(PLAIN, _plain(target, options), drawn=sampled)]
    with_lookup = decoder.assistant is None and decoder.lookup is not None
    if with_transformers and (with_lookup or assistant is not None):
        assisted = _plain(target, options | _with_assistant(decoder, assistant))
        methods.append(TimedMethod(TRANSFORMERS, assisted, may_fail=True, drawn=sampled))
    if sampled:
        alone = SpeculativeDecoder(decoder.model, decoder.tokenizer)
        methods.append(TimedMethod(ALONE, _assisted(alone, seeded)))
    engine = decoder.engines["target"]
    if engine in BY_ENGINE and (decoder.assistant is not None or decoder.lookup is not None):
        # So that the gain from the engine is not taken for a gain from the assistant.
        alone = SpeculativeDecoder(
            decoder.model, decoder.tokenizer, engine=decoder.engine, compile=decoder.compile
        )
        methods.append(TimedMethod(BY_ENGINE[engine], _assisted(alone, seeded)))
    # Sampled by rejection, the text for a seed depends on the drafts.
    by_rejection = sampled and decoder.sampling == REJECTION
    methods.append(TimedMethod(UAG, _assisted(decoder, seeded, hints), drawn=by_rejection))
    return methods


def assistant_for_transformers(
    decoder: SpeculativeDecoder, *, sampled: bool
) -> PreTrainedModel | None:
    """The model that drafts for transformers' assisted generation; `None` if none can."""
    assistant = decoder.assistant
    if is_model(assistant):
        assistant = language_model(assistant, ASSISTANT)
    if not isinstance(assistant, PreTrainedModel):
        return None
    return _stand_in(assistant) if sampled else assistant


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


def let_go(decoder: SpeculativeDecoder) -> None:
    """Have transformers forget the assistant, whose embeddings its cache of translators keeps.

    The decoder must not be timed again, as its stand-in was changed for what is forgotten.
    """
    # That cache forgets nothing itself: its values hold its weak keys.
    known: Any = getattr(AssistantVocabTranslatorCache, "_cache", {})
    known.get(decoder.tokenizer, {}).pop(decoder.assistant_tokenizer, None)


def _with_assistant(
    decoder: SpeculativeDecoder, assistant: PreTrainedModel | None
) -> dict[str, Any]:
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
def assistant_settings(
    assistant: PreTrainedModel | None, num_assistant_tokens: int | None
) -> Generator[None]:
    """Set the generation config that transformers reads from the assistant; restore it at the end.

    transformers may change it while it decodes.
    """
    if assistant is None:
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
