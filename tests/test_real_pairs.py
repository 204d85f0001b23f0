"""Trained pairs on stories: identical output, and drafts that pay."""

import os
from pathlib import Path

import pytest
from fakes import plain_ids
from uag import SpeculativeDecoder
from uag.demo import demo_decoder

MODELS = Path(
    os.environ.get("UAG_TEST_MODELS", Path(__file__).parents[2] / "shared" / "data" / "models")
)
# (target, assistant, least tokens per target forward at 5 drafted ids)
REAL_PAIRS = [
    ("sparse-2M-tok4096", "stories260K-tok512", 2.5),
    ("babyllama-1M-tok361", "stories260K-tok512", 4.7),
]
OPENINGS = ["Once upon a time", "Once upon a time, there was", "One day", "There was a little girl"]
NAMES = ["Lily", "Tim", "Mia", "Ben", "Lucy", "Tom", "Sara", "Max", "Anna", "Sam"]
SCENES = ["in the park", "with a red ball", "and her dog", "at home", "in a big house"]
PROMPTS = [
    *OPENINGS,
    *(f"{opening} {name}" for opening in ("Once upon a time,", "One day,") for name in NAMES),
    *(f"{name} was {scene}" for name in NAMES for scene in SCENES),
    *(f"{name} and {other}" for name in NAMES for other in NAMES),
    *(
        f'"Hello, {name}!" said the {animal}.'
        for name in NAMES
        for animal in ("cat", "bird", "fish")
    ),
][:200]


def real_decoder(target: str, assistant: str) -> SpeculativeDecoder:
    if not (MODELS / target).is_dir():
        pytest.skip(f"no {target} in {MODELS}")
    names = str(MODELS / target), str(MODELS / assistant)
    return SpeculativeDecoder.from_pretrained(
        *names, trust_remote_code=True, dtype="float32", lookahead=5
    )


def check_identical(decoder: SpeculativeDecoder, prompts: list[str], length: int) -> float:
    """Compare with plain decoding; returns new ids per forward pass of the target."""
    tokens = forwards = 0
    for prompt in prompts:
        out = decoder.generate(prompt, max_new_tokens=length)
        ids = decoder.tokenizer(prompt)["input_ids"]
        assert out.token_ids == plain_ids(decoder.model, ids, max_new_tokens=length), prompt
        tokens += out.stats.tokens
        forwards += out.stats.target_forwards
    return tokens / forwards


@pytest.mark.parametrize(("target", "assistant", "least"), REAL_PAIRS)
def test_a_few_stories_are_identical_and_drafts_pay(
    target: str, assistant: str, least: float
) -> None:
    assert check_identical(real_decoder(target, assistant), OPENINGS, 60) >= least


@pytest.mark.slow
@pytest.mark.parametrize(("target", "assistant", "least"), REAL_PAIRS)
def test_two_hundred_stories_are_identical(target: str, assistant: str, least: float) -> None:
    decoder = real_decoder(target, assistant)
    assert len(set(PROMPTS)) == 200
    # Prompts that a story seldom begins with are harder to guess on from.
    assert check_identical(decoder, PROMPTS, 150) >= 0.75 * least


def test_the_demo_pair_is_identical() -> None:
    assert check_identical(demo_decoder(lookahead=5), [*OPENINGS, "The dog"], 40) > 1.2
