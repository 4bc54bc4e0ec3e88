"""Metrics that give values of images and no interval get one; shares one that holds at 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gandiff.evaluate.metric import Features, ImageRecord, Metric, MetricInput, MetricOutput
from gandiff.evaluate.numerics.proportions import mean_over_groups, share_over_groups
from gandiff.evaluate.numerics.statistics import bootstrap_over_groups
from gandiff.evaluate.result import MetricResult, MetricSpec
from gandiff.experiments.scoring.measure import measure

PROMPTS, SAMPLES = 20, 2
GROUPS = [f"p{i}" for i in range(PROMPTS) for _ in range(SAMPLES)]


class NoFeatures(Features):
    """Of no encoder."""

    def __call__(self, encoder: str, images: Sequence[ImageRecord]) -> np.ndarray:
        raise AssertionError

    def protocol(self, encoder: str) -> dict[str, Any]:
        raise AssertionError


class Plain(Metric):
    """A metric of a user, who did not think of intervals."""

    spec = MetricSpec.of("plain")

    def __init__(self, values: np.ndarray, value: float) -> None:
        self.values, self.value = values, value

    def measure(self, data: MetricInput) -> MetricOutput:
        """One row and the values of the images."""
        return MetricOutput(
            results=[MetricResult(metric="plain", value=self.value)],
            per_image={"plain": self.values},
        )


def measured(values: np.ndarray, value: float) -> MetricResult:
    images = [
        ImageRecord(path=Path("x"), sha256=str(i), group=group) for i, group in enumerate(GROUPS)
    ]
    data = MetricInput(images=images, reference=None, matched=None, features=NoFeatures())
    return measure(Plain(values, value), data).results[0]


def test_the_mean_of_the_values_of_images_gets_an_interval() -> None:
    values = np.random.default_rng(0).normal(3, 1, len(GROUPS))
    row = measured(values, float(values.mean()))
    same = bootstrap_over_groups(values, GROUPS, 0)
    assert (row.low, row.high) == (same.low, same.high)


def test_what_is_not_their_mean_gets_none() -> None:
    values = np.random.default_rng(0).normal(3, 1, len(GROUPS))
    row = measured(values, float(np.median(values)))
    assert (row.low, row.high) == (None, None)


@pytest.mark.parametrize("all_right", [0.0, 1.0])
def test_a_share_of_all_or_none_is_not_known_exactly(all_right: float) -> None:
    row = measured(np.full(len(GROUPS), all_right), all_right)
    assert row.low is not None
    assert row.high is not None
    assert row.low <= all_right <= row.high
    # Wilson's interval of 20 of 20 prompts begins at 20 / (20 + 2.09^2), t with 19 degrees.
    assert row.high - row.low == pytest.approx(2.093**2 / (20 + 2.093**2), abs=1e-3)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 1), min_size=len(GROUPS), max_size=len(GROUPS)))
def test_shares_lie_within_their_interval_and_it_within_0_and_1(right: list[int]) -> None:
    found = mean_over_groups(np.array(right, dtype=np.float64), GROUPS, 0)
    assert found == share_over_groups(np.array(right, dtype=np.float64), GROUPS)
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low < found.high


def test_intervals_of_shares_cover_as_often_as_they_say() -> None:
    """Near 1 the bootstrap covers far less: of all right it says that it is certain."""
    rng, covered, resampled = np.random.default_rng(1), 0, 0
    for turn in range(300):
        chances = rng.beta(9.7, 0.3, PROMPTS).repeat(SAMPLES)  # 0.97 on average, by prompt
        values = (rng.random(len(GROUPS)) < chances).astype(np.float64)
        ours = mean_over_groups(values, GROUPS, turn)
        plain = bootstrap_over_groups(values, GROUPS, turn)
        covered += (ours.low or 0) <= 0.97 <= (ours.high or 0)
        resampled += (plain.low or 0) <= 0.97 <= (plain.high or 0)
    assert covered / 300 >= 0.93
    assert resampled < covered - 30
