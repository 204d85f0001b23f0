"""The front door: two models, one text."""

from collections import Counter
from collections.abc import Iterator
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass
from typing import Any, Self, cast, overload

from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    PreTrainedModel,
    StoppingCriteriaList,
    StopStringCriteria,
)
from transformers.generation.streamers import BaseStreamer

from uag._core import Sequence
from uag.batching.session import ASSISTANT, TARGET, Batches
from uag.decoding.loop import rounds
from uag.decoding.output import Output, TextStream
from uag.decoding.streamers import check_one, feed, put_prompt
from uag.decoding.trace import Trace, Voice
from uag.decoding.verify import verifier
from uag.drafting.custom import Drafter, Guesses, check_drafter
from uag.drafting.fallback import Assistance
from uag.drafting.lookup import LOOKUP, Lookup, lookup_from
from uag.drafting.lookup_drafter import LookupDrafter, TextsFirst
from uag.drafting.source import Drafter as TextDrafter
from uag.drafting.source import ModelDrafter, NoDrafter
from uag.errors import OptionError, UnsupportedTokenizerError
from uag.limits import check_limits
from uag.lookahead.auto import Auto
from uag.lookahead.lookup_rule import LONGEST_TEXT
from uag.lookahead.protocol import Lookahead
from uag.lookahead.schedules import Heard, lookahead_from
from uag.lookahead.synced import Agreed
from uag.models.cached_lm import CachedLM, check_verifies
from uag.models.compiled import Engine, backend_of
from uag.models.loading import (
    check_belongs,
    check_model,
    load_model,
    load_tokenizer,
    warn_if_larger,
)
from uag.models.properties import context_window, device_of, end_ids, is_sharded
from uag.requests.chat import Chat, Message, turn_end
from uag.requests.options import Plan, is_option, plan_generation
from uag.requests.padded_rows import AssistedOutput, Rows
from uag.requests.prompt import Prompt, assistant_ids, read, several
from uag.requests.transformers_call import check_call, check_config, generate_call
from uag.sampling.coupled import fresh_seed, sequence_key
from uag.sampling.greedy import Choice
from uag.sampling.method import COUPLED, Drawing
from uag.stats import Round, Stats
from uag.translation.bridge import Bridge, SpecialPairs
from uag.translation.detokenizer import TextDecoder, WholeCharacters
from uag.translation.end_tokens import end_pairs
from uag.translation.tokenizers import AnyTokenizer

