"""How many prompts it takes: inverse of each other, and true by simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gandiff.evaluate.numerics.power import MOST_PROMPTS, detectable_difference, prompts_needed
from gandiff.evaluate.numerics.statistics import bootstrap_ratio, student_t

LEAST = 6  # of five prompts that agree, p is 2 / 32


@settings(deadline=None)  # the first call loads scipy
@given(
    st.floats(1e-3, 10.0),
    st.floats(1e-3, 10.0),
    st.sampled_from([0.5, 0.8, 0.9, 0.99]),
    st.sampled_from([0.9, 0.95, 0.99]),
)
def test_the_number_is_the_smallest_that_detects_the_difference(
    difference: float, deviation: float, power: float, confidence: float
) -> None:
    prompts = prompts_needed(difference, deviation, power, confidence)
    if prompts is None:  # a thousandth of a large deviation, with high power
        assert detectable_difference(deviation, MOST_PROMPTS, power, confidence) > difference
        return
    assert detectable_difference(deviation, prompts, power, confidence) <= difference
    if prompts > LEAST:
        assert detectable_difference(deviation, prompts - 1, power, confidence) > difference


@settings(deadline=None)
@given(st.integers(LEAST, 10**6), st.floats(1e-3, 10.0), st.floats(0.5, 0.99))
def test_what_a_number_detects_needs_that_number(
    prompts: int, deviation: float, power: float
) -> None:
    difference = detectable_difference(deviation, prompts, power)
    assert prompts_needed(difference, deviation, power) == prompts
    assert prompts_needed(-difference, deviation, power) == prompts


def test_more_prompts_and_less_power_detect_less_variation_more() -> None:
    base = detectable_difference(1.0, 50)
    assert detectable_difference(1.0, 51) < base
    assert detectable_difference(1.0, 50, power=0.7) < base
    assert detectable_difference(1.0, 50, confidence=0.99) > base
    assert detectable_difference(3.0, 50) == pytest.approx(3 * base)


def test_the_number_is_that_of_the_noncentral_t() -> None:
    # For Cohen's small, medium and large d_z, by bisection of scipy.stats.nct (1.17.1).
    assert [prompts_needed(d, 1.0) for d in (0.2, 0.5, 0.8, 1.0)] == [199, 34, 15, 10]


@pytest.mark.parametrize(("prompts", "power"), [(6, 0.8), (8, 0.5), (8, 0.95), (30, 0.8)])
def test_the_stated_power_is_reached(prompts: int, power: float) -> None:
    trials, rng = 6000, np.random.default_rng(prompts)
    truth = detectable_difference(2.0, prompts, power)
    found = rng.normal(truth, 2.0, size=(trials, prompts))
    errors = found.std(axis=1, ddof=1) / np.sqrt(prompts)
    seen = np.mean(found.mean(axis=1) - student_t(0.95, prompts - 1) * errors > 0)
    assert seen == pytest.approx(power, abs=0.025)  # 4 standard errors at most


def test_the_stated_power_is_reached_by_the_interval_that_is_reported() -> None:
    # Shares of right samples, 4 a prompt, are far from normal.
    rng = np.random.default_rng(0)

    def differences(prompts: int) -> np.ndarray:
        chance = rng.beta(2, 2, prompts)
        return (rng.binomial(4, chance) - rng.binomial(4, np.clip(chance - 0.15, 0, 1))) / 4

    many = differences(200_000)
    prompts = prompts_needed(many.mean(), many.std())
    seen = 0
    for trial in range(400):
        found = bootstrap_ratio(differences(prompts), np.ones(prompts), trial, resamples=600)
        seen += found.low > 0
    assert seen / 400 == pytest.approx(0.8, abs=0.07)


def test_what_no_number_shows() -> None:
    assert prompts_needed(0.0, 1.0) is None
    assert prompts_needed(1e-9, 1.0) is None
    assert prompts_needed(float("nan"), 1.0) is None
    assert prompts_needed(0.1, 0.0) == LEAST
    least = detectable_difference(1.0, MOST_PROMPTS)
    assert prompts_needed(least, 1.0) == MOST_PROMPTS


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((1.0, 5), "there are 5 prompts; to show a difference takes at least 6"),
        ((-1.0, 9), "the deviation is -1.0"),
        ((float("nan"), 9), "the deviation is nan"),
        ((1.0, 9, 0.4), "the power is 0.4"),
        ((1.0, 9, 1.0), "the power is 1.0"),
    ],
)
def test_what_makes_no_sense_is_an_error(arguments: tuple, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        detectable_difference(*arguments)
