import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from gandiff.common.errors import MetricError
from gandiff.evaluate.metric import MetricInput
from gandiff.evaluate.metrics.diversity import (
    PromptDiversity,
    Vendi,
    sibling_distances,
)
from gandiff.evaluate.numerics.vendi import vendi_of_features, vendi_score

Make = Callable[..., MetricInput]


def normal(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def test_vendi_is_the_value_in_its_authors_readme() -> None:
    # github.com/vertaix/Vendi-Score, README: samples 0 0 10 10 20 20, k = exp(-|a-b|): 2.9999,
    # which is cut off, not rounded; exactly it is 3 - 4e-9.
    samples = np.array([0, 0, 10, 10, 20, 20])
    kernel = np.exp(-np.abs(samples[:, None] - samples[None, :]).astype(float))
    assert int(vendi_score(kernel) * 1e4) / 1e4 == 2.9999
    assert vendi_score(kernel) < 3


def test_vendi_of_the_readme_matrix() -> None:
    # the same README: 2.1573
    kernel = np.array([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert vendi_score(kernel) == pytest.approx(2.1573, abs=5e-5)


@pytest.mark.parametrize("q", [0.5, 1.0, 2.0, float("inf")])
def test_vendi_counts_distinct_items(q: float) -> None:
    assert vendi_score(np.eye(7), q) == pytest.approx(7)
    assert vendi_score(np.ones((7, 7)), q) == pytest.approx(1)


def test_vendi_falls_with_its_order() -> None:
    x = normal(30, 5)
    values = [vendi_of_features(x, q) for q in (0.5, 1.0, 2.0, float("inf"))]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("n", [8, 60])
def test_vendi_by_either_matrix(n: int) -> None:
    x = normal(n, 12)
    unit = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(float)
    assert vendi_of_features(x) == pytest.approx(vendi_score(unit @ unit.T), rel=1e-6)


def test_vendi_is_blind_to_order_and_length() -> None:
    x = normal(20, 6)
    assert vendi_of_features(3 * x[::-1]) == pytest.approx(vendi_of_features(x), rel=1e-6)


def test_mode_collapse_lowers_vendi(make_input: Make) -> None:
    spread = Vendi(encoder="scenes").measure(make_input(normal(60, 16))).results[0]
    modes = normal(3, 16)[np.arange(60) % 3]
    collapsed = Vendi(encoder="scenes").measure(make_input(modes)).results[0]
    assert collapsed.value <= 3 + 1e-6
    assert spread.value > 10
    assert spread.metric == "vendi(encoder=scenes)"
    assert spread.low < spread.value < spread.high
    assert spread.protocol["n"] == 60


def test_vendi_at_a_fixed_n_does_not_grow_with_the_number_of_images(make_input: Make) -> None:
    few, many = normal(40, 32), normal(400, 32)
    free = [Vendi(encoder="scenes").measure(make_input(x)).results[0].value for x in (few, many)]
    fixed = [
        Vendi(encoder="scenes", n=30).measure(make_input(x)).results[0].value for x in (few, many)
    ]
    assert free[1] > 1.3 * free[0]
    assert fixed[1] == pytest.approx(fixed[0], rel=0.1)
    assert str(Vendi(encoder="scenes", n=30, q=1).spec) == "vendi(encoder=scenes,n=30)"


def test_vendi_interval_covers_its_expectation(make_input: Make) -> None:
    rng = np.random.default_rng(0)

    def draw() -> np.ndarray:
        centres = rng.normal(size=(50, 1, 6))
        return (centres + 0.5 * rng.normal(size=(50, 3, 6)) + 0.5).reshape(-1, 6)

    truth = np.mean([vendi_of_features(draw()) for _ in range(400)])
    hits = 0
    for _ in range(150):
        row = (
            Vendi(encoder="scenes")
            .measure(make_input(draw().astype(np.float32), per_prompt=3))
            .results[0]
        )
        hits += row.low <= truth <= row.high
    assert 0.88 <= hits / 150 <= 0.995


def test_vendi_errors(make_input: Make) -> None:
    with pytest.raises(MetricError, match="features that are all 0"):
        Vendi(encoder="scenes").measure(make_input(np.zeros((4, 3))))
    with pytest.raises(MetricError, match="needs 9 images and found 4"):
        Vendi(encoder="scenes", n=9).measure(make_input(normal(4, 3)))
    with pytest.raises(MetricError, match="'q' of the metric vendi is -1"):
        Vendi(encoder="scenes", q=-1)
    with pytest.raises(MetricError, match=r"'n' of the metric vendi is 1\.5; give a whole number"):
        Vendi(encoder="scenes", n=1.5)


def test_sibling_distance_of_known_points() -> None:
    points = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 5.0], [9.0, 9.0]])
    found = sibling_distances(points, ["a", "a", "a", "b"])
    apart = np.sqrt(10)
    np.testing.assert_allclose(found[:3], [(5 + 5) / 2, (5 + apart) / 2, (5 + apart) / 2])
    assert np.isnan(found[3])
    cosine = sibling_distances(np.array([[2.0, 0.0], [0.0, 1.0]]), ["a", "a"], "cosine")
    np.testing.assert_allclose(cosine, [1.0, 1.0])