DEFAULT_LOOKAHEAD = "auto"
# Texts at a time, if more are asked for.
BATCH_SIZE = 16


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
        assistant: a smaller model of the same kind; "lookup", or a `Lookup`, to draft from the text
            so far, or from that and others; or any object that guesses texts (`Drafter`); or `None`
            to decode plainly.
        assistant_tokenizer: its fast tokenizer. A `Drafter` that proposes text, or ids of the
            target's, needs none.
        lookup: a `Lookup`, or `True` for the text so far, to draft from beside an assistant: each
            draft is of the one that promises more. By default the text so far, beside a model and
            with lookahead "auto"; `False` for the assistant alone.
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
        UnsupportedModelError: for an encoder-decoder, a model whose state cannot be taken back, one
            without weights (on the meta device), or an assistant that is none.
        UnsupportedTokenizerError: for a Python-only tokenizer, or one that is not its model's.
        OptionError: for a lookahead below 1, a draft_temperature that is not above 0, an unknown
            sampling, or an unknown backend.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: AnyTokenizer,
        assistant: PreTrainedModel | Drafter | Lookup | str | None = None,
        assistant_tokenizer: AnyTokenizer | None = None,
        *,
        lookup: Lookup | bool | None = None,
        lookahead: int | str | Lookahead = DEFAULT_LOOKAHEAD,
        special_pairs: SpecialPairs | None = None,
        draft_temperature: float | None = None,
        sampling: str = COUPLED,
        compile: bool | str = False,
    ) -> None:
        lookahead_from(lookahead)
        self.model = model
        self.tokenizer = tokenizer
        assistant, self.lookup = _by_kind(assistant, lookup, lookahead)
        self.assistant = assistant
        # Without an assistant the target's own tokenizer stands in, so that the loop is the same.
        self.assistant_tokenizer = (
            assistant_tokenizer if assistant_tokenizer is not None else tokenizer
        )
        self.lookahead = lookahead
        self.compile = compile
        backend = backend_of(compile)
        check_model(model, TARGET)
        self._engines = {TARGET: Engine(model, backend)}
        self._engines[TARGET].new_cache()  # refuses what cannot be taken back
        if assistant is not None or self.lookup is not None:
            check_verifies(model)
        pairs = list(special_pairs or ())
        by_model = isinstance(assistant, PreTrainedModel)
        if by_model:
            if assistant_tokenizer is None:
                raise UnsupportedTokenizerError(
                    "an assistant was given without assistant_tokenizer; give its own"
                )
            check_model(assistant, ASSISTANT)
            self._engines[ASSISTANT] = Engine(assistant, backend)
            self._engines[ASSISTANT].new_cache()
            warn_if_larger(assistant, model)
            ends = end_ids(assistant, assistant_tokenizer)
            turns = turn_end(tokenizer), turn_end(assistant_tokenizer)
            pairs += end_pairs(end_ids(model, tokenizer), ends, *turns)
            self._assistant_ends = frozenset(ends) | {id for id in turns[1:] if id is not None}
        elif assistant is not None:
            check_drafter(assistant)
        # A GPU would have to be waited for after each id.
        stops_early = not by_model or device_of(assistant).type == "cpu"
        self._auto = Auto(stops_early=stops_early and not isinstance(assistant, Drafter))
        self.bridge = Bridge(tokenizer, self.assistant_tokenizer, pairs)
        own = assistant if by_model else None
        self._drawing = Drawing(self.bridge, model, own, sampling, draft_temperature)
        check_belongs(model, self.bridge.target, "target")
        if by_model:
            check_belongs(assistant, self.bridge.assistant, "assistant")

    @classmethod
    def from_pretrained(
        cls,
        target: str,
        assistant: str | Lookup | None,
        *,
        lookup: Lookup | bool | None = None,
        lookahead: int | str | Lookahead = DEFAULT_LOOKAHEAD,
        special_pairs: SpecialPairs | None = None,
        draft_temperature: float | None = None,
        sampling: str = COUPLED,
        compile: bool | str = False,
        trust_remote_code: bool = False,
        assistant_options: dict[str, Any] | None = None,
        **options: Any,
    ) -> Self:
        """Load both models and their tokenizers by hub name or folder.

        Args:
            target: hub name or folder of the target.
            assistant: hub name or folder of the assistant; "lookup" or a `Lookup` (see the class);
                `None` to decode plainly.
            lookup: see the class.
            lookahead: see the class.
            special_pairs: see the class.
            draft_temperature: see the class.
            sampling: see the class.
            compile: see the class.
            trust_remote_code: whether to run Python code that comes with the models.
            assistant_options: in place of `options` for the assistant, such as another device.
            options: passed to both models' `from_pretrained`, such as `dtype` and `device_map`.
                Weights that are no safetensors can run code when they are read, and are only read
                with `use_safetensors=False` (or `None`, transformers' default: either kind).

        Raises:
            LoadError: if a model or tokenizer cannot be loaded.
        """
        lookahead_from(lookahead)
        tokenizer = load_tokenizer(target, trust_remote_code=trust_remote_code)
        other = None
        if isinstance(assistant, str) and assistant != LOOKUP:
            # Tokenizers first: a mistake in either name shows before gigabytes are read.
            other = load_tokenizer(assistant, trust_remote_code=trust_remote_code)
        options["trust_remote_code"] = trust_remote_code
        model = load_model(target, **options)
        return cls(
            model,
            tokenizer,
            assistant
            if other is None
            else load_model(cast("str", assistant), **(options | (assistant_options or {}))),
            other,
            lookup=lookup,
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
        batch_size: int = BATCH_SIZE,
        streamer: BaseStreamer | None = None,
        trace: bool = False,
        **options: Any,
    ) -> Output | list[Output]:
        """Continue a prompt, or each of several, which share forward passes.

        Each text accepts its own number of ids in a round, and leaves when it ends. Its ids are
        those that it has alone: exactly in exact arithmetic, and up to ties of rounded numbers.

        With `do_sample=True` tokens are drawn from the target's distribution, shaped by its options
        as in transformers; the text for a seed is the same with any assistant, any lookahead, or
        none.

        >>> outs = decoder.generate(["Once", "One day"], do_sample=True, seed=1, max_new_tokens=8)
        >>> outs[1].token_ids == decoder.generate(
        ...     "One day", do_sample=True, seed=1, max_new_tokens=8
        ... ).token_ids
        True

        Args:
            prompt: text; or target ids as a list or as a tensor of one row; or messages of a chat,
                or a `Chat`; or a list of those.
            num_return_sequences: how many continuations to draw of each prompt. If it is given, or
                several prompts are, the result is a list, a prompt's continuations together.
            seed: from 0 to 2**63 - 1. Each text has noise of its own: another seed, prompt or
                continuation of the same prompt is an independent draw. Without it, one is drawn
                from torch's generator, which `torch.manual_seed` sets.
            batch_size: most texts that are decoded at the same time; as one ends the next begins.
                Each needs memory for its states.
            streamer: one of transformers', which gets the prompt and then ids as they are accepted,
                always of whole characters; for one text.
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
        check_limits({"batch_size": batch_size})
        given = prompts or [cast("Prompt", prompt)]
        requests = self._requests(given, num_return_sequences, seed, options, trace=trace)
        outputs = self._finish(requests, seed, batch_size, streamer)
        return outputs if prompts or num_return_sequences is not None else outputs[0]

    def chat(
        self, messages: SequenceOf[Message], *, seed: int | None = None, **options: Any
    ) -> Output:
        """Reply to a chat: each model is prompted by its own chat template.

        The ids are those of `model.generate` on `tokenizer.apply_chat_template(messages,
        add_generation_prompt=True)`. An assistant without a template reads the chat as plain text.
        A last message of the role "assistant" is continued.

        >>> messages = [{"role": "user", "content": "Tell me a story."}]
        >>> template = "{% for message in messages %}{{ message.content }}{% endfor %}"
        >>> out = decoder.chat(messages, chat_template=template, max_new_tokens=8)
        >>> out.token_ids == decoder.generate("Tell me a story.", max_new_tokens=8).token_ids
        True

        Args:
            messages: with "role" and "content", as for `apply_chat_template`.
            seed: see `generate`.
            options: options of `apply_chat_template` (`tools`, `documents`, `chat_template`),
                variables of the templates (`enable_thinking`), and options of generation. `tools`
                and the variables go to both templates, `chat_template` is the target's.

        Raises:
            PromptError: if the target has no template, it knows no tools but is given some, or it
                cannot render the messages.
            OptionError: for an option that neither `generate` nor a template knows.
        """
        of_generation = {name: value for name, value in options.items() if is_option(name)}
        of_templates = {name: value for name, value in options.items() if not is_option(name)}
        chat = Chat(messages, **of_templates)
        return cast("Output", self.generate(chat, seed=seed, **of_generation))

    def stream(
        self, prompt: Prompt, *, seed: int | None = None, trace: bool = False, **options: Any
    ) -> TextStream:
        """Continue a prompt, a piece of text at a time, as soon as its characters are complete.

        The pieces joined are the `text` of `generate`. Arguments and errors are those of
        `generate`; the arguments are checked before the first piece is asked for.
        """
        (request,) = self._requests([prompt], None, seed, options, trace=trace)
        (text,) = self._texts([request], seed, self._batches(1))
        return text

    def __call__(
        self,
        model: PreTrainedModel,
        input_ids: Tensor,
        logits_processor: LogitsProcessorList,
        stopping_criteria: StoppingCriteriaList,
        generation_config: GenerationConfig,
        *,
        seed: int | None = None,
        stop_strings: str | list[str] | None = None,
        streamer: BaseStreamer | None = None,
        **model_kwargs: Any,
    ) -> Tensor | AssistedOutput:
        """Decode in transformers' place: `model.generate(**inputs, custom_generate=decoder)`.

        Arguments and result are those of `model.generate`; `seed` is this method's own.

        >>> inputs = target_tokenizer("Once upon a time", return_tensors="pt")
        >>> ids = target.generate(**inputs, max_new_tokens=8, custom_generate=decoder)
        >>> bool((ids == target.generate(**inputs, max_new_tokens=8)).all())
        True

        Args:
            model: the decoder's target.
            input_ids: `[rows, length]`, padded on the left.
            logits_processor: as prepared by `generate`; so are the next two.
            stopping_criteria: likewise.
            generation_config: likewise.
            seed: see `generate`.
            stop_strings: see transformers; no `tokenizer` is needed.
            streamer: the one given to `model.generate`, unless another is given here.
            model_kwargs: inputs of the model, of which the attention mask counts.

        Raises:
            OptionError: for another model, beams and other ways to decode, or a streamer of several
                rows.
            PromptError: for rows that are not padded on the left.
        """
        call = generate_call(input_ids)
        check_call(self.model, model, input_ids, call, streamer, model_kwargs)
        check_config(model, generation_config)
        if stop_strings is not None:
            criterion = StopStringCriteria(cast("Any", self.tokenizer), stop_strings)
            stopping_criteria = StoppingCriteriaList([*stopping_criteria, criterion])
        rows = Rows(
            model,
            input_ids,
            model_kwargs.get("attention_mask"),
            generation_config,
            logits_processor,
            stopping_criteria,
        )
        check_limits({"seed": seed})
        requests = [
            _Request(ids, assistant_ids(ids, self.assistant_tokenizer, self.bridge), plan)
            for ids, plan in zip(rows.prompts, rows.plans, strict=True)
        ]
        heard = call.get("streamer")
        outputs = self._finish(
            requests,
            seed,
            len(requests),  # as many at a time as transformers would take
            streamer or heard,
            has_prompt=heard is not None,
        )
        return rows.output(outputs)

    def _finish(
        self,
        requests: SequenceOf["_Request"],
        seed: int | None,
        batch_size: int,
        streamer: BaseStreamer | None,
        *,
        has_prompt: bool = False,
    ) -> list[Output]:
        """All of them; `has_prompt`: whether the streamer has got it from transformers."""
        if streamer is not None:
            check_one(len(requests))
        batches = self._batches(min(batch_size, len(requests)))
        texts = self._texts(requests, seed, batches)
        if streamer is None:
            return batches.finish(texts)
        (text,) = texts
        if not has_prompt:
            put_prompt(streamer, text.prompt)
        return [feed(streamer, text, WholeCharacters(self.bridge.target, text.prompt))]

    def _requests(
        self,
        prompts: SequenceOf[Prompt],
        count: int | None,
        seed: int | None,
        options: dict[str, Any],
        *,
        trace: bool,
    ) -> list["_Request"]:
        """The texts to come: all is checked, nothing has run; a time limit is for all of them."""
        check_limits({"num_return_sequences": count, "seed": seed})
        requests = [
            self._request(prompt, options, trace=trace)
            for prompt in prompts
            for _ in range(count or 1)
        ]
        if requests[0].plan.sampling is None and count not in (None, 1):
            raise OptionError(
                f"num_return_sequences={count}, but greedy decoding gives the same text each "
                "time; add do_sample=True"
            )
        return requests

    def _texts(
        self, requests: SequenceOf["_Request"], seed: int | None, batches: Batches
    ) -> list[TextStream]:
        if requests[0].plan.sampling is None:
            seed = None
        elif seed is None:
            seed = fresh_seed()
        # Rows with the same prompt differ by how many came before.
        before: Counter[tuple[int, ...]] = Counter()
        texts: list[TextStream] = []
        for request in requests:
            prompt = tuple(request.target_ids)
            texts.append(self._text(request, seed, before[prompt], batches))
            before[prompt] += 1
        return texts

    def _request(
        self, prompt: Prompt, options: dict[str, Any], *, trace: bool = False
    ) -> "_Request":
        ids, others = read(
            prompt, self.model, self.tokenizer, self.assistant_tokenizer, self.bridge
        )
        return _Request(
            ids,
            others,
            plan_generation(self.model, self.tokenizer, ids, options),
            trace,
        )

    def _text(
        self, request: "_Request", seed: int | None, index: int, batches: Batches
    ) -> TextStream:
        plan, stats = request.plan, Stats()
        kept = self._trace(request) if request.trace else None
        target = CachedLM(self.model, cache=batches.new_cache(TARGET))
        target.append(request.target_ids)
        sequence = self.bridge.start(request.target_ids, request.assistant_ids)
        if plan.sampling is None or seed is None:
            draws = self._drawing.greedy(sequence)
        else:
            key = sequence_key(seed, request.target_ids, index)
            draws = self._drawing.begin(key, plan.sampling, target, sequence, stats)
        assistance = Assistance(
            lambda: self._drafter(request.assistant_ids, draws.choice, sequence, batches),
            draws.sequence,
            batches.new_lookahead(),
            stats,
            batches.faults,
        )
        generation = rounds(
            target,
            assistance,
            assistance.sequence if kept is None else kept.follow(assistance.sequence),
            verifier(plan.processors, draws.pick),
            plan.stop,
            assistance,
        )
        text = TextDecoder(self.bridge.target)
        text.add(request.target_ids)
        counted = self._counted(generation, target, stats, batches)
        return TextStream(counted, text, stats, seed, request.target_ids, kept)

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
        self, generation: Iterator[Round], target: CachedLM, stats: Stats, batches: Batches
    ) -> Iterator[Round]:
        """The same rounds, entered into `stats` as they come."""
        before = self._compile_seconds()
        for done in generation:
            stats.history.append(done)
            stats.target_forwards = target.forwards
            stats.engines = batches.engines
            stats.compile_seconds = self._compile_seconds() - before
            yield done

    def _compile_seconds(self) -> float:
        return sum(engine.seconds for engine in self._engines.values())

    def _batches(self, size: int) -> Batches:
        return Batches(self._engines, self._schedule(), size)

    def _schedule(self) -> int | str | Lookahead:
        # What "auto" learns of the two models holds for the next text too.
        shared = [model for model in (self.model, self.assistant) if is_sharded(model)]
        auto = Agreed(self._auto, cast("PreTrainedModel", shared[0])) if shared else self._auto
        if self.lookahead == "auto":
            return auto
        if self.assistant is None or self.lookup is None:
            return self.lookahead
        # Which of two drafts is better, it knows whoever says how long they are.
        return Heard(lookahead_from(self.lookahead), auto)

    def _drafter(
        self, prompt: list[int], choice: Choice, sequence: Sequence, batches: Batches
    ) -> TextDrafter:
        texts = None if self.lookup is None else self._lookup_drafter(self.lookup, sequence)
        if self.assistant is None:
            return texts or NoDrafter()
        if isinstance(self.assistant, PreTrainedModel):
            cache = batches.new_cache(ASSISTANT)
            lm = CachedLM(self.assistant, context_window(self.assistant), cache)
            lm.append(prompt)
            drafter = ModelDrafter(lm, self._assistant_ends, choice)
        else:
            drafter = Guesses(self.assistant, self.bridge.assistant, prompt)
        return drafter if texts is None else TextsFirst(drafter, texts, self._auto.prefers)

    def _lookup_drafter(self, lookup: Lookup, sequence: Sequence) -> LookupDrafter:
        parts = lookup.search(), lookup.min_match, self.bridge.target, sequence
        if self.lookahead == "auto":
            return LookupDrafter(*parts, LONGEST_TEXT, self._auto.reach)
        return LookupDrafter(*parts)


@dataclass(frozen=True, slots=True)
class _Request:
    """One text to generate."""

    target_ids: list[int]
    assistant_ids: list[int]
    plan: Plan
    trace: bool = False


def _name(model: object) -> str:
    return getattr(model, "name_or_path", "") or type(model).__name__


def _by_kind(
    assistant: PreTrainedModel | Drafter | Lookup | str | None,
    lookup: Lookup | bool | None,
    lookahead: int | str | Lookahead,
) -> tuple[PreTrainedModel | Drafter | None, Lookup | None]:
    """The assistant but for texts, and what to look up in."""
    if not isinstance(assistant, Lookup) and assistant != LOOKUP:
        if lookup is None:
            # A number counts the assistant's ids; "auto" knows when the text promises more.
            lookup = lookahead == "auto" and isinstance(assistant, PreTrainedModel)
        return cast("PreTrainedModel | Drafter | None", assistant), lookup_from(lookup)
    if lookup:
        raise OptionError("both assistant and lookup are lookups; give one, with all texts")
    return None, lookup_from(assistant)
