"""The front door: two models, one text."""

import warnings
from collections import Counter
from collections.abc import Iterator
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass
from typing import Any, Self, cast, overload

from transformers import PreTrainedModel

from uag.auto import Auto
from uag.bridge import Bridge, SpecialPairs
from uag.compiled import Engine, backend_of
from uag.drafter import Choice, Drafter, ModelDrafter, NoDrafter
from uag.draws import COUPLED, Drawing
from uag.errors import OptionError, UagWarning, UnsupportedModelError, UnsupportedTokenizerError
from uag.generate import rounds
from uag.hf import (
    AnyTokenizer,
    check_belongs,
    check_model,
    context_window,
    end_ids,
    load_model,
    load_tokenizer,
    parameter_count,
)
from uag.lm import CachedLM, reads_together
from uag.lookahead import Lookahead, lookahead_from
from uag.options import Plan, check_limits, plan_generation
from uag.output import Output, TextStream
from uag.prompt import Prompt, assistant_ids, several, target_ids
from uag.sampling import fresh_seed, sequence_key
from uag.stats import Round, Stats
from uag.text import TextDecoder
from uag.trace import Trace, Voice
from uag.verify import verifier

DEFAULT_LOOKAHEAD = "auto"


class SpeculativeDecoder:
    """Generates with a target model, faster by the guesses of an assistant with another tokenizer.

    The output is that of the target alone. Neither model nor tokenizer is changed, and no text is
    kept between calls, so an interrupted call leaves nothing behind.

    >>> decoder = SpeculativeDecoder(target, target_tokenizer, assistant, assistant_tokenizer)
    >>> out = decoder.generate("Once upon a time", max_new_tokens=8)
    >>> pieces = decoder.stream("Once upon a time", max_new_tokens=8)
    >>> len(out.token_ids), out.text == "".join(pieces)
    (8, True)

    Args:
        model: the target, a decoder-only transformers model.
        tokenizer: its fast tokenizer.
        assistant: a smaller model of the same kind, or `None` to decode plainly.
        assistant_tokenizer: its fast tokenizer.
        lookahead: how many assistant ids to draft each round: "auto" (as many as pay, by measured
            cost and acceptance, or none), a number, "heuristic" (transformers' schedule), or a
            `Lookahead`.
        special_pairs: (target token, assistant token) that mean the same, such as the markers of a
            chat format, by id or content. End-of-text tokens are paired anyway.
        draft_temperature: when tokens are drawn, the assistant's temperature as a fraction of the
            target's; by default what suits how often it is right. It does not touch the output.
        sampling: "coupled" (the assistant draws with the target's noise: the text for a seed is the
            same whoever drafts) or "rejection" (token-level intersection: better for some pairs
            whose vocabularies overlap well; the text for a seed depends on drafts). Both draw
            exactly from the target's distribution.
        compile: whether to run both models through `torch.compile`, over buffers of fixed size; or
            the name of one of its backends, such as "cudagraphs". It pays on a GPU, or where many
            texts follow: the first pass of each of a few widths takes seconds (`Stats`). A model
            that cannot be compiled runs as it is.

    Raises:
        UnsupportedModelError: for an encoder-decoder, or a model whose state cannot be taken back.
        UnsupportedTokenizerError: for a Python-only tokenizer, or one that is not its model's.
        OptionError: for a lookahead below 1, a draft_temperature that is not above 0, an unknown
            sampling, or an unknown backend.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: AnyTokenizer,
        assistant: PreTrainedModel | None = None,
        assistant_tokenizer: AnyTokenizer | None = None,
        *,
        lookahead: int | str | Lookahead = DEFAULT_LOOKAHEAD,
        special_pairs: SpecialPairs | None = None,
        draft_temperature: float | None = None,
        sampling: str = COUPLED,
        compile: bool | str = False,
    ) -> None:
        lookahead_from(lookahead)
        self.model = model
        self.tokenizer = tokenizer
        self.assistant = assistant
        # Without an assistant the target's own tokenizer stands in, so that the loop is the same.
        self.assistant_tokenizer = (
            assistant_tokenizer if assistant_tokenizer is not None else tokenizer
        )
        self.lookahead = lookahead
        self.compile = compile
        backend = backend_of(compile)
        check_model(model)
        self._engines = {"target": Engine(model, backend)}
        self._engines["target"].new_cache()  # refuses what cannot be taken back
        pairs = list(special_pairs or ())
        if assistant is not None:
            if assistant_tokenizer is None:
                raise UnsupportedTokenizerError(
                    "an assistant was given without assistant_tokenizer; give its own"
                )
            check_model(assistant)
            self._engines["assistant"] = Engine(assistant, backend)
            self._engines["assistant"].new_cache()
            _check_verifies(model)
            _warn_if_larger(assistant, model)
            pairs += _end_pairs(
                end_ids(model, tokenizer), end_ids(assistant, self.assistant_tokenizer)
            )
        # A GPU would have to be waited for after each id.
        self._auto = Auto(stops_early=assistant is None or assistant.device.type == "cpu")
        self.bridge = Bridge(tokenizer, self.assistant_tokenizer, pairs)
        self._drawing = Drawing(self.bridge, model, assistant, sampling, draft_temperature)
        check_belongs(model, self.bridge.target, "target")
        if assistant is not None:
            check_belongs(assistant, self.bridge.assistant, "assistant")

    @classmethod
    def from_pretrained(
        cls,
        target: str,
        assistant: str | None,
        *,
        lookahead: int | str | Lookahead = DEFAULT_LOOKAHEAD,
        special_pairs: SpecialPairs | None = None,
        draft_temperature: float | None = None,
        sampling: str = COUPLED,
        compile: bool | str = False,
        trust_remote_code: bool = False,
        **options: Any,
    ) -> Self:
        """Load both models and their tokenizers by hub name or folder.

        Args:
            target: hub name or folder of the target.
            assistant: hub name or folder of the assistant; `None` to decode plainly.
            lookahead: see the class.
            special_pairs: see the class.
            draft_temperature: see the class.
            sampling: see the class.
            compile: see the class.
            trust_remote_code: whether to run Python code that comes with the models.
            options: passed to both models' `from_pretrained`, such as `dtype` and `device_map`.

        Raises:
            LoadError: if a model or tokenizer cannot be loaded.
        """
        lookahead_from(lookahead)
        tokenizer = load_tokenizer(target, trust_remote_code=trust_remote_code)
        other = None
        if assistant is not None:
            # Tokenizers first: a mistake in either name shows before gigabytes are read.
            other = load_tokenizer(assistant, trust_remote_code=trust_remote_code)
        options["trust_remote_code"] = trust_remote_code
        return cls(
            load_model(target, **options),
            tokenizer,
            None if assistant is None else load_model(assistant, **options),
            other,
            lookahead=lookahead,
            special_pairs=special_pairs,
            draft_temperature=draft_temperature,
            sampling=sampling,
            compile=compile,
        )

    @overload
    def generate(
        self, prompt: Prompt, *, num_return_sequences: None = None, **options: Any
    ) -> Output: ...

    @overload
    def generate(
        self, prompt: Prompt, *, num_return_sequences: int, **options: Any
    ) -> list[Output]: ...

    @overload
    def generate(self, prompt: SequenceOf[Prompt], **options: Any) -> list[Output]: ...

    def generate(
        self,
        prompt: Prompt | SequenceOf[Prompt],
        *,
        num_return_sequences: int | None = None,
        seed: int | None = None,
        trace: bool = False,
        **options: Any,
    ) -> Output | list[Output]:
        """Continue a prompt, or each of several.

        With `do_sample=True` tokens are drawn from the target's distribution, shaped by its options
        as in transformers; the text for a seed is the same with any assistant, any lookahead, or
        none.

        >>> outs = decoder.generate(["Once", "One day"], do_sample=True, seed=1, max_new_tokens=8)
        >>> outs[1].token_ids == decoder.generate(
        ...     "One day", do_sample=True, seed=1, max_new_tokens=8
        ... ).token_ids
        True

        Args:
            prompt: text, or target ids as a list or as a tensor of one row; or a list of those.
            num_return_sequences: how many continuations to draw of each prompt. If it is given, or
                several prompts are, the result is a list, a prompt's continuations together.
            seed: from 0 to 2**63 - 1. Each text has noise of its own: another seed, prompt or
                continuation of the same prompt is an independent draw. Without it, one is drawn
                from torch's generator, which `torch.manual_seed` sets.
            trace: whether to keep each round, id by id, in `Output.trace`.
            options: transformers' own generation options (`max_new_tokens`, `stop_strings`,
                `eos_token_id`, `temperature`, `top_p`, `repetition_penalty`, `logits_processor`,
                ...); defaults are those of the target's `generation_config`.

        Raises:
            PromptError: for a prompt that is empty, too long or has unknown ids.
            OptionError: for an option that is unknown, out of range or not supported.
            LogitsError: if the target gives NaN, or the options leave no token.
        """
        prompts = several(prompt)
        texts = self._start(
            prompts or [cast("Prompt", prompt)], num_return_sequences, seed, options, trace=trace
        )
        outputs = [text.finish() for text in texts]
        return outputs if prompts or num_return_sequences is not None else outputs[0]

    def stream(
        self, prompt: Prompt, *, seed: int | None = None, trace: bool = False, **options: Any
    ) -> TextStream:
        """Continue a prompt, a piece of text at a time, as soon as its characters are complete.

        The pieces joined are the `text` of `generate`. Arguments and errors are those of
        `generate`; the arguments are checked before the first piece is asked for.
        """
        (text,) = self._start([prompt], None, seed, options, trace=trace)
        return text

    def _start(
        self,
        prompts: SequenceOf[Prompt],
        count: int | None,
        seed: int | None,
        options: dict[str, Any],
        *,
        trace: bool,
    ) -> list[TextStream]:
        """The texts to come: all is checked, nothing has run; a time limit is for all of them."""
        check_limits({"num_return_sequences": count, "seed": seed})
        requests = [self._request(prompt, options) for prompt in prompts for _ in range(count or 1)]
        if requests[0].plan.sampling is None:
            if count not in (None, 1):
                raise OptionError(
                    f"num_return_sequences={count}, but greedy decoding gives the same text each "
                    "time; add do_sample=True"
                )
            seed = None
        elif seed is None:
            seed = fresh_seed()
        # Rows with the same prompt differ by how many came before.
        before: Counter[tuple[int, ...]] = Counter()
        texts: list[TextStream] = []
        for request in requests:
            prompt = tuple(request.target_ids)
            texts.append(self._text(request, seed, before[prompt], trace=trace))
            before[prompt] += 1
        return texts

    def _request(self, prompt: Prompt, options: dict[str, Any]) -> "_Request":
        ids = target_ids(prompt, self.tokenizer, self.model)
        given = prompt if isinstance(prompt, str) else ids
        return _Request(
            ids,
            assistant_ids(given, self.assistant_tokenizer, self.bridge),
            plan_generation(self.model, self.tokenizer, ids, options),
        )

    def _text(
        self, request: "_Request", seed: int | None, index: int, *, trace: bool = False
    ) -> TextStream:
        plan, stats = request.plan, Stats()
        kept = self._trace(request) if trace else None
        target = CachedLM(self.model, cache=self._engines["target"].new_cache())
        target.append(request.target_ids)
        sequence = self.bridge.start(request.target_ids, request.assistant_ids)
        if plan.sampling is None or seed is None:
            draws = self._drawing.greedy(sequence)
        else:
            key = sequence_key(seed, request.target_ids, index)
            draws = self._drawing.begin(key, plan.sampling, target, sequence, stats)
        generation = rounds(
            target,
            self._drafter(request.assistant_ids, draws.choice),
            draws.sequence if kept is None else kept.follow(draws.sequence),
            verifier(plan.processors, draws.pick),
            plan.stop,
            self._schedule(),
        )
        text = TextDecoder(self.bridge.target)
        text.add(request.target_ids)
        return TextStream(self._counted(generation, target, stats), text, stats, seed, kept)

    def _trace(self, request: "_Request") -> Trace:
        assistant = "" if self.assistant is None else _name(self.assistant)
        return Trace(
            Voice(_name(self.model), self.bridge.target, self.tokenizer, request.target_ids),
            Voice(
                assistant, self.bridge.assistant, self.assistant_tokenizer, request.assistant_ids
            ),
            str(self.lookahead),
        )

    def _counted(
        self, generation: Iterator[Round], target: CachedLM, stats: Stats
    ) -> Iterator[Round]:
        """The same rounds, entered into `stats` as they come."""
        before = self._compile_seconds()
        for done in generation:
            stats.history.append(done)
            stats.target_forwards = target.forwards
            stats.engines = {role: str(engine) for role, engine in self._engines.items()}
            stats.compile_seconds = self._compile_seconds() - before
            yield done

    def _compile_seconds(self) -> float:
        return sum(engine.seconds for engine in self._engines.values())

    def _schedule(self) -> Lookahead:
        # What it learns of the two models holds for the next text too.
        return self._auto if self.lookahead == "auto" else lookahead_from(self.lookahead)

    def _drafter(self, prompt: list[int], choice: Choice) -> Drafter:
        if self.assistant is None:
            return NoDrafter()
        cache = self._engines["assistant"].new_cache()
        lm = CachedLM(self.assistant, context_window(self.assistant), cache)
        lm.append(prompt)
        ends = frozenset(end_ids(self.assistant, self.assistant_tokenizer))
        return ModelDrafter(lm, ends, choice)


@dataclass(frozen=True, slots=True)
class _Request:
    """One text to generate."""

    target_ids: list[int]
    assistant_ids: list[int]
    plan: Plan


def _end_pairs(target_ends: list[int], assistant_ends: list[int]) -> list[tuple[int, int]]:
    """Every end-of-text id with one of the other side: in order, the main one for those left over.

    >>> _end_pairs([1, 2], [5])
    [(1, 5), (2, 5)]
    """
    if not target_ends or not assistant_ends:
        return []
    count = max(len(target_ends), len(assistant_ends))
    return [
        (
            target_ends[index] if index < len(target_ends) else target_ends[0],
            assistant_ends[index] if index < len(assistant_ends) else assistant_ends[0],
        )
        for index in range(count)
    ]


def _name(model: PreTrainedModel) -> str:
    return model.name_or_path or type(model).__name__


def _check_verifies(target: PreTrainedModel) -> None:
    if not reads_together(target):
        raise UnsupportedModelError(
            f"{type(target).__name__} in this version of transformers reads one id at a time, "
            "so it cannot verify a draft at once; use it as the assistant, "
            "or without one (assistant=None)"
        )


def _warn_if_larger(assistant: PreTrainedModel, target: PreTrainedModel) -> None:
    assistant_size, target_size = parameter_count(assistant), parameter_count(target)
    if assistant_size > target_size:
        warnings.warn(
            f"the assistant has {assistant_size:,} parameters and the target {target_size:,}; "
            "an assistant larger than its target makes generation slower: swap them, or "
            "use a smaller one",
            UagWarning,
            stacklevel=3,
        )
