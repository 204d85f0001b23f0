"""What does a round of translation cost, in both directions, beside what transformers does for it?

    python -m pytest benches/test_alignment.py --tokenizers FOLDER --corpus FOLDER
        [--benchmark-json FILE]

A round: 8 drafted assistant ids become candidate target ids; 5 of them and one id of the target's
own go back to the assistant. Between rounds the text grows, so every round is a new one at the
end of a long context.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import tokenizers
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from transformers import PreTrainedTokenizerFast
from transformers.generation.candidate_generator import (
    AssistedCandidateGeneratorDifferentTokenizers as Transformers,
)

from uag import _core

PAIRS = [("llama3", "qwen2.5"), ("llama2", "qwen2"), ("gpt2", "llama3"), ("gemma", "llama2")]
KINDS = {
    "prose": "english_pride_and_prejudice.txt",
    "code": "code_python_thealgorithms.txt",
    "japanese": "japanese_wagahai.txt",
}
OWN_WORD = {"prose": " very", "code": " self", "japanese": "月"}
LENGTHS = [100, 1_000, 10_000, 100_000]
DRAFTED, ACCEPTED, WINDOW = 8, 5, 10


@cache
def real(file: Path) -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_file(str(file))


@cache
def compiled(file: Path) -> _core.Tokenizer:
    return _core.Tokenizer(real(file).to_str())


@dataclass
class Text:
    """A context of a number of target ids, the text that comes after it, and both tokenizers."""

    target: Path
    assistant: Path
    context: str
    rest: bytes
    own_id: int

    @classmethod
    def of(
        cls, folder: Path, corpus: Path, pair: tuple[str, str], kind: str, length: int
    ) -> "Text":
        target, assistant = (folder / name / "tokenizer.json" for name in pair)
        text = (corpus / KINDS[kind]).read_text(encoding="utf-8")
        encoding = real(target).encode(text, add_special_tokens=False)
        if len(encoding.ids) < length + 20_000:
            pytest.skip(
                f"{KINDS[kind]} has {len(encoding.ids)} ids, too few for a context of {length}"
            )
        end = encoding.offsets[length - 1][1]
        # Not the first token: that may carry a space of its own.
        own = real(target).encode("a" + OWN_WORD[kind], add_special_tokens=False).ids[-1]
        return cls(target, assistant, text[:end], text[end:].encode(), own)

    def ids(self, file: Path) -> list[int]:
        return real(file).encode(self.context, add_special_tokens=False).ids

    def draft(self, at: int) -> tuple[list[int], int]:
        """Assistant ids for what comes `at` bytes after the context, and their length in bytes."""
        stream = _core.IncrementalEncoder(compiled(self.assistant), at_start=False)
        stream.append(self.rest[at : at + 120])
        return stream.ids[:DRAFTED], stream.ends[DRAFTED - 1]


@pytest.fixture(params=LENGTHS)
def text(
    request: pytest.FixtureRequest,
    tokenizer_folder: Path,
    corpus_folder: Path,
    pair: tuple[str, str],
    kind: str,
) -> Text:
    return Text.of(tokenizer_folder, corpus_folder, pair, kind, request.param)


@pytest.mark.parametrize("pair", PAIRS, ids="<-".join)
@pytest.mark.parametrize("kind", KINDS)
def test_uag(benchmark: BenchmarkFixture, text: Text) -> None:
    bridge = _core.Bridge(compiled(text.target), compiled(text.assistant), [])
    sequence = bridge.start(text.ids(text.target), text.ids(text.assistant))
    at = 0

    def setup() -> tuple[tuple[list[int]], dict[str, object]]:
        nonlocal at
        draft, size = text.draft(at)
        at += size
        return (draft,), {}

    def round_trip(draft: list[int]) -> _core.Edit:
        candidates = sequence.propose(draft).ids
        return sequence.commit([*candidates[:ACCEPTED], text.own_id])

    edit = benchmark.pedantic(round_trip, setup=setup, rounds=500, warmup_rounds=50)
    assert edit.keep + len(edit.feed) == len(sequence.assistant_ids)


@pytest.mark.parametrize("pair", PAIRS, ids="<-".join)
@pytest.mark.parametrize("kind", KINDS)
def test_transformers(benchmark: BenchmarkFixture, text: Text) -> None:
    generator = object.__new__(Transformers)
    generator.target_tokenizer = PreTrainedTokenizerFast(tokenizer_object=real(text.target))
    generator.assistant_tokenizer = PreTrainedTokenizerFast(tokenizer_object=real(text.assistant))
    generator.target_lookbehind = generator.assistant_lookbehind = WINDOW
    generator.main_model_max_length = None
    target_ids, assistant_ids = (
        torch.tensor([text.ids(file)]) for file in (text.target, text.assistant)
    )
    at = 0

    def setup() -> tuple[tuple[torch.Tensor], dict[str, object]]:
        nonlocal at
        draft, size = text.draft(at)
        at += size
        # As it is after a round of its own at this point of the text.
        generator.prev_assistant_ids = assistant_ids.clone()
        generator.prev_target_ids_len = target_ids.shape[1]
        return (torch.tensor([draft]),), {}

    def round_trip(draft: torch.Tensor) -> torch.Tensor:
        drafted = torch.cat([assistant_ids, draft], dim=-1)
        candidates = generator._process_assistant_outputs(target_ids, drafted)
        emitted = torch.cat(
            [candidates[:, : target_ids.shape[1] + ACCEPTED], torch.tensor([[text.own_id]])], dim=-1
        )
        generator.prev_assistant_ids = drafted
        return generator._prepare_assistant_input_ids(emitted)[0]

    result = benchmark.pedantic(round_trip, setup=setup, rounds=60, warmup_rounds=5)
    assert result.shape[1] > 0


@pytest.mark.parametrize("name", ["gpt2", "llama2", "llama3", "qwen2.5", "o200k-gpt-oss", "gemma"])
def test_load(benchmark: BenchmarkFixture, tokenizer_folder: Path, name: str) -> None:
    tokenizer = real(tokenizer_folder / name / "tokenizer.json")
    core = benchmark.pedantic(lambda: _core.Tokenizer(tokenizer.to_str()), rounds=3)
    assert core.fast
