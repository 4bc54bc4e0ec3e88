import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gandiff.common.errors import MetricError
from gandiff.evaluate.metric import ImageRecord, MetricInput, MetricOutput
from gandiff.evaluate.metrics import scene_judging
from gandiff.evaluate.metrics.unstated import OpenAttribute, UnstatedAttributes
from gandiff.evaluate.result import MetricResult

Make = Callable[..., MetricInput]
Paint = Callable[[np.random.Generator, Mapping[str, Any]], dict[str, Any]]
LABELS = {
    "colour": [f"colour {i}" for i in range(8)],
    "size": ["small", "large"],
    "background": ["white", "grey", "black", "sand"],
    "relation": ["left of", "right of", "above", "below"],
}


class NoJudge:
    sha256 = "7" * 64

    def predict(self, images: np.ndarray) -> list[dict[str, Any]]:
        raise AssertionError("the tests know what is to be seen")


@pytest.fixture(autouse=True)
def judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene_judging, "_load_judge", lambda source, device: NoJudge())


def draw_prompt(rng: np.random.Generator) -> dict[str, Any]:
    """Stated facts of one or two objects, about as many left open as in the scenes' captions."""

    def stated(kind: str, chance: float) -> str | None:
        return LABELS[kind][int(rng.integers(len(LABELS[kind])))] if rng.random() < chance else None

    shapes = ["star", "ring"][: 1 + int(rng.random() < 0.5)]
    return {
        "objects": [
            {"shape": shape, "colour": stated("colour", 0.65), "size": stated("size", 0.4)}
            for shape in shapes
        ],
        "relation": stated("relation", 0.7) if len(shapes) == 2 else None,
        "background": stated("background", 0.5),
        "count": 1 if len(shapes) == 1 else None,
    }


def paint(stated: Mapping[str, Any], choose: Callable[[list[str]], str]) -> dict[str, Any]:
    """A right picture, with a choice for everything that is left open."""
    return {
        "objects": [
            {
                "shape": one["shape"],
                "colour": one["colour"] or choose(LABELS["colour"]),
                "size": one["size"] or choose(LABELS["size"]),
            }
            for one in stated["objects"]
        ],
        "background": stated["background"] or choose(LABELS["background"]),
        "relation": stated["relation"] or choose(LABELS["relation"]),
    }


