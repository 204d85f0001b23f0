"""A decoder whose drafts are near the right ones, which an untrained model would not find."""

from collections.abc import Callable
from itertools import accumulate
from random import Random
from typing import Any

from tests.support.models import plain_ids, random_model, with_story
from tests.support.tokenizers import tokenizer
from uag._core import Tokenizer
from uag.decoder import SpeculativeDecoder
from uag.decoding.output import Output
from uag.draft import Draft
from uag.drafting.sides import Opening
from uag.drafting.source import DraftSource
from uag.models.properties import context_window
from uag.requests.prompts.ids import Prompt, target_ids
from uag.translation.detokenizer import TextBytes


class ScriptedDrafts(DraftSource):
    """Knows the text that the target will produce and drafts it rightly or partly rightly."""

    def __init__(self, tokenizer: Tokenizer, prompt: list[int], text: bytes, seed: int) -> None:
        self._tokenizer = tokenizer
        self._text = text
        self._ids = list(prompt)
        self._random = Random(seed)

    def draft(self, k: int, goes_on: Any = None) -> Draft:
        del goes_on  # its rightness is no secret
        told = len(TextBytes(self._tokenizer).add(self._ids))
        # A full stop in front, so that no space is put there.
        rest = b"." + self._text[told : told + 60].decode(errors="ignore").encode()
        right = self._tokenizer.encode(rest)
        ends = list(accumulate(len(self._tokenizer.token_bytes(id) or b"") for id in right))
        known = sum(end - (ends[-1] - len(rest)) <= 1 for end in ends)
        ids = right[known : known + self._random.randint(0, k)]
        for index in range(len(ids)):
            if self._random.random() < 0.15:
                ids[index] = self._random.randrange(self._tokenizer.vocab_size)
        self._ids += ids
        return Draft(ids, [], [0.001] * len(ids))

    def apply(self, keep: int, feed: list[int]) -> None:
        self._ids = self._ids[:keep] + feed


def draft_from(decoder: SpeculativeDecoder, source: Callable[[Opening], DraftSource]) -> None:
    """Has a decoder draft from a source of the test's own, in place of its side's."""
    decoder._engine._side.source = source  # type: ignore[method-assign]


class ScriptedDecoder(SpeculativeDecoder):
    """Decodes with drafts near the right ones, which an untrained model would not find."""

    seed = 0
    script = b""
    longest = 48

    def __init__(self, *parts: Any, **settings: Any) -> None:
        super().__init__(*parts, **settings)
        draft_from(self, self._source)

    def generate(self, prompt: Prompt, **options: Any) -> Output:
        ids = target_ids(prompt, self.tokenizer, self.model)
        window = context_window(self.model) or 1000
        new = plain_ids(
            self.model, ids, max_new_tokens=min(self.longest, window - len(ids)), eos_token_id=None
        )
        self.script = TextBytes(self.bridge.target).add(ids + new)
        return super().generate(prompt, **options)

    def _source(self, opening: Opening) -> DraftSource:
        self.seed += 1
        return ScriptedDrafts(self.bridge.assistant, opening.prompt, self.script, self.seed)


def scripted_target(
    architecture: str, pair: tuple[str, str], lookahead: int = 5, **changes: Any
) -> ScriptedDecoder:
    """A target of any architecture that tells a story, with scripted drafts."""
    target, assistant = (tokenizer(name) for name in pair)
    model = with_story(random_model(architecture, target, **changes), target)
    small = random_model("llama", assistant, num_hidden_layers=1)
    return ScriptedDecoder(model, target, small, assistant, lookahead=lookahead)


def scripted_pair(
    target: str, assistant: str | None = None, lookahead: int | str = 5
) -> ScriptedDecoder:
    """A target that tells a story, and scripted drafts in the assistant's vocabulary."""
    first = tokenizer(target)
    model = with_story(random_model("llama", first), first)
    if assistant is None:
        return ScriptedDecoder(model, first)
    second = tokenizer(assistant)
    small = random_model("llama", second, seed=1, num_hidden_layers=1)
    return ScriptedDecoder(model, first, small, second, lookahead=lookahead)


def small_pair(target: str, assistant: str, kind: type = ScriptedDecoder, **options: Any) -> Any:
    """A target that tells a story, and an assistant of one layer."""
    names = tokenizer(target), tokenizer(assistant)
    models = (
        random_model("llama", names[0]),
        random_model("llama", names[1], hidden_size=16, num_hidden_layers=1),
    )
    return kind(with_story(models[0], names[0]), names[0], models[1], names[1], **options)
