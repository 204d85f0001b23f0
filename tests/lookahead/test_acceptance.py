"""The chance of an id by the confidence of who drafted it, learnt from what was accepted."""

from random import Random

from uag.lookahead.acceptance import AcceptanceEstimator


def test_calibration_learns_rates_by_confidence() -> None:
    random, calibration = Random(0), AcceptanceEstimator()
    rates = {0.2: 0.05, 0.6: 0.5, 0.99: 0.8}
    for _ in range(600):
        confidence = random.choice(list(rates))
        calibration.observe(confidence, accepted=random.random() < rates[confidence])
    for confidence, rate in rates.items():
        assert abs(calibration.chance(confidence) - rate) < 0.2
    assert abs(calibration.mean() - sum(rates.values()) / 3) < 0.15
