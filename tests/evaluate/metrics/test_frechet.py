from collections.abc import Callable

import numpy as np
import pytest
import torch
from torchmetrics.image.fid import FrechetInceptionDistance

from gandiff.common.errors import MetricError
from gandiff.evaluate.metric import MetricInput
from gandiff.evaluate.metrics.frechet import FrechetDistance, FrechetInfinity
from gandiff.evaluate.numerics.frechet import frechet_replicates
from gandiff.evaluate.numerics.gaussian import GaussianStats, Moments, frechet_distance
from gandiff.evaluate.numerics.statistics import jackknife_over_groups

Make = Callable[..., MetricInput]


def normal(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def distance(x: np.ndarray, y: np.ndarray) -> float:
    return frechet_distance(GaussianStats.of(x), GaussianStats.of(y))


def test_distance_of_diagonal_gaussians_is_the_closed_form() -> None:
    mean_a, mean_b = np.array([0.0, 1.0, 2.0]), np.array([1.0, 1.0, 0.0])
    sd_a, sd_b = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 0.5])

    def stats(mean: np.ndarray, sd: np.ndarray) -> GaussianStats:
        return GaussianStats(count=100, mean=mean, root=np.diag(sd))

    expected = np.sum((mean_a - mean_b) ** 2) + np.sum((sd_a - sd_b) ** 2)
    assert frechet_distance(stats(mean_a, sd_a), stats(mean_b, sd_b)) == pytest.approx(expected)


def test_distance_of_rotated_gaussians_is_the_closed_form() -> None:
    # S2 = 4 S1 whatever S1: tr(S1 + 4 S1 - 2 * 2 S1) = tr S1
    x = normal(300, 6) @ np.random.default_rng(1).normal(size=(6, 6)).astype(np.float32)
    x -= x.mean(axis=0)
    assert distance(x, 2 * x) == pytest.approx(float(np.trace(np.cov(x.T))), rel=1e-5)


@pytest.mark.parametrize("n", [20, 400])
def test_identical_sets_are_at_zero(n: int) -> None:
    x = normal(n, 64)
    assert distance(x, x) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("n", "m"), [(40, 30), (40, 500), (500, 40), (500, 400)])
def test_gram_route_equals_the_eigenvector_route(n: int, m: int) -> None:
    x, y = normal(n, 64), 1.3 * normal(m, 64, seed=1) + 0.2
    by_covariance = frechet_distance(
        GaussianStats.of_moments(Moments.of(x)), GaussianStats.of_moments(Moments.of(y))
    )
    assert distance(x, y) == pytest.approx(by_covariance, rel=1e-6)


def test_order_does_not_matter_and_distance_is_symmetric() -> None:
    x, y = normal(90, 16), normal(70, 16, seed=1)
    assert distance(x[::-1], y) == pytest.approx(distance(x, y), rel=1e-9)
    assert distance(y, x) == pytest.approx(distance(x, y), rel=1e-9)


def test_worse_is_farther() -> None:
    real = normal(400, 16)
    steps = [distance(normal(400, 16, seed=1) + shift, real) for shift in (0.0, 0.5, 1.0)]
    assert steps == sorted(steps)
    collapsed = distance(0.3 * normal(400, 16, seed=1), real)
    assert collapsed > 5 * steps[0]


