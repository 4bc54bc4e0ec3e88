from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch_fidelity.metric_kid import kid_features_to_metric

from gandiff.evaluate.metric import MetricInput
from gandiff.evaluate.mmd import (
    KernelDistance,
    cubic_kernel,
    kernel_interval,
    squared_mmd,
    subset_mmd,
)
from gandiff.evaluate.result import MetricError
from gandiff.evaluate.statistics import jackknife_over_groups

Make = Callable[..., MetricInput]


def normal(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def brute_force(x: np.ndarray, y: np.ndarray) -> float:
    """Gretton et al. 2012, eq. 3, pair by pair."""

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float((float(np.dot(a.astype(float), b.astype(float))) / len(a) + 1) ** 3)

    within_x = np.mean([k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    within_y = np.mean([k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    across = np.mean([k(a, b) for a in x for b in y])
    return float(within_x + within_y - 2 * across)


def test_equals_the_definition_pair_by_pair() -> None:
    x, y = normal(9, 5), normal(7, 5, seed=1) + 0.3
    assert squared_mmd(x, y) == pytest.approx(brute_force(x, y), rel=1e-10)


def test_kernel_of_known_vectors() -> None:
    assert cubic_kernel(np.array([[2.0, 0.0]]), np.array([[1.0, 5.0]]))[0, 0] == 8.0  # (2/2 + 1)^3


def test_blocks_do_not_change_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = normal(50, 8), normal(41, 8, seed=1)
    whole = kernel_interval(x, y, [f"p{i}" for i in range(50)], seed=0)
    monkeypatch.setattr("gandiff.evaluate.mmd._BLOCK", 7)
    blocks = kernel_interval(x, y, [f"p{i}" for i in range(50)], seed=0)
    assert blocks.value == pytest.approx(whole.value, rel=1e-9)
    assert blocks.low == pytest.approx(whole.low, rel=1e-9)


def test_order_does_not_matter() -> None:
    x, y = normal(30, 4), normal(20, 4, seed=1)
    assert squared_mmd(x[::-1], y[::-1]) == pytest.approx(squared_mmd(x, y), rel=1e-9)


def test_unbiased_over_draws_of_one_distribution() -> None:
    values = [squared_mmd(normal(20, 6, seed=2 * i), normal(25, 6, 2 * i + 1)) for i in range(400)]
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 3 * error
    assert min(values) < 0  # as an unbiased estimate of 0 must be, at times


def test_worse_is_farther() -> None:
    y = normal(200, 6, seed=1)
    steps = [squared_mmd(normal(200, 6) + shift, y) for shift in (0.0, 0.4, 0.8)]
    assert steps == sorted(steps)


def test_subsets_equal_torch_fidelity() -> None:
    x, y = normal(60, 16), 1.1 * normal(80, 16, seed=1) + 0.1
    ours = subset_mmd(x, y, subset_size=30, subsets=12, seed=2020)
    peer = kid_features_to_metric(
        torch.from_numpy(x), torch.from_numpy(y), kid_subsets=12, kid_subset_size=30,
        rng_seed=2020, verbose=False,
    )  # fmt: skip
    assert ours.mean == pytest.approx(peer["kernel_inception_distance_mean"], rel=1e-5, abs=1e-7)
    assert ours.deviation == pytest.approx(peer["kernel_inception_distance_std"], rel=1e-4)


def test_interval_replicates_equal_recomputing() -> None:
    x, y = normal(90, 6), normal(70, 6, seed=1) + 0.2
    groups = [f"p{i // 3}" for i in range(90)]
    found = kernel_interval(x, y, groups, seed=3)
    plain = jackknife_over_groups(lambda kept: squared_mmd(x[kept], y), groups, seed=3)
    assert (found.low, found.value, found.high) == pytest.approx(
        (plain.low, plain.value, plain.high), rel=1e-9
    )


def test_interval_covers_the_distance_to_the_reference() -> None:
    rng = np.random.default_rng(0)
    d, prompts = 6, 50
    reference = normal(150, d, seed=8)
    groups = [f"p{i // 2}" for i in range(prompts * 2)]

    def draw() -> np.ndarray:
        centres = rng.normal(size=(prompts, 1, d))
        return (0.7 * centres + 0.7 * rng.normal(size=(prompts, 2, d)) + 0.2).reshape(-1, d)

    # With dependent samples the U-statistic is unbiased for the mean over draws, not for 0.
    truth = np.mean([squared_mmd(draw(), reference) for _ in range(400)])
    hits = 0
    for trial in range(200):
        found = kernel_interval(draw(), reference, groups, seed=trial)
        hits += found.low <= truth <= found.high
    assert 0.90 <= hits / 200 <= 0.995


def test_metric_row(make_input: Make) -> None:
    x, y = normal(40, 6), normal(60, 6, seed=1)
    row = KernelDistance().measure(make_input(x, y, per_prompt=2)).results[0]
    assert row.metric == "kid(encoder=scenes)"
    assert row.value == pytest.approx(squared_mmd(x, y))
    assert row.low < row.value < row.high
    assert row.protocol["estimator"] == "unbiased, all pairs"


def test_subset_convention_is_in_name_and_protocol(make_input: Make) -> None:
    metric = KernelDistance(encoder="inception", subset_size=20, subsets=5)
    assert str(metric.spec) == "kid(encoder=inception,subset_size=20,subsets=5)"
    data = make_input(normal(40, 6), normal(60, 6, seed=1))
    row = metric.measure(data).results[0]
    assert row.low is None
    assert row.protocol["estimator"] == "unbiased, mean of 5 random subsets (seed 2020)"
    assert "no error bar" in row.note
    assert row == metric.measure(data).results[0]


def test_errors_say_what_is_wrong(make_input: Make) -> None:
    x = normal(20, 4)
    with pytest.raises(MetricError, match="subsets of 30, but there are 20 images"):
        KernelDistance(subset_size=30).measure(make_input(x, x))
    with pytest.raises(MetricError, match="needs at least 2 reference images and found 1"):
        KernelDistance().measure(make_input(x, x[:1]))
    with pytest.raises(MetricError, match="'subset_size' of the metric kid is 'many'"):
        KernelDistance(subset_size="many")
    with pytest.raises(MetricError, match="'subsets' of the metric kid needs 'subset_size'"):
        KernelDistance(subsets=10)
    with pytest.raises(MetricError, match="Did you mean 'subset_size'"):
        KernelDistance(subsetsize=10)
