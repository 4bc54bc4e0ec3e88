"""Metrics of edits on scenes whose truth is known: right results, untouched ones, spoilt ones."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gandiff.common.errors import MetricError
from gandiff.evaluate.features.cache import FeatureCache
from gandiff.evaluate.metric import EditRecord, ImageRecord, Metric, MetricInput, PlannedSets
from gandiff.evaluate.metrics.control_fit import DepthOrder, OutlineOverlap
from gandiff.evaluate.metrics.edit_success import EditDirection, EditSuccess
from gandiff.evaluate.metrics.kept_region import KeptDistance, KeptPsnr, Seam
from gandiff.evaluate.numerics.regions import EQUAL_DB
from gandiff.experiments.scenes.edits import Edit, EditPictures, edit_pictures, edit_suite

COUNT = 20
Spoil = Callable[[EditPictures], np.ndarray]
EDITS = edit_suite("test", COUNT)
DRAWN = [edit_pictures(edit) for edit in EDITS]


@pytest.fixture(scope="module")
def features() -> FeatureCache:
    return FeatureCache()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("edits")


@pytest.fixture
def given(features: FeatureCache, folder: Path) -> Callable[..., MetricInput]:
    """A metric's input of the edits, each with the picture that a function makes of it."""

    def save(pixels: np.ndarray, group: str) -> ImageRecord:
        sha256 = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
        path = folder / f"{sha256}.png"
        if not path.exists():
            Image.fromarray(pixels).save(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return ImageRecord(path=path, sha256=digest, group=group)

    def record(
        edit: Edit, drawn: EditPictures, made: Spoil, before: Spoil | None, control: str
    ) -> ImageRecord:
        said, group = edit.to_dict(), edit.id
        known = EditRecord(
            init_image=save(drawn.source, group),
            region=save(drawn.mask, group),
            control_image=save(getattr(drawn, control), group),
            target=save(drawn.target, group),
            uncomposited=None if before is None else save(before(drawn), group),
            **{key: said["edit"][key] for key in ("caption_before", "changed", "kept")},
        )
        image = save(made(drawn), group)
        return dataclasses.replace(
            image, prompt=said["text"], expected=said["expected"], edit=known
        )

    def make(made: Spoil, before: Spoil | None = None, control: str = "outlines") -> MetricInput:
        images = [
            record(edit, drawn, made, before, control)
            for edit, drawn in zip(EDITS, DRAWN, strict=True)
        ]
        return MetricInput(images=images, reference=None, matched=None, features=features)

    return make


def target(drawn: EditPictures) -> np.ndarray:
    return drawn.target


def source(drawn: EditPictures) -> np.ndarray:
    return drawn.source


def lighter(drawn: EditPictures, by: int = 5) -> np.ndarray:
    """The target, every level of it ``by`` away."""
    far = np.where(drawn.target.astype(int) + by > 255, -by, by)
    return (drawn.target + far).astype(np.uint8)


def pasted(drawn: EditPictures) -> np.ndarray:
    """The target with another brightness inside of the mask."""
    return np.where(drawn.mask[..., None] == 255, drawn.target // 2, drawn.target)


def value(metric: Metric, data: MetricInput, part: str = "") -> float:
    name = f"{metric.spec}/{part}" if part else str(metric.spec)
    found = {row.metric: row.value for row in metric.measure(data).results}
    assert found[name] is not None
    return found[name]


def test_right_results_succeed_and_untouched_pictures_do_not(
    given: Callable[..., MetricInput],
) -> None:
    right, untouched = (EditSuccess().measure(given(one)) for one in (target, source))
    shares = [{row.metric.split("/")[1]: row for row in out.results} for out in (right, untouched)]
    assert shares[0]["all"].value == 1
    assert shares[0]["changed"].value == 1
    assert shares[0]["kept"].value is not None
    assert shares[0]["kept"].value > 0.9
    assert shares[1]["changed"].value == shares[1]["all"].value == 0
    assert shares[1]["kept_background"].value == 1
    row = shares[0]["all"]
    assert row.low is not None
    assert (row.images, row.protocol["judge"], row.described.axis) == (COUNT, "a", "alignment")
    assert len(right.per_image["edit_success/all"]) == COUNT
    assert shares[0]["other_judge"].value == 1
    assert np.isnan(right.per_image["edit_success/kept_background"][4])  # edits of backgrounds
    placed = right.per_image["edit_success/changed_in_region"]
    kinds = np.array([edit.kind for edit in EDITS])
    assert np.isnan(placed[np.isin(kinds, ("remove", "background"))]).all()
    assert (placed[np.isin(kinds, ("recolour", "reshape", "add"))] == 1).all()
    assert shares[1]["changed_in_region"].value == 0


def test_success_before_compositing_is_a_row_of_its_own(given: Callable[..., MetricInput]) -> None:
    data = given(target, before=source)
    assert value(EditSuccess(), data, "all") == 1
    assert value(EditSuccess(), data, "uncomposited") == 0


def test_kept_pixels_before_and_after_compositing(given: Callable[..., MetricInput]) -> None:
    """Golden: 5 levels off everywhere are 10 log10(255^2 / 25) = 34.151 dB."""
    output = KeptPsnr().measure(given(target, before=lighter))
    after, before = output.results
    assert (after.metric, before.metric) == ("kept_psnr", "kept_psnr/uncomposited")
    assert after.low == after.value == after.high == EQUAL_DB
    assert after.note == f"{COUNT} of {COUNT} equal in every pixel, which counts as 58.9 dB"
    assert before.value == pytest.approx(34.1514, abs=1e-3)
    assert (before.note, before.unit, before.direction) == (None, "dB", "higher")
    assert (after.described.axis, before.described.axis) == ("preservation", None)
    assert value(KeptPsnr(), given(pasted)) == pytest.approx(EQUAL_DB)  # inside is free


def test_the_distance_outside_sees_what_the_pixels_do(given: Callable[..., MetricInput]) -> None:
    metric = KeptDistance(encoder="scenes")
    kept = value(metric, given(pasted))
    spoilt = value(metric, given(lambda drawn: 255 - drawn.target))
    assert kept == pytest.approx(0, abs=1e-6)
    nothing = metric.measure(given(target)).results[0]
    assert (nothing.low, nothing.high) == (0, 0)  # no interval of a share
    assert spoilt > 0.05
    row = metric.measure(given(target)).results[0]
    assert (row.protocol["encoder"], row.protocol["distance"]) == ("scenes", "1 - cosine")


def test_a_seam_is_a_step_that_real_pictures_do_not_have(given: Callable[..., MetricInput]) -> None:
    assert value(Seam(), given(target)) == 0
    output = Seam().measure(given(pasted, before=target))
    assert output.results[0].value is not None
    assert output.results[0].value > 10
    assert output.results[1].value == 0
    assert output.results[0].direction == "lower"
    assert output.results[0].protocol["beside"] == "target"


def test_borders_that_show_and_borders_that_are_blurred_do_not_cancel(
    given: Callable[..., MetricInput],
) -> None:
    def blurred(drawn: EditPictures) -> np.ndarray:
        return np.full_like(drawn.target, 128)

    shows, hides = (value(Seam(), given(one)) for one in (pasted, blurred))
    turn = itertools.cycle([pasted, blurred])
    assert min(shows, hides) > 2
    assert value(Seam(), given(lambda drawn: next(turn)(drawn))) > min(shows, hides) / 2


def test_the_picture_moves_as_the_caption_does(given: Callable[..., MetricInput]) -> None:
    metric = EditDirection(model="scenes")
    forth = value(metric, given(target))
    assert forth > 0.3
    still = metric.measure(given(source)).results[0]
    assert (still.value, still.note) == (0, f"{COUNT} did not change, which counts as 0")
    data = given(target)
    turned = [
        dataclasses.replace(
            image,
            prompt=image.edit.caption_before,
            edit=dataclasses.replace(image.edit, caption_before=image.prompt),
        )
        for image in data.images
        if image.edit is not None
    ]
    back = value(metric, dataclasses.replace(data, images=turned))
    assert back == pytest.approx(-forth, abs=1e-6)


def test_drawn_along_the_outline(given: Callable[..., MetricInput]) -> None:
    assert value(OutlineOverlap(), given(target)) > 0.85
    others = iter([*DRAWN[7:], *DRAWN[:7]])
    assert value(OutlineOverlap(), given(lambda drawn: next(others).target)) < 0.45
    data = given(lambda drawn: drawn.target // 255)
    nothing = [dataclasses.replace(one, edit=_outlined(one, one)) for one in data.images]
    for wrong in (dataclasses.replace(data, images=nothing), given(target, control="depth")):
        with pytest.raises(MetricError, match="most enclose nothing"):
            OutlineOverlap().measure(wrong)


def _outlined(image: ImageRecord, outline: ImageRecord) -> EditRecord:
    assert image.edit is not None
    plain = ImageRecord(path=outline.path, sha256=outline.sha256, group=outline.group)
    return dataclasses.replace(image.edit, control_image=plain)


def test_drawn_in_the_order_of_depth(given: Callable[..., MetricInput]) -> None:
    output = DepthOrder().measure(given(target, control="depth"))
    found = {row.metric: row for row in output.results}
    assert found["depth_order/all"].value == 1
    assert found["depth_order/overlap"].value is not None
    assert found["depth_order/overlap"].value > 0.8
    known = found["depth_order/sizes"].images
    assert known is not None
    assert 2 < known < COUNT  # not those of one object
    turned = DepthOrder().measure(given(lambda drawn: drawn.target[::-1, ::-1], control="depth"))
    swapped = {row.metric: row.value for row in turned.results}
    assert swapped["depth_order/sizes"] is not None
    assert swapped["depth_order/sizes"] < 0.3  # the smaller object is where the larger should be
    for other in ("source", "outlines"):
        with pytest.raises(MetricError, match="needs depth maps of one or two flat objects"):
            DepthOrder().measure(given(target, control=other))


@pytest.mark.parametrize(
    "metric", [KeptPsnr(), Seam(), EditSuccess(), EditDirection(model="scenes")]
)
def test_without_an_edit_nothing_is_measured(
    given: Callable[..., MetricInput], metric: Metric
) -> None:
    data = given(target)
    plain: Sequence[ImageRecord] = [dataclasses.replace(one, edit=None) for one in data.images]
    with pytest.raises(MetricError, match="needs"):
        metric.measure(dataclasses.replace(data, images=plain))


def test_pictures_of_two_sizes_are_refused(given: Callable[..., MetricInput]) -> None:
    with pytest.raises(MetricError, match="is 31x32 px, and the init_image 32x32 px; must be of"):
        KeptPsnr().measure(given(lambda drawn: drawn.target[:, 1:]))


def test_what_is_lacking_is_said_before_anything_is_made() -> None:
    planned = PlannedSets(images=8, samples=2, prompts=4, texts=4, facts=True, references=None)
    assert KeptPsnr().shortage(planned) == (
        "kept_psnr is for the tasks image_to_image, inpaint, paint, and the task is text_to_image"
    )
    inpaint = dataclasses.replace(planned, task="inpaint", edits=frozenset({"init_image"}))
    assert KeptPsnr().shortage(inpaint) == (
        "kept_psnr needs prompts with region, and none has any; use the suite 'scene-edits', or "
        "give prompts that column"
    )
    whole = dataclasses.replace(inpaint, edits=frozenset({"init_image", "region", "changed"}))
    assert KeptPsnr().shortage(whole) is EditSuccess().shortage(whole) is None