def test_moments_merge_and_split_exactly() -> None:
    x = 1000 + normal(300, 5)  # a large mean is where sums of squares lose their digits
    whole = Moments.of(x)
    merged = Moments.of(x[:7]).merge(Moments.of(x[7:120])).merge(Moments.of(x[120:]))
    np.testing.assert_allclose(merged.covariance, np.cov(x.T.astype(float)), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(whole.covariance, merged.covariance, rtol=1e-9, atol=1e-12)
    rest = whole.without(Moments.of(x[:7]))
    np.testing.assert_allclose(rest.scatter, Moments.of(x[7:]).scatter, rtol=1e-7, atol=1e-9)
    assert rest.count == 293


@pytest.mark.parametrize("n", [50, 400])
def test_equals_torchmetrics(n: int) -> None:
    class Given(torch.nn.Module):
        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return rows.reshape(len(rows), -1)

    x, y = normal(n, 48), 1.2 * normal(n + 30, 48, seed=1) + 0.1
    peer = FrechetInceptionDistance(feature=Given(), normalize=False, input_img_size=(1, 4, 12))
    peer.set_dtype(torch.float64)
    for rows, real in ((x, False), (y, True)):
        peer.update(torch.from_numpy(rows).reshape(-1, 1, 4, 12), real=real)
    assert distance(x, y) == pytest.approx(float(peer.compute()), rel=1e-4)


@pytest.mark.parametrize(("prompts", "d"), [(40, 8), (30, 160)])
def test_interval_replicates_equal_recomputing(prompts: int, d: int) -> None:
    # The jackknife's shortcuts against leaving parts out by hand, for n > d and for n < d.
    x, y = normal(prompts * 3, d), normal(500, d, seed=1)
    reference = GaussianStats.of(y)
    groups = [f"p{i // 3}" for i in range(len(x))]
    found = frechet_replicates(x, reference, groups, seed=4).at_this_number()
    plain = jackknife_over_groups(
        lambda kept: frechet_distance(GaussianStats.of(x[kept]), reference), groups, seed=4
    )
    assert found.value == pytest.approx(plain.value)
    assert found.low == pytest.approx(plain.low, rel=1e-5)
    assert found.high == pytest.approx(plain.high, rel=1e-5)


def test_interval_covers_the_expectation_at_this_n() -> None:
    d, prompts = 8, 60
    rng = np.random.default_rng(0)
    reference = GaussianStats.of(normal(4000, d, seed=9))

    def draw() -> np.ndarray:
        centres = rng.normal(size=(prompts, 1, d))
        return (0.8 * centres + 0.6 * rng.normal(size=(prompts, 3, d)) + 0.1).reshape(-1, d)

    groups = [f"p{i // 3}" for i in range(prompts * 3)]
    expectation = np.mean(
        [frechet_distance(GaussianStats.of(draw()), reference) for _ in range(800)]
    )
    hits = 0
    for trial in range(150):
        found = frechet_replicates(draw(), reference, groups, trial).at_this_number()
        hits += found.low <= expectation <= found.high
    assert 0.91 <= hits / 150 <= 0.995


def test_metric_row_says_everything(make_input: Make) -> None:
    x, y = normal(40, 6), normal(60, 6, seed=1)
    row = FrechetDistance(encoder="scenes").measure(make_input(x, y, per_prompt=2)).results[0]
    assert row.metric == "fd(encoder=scenes)"
    assert row.value == pytest.approx(distance(x, y))
    assert 0 <= row.low < row.value < row.high
    assert (row.direction, row.images, row.references) == ("lower", 40, 60)
    assert row.protocol["encoder"] == "scenes"
    assert len(row.protocol["reference_sha256"]) == 64
    assert row.note is None


def test_fewer_images_than_dimensions_is_marked(make_input: Make) -> None:
    row = (
        FrechetDistance(encoder="scenes")
        .measure(make_input(normal(10, 32), normal(60, 32, seed=1)))
        .results[0]
    )
    assert row.note == "N < d: 10 images for 32 dimensions; biased upwards"
    row = (
        FrechetDistance(encoder="scenes")
        .measure(make_input(normal(60, 32), normal(12, 32, seed=1)))
        .results[0]
    )
    assert "12 reference images for 32 dimensions" in row.note


def test_constant_features_are_measured_and_said(make_input: Make) -> None:
    row = (
        FrechetDistance(encoder="scenes")
        .measure(make_input(np.ones((9, 4)), normal(30, 4)))
        .results[0]
    )
    assert row.value > 0
    assert "all images have the same features" in row.note


def test_images_on_both_sides_are_said(make_input: Make) -> None:
    x = normal(20, 4)
    data = make_input(x, x)
    same = type(data)(
        images=data.images, reference=data.images, matched=None, features=data.features
    )
    row = FrechetDistance(encoder="scenes").measure(same).results[0]
    assert row.value == pytest.approx(0, abs=1e-8)
    assert "20 images are in the reference, too" in row.note


def test_errors_say_what_is_wrong(make_input: Make) -> None:
    x = normal(20, 4)
    with pytest.raises(MetricError, match=r"needs at least 2 images and found 1"):
        FrechetDistance(encoder="scenes").measure(make_input(x[:1], x))
    with pytest.raises(MetricError, match=r"there are none; name some under 'reference'"):
        FrechetDistance(encoder="scenes").measure(make_input(x))
    bad = x.copy()
    bad[3, 1] = np.nan
    with pytest.raises(MetricError, match=r"NaN or infinite features for 1 of the 20 .*g3\.png"):
        FrechetDistance(encoder="scenes").measure(make_input(bad, x))
    with pytest.raises(MetricError, match=r"no parameter 'encodr'.*did you mean 'encoder'"):
        FrechetDistance(encoder="scenes", encodr="scenes")
    with pytest.raises(MetricError, match=r"no encoder 'inceptoin'.*did you mean 'inception'"):
        FrechetDistance(encoder="inceptoin")


def test_infinity_is_the_line_through_the_replicates_at_zero() -> None:
    x, y = normal(120, 6), normal(900, 6, seed=1)
    reference = GaussianStats.of(y)
    groups = [f"p{i // 3}" for i in range(120)]
    found = frechet_replicates(x, reference, groups, 0)
    assert len(found.without) == 20
    assert set(found.counts) == {114}
    mean = found.without.mean()
    slope = (mean - found.value) / (1 / 114 - 1 / 120)
    assert found.at_infinity().value == pytest.approx(found.value - slope / 120)
    widths = [i.high - i.low for i in (found.at_infinity(), found.at_this_number())]
    assert widths[0] == pytest.approx(widths[1], rel=0.2)


def test_infinity_takes_away_the_dependence_on_the_number_of_images() -> None:
    # Equal distributions and a large reference: FD_N is far from 0 at N = 100, its limit is not.
    d = 16
    reference = GaussianStats.of(normal(40_000, d, seed=99))
    at_n, at_infinity = [], []
    for seed in range(40):
        groups = [str(i) for i in range(100)]
        found = frechet_replicates(normal(100, d, seed=seed), reference, groups, seed)
        at_n.append(found.value)
        at_infinity.append(found.at_infinity().value)
    # To first order |m|^2 is d / N, and the covariance adds |S - 1|^2 / 4 = d (d + 1) / 4 N.
    assert np.mean(at_n) == pytest.approx((d + d * (d + 1) / 4) / 100, rel=0.1)
    assert abs(np.mean(at_infinity)) < 0.05 * np.mean(at_n)


def test_infinity_needs_prompts(make_input: Make) -> None:
    with pytest.raises(MetricError, match=r"fd_inf\(encoder=scenes\) extrapolates .* at least 5"):
        FrechetInfinity(encoder="scenes").measure(
            make_input(normal(8, 3), normal(60, 3, seed=1), per_prompt=2)
        )


def test_both_distances_come_from_one_computation(
    make_input: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gandiff.evaluate.metrics import frechet

    calls: list[int] = []
    whole = frechet.frechet_replicates

    def counting(*arguments: object) -> object:
        calls.append(1)
        return whole(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(frechet, "frechet_replicates", counting)
    data = make_input(normal(60, 6), normal(80, 6, seed=1), per_prompt=2)
    finite = FrechetDistance(encoder="scenes").measure(data).results[0]
    infinite = FrechetInfinity(encoder="scenes").measure(data).results[0]
    assert len(calls) == 1
    assert infinite.metric == "fd_inf(encoder=scenes)"
    assert infinite.value < finite.value
    assert infinite.protocol["reference_sha256"] == finite.protocol["reference_sha256"]


def test_resize_all_is_a_row_for_each_filter() -> None:
    metric = FrechetDistance(encoder="inception", resize="all")
    assert len(metric.encoders) == 4
    assert str(metric.spec) == "fd(encoder=inception,resize=all)"
    other = FrechetDistance(encoder="inception", resize="all", crop="centre", alpha="drop")
    assert str(other.spec) == "fd(alpha=drop,crop=centre,encoder=inception,resize=all)"
    assert str(FrechetDistance(encoder="inception", resize="legacy_tensorflow").spec) == (
        "fd(encoder=inception)"
    )
    with pytest.raises(MetricError, match=r"no resize filter 'claen'; did you mean 'clean'"):
        FrechetDistance(encoder="inception", resize="claen")
    with pytest.raises(MetricError, match="the encoder scenes resizes in one way only"):
        FrechetDistance(encoder="scenes", resize="clean")
    with pytest.raises(MetricError, match="name two ways to resize"):
        FrechetDistance(encoder="inception:clean", resize="legacy_pytorch")
    with pytest.raises(MetricError, match=r"no crop 'center'; did you mean 'centre'"):
        FrechetDistance(encoder="scenes", crop="center")
