"""Times plain decoding, transformers' assisted generation and uag on the same prompts."""

from collections.abc import Callable, Sequence
from pathlib import Path

from uag.benchmark.comparison import Comparison
from uag.benchmark.timing import Timing
from uag.decoder import SpeculativeDecoder

PROMPTS = (
    "Once upon a time, there was a little girl named Lily.",
    "One day, a boy and his dog went to the park.",
    "Tom had a big red ball. He liked to play with it",
    "The cat was very hungry, so she",
    "It was a sunny day. Ben and his mom",
)


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
    `uag.benchmark.timing.Timing` makes the same runs one at a time, with the numbers at any time.

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
    timing = Timing(
        decoder,
        prompts,
        runs=runs,
        max_new_tokens=max_new_tokens,
        with_transformers=with_transformers,
        num_assistant_tokens=num_assistant_tokens,
        temperature=temperature,
        seed=seed,
    )
    for _ in timing.runs():
        progress(timing.done, timing.total)
    return timing.result()