def test_real_images_have_the_ratio_one(make_input: Make) -> None:
    x = normal(80, 6)
    row = (
        PromptDiversity(encoder="scenes").measure(make_input(x, matched=x, per_prompt=4)).results[0]
    )
    assert row.value == pytest.approx(1.0)
    assert (row.direction, row.target) == ("target", 1.0)
    assert row.metric == "diversity(encoder=scenes)"


def test_ratio_is_of_sums_and_scales_with_the_spread(make_input: Make) -> None:
    real = normal(80, 6)
    half = PromptDiversity(encoder="scenes").measure(
        make_input(real / 2, matched=real, per_prompt=4)
    )
    assert half.results[0].value == pytest.approx(0.5)
    # one prompt that varies much weighs as much as its real images vary
    uneven = real.copy()
    uneven[:4] *= 100
    row = (
        PromptDiversity(encoder="scenes")
        .measure(make_input(uneven, matched=real, per_prompt=4))
        .results[0]
    )
    own = np.nansum(sibling_distances(uneven, [str(i // 4) for i in range(80)]))
    base = np.nansum(sibling_distances(real, [str(i // 4) for i in range(80)]))
    assert row.value == pytest.approx(own / base)


def test_over_any_prompts_real_images_have_the_ratio_one(make_input: Make) -> None:
    """Prompts of one object vary less than those of two, and so do real images of them."""
    x = normal(80, 6)
    x[:40] *= 0.2
    name = "diversity(encoder=scenes)"
    output = PromptDiversity(encoder="scenes").measure(make_input(x, matched=x, per_prompt=4))
    values, below = output.per_image[name], output.denominators[name]
    whole = values.sum() / below.sum()
    assert whole == pytest.approx(output.results[0].value)
    for some in (slice(0, 40), slice(40, 80)):
        assert values[some].sum() / below[some].sum() == pytest.approx(1)
        assert values[some].mean() != pytest.approx(1, rel=0.5)


def test_images_of_prompts_without_real_ones_have_no_value(make_input: Make) -> None:
    x = normal(16, 4)
    data = make_input(x, matched=x, per_prompt=4)
    fewer = dataclasses.replace(data, matched=[i for i in data.matched if i.group != "p0"])
    output = PromptDiversity(encoder="scenes").measure(fewer)
    alone = [image.group == "p0" for image in data.images]
    assert any(alone)
    for column in (output.per_image, output.denominators):
        assert np.isnan(column["diversity(encoder=scenes)"]).tolist() == alone


def test_mode_collapse_lowers_diversity(make_input: Make) -> None:
    real = normal(80, 6)
    collapsed = np.repeat(normal(20, 6, seed=1), 4, axis=0)  # one picture a prompt
    output = PromptDiversity(encoder="scenes").measure(
        make_input(collapsed, matched=real, per_prompt=4)
    )
    assert output.results[0].value == 0.0
    assert (output.per_image["diversity(encoder=scenes)"] == 0).all()


def test_ratio_interval_covers_the_truth(make_input: Make) -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(100):
        spread = rng.uniform(0.5, 2, size=(30, 1, 1))
        real = (spread * rng.normal(size=(30, 4, 5))).reshape(-1, 5)
        made = 0.7 * (spread * rng.normal(size=(30, 4, 5))).reshape(-1, 5)
        row = (
            PromptDiversity(encoder="scenes")
            .measure(make_input(made, matched=real, per_prompt=4))
            .results[0]
        )
        hits += row.low <= 0.7 <= row.high
    assert 0.9 <= hits / 100 <= 1.0


def test_without_real_images_the_raw_mean_has_no_better_direction(make_input: Make) -> None:
    output = PromptDiversity(encoder="scenes", distance="cosine").measure(
        make_input(normal(40, 6), per_prompt=2)
    )
    row = output.results[0]
    assert (row.direction, row.target, row.unit) == ("none", None, "cosine distance")
    assert (row.described.direction, row.described.target) == ("none", None)
    assert "neither more nor less counts as better" in row.described.meaning
    assert "relative to real images" not in row.described.meaning
    assert "without real images to compare with" in row.note
    assert row.metric == "diversity(distance=cosine,encoder=scenes)"
    assert row.value == pytest.approx(np.mean(output.per_image[row.metric]))


def test_single_images_are_nan_and_left_out(make_input: Make) -> None:
    data = make_input(normal(7, 4), matched=normal(8, 4, seed=1), per_prompt=2)
    output = PromptDiversity(encoder="scenes").measure(data)
    assert np.isnan(output.per_image["diversity(encoder=scenes)"]).tolist() == [False] * 6 + [True]
    assert output.results[0].note.startswith("over 3 prompts")


def test_diversity_errors(make_input: Make) -> None:
    x = normal(6, 4)
    with pytest.raises(MetricError, match="2 images of one prompt and no prompt has them"):
        PromptDiversity(encoder="scenes").measure(make_input(x))
    with pytest.raises(MetricError, match="real images of each prompt all have the same features"):
        PromptDiversity(encoder="scenes").measure(
            make_input(x, matched=np.ones((6, 4)), per_prompt=2)
        )
    with pytest.raises(MetricError, match=r"'distance' .* is 'euclid'; did you mean 'euclidean'"):
        PromptDiversity(encoder="scenes", distance="euclid")
