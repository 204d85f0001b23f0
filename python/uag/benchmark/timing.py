"""A comparison while it is being made: run by run, with its numbers at any time."""

from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from uag.batching.session import TARGET
from uag.benchmark.comparison import Comparison
from uag.benchmark.explanation import differences
from uag.benchmark.methods import assistant_for_transformers, assistant_settings, timed_methods
from uag.benchmark.prompts import read_prompts
from uag.decoder import SpeculativeDecoder
from uag.errors import PromptError
from uag.limits import check_limits, check_positive
from uag.models.wrappers import language_model
from uag.requests.prompts.ids import target_ids
from uag.translation.tokenizers import AnyTokenizer


class Timing:
    """The runs of a comparison, one at a time; what was measured so far is there at any time.

    >>> timing = Timing(decoder, "Once upon a time", runs=1, max_new_tokens=8)
    >>> for _ in timing.runs():
    ...     if timing.done == 4:
    ...         break  # of six: a warm-up of each method, then plain decoding
    >>> partial = timing.result()
    >>> partial.interrupted, [method.name for method in partial.methods if method.runs]
    ((4, 6), ['plain'])

    Attributes:
        done: the number of runs that were made, with warm-ups.
        total: the number of all runs.
    """

    def __init__(
        self,
        decoder: SpeculativeDecoder,
        prompts: str | Path | Sequence[str],
        *,
        runs: int = 3,
        max_new_tokens: int = 128,
        with_transformers: bool = True,
        num_assistant_tokens: int | None = None,
        temperature: float | None = None,
        seed: int = 0,
    ) -> None:
        """The arguments of `uag.compare`, with its errors; nothing runs yet."""
        check_positive(
            runs=runs, max_new_tokens=max_new_tokens, num_assistant_tokens=num_assistant_tokens
        )
        check_limits({"temperature": temperature, "seed": seed})
        self._decoder = decoder
        self._target = language_model(decoder.model, TARGET)
        self._texts = _read(self._target, decoder.tokenizer, prompts)
        sampled = temperature is not None
        # Always given, as a model's own generation defaults may ask for sampling.
        self._options: dict[str, Any] = {"max_new_tokens": max_new_tokens, "do_sample": sampled}
        self._options |= {"temperature": temperature} if sampled else {}
        self._decoding = _decoding(self._target, temperature, seed)
        self._hints: dict[str, None] = {}  # a set in the order in which they came
        self._assistant = (
            assistant_for_transformers(decoder, sampled=sampled) if with_transformers else None
        )
        self._num_assistant_tokens = num_assistant_tokens
        self._methods = timed_methods(
            decoder,
            self._assistant,
            self._options,
            seed,
            with_transformers=with_transformers,
            hints=self._hints,
        )
        # The first repetition is a warm-up on one prompt.
        self._schedule = [self._texts[:1], *[self._texts] * runs]
        self.done, self.total = 0, sum(map(len, self._schedule)) * len(self._methods)

    def runs(self) -> Generator[None]:
        """Make all runs, and yield after each of them. Once only."""
        with assistant_settings(self._assistant, self._num_assistant_tokens):
            for repetition in self._schedule:
                for method in self._methods:
                    method.runs.append([])
                for text in repetition:
                    for method in self._methods:
                        method.decode_once(text)
                        self.done += 1
                        yield

    @property
    def just_warmed_up(self) -> bool:
        """Whether each method has now decoded once, so that `seconds_left` begins to know."""
        return self.done == len(self._methods)

    @property
    def at_a_prompts_end(self) -> bool:
        """Whether each method has decoded as often as the others."""
        return self.done % len(self._methods) == 0

    def seconds_left(self) -> float | None:
        """How long the runs that are left will take, by the mean of those made so far.

        `None` until each method has decoded once.
        """
        means = [method.seconds_a_run() for method in self._methods]
        each = self.total // len(self._methods)
        rounds, begun = divmod(self.done, len(self._methods))
        left = [each - rounds - (index < begun) for index in range(len(means))]
        known = [mean for mean in means if mean is not None]
        if len(known) < len(means):
            return None
        return sum(mean * count for mean, count in zip(known, left, strict=True))

    def comparison(self) -> Comparison:
        """What was measured so far."""
        return Comparison(
            [text for text, _ in self._texts],
            [method.result() for method in self._methods],
            self._decoding,
            [*self._hints],
            None if self.done == self.total else (self.done, self.total),
        )

    def result(self) -> Comparison:
        """What was measured so far, and where outputs differ.

        That takes a forward pass of the target for each method whose output differs.
        """
        found = self.comparison()
        return replace(
            found,
            differences=differences(
                found, [ids for _, ids in self._texts], self._target, self._decoder.tokenizer
            ),
        )


def _decoding(model: PreTrainedModel, temperature: float | None, seed: int) -> str:
    """Whether the methods decode greedily or sample, and why."""
    if temperature is not None:
        return f"sampled at temperature {temperature:g}, uag with seed {seed}"
    own = bool(getattr(model.generation_config, "do_sample", None))
    though = ", though the target's own generation defaults sample" if own else ""
    return f"greedy, as no temperature is given{though}"


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
