"""The front door: two models, one text."""

from collections.abc import Sequence
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

from uag.batching.session import TARGET
from uag.decoding.output import Output, TextStream
from uag.drafting.custom import Drafter
from uag.drafting.lookup import Lookup
from uag.drafting.sides import draft_side
from uag.engine import Engine
from uag.limits import check_limits
from uag.lookahead.protocol import Lookahead
from uag.lookahead.schedules import Schedule
from uag.models.cached_lm import check_verifies
from uag.models.compiled import ModelRunner, compile_backend
from uag.models.loading import check_belongs, check_model
from uag.requests.chat import Chat
from uag.requests.named_models import load_pair
from uag.requests.options import is_option
from uag.requests.padded_rows import AssistedOutput, Rows
from uag.requests.prompt import Prompt, several
from uag.requests.request import RequestReader
from uag.requests.transformers_call import check_call, check_config, generate_call
from uag.sampling.method import COUPLED, SamplingMethod
from uag.translation.bridge import Bridge, SpecialPairs
from uag.translation.chat_template import Message
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
        schedule, backend = Schedule(lookahead), compile_backend(compile)
        check_model(model, TARGET)
        target = ModelRunner(model, backend)
        target.new_cache()  # refuses what cannot be rolled back
        side = draft_side(assistant, assistant_tokenizer, lookup, schedule, backend)
        if side.drafts:
            check_verifies(model)
        self.model = model
        self.tokenizer = tokenizer
        self.assistant = side.assistant
        # Without an assistant the target's own tokenizer stands in, so that the loop is the same.
        self.assistant_tokenizer = tokenizer if assistant_tokenizer is None else assistant_tokenizer
        self.lookup = side.lookup
        self.compile = compile
        pairs = [*(special_pairs or ()), *side.end_pairs(model, tokenizer)]
        self.bridge = Bridge(tokenizer, self.assistant_tokenizer, pairs)
        check_belongs(model, self.bridge.target, TARGET)
        side.check(model, self.bridge)
        drafting = None if side.runner is None else side.runner.model
        method = SamplingMethod(self.bridge, model, drafting, sampling, draft_temperature)
        both = tokenizer, self.assistant_tokenizer
        self._requests = RequestReader(model, *both, self.bridge)
        self._engine = Engine(target, side, self.bridge, both, schedule, method)

    @property
    def lookahead(self) -> int | str | Lookahead:
        """How many assistant ids to draft each round; another value holds from the next call."""
        return self._engine.schedule.option

    @lookahead.setter
    def lookahead(self, option: int | str | Lookahead) -> None:
        self._engine.schedule = Schedule(option)

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
        Schedule(lookahead)  # a mistake in it shows before gigabytes are read
        options["trust_remote_code"] = trust_remote_code
        pair = load_pair(target, assistant, options=options, assistant_options=assistant_options)
        return cls(
            *pair,
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
    def generate(self, prompt: Sequence[Prompt], **options: Any) -> list[Output]: ...

    def generate(
        self,
        prompt: Prompt | Sequence[Prompt],
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
        requests = self._requests.read(
            prompts or [cast("Prompt", prompt)],
            options,
            count=num_return_sequences,
            seed=seed,
            trace=trace,
        )
        outputs = self._engine.run(requests, seed, batch_size, streamer)
        return outputs if prompts or num_return_sequences is not None else outputs[0]

    @overload
    def chat(
        self, messages: Sequence[Message], *, num_return_sequences: None = None, **options: Any
    ) -> Output: ...

    @overload
    def chat(
        self, messages: Sequence[Message], *, num_return_sequences: int, **options: Any
    ) -> list[Output]: ...

    def chat(
        self,
        messages: Sequence[Message],
        *,
        num_return_sequences: int | None = None,
        **options: Any,
    ) -> Output | list[Output]:
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
            num_return_sequences: see `generate`.
            options: options of `apply_chat_template` (`tools`, `documents`, `chat_template`),
                variables of the templates (`enable_thinking`), and arguments of `generate`. `tools`
                and the variables go to both templates, `chat_template` is the target's.

        Raises:
            PromptError: if the target has no template, it knows no tools but is given some, or it
                cannot render the messages.
            OptionError: for an option that neither `generate` nor a template knows.
        """
        of_generation = {name: value for name, value in options.items() if is_option(name)}
        of_templates = {name: value for name, value in options.items() if not is_option(name)}
        count = num_return_sequences
        return self.generate(
            Chat(messages, **of_templates), num_return_sequences=count, **of_generation
        )

    def stream(
        self, prompt: Prompt, *, seed: int | None = None, trace: bool = False, **options: Any
    ) -> TextStream:
        """Continue a prompt, a piece of text at a time, as soon as its characters are complete.

        The pieces joined are the `text` of `generate`. Arguments and errors are those of
        `generate`; the arguments are checked before the first piece is asked for.
        """
        (request,) = self._requests.read([prompt], options, seed=seed, trace=trace)
        return self._engine.start(request, seed)

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
        of_call = call.get("streamer")
        outputs = self._engine.run(
            requests := self._requests.rows(rows),
            seed,
            len(requests),  # as many at a time as transformers would take
            streamer or of_call,
            has_prompt=of_call is not None,
        )
        return rows.output(outputs)
