import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from gandiff.common.errors import MetricError
from gandiff.evaluate.metric import MetricInput, MetricOutput
from gandiff.evaluate.metrics.duplicates import (
    NearDuplicates,
    nearest_distances,
    similar_without,
)
from gandiff.evaluate.numerics.kernels import unit_length
from gandiff.evaluate.numerics.statistics import partition_groups
from gandiff.evaluate.result import MetricResult

Make = Callable[..., MetricInput]


def normal(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def shares(data: MetricInput, **params: object) -> tuple[float | None, float | None]:
    rows = NearDuplicates(**params).measure(data).results  # type: ignore[arg-type]
    assert [row.metric.rpartition("/")[2] for row in rows] == ["over_seeds", "over_prompts"]
    return rows[0].value, rows[1].value


def with_copies(share: float, d: int = 64) -> np.ndarray:
    """A share of the prompts has its first image four times."""
    rows = normal(400, d).reshape(100, 4, d)
    rows[: int(100 * share), 1:] = rows[: int(100 * share), :1]
    return rows.reshape(-1, d)


def test_nearest_of_known_points() -> None:
    units = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.6, 0.8]])
    found = nearest_distances(units, ["a", "a", "b", "c"])
    root = np.sqrt(2)
    np.testing.assert_allclose(found["over_seeds"], [root, root, np.inf, np.inf], rtol=1e-6)
    # |(1,0) - (.6,.8)|^2 = .8, |(0,1) - (.6,.8)|^2 = .4, |(-1,0) - (0,1)|^2 = 2
    np.testing.assert_allclose(found["over_prompts"] ** 2, [0.8, 0.4, 2.0, 0.4], rtol=1e-6)


def test_copies_score_one_and_noise_nothing(make_input: Make) -> None:
    x = normal(80, 64)
    assert shares(make_input(x, per_prompt=4)) == (0.0, 0.0)
    siblings = np.repeat(normal(20, 64), 4, axis=0)
    assert shares(make_input(siblings, per_prompt=4)) == (1.0, 0.0)
    one_a_prompt = np.tile(normal(4, 64), (20, 1))  # the same four images for every prompt
    assert shares(make_input(one_a_prompt, per_prompt=4)) == (0.0, 1.0)
    alike = np.repeat(normal(1, 64), 80, axis=0)
    for matched in (None, x):
        assert shares(make_input(alike, matched=matched, per_prompt=4)) == (1.0, 1.0)


def test_exact_copies_count_under_the_strictest_threshold(make_input: Make) -> None:
    # The cosine of a vector and itself is not 1 in floating point; lengths do not matter either.
    x = np.repeat(normal(10, 300) + 20, 4, axis=0)
    assert shares(make_input(x, per_prompt=4), threshold=1) == (1.0, 0.0)
    real = np.repeat(normal(10, 300, seed=1), 4, axis=0)  # copies themselves: the distance is 0
    assert shares(make_input(x, matched=real, per_prompt=4))[0] == 1.0


def test_more_copies_score_higher(make_input: Make) -> None:
    real = normal(400, 64, seed=1)
    for matched in (None, real):
        data = [make_input(with_copies(s), matched=matched, per_prompt=4) for s in (0.2, 0.5, 0.9)]
        found = [shares(d)[0] for d in data]
        assert found == pytest.approx([0.2, 0.5, 0.9], abs=0.02)


def test_real_images_reach_the_threshold_one_in_a_hundred(make_input: Make) -> None:
    real = np.abs(normal(400, 8))  # a common direction: most cosines are above 0.5
    output = NearDuplicates(encoder="scenes").measure(make_input(real, matched=real, per_prompt=4))
    for row in output.results:
        assert row.value == pytest.approx(0.01, abs=0.006)
        assert "of 400 real images reach" in row.note
        assert row.protocol["threshold"] == "the cosine that 0.01 of the real images reach"
        assert row.references == 400
    fresh = make_input(np.abs(normal(400, 8, seed=1)), matched=real, per_prompt=4)
    assert all(0 <= share <= 0.05 for share in shares(fresh))
    assert shares(make_input(real, per_prompt=4))[1] > 0.8  # 0.95 says nothing of such features


def test_as_many_real_images_of_a_prompt_as_were_made(make_input: Make) -> None:
    # With more images the nearest is nearer, so a larger real set would make a stricter threshold.
    made = make_input(normal(200, 8), per_prompt=2)
    real = make_input(normal(100, 8), matched=normal(400, 8, seed=1), per_prompt=4).matched
    few = [image for index, image in enumerate(real) if index % 4 < 2]
    table = make_input(normal(200, 8), matched=normal(400, 8, seed=1)).features
    rows = [
        NearDuplicates(encoder="scenes")
        .measure(dataclasses.replace(made, matched=m, features=table))
        .results
        for m in (real, few)
    ]
    assert [row.value for row in rows[0]] == [row.value for row in rows[1]]
    assert [row.note for row in rows[0]] == [row.note for row in rows[1]]
    sparse = dataclasses.replace(made, matched=few[:150], features=table)
    assert (
        "50 real images fewer than made"
        in NearDuplicates(encoder="scenes").measure(sparse).results[0].note
    )


def test_a_threshold_that_is_given_holds_with_real_images_too(make_input: Make) -> None:
    x, real = normal(80, 6), normal(80, 6, seed=1)
    data = make_input(x, matched=real, per_prompt=4)
    assert shares(data, threshold=0.8) == shares(make_input(x, per_prompt=4), threshold=0.8)
    row = NearDuplicates(encoder="scenes", threshold=0.8).measure(data).results[0]
    assert row.metric == "near_duplicates(encoder=scenes,threshold=0.8)/over_seeds"
    assert row.protocol["threshold"] == "cosine >= 0.8"
    assert row.references is None
    loose = NearDuplicates(encoder="scenes").measure(make_input(x, per_prompt=4)).results[0]
    assert loose.note == "the threshold is not calibrated"
    assert loose.protocol["threshold"] == "cosine >= 0.95"


