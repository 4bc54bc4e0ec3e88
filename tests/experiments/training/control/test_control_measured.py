"""How much of a control image pictures follow."""

from __future__ import annotations

import numpy as np
import pytest

from gandiff.experiments.scenes.facts import sample_scenes, scene_seeds
from gandiff.experiments.scenes.maps import is_covered, object_masks
from gandiff.experiments.scenes.render import render
from gandiff.experiments.training.control.conditions import (
    Targets,
    control_images,
    foreground,
    overlap,
    to_control,
)
from gandiff.experiments.training.control.monitor import ControlMonitor


def test_the_foreground_of_scenes_is_where_their_objects_are() -> None:
    scenes = sample_scenes(scene_seeds("validation", 0, 300))
    shares = object_masks(scenes, 32).sum(1)
    found = foreground(render(scenes, 32))
    assert found[is_covered(shares)].all()
    assert not found[shares == 0].any()
    # How much of its colour an edge needs depends on the colours.
    assert overlap(found, shares > 0.15).mean() > 0.95


def test_the_overlap_is_the_intersection_over_the_union() -> None:
    one, two = np.zeros((2, 1, 4, 4), bool)
    one[0, :2], two[0, 1:3] = True, True  # two rows each, of which they share one
    assert overlap(one, two).tolist() == pytest.approx([1 / 3])
    assert overlap(one, one).tolist() == [1.0]
    assert overlap(~one, one).tolist() == [0.0]
    assert overlap(np.zeros_like(one), np.zeros_like(one)).tolist() == [1.0]


def test_right_pictures_have_the_best_score_and_wrong_ones_a_low_one() -> None:
    targets = Targets.of_suite("outline", 32, 40)
    right = _scenes(targets)
    monitor = ControlMonitor(targets, judged=True)
    score, measured = monitor.measure(right)
    assert measured["control_iou"] == 1.0
    assert score == measured["all"] > 0.95
    other, _ = monitor.measure(np.roll(right, 1, axis=0))
    assert other < 0.1
    few = monitor.first(3)
    assert few.captions == monitor.captions[:3]
    assert few.measure(right[:3])[1]["control_iou"] == 1.0


def _scenes(targets: Targets) -> np.ndarray:
    from gandiff.experiments.scenes.captions import matching_scenes

    drawn = [render(matching_scenes(e, 1, i), 32) for i, e in enumerate(targets.expected)]
    return np.concatenate(drawn)


@pytest.mark.parametrize("condition", ["outline", "depth"])
def test_control_images_are_of_the_scene_of_their_prompt(condition: str) -> None:
    targets = Targets.of_suite(condition, 32, 6)  # type: ignore[arg-type]
    some = [targets.captions[4], targets.captions[1], targets.captions[4]]
    np.testing.assert_array_equal(targets.of(some), targets.controls[[4, 1, 4]])
    for shown, wanted in zip(targets.controls, targets.wanted, strict=True):
        assert (shown.max(-1) > 0)[wanted].mean() > 0.3
    if condition == "depth":
        assert ((targets.controls.max(-1) > 60) == targets.wanted).mean() > 0.95


def test_networks_read_control_images_from_0_to_1() -> None:
    scenes = sample_scenes(scene_seeds("validation", 0, 2))
    read = to_control(control_images("outline", scenes, 16))
    assert read.shape == (2, 3, 16, 16)
    assert (float(read.min()), float(read.max())) == (0.0, 1.0)
