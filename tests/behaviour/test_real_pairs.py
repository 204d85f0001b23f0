"""Trained pairs on stories: identical output, and drafts that pay."""

import pytest

from tests.support.stories import MODELS, OPENINGS, PROMPTS, check_identical
from uag import SpeculativeDecoder
from uag.demo import demo_decoder

# (target, assistant, least tokens per target forward at 5 drafted ids)
DEMO = "demo"
REAL_PAIRS = [
    (DEMO, DEMO, 3.4),
    ("sparse-2M-tok4096", "stories260K-tok512", 2.5),
    ("babyllama-1M-tok361", "stories260K-tok512", 4.7),
]


def real_decoder(target: str, assistant: str) -> SpeculativeDecoder:
    if target == DEMO:
        return demo_decoder(lookahead=5)
    if not (MODELS / target).is_dir():
        pytest.skip(f"no {target} in {MODELS}")
    names = str(MODELS / target), str(MODELS / assistant)
    return SpeculativeDecoder.from_pretrained(
        *names, trust_remote_code=True, dtype="float32", lookahead=5
    )


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
