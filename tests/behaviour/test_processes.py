"""Decoders and what they give, copied, in other processes, and shared by threads."""

import copy
import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from threading import Barrier
from typing import Any

import pytest
import torch

from tests.support.models import plain_ids, random_model
from tests.support.tokenizers import PROMPT, tokenizer
from uag import Lookup, Output, SpeculativeDecoder, UagError

TARGET, ASSISTANT = tokenizer("gpt2"), tokenizer("llama2")
NEW = {"max_new_tokens": 10}


class Refrain:
    """A drafter that can be pickled."""

    def propose(self, text: bytes, ids: Any, k: int) -> bytes:
        return b" upon a time"


def pickled(given: Any) -> Any:
    return pickle.loads(pickle.dumps(given))  # noqa: S301 # its own


COPIES: list[Callable[[Any], Any]] = [copy.copy, copy.deepcopy, pickled]


def decoder_with(assistant: Any, **options: Any) -> SpeculativeDecoder:
    other = ASSISTANT if isinstance(assistant, torch.nn.Module) else None
    return SpeculativeDecoder(random_model("llama", TARGET), TARGET, assistant, other, **options)


def small() -> Any:
    return random_model("llama", ASSISTANT, seed=1)


DECODERS: dict[str, Callable[[], SpeculativeDecoder]] = {
    "model": lambda: decoder_with(
        small(),
        lookahead=3,
        draft_temperature=0.7,
        sampling="rejection",
        special_pairs=[("<begin>", "<s>")],
    ),
    "model and lookups": lambda: decoder_with(small()),
    "trees": lambda: decoder_with(small(), lookahead=3, tree=15),
    "lookup": lambda: decoder_with("lookup"),
    "texts": lambda: decoder_with(Lookup([PROMPT], min_match=2)),
    "drafter": lambda: decoder_with(Refrain(), lookahead=4),
    "nothing": lambda: decoder_with(None),
    "compiled": lambda: decoder_with(None, compile="eager"),
}
# What a decoder is, beside its models.
TRAITS: dict[str, Callable[[SpeculativeDecoder], Any]] = {
    "lookahead": lambda decoder: decoder.lookahead,
    "sampling": lambda decoder: decoder.sampling,
    "compile": lambda decoder: decoder.compile,
    "tree": lambda decoder: decoder._engine._tree,
    "pairs": lambda decoder: decoder.bridge.special_pairs,
    "lookup": lambda decoder: decoder.lookup and (decoder.lookup.texts, decoder.lookup.min_match),
    "assistant": lambda decoder: type(decoder.assistant),
    "draft temperature": lambda decoder: decoder._engine.sampling._draft_temperature,
}


@pytest.mark.parametrize("how", COPIES, ids=["copy", "deepcopy", "pickle"])
@pytest.mark.parametrize("kind", DECODERS)
def test_a_copied_decoder(kind: str, how: Callable[[Any], Any]) -> None:
    decoder = DECODERS[kind]()
    if decoder.lookup:
        decoder.lookup.remember("a text that was remembered")
    out = decoder.generate(PROMPT, do_sample=kind != "model", seed=5, **NEW)
    other: SpeculativeDecoder = how(decoder)
    for name, trait in TRAITS.items():
        assert trait(other) == trait(decoder), name
    assert (other.model is decoder.model) == (how is copy.copy)
    again = other.generate(PROMPT, do_sample=kind != "model", seed=5, **NEW)
    assert again.token_ids == out.token_ids


@pytest.mark.parametrize("how", COPIES, ids=["copy", "deepcopy", "pickle"])
def test_a_copied_output(how: Callable[[Any], Any]) -> None:
    out = DECODERS["model"]().generate(PROMPT, trace=True, **NEW)
    other: Output = how(out)
    assert (other.text, other.token_ids, other.stats) == (out.text, out.token_ids, out.stats)
    assert other.trace and out.trace
    assert other.trace.steps == out.trace.steps
    for mine, yours in zip(
        (other.trace.target, other.trace.assistant),
        (out.trace.target, out.trace.assistant),
        strict=True,
    ):
        assert (mine.name, mine.prompt) == (yours.name, yours.prompt)
        assert mine.core.encode(b"Once upon") == yours.core.encode(b"Once upon")


def test_a_stream_is_not_copied() -> None:
    stream = DECODERS["nothing"]().stream(PROMPT, **NEW)
    for call in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(UagError, match=r"finish\(\) gives an Output"):
            call(stream)


def test_a_pool_of_spawned_processes() -> None:
    decoder = DECODERS["model"]()
    call = partial(decoder.generate, trace=True, **NEW)
    prompts = [PROMPT, "One day"]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        outs = pool.map(call, prompts)
    expected = [call(prompt) for prompt in prompts]
    assert [out.token_ids for out in outs] == [out.token_ids for out in expected]
    assert [out.trace.steps for out in outs] == [out.trace.steps for out in expected]


def test_a_function_that_is_hashed_by_its_pickle() -> None:
    """`datasets.map` keeps results under such a hash, which must not change by use."""
    dill = pytest.importorskip("dill")
    decoder = DECODERS["model and lookups"]()

    def mapped(row: dict[str, str]) -> dict[str, str]:
        return {"reply": decoder.generate(row["text"], **NEW).text}

    def digest() -> str:
        return sha256(dill.dumps(mapped, recurse=True)).hexdigest()

    before, expected = digest(), mapped({"text": PROMPT})
    decoder.generate([PROMPT] * 2, do_sample=True, **NEW)
    assert digest() == before
    assert dill.loads(dill.dumps(mapped, recurse=True))({"text": PROMPT}) == expected
    decoder.lookahead = 5
    assert digest() != before


def _in_a_fork(queue: Any, threads: int, call: Callable[[], Output]) -> None:
    torch.set_num_threads(threads)
    try:
        queue.put(call().token_ids)
    except UagError as error:
        queue.put(str(error))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_forked_process(threads: int) -> None:
    """With several threads it would hang, as `generate` does."""
    decoder = DECODERS["model"]()
    call = partial(decoder.generate, PROMPT, **NEW)
    expected, context = call().token_ids, multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_a_fork, args=(queue, threads, call))
    child.start()
    got = queue.get(timeout=60)
    child.join()
    if threads == 1:
        assert got == expected
    else:
        assert "forked from one that computes with 2 threads" in got


def test_threads_share_a_decoder() -> None:
    decoder = decoder_with(small(), lookahead=3)
    ids = TARGET(PROMPT)["input_ids"]
    prompts = [ids[: 3 + at] for at in range(8)]
    expected = [plain_ids(decoder.model, prompt, **NEW) for prompt in prompts]
    together = Barrier(len(prompts))

    def run(prompt: list[int]) -> list[list[int]]:
        together.wait()
        alone = [decoder.generate(prompt, **NEW).token_ids for _ in range(3)]
        batch = [out.token_ids for out in decoder.generate([prompt, prompt], **NEW)]
        streamed = decoder.stream(prompt, **NEW).finish().token_ids
        return [*alone, *batch, streamed]

    with ThreadPoolExecutor(len(prompts)) as pool:
        found = [*pool.map(run, prompts)]
    assert found == [[text] * 6 for text in expected]