def test_per_image_values_are_the_share(make_input: Make) -> None:
    x = with_copies(0.3)
    output = NearDuplicates(encoder="scenes").measure(make_input(x, per_prompt=4))
    assert set(output.per_image) == {row.metric for row in output.results}
    over_seeds = output.per_image["near_duplicates(encoder=scenes)/over_seeds"]
    assert over_seeds.tolist() == [1.0] * 120 + [0.0] * 280
    row = output.results[0]
    assert 0 <= row.low < 0.3 < row.high <= 1
    assert (row.direction, row.images) == ("lower", 400)


def test_order_and_blocks_do_not_matter(make_input: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    x = normal(60, 3)
    groups = [f"p{i // 4}" for i in range(60)]
    parts = partition_groups(groups, 20, 0)
    units = unit_length(x)
    whole, without = nearest_distances(units, groups), similar_without(units, groups, parts, 0.3)
    turned = nearest_distances(units[::-1], groups[::-1])
    monkeypatch.setattr("gandiff.evaluate.numerics.neighbours._CELLS", 500)
    monkeypatch.setattr("gandiff.evaluate.numerics.neighbours._COLUMNS", 7)
    blocks = nearest_distances(units, groups)
    for kind in whole:
        np.testing.assert_array_equal(turned[kind][::-1], whole[kind])
        np.testing.assert_array_equal(blocks[kind], whole[kind])
    np.testing.assert_array_equal(similar_without(units, groups, parts, 0.3), without)


def test_replicates_equal_recomputing() -> None:
    units = unit_length(normal(80, 3))
    groups = [f"p{i // 4}" for i in range(80)]
    parts = partition_groups(groups, 20, 1)
    found = similar_without(units, groups, parts, 0.25)
    for part in range(20):
        kept = parts != part
        rest = nearest_distances(units[kept], [g for g, k in zip(groups, kept, strict=True) if k])
        np.testing.assert_array_equal(found[kept, part], rest["over_prompts"] <= 0.25)
    assert 0.1 < found.mean() < 0.9


def only(output: MetricOutput) -> MetricResult:
    (row,) = output.results
    assert list(output.per_image) == [row.metric]
    return row


def test_a_kind_without_anything_to_compare_says_so(make_input: Make) -> None:
    row = only(NearDuplicates(encoder="scenes").measure(make_input(normal(20, 4))))
    assert row.metric == "near_duplicates(encoder=scenes)/over_prompts"
    assert "no prompt has 2 images, so nothing over seeds" in row.note
    row = only(NearDuplicates(encoder="scenes").measure(make_input(normal(4, 4), per_prompt=4)))
    assert row.metric == "near_duplicates(encoder=scenes)/over_seeds"
    assert "all images are of one prompt, so nothing over prompts" in row.note
    mixed = NearDuplicates(encoder="scenes").measure(make_input(normal(41, 64), per_prompt=4))
    assert np.isnan(mixed.per_image["near_duplicates(encoder=scenes)/over_seeds"][40])
    assert mixed.results[0].value == 0.0


def test_names_and_errors(make_input: Make) -> None:
    metric = NearDuplicates(encoder="inception", resize="clean", crop="centre")
    assert str(metric.spec) == "near_duplicates(crop=centre,encoder=inception,resize=clean)"
    assert metric.encoders == ("inception:clean+centre",)
    for wrong in (0, 1.5, True, "high"):
        with pytest.raises(MetricError, match=r"'threshold' .* give a cosine above 0 and up to 1"):
            NearDuplicates(encoder="scenes", threshold=wrong)
    with pytest.raises(MetricError, match="features that are all 0"):
        NearDuplicates(encoder="scenes").measure(make_input(np.zeros((4, 3))))


def coverage(make_input: Make, trials: int, copied: float, modes: float) -> list[float]:
    """How often the intervals hold the mean of all draws; some images come from a pool."""
    rng = np.random.default_rng(0)
    pool = rng.normal(size=(40, 16))

    def draw(trial: int) -> MetricOutput:
        x = rng.normal(size=(100, 4, 16))
        noise = 0.15 * rng.normal(size=(100, 4, 16))
        often = 2 * copied * rng.random((100, 1, 1))
        x = np.where(rng.random((100, 4, 1)) < often, x[:, :1] + noise, x)
        taken = rng.random((100, 4)) < modes
        x[taken] = pool[rng.integers(40, size=int(taken.sum()))] + noise[taken]
        data = make_input(x.reshape(-1, 16).astype(np.float32), per_prompt=4)
        return NearDuplicates(encoder="scenes", threshold=0.9).measure(
            dataclasses.replace(data, seed=trial)
        )

    rows = np.array(
        [[(r.low, r.value, r.high) for r in draw(trial).results] for trial in range(trials)]
    )
    truth = rows[:, :, 1].mean(axis=0)
    return list(((rows[:, :, 0] <= truth) & (truth <= rows[:, :, 2])).mean(axis=0))


def test_intervals_cover_their_expectation(make_input: Make) -> None:
    assert all(0.9 <= share <= 1 for share in coverage(make_input, 100, 0.3, 0.1))


@pytest.mark.slow
@pytest.mark.parametrize(("copied", "modes"), [(0.3, 0.1), (0.05, 0.05)])
def test_intervals_cover_their_expectation_500(
    make_input: Make, copied: float, modes: float
) -> None:
    found = coverage(make_input, 500, copied, modes)
    assert all(0.92 <= share <= 0.99 for share in found), found
