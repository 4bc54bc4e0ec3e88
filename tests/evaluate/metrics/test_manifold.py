import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from gandiff.common.errors import MetricError
from gandiff.evaluate.metric import MetricInput, ReferenceStatistics
from gandiff.evaluate.metrics.manifold import Coverage, Density, Precision, Recall, manifold_values
from gandiff.evaluate.numerics.neighbours import overlap_of
from gandiff.evaluate.numerics.proportions import (
    NORMAL,
    proportion_interval,
    share_over_groups,
)
from gandiff.evaluate.numerics.statistics import jackknife_variance, partition_groups

Make = Callable[..., MetricInput]
ALL = (Precision, Recall, Density, Coverage)
PRDC_300_40 = (242 / 300, 218 / 300, 1.136, 296 / 300)


def normal(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def plain(made: np.ndarray, real: np.ndarray, k: int, strict: bool = True) -> list[float]:
    """The four definitions, point by point."""

    def radius(points: np.ndarray, i: int) -> float:
        others = [float(np.linalg.norm(points[i] - p)) for j, p in enumerate(points) if j != i]
        return sorted(others)[k - 1]

    def inside(x: np.ndarray, centre: np.ndarray, reach: float) -> bool:
        apart = float(np.linalg.norm(x - centre))
        return apart < reach if strict else apart <= reach

    made, real = made.astype(float), real.astype(float)
    of_made = [radius(made, i) for i in range(len(made))]
    of_real = [radius(real, i) for i in range(len(real))]
    held = np.array([[inside(x, r, of_real[i]) for i, r in enumerate(real)] for x in made])
    holding = np.array([[inside(r, x, of_made[j]) for r in real] for j, x in enumerate(made)])
    return [
        held.any(axis=1).mean(),
        holding.any(axis=0).mean(),
        held.sum(axis=1).mean() / k,
        held.any(axis=0).mean(),
    ]


def values(data: MetricInput, **params: object) -> list[float]:
    return [metric(**params).measure(data).results[0].value for metric in ALL]  # type: ignore[arg-type]


def stored(rows: np.ndarray) -> ReferenceStatistics:
    """A file of statistics with features."""
    return ReferenceStatistics(
        source="real.npz", encoder="scenes", mean=rows.mean(axis=0), covariance=np.cov(rows.T),
        count=len(rows), features=rows, protocol=None, sha256="f",
    )  # fmt: skip


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("strict", [True, False])
def test_equals_the_definitions_point_by_point(k: int, strict: bool) -> None:
    real, made = normal(30, 3), 0.8 * normal(25, 3, seed=1) + 0.3
    assert manifold_values(made, real, k, strict=strict) == pytest.approx(
        plain(made, real, k, strict), abs=1e-12
    )


def test_two_normal_sets_of_the_size_in_the_readme_of_prdc() -> None:
    # github.com/clovaai/generative-evaluation-prdc, README: two sets N(0, I), k = 5, 10000 rows and
    # 1000 columns: 0.4772, 0.4705, 1.0555, 0.9735. These are prdc 0.2's values for 300 x 40 here.
    rng = np.random.default_rng(0)
    real, made = rng.normal(size=(2, 300, 40)).astype(np.float32)
    assert manifold_values(made, real) == pytest.approx(PRDC_300_40, abs=1e-12)


def test_points_on_a_line() -> None:
    # Reference 0, 1, 2, 10 with k = 1: radii 1, 1, 1, 8. Images 0.5, 1, 11: radii .5, .5, 10.
    real, made = np.array([[0.0], [1.0], [2.0], [10.0]]), np.array([[0.5], [1.0], [11.0]])
    # 0.5 lies in the balls of 0 and 1; 1 in that of 1, at the edge of two; 11 in that of 10.
    # 1 and 0 to 2 lie within 10 of 11: 2 and 10; within .5 of 1: 1 itself; 0 is at the edge.
    assert manifold_values(made, real, 1) == pytest.approx((1.0, 0.75, 4 / 3, 0.75))
    # closed balls: 1 is in those of 0, 2; 2 has radius 1 and holds 1; 0.5 reaches 0; 11 reaches 1
    assert manifold_values(made, real, 1, strict=False) == pytest.approx((1.0, 1.0, 2.0, 1.0))


def test_mode_collapse_keeps_precision_and_loses_recall(make_input: Make) -> None:
    real, collapsed = normal(300, 8), 0.1 * normal(300, 8, seed=1)
    precision, recall, _, coverage = values(make_input(collapsed, real))
    assert precision > 0.99
    assert recall < 0.05
    assert coverage < 0.5
    precision, recall, _, _ = values(make_input(real, collapsed))  # the sides changed
    assert precision < 0.05
    assert recall > 0.99


def test_an_outlier_raises_recall_but_not_coverage(make_input: Make) -> None:
    # Naeem et al. 2020, figure 3: far-flung images have large balls.
    real, made = normal(200, 4), 0.2 * normal(200, 4, seed=1)
    flung = made.copy()
    flung[:8] = 4 * normal(8, 4, seed=2)
    before, after = values(make_input(made, real)), values(make_input(flung, real))
    assert after[1] > before[1] + 0.3
    assert abs(after[3] - before[3]) < 0.05


def test_worse_is_lower(make_input: Make) -> None:
    real = normal(200, 6)
    found = [values(make_input(normal(200, 6, 1) + s, real)) for s in (0.0, 0.7, 1.4)]
    for column in zip(*found, strict=True):
        assert list(column) == sorted(column, reverse=True)


def test_order_and_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    real, made = normal(90, 5), normal(80, 5, seed=1) + 0.4
    labels = partition_groups([f"p{i // 4}" for i in range(80)], 20, 0)
    whole = overlap_of(made, real, 5, labels=labels)
    turned = overlap_of(made[::-1], real[::-1], 5, labels=labels[::-1])
    monkeypatch.setattr("gandiff.evaluate.numerics.neighbours._CELLS", 700)
    monkeypatch.setattr("gandiff.evaluate.numerics.neighbours._COLUMNS", 9)
    blocks = overlap_of(made, real, 5, labels=labels)
    for other, counts in ((turned, turned.counts[::-1]), (blocks, blocks.counts)):
        np.testing.assert_array_equal(counts, whole.counts)
        assert (other.recalled, other.covered) == (whole.recalled, whole.covered)
        np.testing.assert_allclose(other.recalled_without, whole.recalled_without, atol=1e-12)
        np.testing.assert_allclose(other.covered_without, whole.covered_without, atol=1e-12)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(("k", "spread"), [(5, 0.1), (2, 0.6), (5, 0.5)])
def test_replicates_equal_recomputing(strict: bool, k: int, spread: float) -> None:
    # Samples of a prompt lie close together, so leaving one out changes many radii.
    centres, noise = normal(20, 5, seed=1), normal(80, 5, seed=2)
    made = np.repeat(centres, 4, axis=0) + spread * noise
    made[7] = made[60] = made[61]
    real = normal(70, 5)
    labels = partition_groups([f"p{i // 4}" for i in range(80)], 20, 3)
    found = overlap_of(made, real, k, strict=strict, labels=labels)
    for part in range(20):
        rest = overlap_of(made[labels != part], real, k, strict=strict)
        assert found.recalled_without[part] == pytest.approx(rest.recalled, abs=1e-12)
        assert found.covered_without[part] == pytest.approx(rest.covered, abs=1e-12)
    assert np.ptp(found.recalled_without) > 0


def test_replicates_where_one_part_holds_all_near_neighbours() -> None:
    made = np.concatenate([normal(60, 4), 50 + normal(60, 4, seed=1)])
    labels = np.repeat([0, 1, 2, 3, 4], [60, 15, 15, 15, 15])
    found = overlap_of(made, normal(40, 4, seed=2), 3, labels=labels)
    for part in range(5):
        rest = overlap_of(made[labels != part], normal(40, 4, seed=2), 3)
        assert found.recalled_without[part] == pytest.approx(rest.recalled, abs=1e-12)


def test_identical_sets_and_copies() -> None:
    x = normal(50, 4)
    # Each image lies in its own double's open ball.
    assert manifold_values(x, x, 5)[:2] == (1.0, 1.0)
    assert manifold_values(x, x, 5)[3] == 1.0
    alike = np.full((10, 4), 0.1, np.float32)
    # Radius 0: open balls are empty, closed ones hold every copy.
    assert manifold_values(alike, alike, 5) == (0.0, 0.0, 0.0, 0.0)
    assert manifold_values(alike, alike, 5, strict=False) == pytest.approx((1.0, 1.0, 2.0, 1.0))


def test_far_from_the_origin_copies_are_copies() -> None:
    # x.x + y.y - 2 x.y of equal vectors is not 0 in floating point.
    x = np.repeat(normal(4, 300) + 100, 8, axis=0)
    assert manifold_values(x, x, 5)[:2] == (0.0, 0.0)
    assert manifold_values(x, x, 5, strict=False)[:2] == (1.0, 1.0)


def test_collapse_onto_one_image_is_said(make_input: Make) -> None:
    alike = np.repeat(normal(1, 6), 40, axis=0)
    row = Precision(encoder="scenes").measure(make_input(alike, normal(60, 6, seed=1))).results[0]
    assert row.value in (0.0, 1.0)
    assert "all images have the same features" in row.note
    row = Precision(encoder="scenes").measure(make_input(normal(60, 6, seed=1), alike)).results[0]
    assert row.note == "40 reference images have 5 or more copies: radius 0"


def test_rows(make_input: Make) -> None:
    data = make_input(0.9 * normal(200, 8) + 0.1, normal(160, 8, seed=1), per_prompt=4)
    for metric in ALL:
        output = metric(encoder="scenes").measure(data)
        row = output.results[0]
        assert row.metric == f"{metric.__name__.lower()}(encoder=scenes,nearest_k=5)"
        assert row.low < row.value < row.high
        assert (row.images, row.references) == (200, 160)
        assert row.protocol["nearest_k"] == 5
        assert row.protocol["inside"] == "distance < radius"
        assert (row.direction, metric.compares_sets) == ("higher", True)
        if metric in (Precision, Density):
            assert output.per_image[row.metric].mean() == pytest.approx(row.value)
        else:
            assert not output.per_image
    assert len(data.memo) == 1  # one computation for the four


def test_names_say_what_is_not_the_default(make_input: Make) -> None:
    metric = Coverage(encoder="inception", resize="clean", nearest_k=3, strict=False)
    name = "coverage(encoder=inception,nearest_k=3,resize=clean,strict=false)"
    assert str(metric.spec) == name
    assert metric.encoders == ("inception:clean",)
    row = metric.measure(make_input(normal(20, 4), normal(20, 4, 1))).results[0]
    assert row.protocol["inside"] == "distance <= radius"


def test_memo_is_not_shared_between_settings(make_input: Make) -> None:
    data = make_input(0.9 * normal(60, 4), normal(60, 4, 1))
    first = values(data, nearest_k=2)
    assert values(data, nearest_k=7) != first
    assert values(data, nearest_k=2) == first


def test_reference_from_a_file(make_input: Make) -> None:
    made, real = normal(40, 4), normal(50, 4, seed=1)
    data = dataclasses.replace(make_input(made), statistics=stored(real))
    assert values(data) == values(make_input(made, real))
    bare = dataclasses.replace(stored(real), features=None)
    with pytest.raises(MetricError, match="holds their mean and covariance only"):
        Recall(encoder="scenes").measure(dataclasses.replace(data, statistics=bare))
    narrow = dataclasses.replace(data, statistics=stored(real[:, :3]))
    with pytest.raises(MetricError, match="the reference has 3 features and scenes gives 4"):
        Recall(encoder="scenes").measure(narrow)


def test_errors_say_what_is_wrong(make_input: Make) -> None:
    x = normal(20, 4)
    with pytest.raises(MetricError, match="more than nearest_k = 5 reference images and found 5"):
        Precision(encoder="scenes").measure(make_input(x, x[:5]))
    with pytest.raises(MetricError, match="more than nearest_k = 5 images and found 4"):
        Recall(encoder="scenes").measure(make_input(x[:4], x))
    assert 0 <= Precision(encoder="scenes").measure(make_input(x[:6], x[:6])).results[0].value <= 1
    with pytest.raises(MetricError, match="compares with reference images and there are none"):
        Density(encoder="scenes").measure(make_input(x))
    with pytest.raises(MetricError, match=r"'nearest_k' .* is 0; give a whole number of at least"):
        Coverage(encoder="scenes", nearest_k=0)
    with pytest.raises(MetricError, match=r"'strict' of the metric recall is 1; give true"):
        Recall(encoder="scenes", strict=1)
    with pytest.raises(MetricError, match="did you mean 'nearest_k'"):
        Recall(encoder="scenes", nearest=3)


def test_few_prompts_or_images_have_no_interval(make_input: Make) -> None:
    few = make_input(0.9 * normal(40, 4), normal(40, 4, 1), per_prompt=10)
    small = make_input(0.9 * normal(6, 4), normal(40, 4, 1))  # 5 are left for k = 5
    for data, metrics in ((few, ALL), (small, (Recall, Coverage))):
        assert all(m().measure(data).results[0].low is None for m in metrics)


def test_recall_of_sets_that_barely_meet_has_no_interval(make_input: Make) -> None:
    data = make_input(0.6 * normal(400, 8) + 2, normal(400, 8, 1), per_prompt=4)
    row = Recall(encoder="scenes").measure(data).results[0]
    assert row.low is None
    assert "barely meet" in row.note
    assert Coverage(encoder="scenes").measure(data).results[0].low is not None


def test_score_interval_is_wilsons() -> None:
    # Newcombe 1998, table I, method 3: 81 of 263 and 0 of 20 and 15 of 148.
    for hits, trials, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605)):
        share = hits / trials
        spread = share * (1 - share) / trials
        found = proportion_interval(share, spread, images=trials, groups=trials, reach=NORMAL)
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
    found = proportion_interval(0.0, 0.0, images=20, groups=20, reach=NORMAL)
    assert (found.low, found.high) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_score_interval_of_alike_samples_counts_prompts() -> None:
    hits = np.random.default_rng(0).random(100) < 0.3
    alone = share_over_groups(hits.astype(float), [f"p{i}" for i in range(100)])
    alike = np.repeat(hits, 4).astype(float)
    groups = [f"p{i // 4}" for i in range(400)]
    four = share_over_groups(alike, groups)
    assert (four.low, four.high) == pytest.approx((alone.low, alone.high), rel=1e-9)
    padded = share_over_groups(np.append(alike, np.nan), [*groups, "none"])
    assert padded == four
    assert share_over_groups(np.ones(400), groups).low == pytest.approx(0.962, abs=1e-3)


