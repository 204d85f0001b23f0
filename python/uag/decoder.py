"""`SpeculativeDecoder`: the public interface to decoding with a target and an assistant."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, cast, overload

from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    PreTrainedModel,
    ProcessorMixin,
    StoppingCriteriaList,
)
from transformers.generation.streamers import BaseStreamer

from uag.batching.session import TARGET
from uag.decoding.output import Output, TextStream
from uag.decoding.stop_strings import StopStrings
from uag.drafting.custom import Drafter
from uag.drafting.lookup import Lookup
from uag.drafting.sides import draft_side, model_name, switched_off
from uag.engine import Engine
from uag.errors import OptionError
from uag.limits import check_limits
from uag.lookahead.protocol import Lookahead
from uag.lookahead.schedules import Schedule
from uag.models.check.way import way_of
from uag.models.engines.choice import AUTO, EngineChoice
from uag.models.prefill import Prefill, held_by, media_in
from uag.models.properties import end_ids
from uag.models.suitable import check_belongs, check_model
from uag.models.wrappers import AnyModel, check_defaults, language_model
from uag.requests.asked import warn_idle
from uag.requests.named_models import TokenizerSource, load_pair
from uag.requests.options import is_option
from uag.requests.padded_rows import AssistedOutput, Rows
from uag.requests.prompts.chat import Chat
from uag.requests.prompts.ids import Prompt, several
from uag.requests.prompts.reader import PromptReader
from uag.requests.request import RequestReader
from uag.requests.transformers_call import Prepared, check_call, generate_call
from uag.sampling.method import COUPLED, SamplingMethod
from uag.translation.bridge import Both, Bridge, SpecialPairs, as_pairs
from uag.translation.chat_template import Message
from uag.translation.tokenizers import AnyTokenizer, tokenizer_in, unshortened
from uag.values import is_whole, shown

DEFAULT_LOOKAHEAD = "auto"
# How many generations are decoded at the same time by default.
BATCH_SIZE = 16


class SpeculativeDecoder:
    """Speculative decoding of a target model with an assistant that may have another tokenizer.

    The assistant drafts tokens, and the target verifies them in one forward pass. The output is the
    target's own: with greedy decoding the ids that the target alone would generate, and when
    sampling, tokens from exactly the target's distribution. In floating point, passes of different
    widths round differently, so where two tokens' scores are nearly equal the choice may differ.

    The decoder changes neither models nor tokenizers, and keeps no state of a generation between
    calls unless `prefix_cache` asks for it. It can be used again after an error or an interrupt.
    Threads may share it; it can be copied and pickled, with its models.

    >>> decoder = SpeculativeDecoder(target, target_tokenizer, assistant, assistant_tokenizer)
    >>> out = decoder.generate("Once upon a time", max_new_tokens=8)
    >>> pieces = decoder.stream("Once upon a time", max_new_tokens=8)
    >>> len(out.token_ids), out.text == "".join(pieces)
    (8, True)

    Args:
        model: the target, a decoder-only transformers model; or a wrapper of one: a `PeftModel`,
            what `torch.compile` returns, or a `DataParallel`.
        tokenizer: the target's tokenizer: a fast one of transformers, or a `tokenizers.Tokenizer`;
            or its processor, if chats may have images.
        assistant: what drafts. One of:

            - a smaller decoder-only transformers model, or a wrapper of one;
            - "lookup", to copy from the prompt and output so far;
            - a `Lookup`, to copy from these and from other texts;
            - an object with the method of `Drafter`, which proposes text or ids by any rule;
            - `None` (default), to decode without drafts.
        assistant_tokenizer: the assistant's tokenizer, required for an assistant model. For a
            `Drafter` it gives the vocabulary of the ids that are proposed; without it these are ids
            of the target.
        lookup: texts to copy drafts from, in addition to the assistant's drafts; each round uses
            the more promising of the two. `True` for the prompt and output so far, a `Lookup` for
            other texts too, `False` for the assistant alone. `None` (default) means `True` for an
            assistant model with lookahead "auto", else `False`.
        lookahead: how many assistant ids to draft in each round. "auto" (default) drafts as many
            as pay by measured cost and acceptance, or none; a number drafts as many always;
            "heuristic" is transformers' schedule; or an object with the methods of `Lookahead`.
        special_pairs: pairs (target token, assistant token) of special tokens that mean the same,
            such as the markers of a chat format; each as an id or as its content. End-of-text
            tokens are always paired.
        draft_temperature: when sampling, the assistant's temperature as a fraction of the target's;
            `None` (default) adapts it to how often drafts are accepted with "coupled" sampling, and
            is 1 with "rejection". It does not change the distribution of the output.
        sampling: how drafts are sampled and verified with `do_sample=True`; both methods sample
            exactly from the target's distribution. "coupled" (default): the assistant samples with
            the target's noise, so that a seed gives the same output with any assistant or none.
            "rejection": rejection sampling on the tokens that both vocabularies share, which
            accepts more for some pairs whose vocabularies overlap well; the output for a seed
            depends on the drafts.
        tree: the most target ids to verify in a pass as a tree, from 2 to 31. Beside each drafted
            id, others that the assistant found likely at its place are verified as well. So more
            ids are accepted and passes are wider. A number of drafted ids as `lookahead` uses that
            many always, "auto" as many as pay. 0 (default) verifies only what was drafted. So it is
            in any case where a model cannot read trees or is compiled, where texts share passes,
            after images, for a `Drafter`, and for "rejection". A warning says so once, and
            `Stats.chains` for each text. It does not change the output.
        engine: how both models run; `Stats.engines` says how they did. One of:

            - "auto" (default): "graphs" on a CUDA device, else "eager";
            - "eager": by transformers' own code, launched in each pass;
            - "graphs": by CUDA graphs of that code, captured at the first pass of each of a few
              widths, of one text or of several that share passes, with KV caches in buffers of
              fixed size. A model that cannot be captured runs eagerly;
            - "compile": see `compile`.
        compile: whether to run both models through `torch.compile`, with KV caches in buffers of
            fixed size; or the name of a backend, such as "cudagraphs". Default `False`. The first
            pass of each of a few widths takes seconds (`Stats.compile_seconds`), so it pays on a
            GPU or for many generations. A model that cannot be compiled runs eagerly.
        prefix_cache: bytes for the KV caches of ended texts, from which later texts that begin
            alike go on, as the next turn of a chat does (prefix caching). Default 0: memory that
            stays taken between calls is for the caller to grant. What is unused for the longest
            time goes first, and all of it if the weights change. Texts of one call that share
            passes take over common beginnings from each other without it.

    Attributes:
        model, lookahead, compile: as given.
        engine: the engine that was asked for; "compile" also if `compile` asked for it.
        tokenizer: as given, or that of the processor.
        processor: the target's processor; `None` if its tokenizer was given.
        assistant: the model or `Drafter`; `None` for lookups alone.
        sampling: the method in use: "coupled", or "rejection" with an assistant model.
        assistant_tokenizer: as given; without one, the target's.
        lookup: the `Lookup` in use, also if it is the assistant; `None` without one.
        bridge: the translation between both vocabularies.

    Raises:
        UnsupportedModelError: for an encoder-decoder, a model whose cache cannot be rolled back, a
            model without weights (on the meta device), or an assistant of an unknown type.
        UnsupportedTokenizerError: for a slow (Python-only) tokenizer, one that does not belong to
            its model, an assistant model without a tokenizer, or a special pair with an unknown
            token.
        OptionError: for a lookahead below 1, a draft_temperature that is not above 0, an unknown
            `sampling`, an unknown engine or backend, two engines, two lookups (`assistant` and
            `lookup`), a `tree` of more than 31, or `special_pairs` that are no pairs.
    """

    def __init__(
        self,
        model: AnyModel,
        tokenizer: AnyTokenizer | ProcessorMixin,
        assistant: AnyModel | Drafter | Lookup | str | None = None,
        assistant_tokenizer: AnyTokenizer | ProcessorMixin | None = None,
        *,
        lookup: Lookup | bool | None = None,
        lookahead: int | str | Lookahead = DEFAULT_LOOKAHEAD,
        special_pairs: SpecialPairs | None = None,
        draft_temperature: float | None = None,
        sampling: str = COUPLED,
        tree: int = 0,
        engine: str = AUTO,
        compile: bool | str = False,
        prefix_cache: int = 0,
    ) -> None:
        check_limits({"tree": tree})
        schedule, choice = Schedule(lookahead), EngineChoice.of(engine, compile)
        inner = language_model(model, TARGET)
        check_model(inner, TARGET)
        processor = tokenizer if isinstance(tokenizer, ProcessorMixin) else None
        tokenizer = tokenizer_in(tokenizer)
        assistant_tokenizer = assistant_tokenizer and tokenizer_in(assistant_tokenizer)
        target = choice.runner(inner)
        target.new_cache()  # refuses what cannot be rolled back
        # A tokenizer that truncates or pads would cut prompts: it is copied, and never changed.
        # Without an assistant the target's own tokenizer stands in, so that the loop is the same.
        given = Both(tokenizer, tokenizer if assistant_tokenizer is None else assistant_tokenizer)
        own = unshortened(tokenizer)
        other = own if given.assistant is tokenizer else unshortened(given.assistant)
        side = draft_side(
            assistant, None if assistant_tokenizer is None else other, lookup, schedule, choice
        )
        if side.drafts and not (way := way_of(inner)).together:
            side = switched_off(inner, way)
        # A wrapper passes on what it lacks itself.
        self.model = cast("PreTrainedModel", model)
        self.tokenizer = tokenizer
        self.processor = processor
        self.assistant = side.assistant
        self.assistant_tokenizer = given.assistant
        self.lookup = side.lookup
        self.engine = choice.name
        self.compile = compile
        pairs = [*as_pairs(special_pairs), *side.end_pairs(end_ids(inner, own), own)]
        self.bridge = Bridge(own, other, pairs)
        check_belongs(inner, self.bridge.target, TARGET)
        side.check(inner, self.bridge)
        drafting = None if side.runner is None else side.runner.model
        method = SamplingMethod(self.bridge, inner, drafting, sampling, draft_temperature)
        self.sampling = method.name
        self._options: dict[str, Any] = {
            "lookup": side.lookup or False,
            "special_pairs": special_pairs,
            "draft_temperature": draft_temperature,
            "sampling": method.name,
            "tree": tree,
            "engine": choice.name,
            "compile": compile,
        }
        prompts = PromptReader(inner, own, other, self.bridge, processor)
        self._requests = RequestReader(prompts)
        self._engine = Engine(target, side, self.bridge, given, schedule, method, tree)
        self.prefix_cache = prefix_cache

    def __repr__(self) -> str:
        drafts = [] if self.assistant is None else [model_name(self.assistant)]
        drafts += [] if self.lookup is None else [repr(self.lookup)]
        return (
            f"{type(self).__name__}({model_name(self.model)} <- {' + '.join(drafts) or 'no drafts'}"
            f", lookahead={self.lookahead!r}, sampling={self.sampling!r})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles and copies as what it was built from, and is built again where it arrives.

        `copy.copy` shares models and tokenizers; `copy.deepcopy` and `pickle` take them along.
        What was measured of the two models stays behind.
        """
        options = self._options | {"lookahead": self.lookahead, "prefix_cache": self.prefix_cache}
        words = self.processor or self.tokenizer
        given = self.model, words, self.assistant, self.assistant_tokenizer
        return _rebuilt, (type(self), given, options)

    @property
    def parts(self) -> tuple[RequestReader, Engine]:
        """What reads requests, and what runs them: for other loops than a call's, as a server's."""
        return self._requests, self._engine

    @property
    def engines(self) -> dict[str, str]:
        """How "target" and "assistant" run a text now; see `Stats.engines`.

        >>> decoder.engines
        {'target': 'eager', 'assistant': 'eager'}
        """
        return {role: str(runner) for role, runner in self._engine.runners.items()}

    @property
    def lookahead(self) -> int | str | Lookahead:
        """How many assistant ids to draft each round; another value holds from the next call."""
        return self._engine.schedule.option

    @lookahead.setter
    def lookahead(self, option: int | str | Lookahead) -> None:
        self._engine.schedule = Schedule(option)

    @property
    def prefix_cache(self) -> int:
        """Bytes for the KV caches of ended texts; 0 gives them all back.

        >>> decoder.prefix_cache = 100_000_000
        >>> text = "Once upon a time, there was a little girl who liked to play in the park. " * 3
        >>> outs = [decoder.generate(text, max_new_tokens=8) for _ in range(2)]
        >>> decoder.prefix_cache = 0
        >>> outs[0].text == outs[1].text, outs[1].stats.cached_tokens > 32
        (True, True)
        """
        return self._engine.kept.budget

    @prefix_cache.setter
    def prefix_cache(self, bytes: int) -> None:
        if not is_whole(bytes):
            raise OptionError(f"prefix_cache={shown(bytes)}: it must be a number of bytes, or 0")
        self._engine.kept.budget = int(bytes)
        self._engine.kept.shrink(int(bytes))

    @classmethod
    def from_pretrained(
        cls,
        target: str | Path,
        assistant: str | Path | Lookup | None = None,
        *,
        tokenizer: TokenizerSource | None = None,
        assistant_tokenizer: TokenizerSource | None = None,
        lookup: Lookup | bool | None = None,
        lookahead: int | str | Lookahead = DEFAULT_LOOKAHEAD,
        special_pairs: SpecialPairs | None = None,
        draft_temperature: float | None = None,
        sampling: str = COUPLED,
        tree: int = 0,
        engine: str = AUTO,
        compile: bool | str = False,
        prefix_cache: int = 0,
        trust_remote_code: bool = False,
        assistant_options: dict[str, Any] | None = None,
        **options: Any,
    ) -> Self:
        """Build a decoder from the hub names or folders of both models.

        The first time, models are downloaded from the hub.

        >>> decoder = SpeculativeDecoder.from_pretrained(               # doctest: +SKIP
        ...     "google/gemma-2-9b", "double7/vicuna-68m", dtype="bfloat16", device_map="cuda"
        ... )

        Args:
            target: hub name or folder of the target.
            assistant: hub name or folder of the assistant; "lookup" or a `Lookup` (see the class);
                `None` (default) to decode without drafts.
            tokenizer: the target's tokenizer or its name, if it is in another place.
            assistant_tokenizer: the same for the assistant.
            lookup: see the class.
            lookahead: see the class.
            special_pairs: see the class.
            draft_temperature: see the class.
            sampling: see the class.
            tree: see the class.
            engine: see the class.
            compile: see the class.
            prefix_cache: see the class.
            trust_remote_code: whether to run Python code that comes with the models.
            assistant_options: further options of the assistant, or other ones than the target's,
                such as its own `revision`, `dtype` or `device_map`.
            options: passed to `from_pretrained` of both models, such as `dtype` and `device_map`;
                those of files, such as `token` and `cache_dir`, also to that of both tokenizers.
                `revision`, `code_revision`, `subfolder`, `gguf_file` and `variant` name something
                in the target's repository: they reach the target and its tokenizer alone.
                Weights that are not in safetensors format can run code when they are loaded, so
                they are refused unless `use_safetensors` is `False` or `None` (`None` is
                transformers' default: either format).

        Raises:
            LoadError: if a model or tokenizer cannot be loaded; it names what is absent or damaged.
            UagError: for what the class itself refuses.
        """
        Schedule(lookahead)  # raises for a wrong value before gigabytes are loaded
        options["trust_remote_code"] = trust_remote_code
        pair = load_pair(
            target,
            assistant,
            tokenizer=tokenizer,
            assistant_tokenizer=assistant_tokenizer,
            options=options,
            assistant_options=assistant_options,
        )
        return cls(
            *pair,
            lookup=lookup,
            lookahead=lookahead,
            special_pairs=special_pairs,
            draft_temperature=draft_temperature,
            sampling=sampling,
            tree=tree,
            engine=engine,
            compile=compile,
            prefix_cache=prefix_cache,
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
        batch_size: int | None = BATCH_SIZE,
        streamer: BaseStreamer | None = None,
        trace: bool = False,
        **options: Any,
    ) -> Output | list[Output]:
        """Continue a prompt; or several prompts, which share forward passes.

        In a batch, each generation accepts its own number of ids in a round, and leaves when it
        ends. Its output is the one that it would have alone, but for rounding where scores are
        nearly equal.

        With `do_sample=True` tokens are sampled from the target's distribution, shaped by
        `temperature`, `top_p` and the like as in transformers. With "coupled" sampling, the output
        for a seed is the same with any assistant, with any lookahead, and without drafts.

        >>> outs = decoder.generate(["Once", "One day"], do_sample=True, seed=1, max_new_tokens=8)
        >>> outs[1].token_ids == decoder.generate(
        ...     "One day", do_sample=True, seed=1, max_new_tokens=8
        ... ).token_ids
        True

        Args:
            prompt: a `str`, or the `Path` of a text; target ids, as a list, or as a tensor or array
                of shape `[length]` or `[1, length]`; what the target's tokenizer or processor
                returns, with images too; the messages of a chat, or a `Chat`. A list of several of
                these gives a list of outputs, and so do ids of shape `[rows, length]`, padded on
                the left. Prompts with images are decoded one after the other.
            num_return_sequences: how many continuations to sample of each prompt (default: one).
                If given, the result is a list, in the order of the prompts, with the continuations
                of each prompt one after the other. More than one needs `do_sample=True`.
            seed: a number from 0 to 2**63 - 1 that determines the sampled tokens. Different seeds,
                prompts and continuations of the same prompt are sampled independently. `None`
                (default) takes a seed from torch's generator, which `torch.manual_seed` sets;
                `Output.seed` says which.
            batch_size: how many generations are decoded at the same time, at most (default 16).
                When one ends, the next begins. Each needs memory for its KV caches.
            streamer: a streamer of transformers, for a single generation. It gets the prompt, and
                then ids as soon as they are emitted and complete a character.
            trace: whether to record each round, id by id, in `Output.trace`.
            options: generation options under transformers' names: `max_new_tokens`,
                `stop_strings`, `eos_token_id`, `temperature`, `top_p`, `repetition_penalty`,
                `logits_processor`, ... Those left out come from the target's `generation_config`.
                Of several texts, each has its own copies of processors and criteria; a
                `prefix_allowed_tokens_fn` is told the text's number.

        Returns:
            An `Output`; or a list, for several prompts or with `num_return_sequences`.

        Raises:
            PromptError: for a prompt that is empty, too long or has ids outside the vocabulary, and
                for one with images that the target cannot read, or of several rows.
            OptionError: for an option that is unknown, out of range or not supported, and for a
                processor or criterion that would have to be copied and cannot be.
            LogitsError: if the target's logits are NaN, or the options allow no token.
        """
        prompts = several(prompt)
        check_limits({"batch_size": batch_size, "streamer": streamer, "trace": trace})
        check_defaults(self.model, self._requests.prompts.model)
        requests = self._requests.read(
            prompts or [cast("Prompt", prompt)],
            options,
            count=num_return_sequences,
            seed=seed,
            trace=trace,
        )
        outputs = self._engine.run(requests, seed, batch_size or BATCH_SIZE, streamer)
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
        """Generate the reply to a chat, with each model prompted by its own chat template.

        The output is that of `model.generate` on `tokenizer.apply_chat_template(messages,
        add_generation_prompt=True)`. An assistant without a template reads the chat as plain text.
        If the last message has the role "assistant", it is continued.

        >>> messages = [{"role": "user", "content": "Tell me a story."}]
        >>> template = "{% for message in messages %}{{ message.content }}{% endfor %}"
        >>> out = decoder.chat(messages, chat_template=template, max_new_tokens=8)
        >>> out.token_ids == decoder.generate("Tell me a story.", max_new_tokens=8).token_ids
        True

        Args:
            messages: dicts with "role" and "content", as for `apply_chat_template`; with images if
                the decoder was given the target's processor.
            num_return_sequences: see `generate`.
            options: arguments of `generate`, options of `apply_chat_template` (`tools`,
                `documents`, `chat_template`), and variables of the templates (`enable_thinking`).
                `chat_template` is for the target only; the other template options are for both.

        Returns:
            An `Output`; or a list, with `num_return_sequences`.

        Raises:
            PromptError: if the target has no chat template, its template does not support the given
                `tools`, or it cannot render the messages.
            OptionError: for an option that neither `generate` nor a template knows.
            LogitsError: see `generate`.
        """
        generation_options = {name: value for name, value in options.items() if is_option(name)}
        template_options = {name: value for name, value in options.items() if not is_option(name)}
        count = num_return_sequences
        return self.generate(
            Chat(messages, **template_options), num_return_sequences=count, **generation_options
        )

    def stream(
        self, prompt: Prompt, *, seed: int | None = None, trace: bool = False, **options: Any
    ) -> TextStream:
        """Continue a prompt, giving the new text piece by piece as it is decoded.

        Every piece consists of whole characters, and all pieces joined are the `text` of
        `generate`. Prompt and options are checked at once; decoding runs while the stream is read.

        >>> for piece in decoder.stream("Once upon a time", max_new_tokens=8):
        ...     print(piece, end="", flush=True)                        # doctest: +SKIP

        Args:
            prompt: one prompt, see `generate`.
            seed: see `generate`.
            trace: whether to record each round, id by id, in `TextStream.trace`.
            options: see `generate`.

        Raises:
            PromptError: see `generate`.
            OptionError: see `generate`.
            LogitsError: see `generate`; raised while the stream is read.
        """
        check_limits({"trace": trace})
        check_defaults(self.model, self._requests.prompts.model)
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
        """Decode for transformers: `model.generate(**inputs, custom_generate=decoder)`.

        transformers calls this method in place of its own decoding loop; it also works in
        pipelines. Arguments and result are those of `model.generate`, plus `seed`.

        >>> inputs = target_tokenizer("Once upon a time", return_tensors="pt")
        >>> ids = target.generate(**inputs, max_new_tokens=8, custom_generate=decoder)
        >>> bool((ids == target.generate(**inputs, max_new_tokens=8)).all())
        True

        Args:
            model: the decoder's target.
            input_ids: `[rows, length]`, padded on the left.
            logits_processor: prepared by `model.generate`.
            stopping_criteria: prepared by `model.generate`.
            generation_config: prepared by `model.generate`.
            seed: see `generate`.
            stop_strings: as in transformers, but without the argument `tokenizer`.
            streamer: for a single row; by default the one given to `model.generate`.
            model_kwargs: inputs of the model prepared by `model.generate`. Of a text only
                `attention_mask` is used, which marks the padding; a prompt with images is read with
                all of them.

        Returns:
            Ids of shape `[rows, length]`, prompts included; with `return_dict_in_generate=True` an
            `AssistedOutput`.

        Raises:
            OptionError: for another model than the decoder's, beam search and other methods of
                decoding that are not supported, inputs that are not supported, several rows with
                images, or a streamer with several rows.
            PromptError: for rows that are not padded on the left, are empty or too long.
            LogitsError: see `generate`.
        """
        call = generate_call(input_ids)
        check_call(self._requests.prompts.model, model, input_ids, call, streamer, model_kwargs)
        mask = model_kwargs.get("attention_mask")
        prepared = Prepared(input_ids, mask, generation_config, logits_processor)
        prepared = prepared.supported(model, call)
        check_limits({"seed": seed, "stop_strings": stop_strings, "streamer": streamer})
        if stop_strings is not None:
            strings = StopStrings(self._requests.prompts.tokenizer, stop_strings)
            stopping_criteria = StoppingCriteriaList([*stopping_criteria, strings])
        rows = Rows(
            model,
            prepared.input_ids,
            prepared.attention_mask,
            prepared.config,
            prepared.processors,
            stopping_criteria,
        )
        prefill = None
        if media_in(model_kwargs):
            prefill = Prefill(prepared.input_ids, prepared.config, model_kwargs, held_by(model))
        requests = self._requests.rows(rows, prefill)
        if requests[0].plan.sampling is None and "do_sample" not in call.options:
            warn_idle({} if seed is None else {"seed": seed})
        outputs = self._engine.run(
            requests,
            seed,
            len(requests),  # all rows at the same time, as in transformers
            streamer or call.streamer,
            has_prompt=call.streamer is not None,
        )
        return rows.output(outputs)


def _rebuilt(
    kind: type[SpeculativeDecoder], given: Sequence[Any], options: dict[str, Any]
) -> SpeculativeDecoder:
    return kind(*given, **options)
