import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch_fidelity.metric_kid import kid_features_to_metric

from gandiff.common.errors import MetricError
from gandiff.evaluate.metric import MetricInput, ReferenceStatistics
from gandiff.evaluate.metrics.mmd import (
    Cmmd,
    KernelDistance,
    cmmd_replicates,
    never_negative,
    subset_mmd,
)
from gandiff.evaluate.numerics.kernels import (
    GAUSSIAN,
    Estimator,
    cubic_kernel,
    gaussian_kernel_less_one,
    kernel_replicates,
    squared_mmd,
)
from gandiff.evaluate.numerics.statistics import jackknife_over_groups
from gandiff.evaluate.result import Interval

Make = Callable[..., MetricInput]


def normal(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def scaled_cmmd(
    made: np.ndarray,
    real: np.ndarray,
    groups: list[str],
    seed: int = 0,
    estimator: Estimator = "biased",
) -> Interval:
    found = cmmd_replicates(made, real, groups, seed, estimator)
    return never_negative(found.interval, estimator)


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
    whole = kernel_replicates(x, y, [f"p{i}" for i in range(50)], seed=0).interval
    monkeypatch.setattr("gandiff.evaluate.numerics.kernels._BLOCK", 7)
    blocks = kernel_replicates(x, y, [f"p{i}" for i in range(50)], seed=0).interval
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
        torch.from_numpy(x).double(), torch.from_numpy(y).double(),  # else it sums in float32
        kid_subsets=12, kid_subset_size=30, rng_seed=2020, verbose=False,
    )  # fmt: skip
    assert ours.mean == pytest.approx(peer["kernel_inception_distance_mean"], rel=1e-6)
    assert ours.deviation == pytest.approx(peer["kernel_inception_distance_std"], rel=1e-6)


def test_interval_replicates_equal_recomputing() -> None:
    x, y = normal(90, 6), normal(70, 6, seed=1) + 0.2
    groups = [f"p{i // 3}" for i in range(90)]
    found = kernel_replicates(x, y, groups, seed=3).interval
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
        found = kernel_replicates(draw(), reference, groups, seed=trial).interval
        hits += found.low <= truth <= found.high
    assert 0.90 <= hits / 200 <= 0.995


def test_metric_row(make_input: Make) -> None:
    x, y = normal(40, 6), normal(60, 6, seed=1)
    row = KernelDistance(encoder="scenes").measure(make_input(x, y, per_prompt=2)).results[0]
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
        KernelDistance(encoder="scenes", subset_size=30).measure(make_input(x, x))
    with pytest.raises(MetricError, match="needs at least 2 reference images and found 1"):
        KernelDistance(encoder="scenes").measure(make_input(x, x[:1]))
    with pytest.raises(MetricError, match="'subset_size' of the metric kid is 'many'"):
        KernelDistance(encoder="scenes", subset_size="many")
    with pytest.raises(MetricError, match="'subsets' of the metric kid needs 'subset_size'"):
        KernelDistance(encoder="scenes", subsets=10)
    with pytest.raises(MetricError, match="did you mean 'subset_size'"):
        KernelDistance(encoder="scenes", subsetsize=10)


def test_kid_of_other_resizes_and_crops() -> None:
    metric = KernelDistance(encoder="inception", resize="clean", crop="centre")
    assert str(metric.spec) == "kid(crop=centre,encoder=inception,resize=clean)"
    assert metric.encoders == ("inception:clean+centre",)
    assert str(KernelDistance(encoder="scenes", crop="none").spec) == "kid(encoder=scenes)"
    assert KernelDistance.compares_sets