def paint_real(rng: np.random.Generator, stated: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that is left open is uniform."""
    return paint(stated, lambda options: options[int(rng.random() * len(options))])


def paint_first(rng: np.random.Generator, stated: Mapping[str, Any]) -> dict[str, Any]:
    """Always the first colour, size, background and relation."""
    return paint(stated, lambda options: options[0])


def paint_one_a_prompt(rng: np.random.Generator, stated: Mapping[str, Any]) -> dict[str, Any]:
    """One picture a prompt, another one for each prompt."""
    return paint_real(np.random.default_rng(int(stated["seed"])), stated)


def paint_skewed(rng: np.random.Generator, stated: Mapping[str, Any]) -> dict[str, Any]:
    """The first of everything in half of the pictures."""
    return (paint_first if rng.random() < 0.5 else paint_real)(rng, stated)


def scenes(
    make_input: Make, rng: np.random.Generator, prompts: int, samples: int, painter: Paint
) -> MetricInput:
    """Generated and real pictures, as the judge would see them."""
    seen: dict[str, Any] = {}
    sets: dict[str, list[ImageRecord]] = {"g": [], "m": []}
    for p in range(prompts):
        stated = draw_prompt(rng) | {"seed": int(rng.integers(1 << 30))}
        for prefix, made_by in (("g", painter), ("m", paint_real)):
            for k in range(samples):
                sha256 = f"{prefix}{p}-{k}"
                seen[sha256] = made_by(rng, stated)
                sets[prefix].append(
                    ImageRecord(
                        path=Path(f"{sha256}.png"), sha256=sha256, group=f"p{p}", sample=k,
                        expected=stated,
                    )
                )  # fmt: skip
    data = dataclasses.replace(
        make_input(np.zeros((2, 2))), images=sets["g"], matched=sets["m"], memo={}
    )
    data.memo["judged", "a", NoJudge.sha256] = seen
    return data


def rows_of(output: MetricOutput) -> dict[str, MetricResult]:
    return {row.metric.removeprefix("unstated/"): row for row in output.results}


def measure(make_input: Make, painter: Paint, **size: int) -> dict[str, MetricResult]:
    given = {"prompts": 150, "samples": 4} | size
    data = scenes(make_input, np.random.default_rng(0), painter=painter, **given)
    return rows_of(UnstatedAttributes().measure(data))


def test_real_images_have_coverage_one_and_no_divergence(make_input: Make) -> None:
    rows = measure(make_input, paint_real, prompts=250)
    for kind in ("", "_colour", "_size", "_background", "_relation"):
        cover, kl = rows[f"coverage{kind}"], rows[f"reverse_kl{kind}"]
        assert cover.value == pytest.approx(1, abs=0.2)
        assert cover.low < 1 < cover.high
        assert kl.value == pytest.approx(0, abs=0.04)
        assert (kl.low is None) == bool(kind)
    assert rows["reverse_kl"].low < 0 < rows["reverse_kl"].high
    assert "no interval: that of one kind" in rows["reverse_kl_size"].note
    assert rows["coverage"].value == pytest.approx(1, abs=0.08)
    assert (rows["coverage"].direction, rows["coverage"].target) == ("target", 1.0)
    assert (rows["reverse_kl"].direction, rows["reverse_kl"].unit) == ("lower", "nats")
    assert "coverage_count" not in rows  # no prompt of these leaves it open


def test_the_same_value_always_is_seen_by_both(make_input: Make) -> None:
    rows = measure(make_input, paint_first)
    assert rows["coverage"].value == 0
    assert rows["coverage_colour"].high == 0
    # KL(one of 8 || uniform) = ln 8
    assert rows["reverse_kl_colour"].value == pytest.approx(math.log(8), abs=0.25)
    assert rows["reverse_kl_size"].value == pytest.approx(math.log(2), abs=0.1)


def test_one_picture_a_prompt_is_seen_by_coverage_only(make_input: Make) -> None:
    rows = measure(make_input, paint_one_a_prompt, prompts=300)
    assert rows["coverage"].value == 0
    assert rows["reverse_kl"].value == pytest.approx(0, abs=0.06)


def test_a_skew_lies_between(make_input: Make) -> None:
    rows = measure(make_input, paint_skewed)
    assert 0.2 < rows["coverage"].high < 0.95
    assert rows["reverse_kl"].low > 0.1


def test_neither_grows_with_the_number_of_samples(make_input: Make) -> None:
    few, many = (measure(make_input, paint_real, samples=k) for k in (2, 8))
    for rows in (few, many):
        assert rows["coverage"].value == pytest.approx(1, abs=0.15)
        assert rows["reverse_kl"].value == pytest.approx(0, abs=0.05)


def test_order_does_not_matter(make_input: Make) -> None:
    data = scenes(make_input, np.random.default_rng(1), 30, 3, paint_skewed)
    turned = dataclasses.replace(data, images=data.images[::-1])
    first, second = (rows_of(UnstatedAttributes().measure(d)) for d in (data, turned))
    assert {n: r.value for n, r in second.items()} == pytest.approx(
        {n: r.value for n, r in first.items()}
    )


def test_images_that_lack_the_object_are_left_out_and_counted(make_input: Make) -> None:
    data = scenes(make_input, np.random.default_rng(0), 200, 4, paint_real)
    before = rows_of(UnstatedAttributes().measure(data))
    seen = data.memo["judged", "a", NoJudge.sha256]
    for name, picture in seen.items():
        if name.startswith("g") and name.endswith("-0"):  # a quarter shows something else
            picture["objects"] = [one | {"shape": "cross"} for one in picture["objects"]]
    after = rows_of(UnstatedAttributes().measure(data))
    assert after["coverage_colour"].value == pytest.approx(1, abs=0.1)
    assert "values not read: the object is not in the picture" in after["coverage_colour"].note
    assert "not read" not in before["coverage_colour"].note
    assert after["coverage_background"].value == before["coverage_background"].value


def test_values_of_images_over_their_denominators_are_the_row(make_input: Make) -> None:
    data = scenes(make_input, np.random.default_rng(2), 60, 4, paint_skewed)
    output = UnstatedAttributes().measure(data)
    rows = rows_of(output)
    for name, values in output.per_image.items():
        short = name.removeprefix("unstated/")
        assert short.startswith("coverage")
        below = output.denominators[name]
        assert np.isnan(values).tolist() == np.isnan(below).tolist()
        assert np.nansum(values) / np.nansum(below) == pytest.approx(rows[short].value)
        assert np.nanmean(below) == pytest.approx(1, rel=0.5)  # so values are near the row's
    closed = [all(o["colour"] for o in image.expected["objects"]) for image in data.images]
    assert np.isnan(output.per_image["unstated/coverage_colour"]).tolist() == closed


def test_equal_images_have_equal_values_whatever_else_a_generator_lacks(make_input: Make) -> None:
    """Objects that are not in other pictures, or prompts without pictures, change nothing here."""
    data = scenes(make_input, np.random.default_rng(4), 40, 4, paint_skewed)
    whole = UnstatedAttributes().measure(data)
    seen = dict(data.memo["judged", "a", NoJudge.sha256])
    lost = {image.sha256 for image in data.images if image.group in ("p3", "p4", "p5")}
    fewer = dataclasses.replace(data, images=[i for i in data.images if i.group != "p7"], memo={})
    fewer.memo["judged", "a", NoJudge.sha256] = seen | dict.fromkeys(lost)
    part = UnstatedAttributes().measure(fewer)
    kept = [i for i, image in enumerate(data.images) if image.group != "p7"]
    for name, values in part.per_image.items():
        for ours, theirs in (
            (values, whole.per_image[name][kept]),
            (part.denominators[name], whole.denominators[name][kept]),
        ):
            both = ~np.isnan(ours) & ~np.isnan(theirs)
            assert both.sum() >= 4
            assert ours[both].tolist() == theirs[both].tolist()


def test_few_prompts_have_no_interval_rather_than_a_wrong_one(make_input: Make) -> None:
    rows = measure(make_input, paint_real, prompts=25, samples=2)
    assert rows["reverse_kl"].low is None
    assert "no interval: it takes 50 prompts, and there are" in rows["reverse_kl"].note
    assert "; without " in rows["reverse_kl"].note
    assert rows["reverse_kl_relation"].value is None
    assert "fewer than 10 prompts have images that show" in rows["reverse_kl_relation"].note
    assert rows["coverage"].low is not None
    assert rows["coverage_relation"].low is None
    assert "the real images of too few prompts vary" in rows["coverage_relation"].note


def test_single_images_have_no_coverage_but_a_distribution(make_input: Make) -> None:
    rows = measure(make_input, paint_real, samples=1)
    assert rows["coverage"].value is None
    assert rows["coverage"].note.startswith("not measured: no prompt has 2 images")
    assert rows["reverse_kl"].value == pytest.approx(0, abs=0.1)


def test_errors(make_input: Make) -> None:
    with pytest.raises(MetricError, match="needs prompts with stated facts and none has any"):
        UnstatedAttributes().measure(make_input(np.zeros((2, 2))))
    data = scenes(make_input, np.random.default_rng(0), 6, 2, paint_real)
    with pytest.raises(MetricError, match="needs real images of the same prompts to compare with"):
        UnstatedAttributes().measure(dataclasses.replace(data, matched=None))
    elsewhere = [dataclasses.replace(m, group="q") for m in data.matched or ()]
    with pytest.raises(MetricError, match="no prompt that has real images leaves anything open"):
        UnstatedAttributes().measure(dataclasses.replace(data, matched=elsewhere))
    with pytest.raises(MetricError, match=r"no parameter 'jury'.*takes judge"):
        UnstatedAttributes(jury="a")


def hits(make_input: Make, painter: Paint, sims: int, samples: int) -> dict[str, float]:
    """How often the intervals hold the truth: 1 and 0 for real pictures, else the mean."""
    rng, metric = np.random.default_rng(5), UnstatedAttributes()
    found: dict[str, list[MetricResult]] = {"coverage": [], "reverse_kl": []}
    data = make_input(np.zeros((2, 2)))
    for _ in range(sims):
        shown = draw_attributes(rng, painter, samples)  # without the matching, for speed
        found["coverage"].append(metric._coverage(shown, None, data, {})[0])
        found["reverse_kl"].append(metric._reverse_kl(shown, None, list(LABELS), data, {}))
    shares = {}
    for name, kept in found.items():
        truth = float(np.mean([row.value for row in kept]))
        if painter is paint_real:
            truth = {"coverage": 1.0, "reverse_kl": 0.0}[name]
        shares[name] = float(np.mean([row.low <= truth <= row.high for row in kept]))
    return shares


def draw_attributes(rng: np.random.Generator, painter: Paint, samples: int) -> list[OpenAttribute]:
    """What is left open by 80 prompts, and the values in their pictures."""
    found = []
    for p in range(80):
        stated = draw_prompt(rng)
        values = [
            {"background": picture["background"], "relation": picture["relation"]}
            | picture["objects"][0]
            for made_by in (painter, paint_real)
            for picture in (made_by(rng, stated) for _ in range(samples))
        ]
        told = {"background": stated["background"], "relation": stated["relation"]}
        if len(stated["objects"]) == 1:
            told["relation"] = "none"
        for kind, said in (told | stated["objects"][0]).items():
            if said is None:
                shown = [one[kind] for one in values]
                found.append(
                    OpenAttribute(
                        group=f"p{p}", kind=kind, made=shown[:samples], real=shown[samples:],
                        unread=0,
                    )
                )  # fmt: skip
    return found


@pytest.mark.parametrize("painter", [paint_real, paint_skewed])
def test_intervals_cover_the_truth(make_input: Make, painter: Paint) -> None:
    found = hits(make_input, painter, 60, 2)
    assert all(share >= 0.86 for share in found.values()), found


@pytest.mark.slow
@pytest.mark.parametrize("painter", [paint_real, paint_skewed])
def test_intervals_cover_the_truth_over_many(make_input: Make, painter: Paint) -> None:
    found = hits(make_input, painter, 600, 4)
    assert all(0.92 <= share <= 0.99 for share in found.values()), found