def simulate(trials: int, truths: int, scale: float, shift: float, make_input: Make) -> dict:
    rng = np.random.default_rng(0)
    reference = normal(300, 8, seed=5)
    hits = {metric: 0 for metric in ALL}

    def draw() -> np.ndarray:
        centres, noise = rng.normal(size=(100, 1, 8)), rng.normal(size=(100, 4, 8))
        return (0.7 * scale * (centres + noise) + shift).reshape(-1, 8).astype(np.float32)

    truth = np.mean([manifold_values(draw(), reference) for _ in range(truths)], axis=0)
    for trial in range(trials):
        data = dataclasses.replace(make_input(draw(), reference, per_prompt=4), seed=trial)
        for metric, true in zip(ALL, truth, strict=True):
            row = metric().measure(data).results[0]
            hits[metric] += row.low <= true <= row.high
    return {metric.__name__: found / trials for metric, found in hits.items()}


def test_intervals_cover_their_expectation(make_input: Make) -> None:
    found = simulate(100, 400, 0.9, 0.3, make_input)
    assert all(0.9 <= share <= 1 for share in found.values()), found


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("scale", "shift"), [(0.9, 0.3), (0.6, 0.2), (1.2, 0.0)])
def test_intervals_cover_their_expectation_500(
    make_input: Make, scale: float, shift: float
) -> None:
    found = simulate(500, 2000, scale, shift, make_input)
    assert min(found.values()) >= 0.92, found
    # Recall's jackknife variance is biased upwards, most where recall is nearly 1.
    assert found.pop("Recall") < 1
    assert max(found.values()) <= 0.99, found


def test_jackknife_variance_of_a_mean() -> None:
    x = normal(20, 1)[:, 0].astype(float)
    without = (x.sum() - x) / 19
    assert jackknife_variance(without) == pytest.approx(x.var(ddof=1) / 20)