def test_reference_from_a_file(make_input: Make) -> None:
    x, y = normal(40, 6), normal(60, 6, seed=1)
    stored = ReferenceStatistics(
        source="real.npz", encoder="scenes", mean=y.mean(axis=0), covariance=np.cov(y.T),
        count=60, features=y, protocol=None, sha256="f",
    )  # fmt: skip
    data = dataclasses.replace(make_input(x), statistics=stored)
    for metric in (KernelDistance(encoder="scenes"), Cmmd(encoder="clip")):
        row, plain = (metric.measure(d).results[0] for d in (data, make_input(x, y)))
        assert (row.value, row.references) == (plain.value, 60)
        assert row.protocol["reference_sha256"] == "f"
    bare = dataclasses.replace(data, statistics=dataclasses.replace(stored, features=None))
    with pytest.raises(MetricError, match="holds their mean and covariance only"):
        KernelDistance(encoder="scenes").measure(bare)


def dense_cmmd(x: np.ndarray, y: np.ndarray, own: bool) -> float:
    """Jayasumana et al. 2024, with the whole kernel at once."""
    x, y = (a.astype(float) / np.linalg.norm(a.astype(float), axis=1)[:, None] for a in (x, y))

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        squares = ((a[:, None] - b[None]) ** 2).sum(axis=2)
        return np.exp(-squares / (2 * 10**2))

    def mean(k: np.ndarray) -> float:
        if own:
            return float(k.mean())
        return float(k[~np.eye(len(k), dtype=bool)].mean())

    return 1000 * (mean(kernel(x, x)) + mean(kernel(y, y)) - 2 * float(kernel(x, y).mean()))


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
def test_cmmd_equals_the_dense_computation(estimator: str) -> None:
    x, y = 3 * normal(30, 12), normal(22, 12, seed=1) + 0.4
    found = scaled_cmmd(x, y, ["p"] * 30, estimator=estimator).value
    assert found == pytest.approx(dense_cmmd(x, y, estimator == "biased"), rel=1e-9)


def test_cmmd_of_known_vectors() -> None:
    # Each set is one vector over and over, at a right angle: 1000 (1 + 1 - 2 exp(-2 / 200)).
    x, y = np.tile([[2.0, 0.0]], (4, 1)), np.tile([[0.0, 5.0]], (3, 1))
    for estimator in ("biased", "unbiased"):
        found = scaled_cmmd(x, y, ["p"] * 4, estimator=estimator).value
        assert found == pytest.approx(2000 * (1 - np.exp(-0.01)), rel=1e-12)
    kernel = gaussian_kernel_less_one(x, y) + 1
    assert kernel == pytest.approx(np.exp(-0.01))


def test_cmmd_of_equal_sets() -> None:
    x = normal(50, 16)
    groups = [f"p{i}" for i in range(50)]
    same = scaled_cmmd(x, x, groups)
    assert same.value == pytest.approx(0, abs=1e-9)
    assert same.value >= 0
    assert same.low >= 0
    # A row and itself are left out within the sets and counted across: below 0.
    assert -2 < scaled_cmmd(x, x, groups, estimator="unbiased").value < 0


def test_cmmd_is_symmetric_and_blind_to_order_length_and_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, y = normal(50, 8), normal(41, 8, seed=1) + 0.2
    groups = [f"p{i // 2}" for i in range(50)]
    whole = scaled_cmmd(x, y, groups)
    assert scaled_cmmd(y, x, ["p"] * 41).value == pytest.approx(whole.value, rel=1e-9)
    assert scaled_cmmd(x[::-1], y, groups).value == pytest.approx(whole.value, rel=1e-9)
    assert scaled_cmmd(7 * x, y, groups).value == pytest.approx(whole.value, rel=1e-6)
    monkeypatch.setattr("gandiff.evaluate.numerics.kernels._BLOCK", 7)
    blocks = scaled_cmmd(x, y, groups)
    assert (blocks.low, blocks.value, blocks.high) == pytest.approx(
        (whole.low, whole.value, whole.high), rel=1e-9
    )


