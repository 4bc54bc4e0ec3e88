import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from gandiff.common.errors import MetricError
from gandiff.evaluate.metric import Features, ImageRecord, MetricInput
from gandiff.evaluate.metrics import scene_judging
from gandiff.evaluate.metrics.alignment import ClipScore, SceneAccuracy
from gandiff.evaluate.result import MetricSpec

Make = Callable[..., MetricInput]
Write = Callable[..., ImageRecord]


def normal(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def test_clip_score_is_the_cosine_whatever_the_lengths(make_input: Make) -> None:
    images = np.array([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0], [-5.0, 0.0]])
    texts = {"p0": np.array([10.0, 0.0]), "p1": np.array([1.0, 0.0])}
    output = ClipScore(model="scenes").measure(make_input(images, per_prompt=2, texts=texts))
    row = output.results[0]
    np.testing.assert_allclose(
        output.per_image["clip_score(model=scenes)"], [1, 0, np.sqrt(0.5), -1], atol=1e-7
    )
    assert row.metric == "clip_score(model=scenes)"
    assert row.value == pytest.approx((1 + np.sqrt(0.5) - 1) / 4)
    assert (row.unit, row.direction, row.images) == ("cosine", "higher", 4)
    assert row.protocol["encoder"] == "clip:scenes"
    # 2.5 max(cos, 0) clamps each image, not the mean
    scaled = f"2.5 max(cos, 0): {2.5 * (1 + np.sqrt(0.5)) / 4:.4f}"
    assert row.note == f"100 times the cosine: 17.678; CLIPScore as its paper scales it, {scaled}"


def test_matching_texts_score_higher_than_shuffled_ones(make_input: Make) -> None:
    centres = normal(10, 8)
    images = np.repeat(centres, 3, axis=0) + 0.3 * normal(30, 8, seed=1)
    right = {f"p{i}": centres[i] for i in range(10)}
    wrong = {f"p{i}": centres[(i + 1) % 10] for i in range(10)}
    scores = [
        ClipScore(model="scenes").measure(make_input(images, per_prompt=3, texts=texts)).results[0]
        for texts in (right, wrong)
    ]
    assert scores[0].low > scores[1].high


def test_truncated_prompts_are_counted_once_a_prompt(make_input: Make) -> None:
    data = make_input(normal(4, 2), per_prompt=2, texts={"p0": np.ones(2), "p1" * 20: np.ones(2)})
    long = [dataclasses.replace(i, prompt="p1" * 20) if i.group == "p1" else i for i in data.images]
    row = (
        ClipScore(model="ViT-B-32/openai")
        .measure(dataclasses.replace(data, images=long))
        .results[0]
    )
    assert (row.protocol["prompts"], row.protocol["truncated_prompts"]) == (2, 1)
    assert row.note.endswith("1 of 2 prompts was truncated")
    assert row.metric == "clip_score(model=ViT-B-32/openai)"


def test_clip_score_errors(make_input: Make) -> None:
    data = make_input(normal(4, 2), texts={f"p{i}": np.ones(2) for i in range(4)})
    silent = dataclasses.replace(
        data, images=[dataclasses.replace(image, prompt=None) for image in data.images]
    )
    with pytest.raises(MetricError, match=r"needs the prompt of every image, and g0\.png has none"):
        ClipScore(model="scenes").measure(silent)
    with pytest.raises(MetricError, match="needs at least 1 image and found none"):
        ClipScore(model="scenes").measure(dataclasses.replace(data, images=[]))
    zero = make_input(np.zeros((2, 2)), texts={"p0": np.ones(2), "p1": np.ones(2)})
    with pytest.raises(MetricError, match="2 of 2 images have no cosine"):
        ClipScore(model="scenes").measure(zero)
    with pytest.raises(MetricError, match=r"no parameter 'modle'.*did you mean 'model'"):
        ClipScore(model="scenes", modle="scenes")

    class ImagesOnly(Features):
        def __call__(self, encoder: str, images: Sequence[ImageRecord]) -> np.ndarray:
            return normal(len(images), 2)

        def protocol(self, encoder: str) -> dict[str, Any]:
            return {}

    with pytest.raises(MetricError, match="needs features of texts"):
        ClipScore(model="scenes").measure(dataclasses.replace(data, features=ImagesOnly()))


