import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from gandiff.common.errors import MetricError
from gandiff.evaluate.metric import MetricInput
from gandiff.evaluate.metrics import retrieval
from gandiff.evaluate.metrics.retrieval import RPrecision

Make = Callable[..., MetricInput]
NAME = "r_precision(model=scenes)"


def normal(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def scene(make_input: Make, prompts: int, noise: float, per_prompt: int = 2) -> MetricInput:
    """Images that lie around the text of their prompt."""
    texts = normal(prompts, 16)
    images = np.repeat(texts, per_prompt, axis=0)
    images = images + noise * normal(len(images), 16, seed=1)
    table = {f"p{i}": text for i, text in enumerate(texts)}
    return make_input(images, per_prompt=per_prompt, texts=table)


def with_prompts(data: MetricInput, prompts: list[str]) -> MetricInput:
    images = [dataclasses.replace(i, prompt=p) for i, p in zip(data.images, prompts, strict=True)]
    return dataclasses.replace(data, images=images)


def test_counts_the_images_that_are_nearest_to_their_own_prompt(make_input: Make) -> None:
    texts = {"p0": np.array([1.0, 0.0]), "p1": np.array([0.0, 1.0]), "p2": np.array([-1.0, 0.0])}
    images = np.array([[3.0, 1.0], [0.1, 0.2], [1.0, -9.0]])
    output = RPrecision(model="scenes").measure(make_input(images, texts=texts))
    row = output.results[0]
    # the third is nearest to p0, though it is farther still from its own p2 by angle
    np.testing.assert_array_equal(output.per_image[NAME], [1, 1, 0])
    assert row.value == pytest.approx(2 / 3)
    assert (row.metric, row.unit, row.direction, row.images) == (NAME, "share", "higher", 3)
    assert row.note == "chance level 0.333 (3 candidates)"
    assert (row.protocol["candidates"], row.protocol["drawn"]) == (3, "all prompts")


def test_agrees_with_a_plain_loop(make_input: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "_BLOCK", 50)  # a few images at a time
    data = scene(make_input, 20, 2.0)
    texts, images = data.features.texts("c", [f"p{i}" for i in range(20)]), data.images
    rows = data.features("c", images)
    unit = texts.features / np.linalg.norm(texts.features, axis=1, keepdims=True)
    best = [int(np.argmax(unit @ row)) for row in rows]
    expected = [best[i] == i // 2 for i in range(40)]
    found = RPrecision(model="scenes").measure(data).per_image[NAME]
    np.testing.assert_array_equal(found, expected)
    assert 0.2 < found.mean() < 0.95


def test_more_noise_scores_worse(make_input: Make) -> None:
    values = [
        RPrecision(model="scenes").measure(scene(make_input, 40, noise)).results[0].value
        for noise in (0.1, 2.0, 50.0)
    ]
    assert values[0] == 1.0
    assert values == sorted(values, reverse=True)
    assert values[2] < 0.2  # chance level is 0.025


def test_order_does_not_matter(make_input: Make) -> None:
    data = scene(make_input, 30, 2.0)
    turned = dataclasses.replace(data, images=data.images[::-1])
    for metric in (RPrecision(model="scenes"), RPrecision(model="scenes", candidates=5)):
        name = str(metric.spec)
        straight, back = (metric.measure(d).per_image[name] for d in (data, turned))
        np.testing.assert_array_equal(straight, back[::-1])


def test_candidates_of_an_image_do_not_depend_on_the_other_images(make_input: Make) -> None:
    # The texts stay the same, some images go: what is left keeps its credit.
    data = scene(make_input, 30, 2.0, per_prompt=3)
    data = dataclasses.replace(
        data, images=[dataclasses.replace(im, sample=i % 3) for i, im in enumerate(data.images)]
    )
    fewer = dataclasses.replace(data, images=data.images[::3])
    metric = RPrecision(model="scenes", candidates=5)
    name = str(metric.spec)
    all_of_them = metric.measure(data).per_image[name]
    np.testing.assert_array_equal(all_of_them[::3], metric.measure(fewer).per_image[name])
    other = dataclasses.replace(data, seed=1)
    assert (metric.measure(other).per_image[name] != all_of_them).any()


def test_a_fixed_pool_does_not_depend_on_the_length_of_the_suite(make_input: Make) -> None:
    # 60 and 240 prompts: with all of them as candidates the task gets harder, with 20 it does not.
    short, long = scene(make_input, 60, 2.0), scene(make_input, 240, 2.0)
    values = {
        metric: [metric.measure(data).results[0].value for data in (short, long)]
        for metric in (RPrecision(model="scenes"), RPrecision(model="scenes", candidates=20))
    }
    free, fixed = values.values()
    assert free[1] < free[0] - 0.08
    assert abs(fixed[1] - fixed[0]) < 0.08
    assert all(a < b for a, b in zip(free, fixed, strict=True))


def test_all_candidates_is_the_same_as_no_number(make_input: Make) -> None:
    data = scene(make_input, 25, 2.0)
    one, other = (
        RPrecision(model="scenes").measure(data),
        RPrecision(model="scenes", candidates=25).measure(data),
    )
    np.testing.assert_array_equal(*(next(iter(o.per_image.values())) for o in (one, other)))
    assert other.results[0].metric == "r_precision(candidates=25,model=scenes)"
    assert other.results[0].protocol["drawn"] == "by image"


def test_equal_texts_are_one_candidate_and_equal_vectors_share_the_credit(make_input: Make) -> None:
    data = scene(make_input, 4, 0.01, per_prompt=1)
    same = with_prompts(data, ["p0", "p1", "p2", "p2"])
    row = RPrecision(model="scenes").measure(same).results[0]
    assert row.protocol["candidates"] == 3
    tied = {"p0": np.array([1.0, 0.0]), "p1": np.array([2.0, 0.0]), "p2": np.array([0.0, 1.0])}
    images = np.array([[1.0, 0.1], [1.0, 0.0], [0.0, 1.0]])
    found = RPrecision(model="scenes").measure(make_input(images, texts=tied)).per_image[NAME]
    np.testing.assert_array_equal(found, [0.5, 0.5, 1.0])


def test_a_model_that_gives_every_text_one_vector_is_at_chance(make_input: Make) -> None:
    texts = {f"p{i}": np.ones(4) for i in range(8)}
    row = RPrecision(model="scenes").measure(make_input(normal(8, 4), texts=texts)).results[0]
    assert row.value == pytest.approx(1 / 8)
    assert (row.low, row.high) == (pytest.approx(1 / 8), pytest.approx(1 / 8))


def test_truncated_prompts_are_counted(make_input: Make) -> None:
    data = make_input(normal(2, 2), texts={"p0": np.ones(2), "long" * 9: np.array([1.0, 0.0])})
    row = RPrecision(model="scenes").measure(with_prompts(data, ["p0", "long" * 9])).results[0]
    assert row.protocol["truncated_prompts"] == 1
    assert row.note.endswith("1 of 2 prompts was truncated")


def coverage(make_input: Make, sims: int, prompts: int, candidates: int | None) -> float:
    """How often the interval holds the expectation, by simulation over texts and images."""
    rng = np.random.default_rng(0)

    def draw() -> MetricInput:
        texts = rng.normal(size=(prompts, 8)).astype(np.float32)
        spread = rng.uniform(0.3, 2.5, size=(prompts, 1, 1))  # some prompts are harder
        images = texts[:, None] + spread * rng.normal(size=(prompts, 2, 8))
        rows = images.reshape(-1, 8).astype(np.float32)
        table = {f"p{i}": text for i, text in enumerate(texts)}
        return make_input(rows, per_prompt=2, texts=table)

    rows = [
        RPrecision(model="scenes", candidates=candidates).measure(draw()).results[0]
        for _ in range(sims)
    ]
    truth = np.mean([row.value for row in rows])
    return float(np.mean([row.low <= truth <= row.high for row in rows]))


@pytest.mark.parametrize("candidates", [None, 10])
def test_interval_covers_the_expectation(make_input: Make, candidates: int | None) -> None:
    assert 0.88 <= coverage(make_input, 120, 40, candidates) <= 0.995


@pytest.mark.slow
@pytest.mark.parametrize("candidates", [None, 10])
def test_interval_covers_the_expectation_over_many(
    make_input: Make, candidates: int | None
) -> None:
    assert 0.92 <= coverage(make_input, 600, 40, candidates) <= 0.99


def test_errors(make_input: Make) -> None:
    data = scene(make_input, 5, 0.1)
    with pytest.raises(MetricError, match="needs 9 different prompts and found 5; give a smaller"):
        RPrecision(model="scenes", candidates=9).measure(data)
    with pytest.raises(MetricError, match="needs 2 different prompts or more and found 1"):
        RPrecision(model="scenes").measure(with_prompts(data, ["p0"] * 10))
    with pytest.raises(MetricError, match=r"needs the prompt of every image, and g0\.png has none"):
        RPrecision(model="scenes").measure(with_prompts(data, [""] * 10))
    with pytest.raises(MetricError, match="'candidates' of the metric r_precision is 1; give a"):
        RPrecision(model="scenes", candidates=1)
    with pytest.raises(MetricError, match="the parameter 'model' of the metric r_precision is emp"):
        RPrecision(model=" ")
    with pytest.raises(MetricError, match=r"no parameter 'candidate'.*did you mean 'candidates'"):
        RPrecision(model="scenes", candidate=100)
    zero = make_input(np.zeros((2, 2)), texts={"p0": np.ones(2), "p1": np.eye(2)[0]})
    with pytest.raises(MetricError, match="2 of 2 images have no cosine"):
        RPrecision(model="scenes").measure(zero)