def test_unbiased_cmmd_is_unbiased_and_the_biased_one_is_not() -> None:
    def mean(estimator: str, n: int) -> tuple[float, float]:
        found = [
            scaled_cmmd(normal(n, 6, 2 * i), normal(n, 6, 2 * i + 1), ["p"] * n, 0, estimator).value
            for i in range(200)
        ]
        return float(np.mean(found)), float(np.std(found) / np.sqrt(200))

    centre, error = mean("unbiased", 20)
    assert abs(centre) < 3 * error
    few, many = mean("biased", 20)[0], mean("biased", 40)[0]
    assert few > 1.7 * many > 0  # falls like 1 / N


def test_worse_has_a_higher_cmmd() -> None:
    y = normal(200, 6, seed=1)
    steps = [scaled_cmmd(normal(200, 6) + s, y, ["p"] * 200).value for s in (0.0, 0.4, 0.8)]
    assert steps == sorted(steps)


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
def test_cmmd_replicates_equal_recomputing(estimator: str) -> None:
    x, y = normal(90, 6), normal(70, 6, seed=1) + 0.4
    groups = [f"p{i // 3}" for i in range(90)]
    found = kernel_replicates(x, y, groups, 3, GAUSSIAN, estimator).interval
    plain = jackknife_over_groups(
        lambda kept: squared_mmd(x[kept], y, GAUSSIAN, estimator), groups, seed=3
    )
    assert (found.low, found.value, found.high) == pytest.approx(
        (plain.low, plain.value, plain.high), rel=1e-9
    )


def cmmd_coverage(trials: int, shift: float) -> float:
    rng = np.random.default_rng(0)
    groups = [f"p{i // 4}" for i in range(200)]
    reference = normal(200, 8, seed=8) + 0.5

    def draw() -> np.ndarray:
        centres, noise = rng.normal(size=(50, 1, 8)), rng.normal(size=(50, 4, 8))
        return (0.7 * (centres + noise) + 0.5 + shift).reshape(-1, 8)

    truth = np.mean([scaled_cmmd(draw(), reference, groups).value for _ in range(2 * trials)])
    found = [scaled_cmmd(draw(), reference, groups, seed) for seed in range(trials)]
    return float(np.mean([f.low <= truth <= f.high for f in found]))


def test_cmmd_interval_covers_its_expectation() -> None:
    assert 0.9 <= cmmd_coverage(150, 0.3) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_cmmd_interval_covers_its_expectation_500(shift: float) -> None:
    assert 0.92 <= cmmd_coverage(500, shift) <= 0.99


def test_cmmd_row(make_input: Make) -> None:
    x, y = normal(40, 6), normal(60, 6, seed=1) + 0.3
    data = make_input(x, y, per_prompt=2)
    row = Cmmd().measure(data).results[0]
    assert row.metric == "cmmd(encoder=clip:ViT-L-14-336/openai)"
    assert row.value == pytest.approx(dense_cmmd(x, y, own=True))
    assert row.low < row.value < row.high
    assert (row.images, row.references, row.direction) == (40, 60, "lower")
    assert row.protocol["estimator"] == "biased, all pairs"
    other = Cmmd(encoder="clip:scenes", crop="centre", estimator="unbiased")
    assert str(other.spec) == "cmmd(crop=centre,encoder=clip:scenes,estimator=unbiased)"
    row = other.measure(data).results[0]
    assert row.value == pytest.approx(dense_cmmd(x, y, own=False))
    assert row.protocol["estimator"] == "unbiased, all pairs"
    assert Cmmd.compares_sets


def test_cmmd_errors(make_input: Make) -> None:
    x = normal(20, 4)
    with pytest.raises(MetricError, match="clip gave features that are all 0"):
        Cmmd(encoder="clip").measure(make_input(x, np.zeros((5, 4))))
    with pytest.raises(MetricError, match="'estimator' of the metric cmmd is 'fair'"):
        Cmmd(estimator="fair")
    with pytest.raises(MetricError, match="the metric cmmd has no parameter 'sigma'"):
        Cmmd(sigma=5)
