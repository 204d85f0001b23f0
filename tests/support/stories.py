"""Trained models, prompts of stories, and a comparison with plain decoding on them."""

import os
from pathlib import Path

from tests.support.models import plain_ids
from uag import SpeculativeDecoder

MODELS = Path(
    os.environ.get("UAG_TEST_MODELS", Path(__file__).parents[3] / "shared" / "data" / "models")
)

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