def test_a_prefix_stands_before_each_prompt_and_in_the_name(make_input: Make) -> None:
    # jmhessel/clipscore: "A photo depicts", then a space, then the caption.
    texts = {"A photo depicts p0": np.array([1.0, 0.0]), "p0": np.array([0.0, 1.0])}
    data = make_input(np.array([[1.0, 0.0]]), texts=texts)
    with_prefix = ClipScore(model="ViT-B-32/openai", prefix="A photo depicts")
    row = with_prefix.measure(data).results[0]
    assert row.value == pytest.approx(1.0)
    assert row.protocol["prefix"] == "A photo depicts"
    assert ClipScore(model="scenes").measure(data).results[0].value == pytest.approx(0.0)
    assert row.metric == "clip_score(model=ViT-B-32/openai,prefix=A photo depicts)"
    parsed = MetricSpec.parse("clip_score( model=ViT-B-32/openai , prefix = A photo depicts )")
    assert parsed == with_prefix.spec
    assert MetricSpec.parse(row.metric) == parsed
    assert ClipScore(**dict(parsed.params)).spec == parsed
    assert ClipScore(model="scenes", prefix=" ").spec == ClipScore(model="scenes").spec


@pytest.mark.parametrize("prefix", ["A photo, of", "a (photo) of", "a photo)"])
def test_a_prefix_that_a_name_cannot_carry_is_refused(prefix: str) -> None:
    with pytest.raises(MetricError, match="holds a comma or a parenthesis, which a metric's name"):
        ClipScore(model="scenes", prefix=prefix)


@pytest.mark.parametrize("prefix", ["12", "true", "'quoted'", 3])
def test_a_prefix_that_reads_as_no_text_is_refused(prefix: str | int) -> None:
    with pytest.raises(MetricError, match="reads as something else than text; give plain words"):
        ClipScore(model="scenes", prefix=prefix)


class Reader:
    """Reads a scene from the first pixel: red is the index of the shape, green of the colour."""

    sha256 = "5" * 64
    shapes = ("star", "ring")
    colours = ("red", "blue")

    def predict(self, images: np.ndarray) -> list[dict[str, Any]]:
        return [
            {
                "objects": [
                    {"shape": self.shapes[red], "colour": self.colours[green], "size": "small"}
                ],
                "relation": None,
                "background": "white",
                "count": 1,
            }
            for red, green, _ in images[:, 0, 0]
        ]


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Reader:
    reader = Reader()
    monkeypatch.setattr(scene_judging, "_load_judge", lambda source, device: reader)
    return reader


def pixels(shape: int, colour: int, side: int = 4) -> np.ndarray:
    image = np.zeros((side, side, 3), dtype=np.uint8)
    image[0, 0] = (shape, colour, 0)
    return image


def expect(shape: str, colour: str | None, **facts: Any) -> dict[str, Any]:
    return {"objects": [{"shape": shape, "colour": colour, "size": None}], **facts}


def test_scene_accuracy_rows_and_images(
    make_input: Make, write_image: Write, judge: Reader
) -> None:
    images = [
        write_image("a.png", pixels(0, 0), group="p0", expected=expect("star", "red")),
        write_image("b.png", pixels(0, 1), group="p0", expected=expect("star", "red")),
        write_image("c.png", pixels(1, 1, 6), group="p1", expected=expect("star", None)),
        write_image(
            "d.png", pixels(1, 1), group="p2", expected=expect("ring", "blue", held_out=True)
        ),
        write_image("e.png", pixels(1, 0), group="p3"),
    ]
    data = dataclasses.replace(make_input(normal(2, 2)), images=images)
    output = SceneAccuracy().measure(data)
    rows = {row.metric: row for row in output.results}
    assert {name: (row.value, row.images) for name, row in rows.items()} == {
        "scene_accuracy/all": (0.5, 4),
        "scene_accuracy/shape": (0.75, 4),
        "scene_accuracy/colour": (pytest.approx(2 / 3), 3),
        "scene_accuracy/held_out_all": (1.0, 1),
        "scene_accuracy/other_judge": (0.5, 4),  # the same one, here
        "scene_accuracy/agreement": (1.0, 4),
    }
    np.testing.assert_array_equal(output.per_image["scene_accuracy/all"], [1, 0, 0, 1, np.nan])
    np.testing.assert_array_equal(
        output.per_image["scene_accuracy/colour"], [1, 0, np.nan, 1, np.nan]
    )
    assert rows["scene_accuracy/all"].protocol["weights_sha256"] == Reader.sha256
    assert rows["scene_accuracy/all"].low is None  # 3 prompts


