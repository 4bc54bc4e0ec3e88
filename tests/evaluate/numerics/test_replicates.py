"""Differences of two estimates that left out the same prompts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gandiff.evaluate.numerics.frechet import frechet_replicates
from gandiff.evaluate.numerics.gaussian import GaussianStats
from gandiff.evaluate.numerics.kernels import kernel_replicates
from gandiff.evaluate.numerics.statistics import (
    Replicates,
    independent_difference,
)

PROMPTS, SAMPLES, WIDTH = 60, 2, 4
GROUPS = [f"p{i}" for i in range(PROMPTS) for _ in range(SAMPLES)]


def world(rng: np.random.Generator, gap: float) -> tuple[np.ndarray, np.ndarray]:
    """Two generators that make nearly the same of each prompt, the second one ``gap`` away."""
    prompts = rng.normal(size=(PROMPTS, WIDTH)).repeat(SAMPLES, axis=0)
    a, b = (prompts + 0.3 * rng.normal(size=prompts.shape) for _ in range(2))
    return a, b + gap


def estimates(rng: np.random.Generator, gap: float) -> tuple[Replicates, Replicates]:
    reference = GaussianStats.of(np.random.default_rng(9).normal(size=(2000, WIDTH)) * 1.044)
    a, b = (frechet_replicates(rows, reference, GROUPS, 3) for rows in world(rng, gap))
    return a, b


def test_a_set_differs_from_itself_by_nothing() -> None:
    a, _ = estimates(np.random.default_rng(0), 0.0)
    same = a.minus(a)
    assert same is not None
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)


def test_the_difference_changes_sign_with_the_sides() -> None:
    a, b = estimates(np.random.default_rng(1), 0.2)
    ab, ba = a.minus(b), b.minus(a)
    assert ab is not None
    assert ba is not None
    assert ab.value == -ba.value == a.value - b.value
    assert (ab.low, ab.high) == pytest.approx((-(ba.high or 0), -(ba.low or 0)))


@pytest.mark.parametrize("change", ["parts", "prompts", "few"])
def test_estimates_that_left_out_other_prompts_are_not_paired(change: str) -> None:
    a, b = estimates(np.random.default_rng(2), 0.2)
    part_of = dict(b.part_of)
    if change == "parts":
        part_of["p0"] = (part_of["p0"] + 1) % 20
    elif change == "prompts":
        part_of["another"] = part_of.pop("p0")
    without = b.without[:10] if change == "few" else b.without
    other = dataclasses.replace(b, part_of=part_of, without=without)
    assert a.minus(other) is None


def test_the_paired_interval_is_narrower_and_covers_the_truth() -> None:
    """Both generators share what they owe to the prompts, which is most of their spread."""
    rng, covered, narrower = np.random.default_rng(4), 0, []
    truth = np.mean([b.value - a.value for a, b in (estimates(rng, 0.3) for _ in range(400))])
    for _ in range(200):
        a, b = estimates(rng, 0.3)
        found, apart = b.minus(a), independent_difference(b.interval, a.interval)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= truth <= found.high
        narrower.append((found.high - found.low) / ((apart.high or 0) - (apart.low or 0)))
    assert 0.9 <= covered / 200 <= 0.99
    assert np.median(narrower) < 0.9


def test_equal_generators_are_told_apart_in_one_of_twenty() -> None:
    rng = np.random.default_rng(5)
    apart = [a.minus(b) for a, b in (estimates(rng, 0.0) for _ in range(400))]
    wrong = sum(1 for one in apart if one is None or not (one.low or 0) <= 0 <= (one.high or 0))
    assert wrong / 400 <= 0.08


def test_kernel_distances_are_paired_alike() -> None:
    a, b = world(np.random.default_rng(6), 0.3)
    real = np.random.default_rng(7).normal(size=(300, WIDTH))
    ours, theirs = (kernel_replicates(rows, real, GROUPS, 3) for rows in (a, b))
    found = theirs.minus(ours)
    assert found is not None
    assert found.value == pytest.approx(theirs.value - ours.value)
    assert 0 < (found.low or 0) < found.value < (found.high or 0)
