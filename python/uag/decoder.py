"""The front door: two models, one text."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from transformers import PreTrainedModel

from uag.bridge import Bridge, SpecialPairs
from uag.drafter import Drafter, ModelDrafter, NoDrafter
from uag.errors import UagWarning, UnsupportedModelError, UnsupportedTokenizerError
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
from uag.options import plan_generation
from uag.prompt import Prompt, assistant_ids, target_ids
from uag.stats import Round, Stats
from uag.text import TextDecoder
from uag.verify import greedy_verifier

DEFAULT_LOOKAHEAD = 5


@dataclass(frozen=True, slots=True)
class Output:
    """A continuation.

    Attributes:
        text: the new text, without the prompt and without special tokens.
        token_ids: the new target ids, with the end-of-text id if one was reached.
        stats: rounds, drafted and accepted ids, seconds.
    """

    text: str
    token_ids: list[int]
    stats: Stats


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
        lookahead: how many assistant ids to draft each round: a number, "heuristic" (transformers'
            schedule), or an object with `next_k()` and `update(drafted, accepted)`.
        special_pairs: (target token, assistant token) that mean the same, such as the markers of a
            chat format, by id or content. End-of-text tokens are paired anyway.

    Raises:
        UnsupportedModelError: for an encoder-decoder, or a model whose state cannot be taken back.
        UnsupportedTokenizerError: for a Python-only tokenizer, or one that is not its model's.
        OptionError: for a lookahead below 1.
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
        check_model(model)
        CachedLM(model)  # refuses what it cannot drive
        pairs = list(special_pairs or ())
        if assistant is not None:
            if assistant_tokenizer is None:
                raise UnsupportedTokenizerError(
                    "an assistant was given without assistant_tokenizer; give its own"
                )
            check_model(assistant)
            CachedLM(assistant)
            _check_verifies(model)
            _warn_if_larger(assistant, model)
            pairs += _end_pairs(
                end_ids(model, tokenizer), end_ids(assistant, self.assistant_tokenizer)
            )
        self.bridge = Bridge(tokenizer, self.assistant_tokenizer, pairs)
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
        trust_remote_code: bool = False,
        **options: Any,
    ) -> Self:
        """Load both models and their tokenizers by hub name or folder.

        Args:
            target: hub name or folder of the target.
            assistant: hub name or folder of the assistant; `None` to decode plainly.
            lookahead: see the class.
            special_pairs: see the class.
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
        )

    def generate(self, prompt: Prompt, **options: Any) -> Output:
        """Continue a prompt.

        Args:
            prompt: text, or target ids as a list or as a tensor of one row.
            options: transformers' own generation options (`max_new_tokens`, `stop_strings`,
                `eos_token_id`, `repetition_penalty`, `logits_processor`, ...); defaults are
                those of the target's `generation_config`. Decoding is greedy.

        Raises:
            PromptError: for a prompt that is empty, too long or has unknown ids.
            OptionError: for an option that is unknown, out of range or not supported.
        """
        stats = Stats()
        text = "".join(self._pieces(*self._start(prompt, options, stats)))
        return Output(text, [id for done in stats.history for id in done.tokens], stats)

    def stream(self, prompt: Prompt, **options: Any) -> Iterator[str]:
        """Continue a prompt, a piece of text at a time, as soon as its characters are complete.

        The pieces joined are the `text` of `generate`. Arguments and errors are those of
        `generate`; the arguments are checked before the first piece is asked for.
        """
        return self._pieces(*self._start(prompt, options, Stats()))

    def _pieces(self, prompt: list[int], generation: Iterator[Round]) -> Iterator[str]:
        text = TextDecoder(self.bridge.target)
        text.add(prompt)
        for done in generation:
            if piece := text.add(done.tokens):
                yield piece
        if piece := text.end():
            yield piece

    def _start(
        self, prompt: Prompt, options: dict[str, Any], stats: Stats
    ) -> tuple[list[int], Iterator[Round]]:
        """The prompt's target ids and the rounds to come: all is checked, nothing has run."""
        target_prompt = target_ids(prompt, self.tokenizer, self.model)
        assistant_prompt = assistant_ids(
            prompt if isinstance(prompt, str) else target_prompt,
            self.assistant_tokenizer,
            self.bridge,
        )
        plan = plan_generation(self.model, self.tokenizer, target_prompt, options)
        target = CachedLM(self.model)
        target.append(target_prompt)
        generation = rounds(
            target,
            self._drafter(assistant_prompt),
            self.bridge.start(target_prompt, assistant_prompt),
            greedy_verifier(plan.processors),
            plan.stop,
            lookahead_from(self.lookahead),
        )
        return target_prompt, _counted(generation, target, stats)

    def _drafter(self, prompt: list[int]) -> Drafter:
        if self.assistant is None:
            return NoDrafter()
        lm = CachedLM(self.assistant, context_window(self.assistant))
        lm.append(prompt)
        return ModelDrafter(lm, frozenset(end_ids(self.assistant, self.assistant_tokenizer)))


def _counted(generation: Iterator[Round], target: CachedLM, stats: Stats) -> Iterator[Round]:
    """The same rounds, entered into `stats` as they come."""
    for done in generation:
        stats.history.append(done)
        stats.target_forwards = target.forwards
        yield done


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