def test_scene_accuracy_has_an_interval_over_prompts(
    make_input: Make, write_image: Write, judge: Reader
) -> None:
    images = [
        write_image(
            f"{i}.png",
            pixels(i % 3 // 2, 0, side=4 + i),  # no two are equal
            group=f"p{i // 2}",
            expected=expect("star", None),
        )
        for i in range(24)
    ]
    data = dataclasses.replace(make_input(normal(2, 2)), images=images)
    row = SceneAccuracy(judge="b").measure(data).results[0]
    assert row.metric == "scene_accuracy(judge=b)/all"
    assert row.value == pytest.approx(2 / 3)
    assert 0.3 < row.low < row.value < row.high <= 1


def test_each_image_is_judged_once_for_all_metrics_of_one_judge(
    make_input: Make, write_image: Write, judge: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    predict = Reader.predict
    monkeypatch.setattr(
        Reader, "predict", lambda self, x: (seen.append(len(x)), predict(self, x))[1]
    )
    images = [
        write_image(f"{i}.png", pixels(0, i % 2, 4 + i), expected=expect("star", "red"))
        for i in range(4)
    ]
    data = dataclasses.replace(make_input(normal(2, 2)), images=images)
    first, second = (SceneAccuracy().measure(data).results[0].value for _ in range(2))
    assert first == second == 0.5
    assert sum(seen) == 2 * 4  # by two judges


def test_the_agreement_of_two_judges(
    make_input: Make, write_image: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Judge a sees a red star everywhere, b in every second picture."""

    class Fixed:
        sha256 = "x" * 64

        def __init__(self, step: int) -> None:
            self.step = step

        def predict(self, images: np.ndarray) -> list[dict[str, Any]]:
            # By the size of the pictures, which are 4 to 11 px.
            shape = "star" if images.shape[1] % self.step == 0 else "ring"
            return [expect(shape, "red")] * len(images)

    judges = {"a": Fixed(1), "b": Fixed(2)}
    monkeypatch.setattr(scene_judging, "_load_judge", lambda source, device: judges[source])
    images = [
        write_image(f"{i}.png", pixels(0, 0, 4 + i), expected=expect("star", "red"))
        for i in range(8)
    ]
    data = dataclasses.replace(make_input(normal(2, 2)), images=images)
    for judge, all_right in (("a", 1.0), ("b", 0.5)):
        rows = SceneAccuracy(judge=judge).measure(data).results
        found = {row.metric.split("/")[1]: row.value for row in rows}
        assert (found["all"], found["other_judge"]) == (all_right, 1.5 - all_right)
        assert found["agreement"] == 0.5


def test_a_judge_of_others_stands_alone(
    make_input: Make, write_image: Write, judge: Reader
) -> None:
    """The shipped ones may know nothing of its pictures."""
    image = write_image("a.png", pixels(0, 0), expected=expect("star", "red"))
    data = dataclasses.replace(make_input(normal(2, 2)), images=[image])
    rows = SceneAccuracy(judge="mine").measure(data).results
    assert not any("other_judge" in row.metric or "agreement" in row.metric for row in rows)


def test_scene_accuracy_errors(make_input: Make, write_image: Write, judge: Reader) -> None:
    with pytest.raises(MetricError, match="needs prompts with stated facts and none has any"):
        SceneAccuracy().measure(make_input(normal(3, 2)))
    record = write_image("a.png", pixels(0, 0), expected=expect("star", None))
    record.path.unlink()
    data = dataclasses.replace(make_input(normal(2, 2)), images=[record])
    with pytest.raises(MetricError, match=r"1 of 1 image file cannot be read: .*a\.png"):
        SceneAccuracy().measure(data)
    with pytest.raises(MetricError, match="takes judge"):
        SceneAccuracy(classifier="a")
