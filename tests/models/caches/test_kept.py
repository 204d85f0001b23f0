"""Texts that go on from the caches of earlier ones are those that they would be without."""

import gc
import weakref
from threading import Thread
from typing import Any

import pytest
import torch

from tests.support.models import ARCHITECTURES, plain_ids, random_model, with_story
from tests.support.tokenizers import tokenizer
from uag import OptionError, SpeculativeDecoder
from uag.demo import demo_decoder
from uag.models.cached_lm import CachedLM
from uag.models.caches.kept import LEAST_SHARED, KeptCaches
from uag.models.caches.rollback import RollbackCache

PLENTY = 10**9
STORY = "The dog and the girl went to the park, and they saw a big red ball. "


def turns(decoder: SpeculativeDecoder, count: int = 4, **options: Any) -> list[int]:
    """Turns of a text that grows, each as `generate` would continue it; ids not read of each."""
    ids: list[int] = decoder.tokenizer(STORY * 4)["input_ids"]
    more: list[int] = decoder.tokenizer("One day they went home. ")["input_ids"]
    cached: list[int] = []
    for _ in range(count):
        out = decoder.generate(ids, max_new_tokens=12, **options)
        assert out.token_ids == plain_ids(decoder.model, ids, max_new_tokens=12)
        cached.append(out.stats.cached_tokens)
        ids = ids + out.token_ids[: 12 - len(cached)] + more
    return cached


@pytest.mark.filterwarnings("ignore:tree=15 has no effect")  # where layers are recurrent
@pytest.mark.parametrize("tree", [0, 15])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_each_turn_is_the_one_of_generate(architecture: str, tree: int) -> None:
    words, others = tokenizer("llama2"), tokenizer("gpt2")
    model = with_story(random_model(architecture, words), words)
    if architecture not in ("mixtral", "qwen3-next"):  # experts are multiplied in single
        model = model.double()
    assistant = with_story(random_model("llama", others), others).double()
    verifies = architecture != "mamba"  # which reads what follows a prompt id by id
    drafts = (assistant, others) if verifies else ()
    decoder = SpeculativeDecoder(model, words, *drafts, lookahead=4, tree=tree, prefix_cache=PLENTY)
    cached = turns(decoder)
    assert cached[0] == 0
    assert all((count >= LEAST_SHARED) == verifies for count in cached[1:])
    chains = decoder.generate(STORY, max_new_tokens=1).stats.chains
    assert bool(chains) == (tree > 0 and architecture in ("mamba", "qwen3-next", "lfm2"))


def test_sampled_turns_are_those_without_a_cache() -> None:
    decoder, keeping = demo_decoder(), demo_decoder(prefix_cache=PLENTY)
    text = STORY * 3
    for seed in range(4):
        options = {"do_sample": True, "seed": seed, "max_new_tokens": 16}
        out = keeping.generate(text, **options)
        assert out.text == decoder.generate(text, **options).text
        assert (out.stats.cached_tokens > 0) == (seed > 0)
        text += out.text + " Then they went home."


def test_a_stream_that_is_left_is_gone_on_from() -> None:
    decoder = demo_decoder(prefix_cache=PLENTY)
    expected = demo_decoder().generate(STORY * 3, max_new_tokens=20).text
    stream = decoder.stream(STORY * 3, max_new_tokens=20)
    next(stream)
    del stream
    out = decoder.generate(STORY * 3, max_new_tokens=20)
    assert out.stats.cached_tokens > 0 and out.text == expected


def test_weights_that_change_make_kept_caches_useless() -> None:
    decoder = demo_decoder(prefix_cache=PLENTY)
    decoder.generate(STORY * 3, max_new_tokens=4)
    with torch.no_grad():
        next(decoder.model.parameters()).mul_(1.01)
    assert decoder.generate(STORY * 3, max_new_tokens=4).stats.cached_tokens == 0
    assert decoder.generate(STORY * 3, max_new_tokens=4).stats.cached_tokens > 0


def test_the_budget_holds_and_taking_it_away_gives_all_back() -> None:
    decoder = demo_decoder(prefix_cache=PLENTY)
    texts = [f"{number} {STORY * 3}" for number in range(4)]
    for text in texts:
        decoder.generate(text, max_new_tokens=4)
    kept = decoder._engine.kept
    each = kept.bytes / 4
    decoder.prefix_cache = round(2.5 * each)
    assert kept.bytes <= 2.5 * each
    cached = [decoder.generate(text, max_new_tokens=4).stats.cached_tokens for text in texts[::-1]]
    assert [count > 0 for count in cached[:2]] == [True, True]
    decoder.prefix_cache = 0
    assert kept.bytes == 0
    for wrong in (-1, 2.5, "1GB", True):
        with pytest.raises(OptionError, match="prefix_cache"):
            decoder.prefix_cache = wrong  # type: ignore[assignment]


def test_nothing_is_kept_unless_asked_for() -> None:
    decoder = demo_decoder()
    decoder.generate(STORY * 3, max_new_tokens=4)
    assert decoder.generate(STORY * 3, max_new_tokens=4).stats.cached_tokens == 0


def test_threads_that_begin_alike_do_not_share_a_cache() -> None:
    decoder = demo_decoder(prefix_cache=PLENTY)
    expected = demo_decoder().generate(STORY * 3, max_new_tokens=20).text
    texts: list[str] = []

    def tell() -> None:
        texts.extend(decoder.generate(STORY * 3, max_new_tokens=20).text for _ in range(3))

    threads = [Thread(target=tell) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == [expected] * 9


def test_a_decoder_that_is_deleted_frees_what_it_kept() -> None:
    decoder = demo_decoder(prefix_cache=PLENTY)
    decoder.generate(STORY * 3, max_new_tokens=4)
    model = weakref.ref(decoder.model)
    gc.disable()
    try:
        del decoder
        assert model() is None
    finally:
        gc.enable()


def test_a_text_that_shares_little_leaves_the_cache_to_others() -> None:
    model = random_model("llama", tokenizer("gpt2"))
    kept = KeptCaches(PLENTY)
    lm = CachedLM(model, cache=RollbackCache(model))
    lm.append(list(range(1, 121)))
    lm.logits(1)
    kept.put(lm.cache)  # type: ignore[arg-type]
    assert kept.take("", [*range(1, 41), 0]) is None  # 40 of 120
    assert kept.take("other", list(range(1, 121))) is None
    cache = kept.take("", [*range(1, 101), 0])
    assert cache is not None and (cache.length, cache.taken_over) == (100, 100)
    assert kept.take("", list(range(1, 121))) is None  # it belongs to one text at a time
