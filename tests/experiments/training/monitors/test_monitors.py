"""What ticks measure of pictures: values where they are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from jaxtyping import UInt8
from training_helpers import captioned_folder

from gandiff.common.errors import RequestError
from gandiff.experiments.scenes.captions import matching_scenes
from gandiff.experiments.scenes.render import render
from gandiff.experiments.training.monitors import scenes as monitor_scenes
from gandiff.experiments.training.monitors.files import FileMonitor
from gandiff.experiments.training.monitors.scenes import SceneMonitor


@pytest.fixture
def scenes(monkeypatch: pytest.MonkeyPatch) -> SceneMonitor:
    monkeypatch.setattr(monitor_scenes, "_PROMPTS", 60)
    return SceneMonitor()


def right(monitor: SceneMonitor, seed: int = 1000) -> UInt8[np.ndarray, "n 32 32 3"]:
    """Real scenes of the prompts, other ones than the monitor compares with."""
    drawn = [
        render(matching_scenes(one, monitor.per_prompt, seed + i), 32)
        for i, one in enumerate(monitor.expected)
    ]
    return np.concatenate(drawn)


def test_real_scenes_are_as_good_as_can_be(scenes: SceneMonitor) -> None:
    score, found = scenes.measure(right(scenes))
    assert found["all"] >= 0.99
    assert found["held_out_all"] >= 0.95
    assert found["diversity"] == pytest.approx(1, abs=0.07)
    assert found["unstated_coverage"] == pytest.approx(1, abs=0.1)
    assert found["reverse_kl"] < 0.1
    assert min(found["recall"], found["coverage"]) > 0.8
    assert score == pytest.approx(found["all"] * min(1, found["unstated_coverage"]))


def test_real_against_real_is_what_other_scenes_of_the_prompts_get(
    scenes: SceneMonitor,
) -> None:
    whole, few = scenes.real_against_real(), scenes.first(20).real_against_real()
    assert (whole["pictures"], whole["references"]) == (240, 240)
    assert (few["pictures"], few["references"], few["dimensions"]) == (80, 80, 96)
    assert min(whole["all"], few["all"]) >= 0.99
    assert 0 < whole["fd"] < few["fd"] / 2  # most of it is bias, which fewer pictures have more of
    assert scenes.real_against_real() == whole


def test_one_picture_for_each_prompt_is_found_out(scenes: SceneMonitor) -> None:
    pictures = right(scenes)
    repeated = np.repeat(pictures[:: scenes.per_prompt], scenes.per_prompt, 0)
    good, bad = scenes.measure(pictures), scenes.measure(repeated)
    assert bad[1]["all"] >= 0.98
    assert bad[1]["diversity"] == pytest.approx(0, abs=1e-3)
    assert bad[1]["unstated_coverage"] < 0.1
    assert bad[0] < 0.1 < 0.9 < good[0]


def test_pictures_of_other_prompts_are_wrong(scenes: SceneMonitor) -> None:
    pictures = right(scenes)
    score, found = scenes.measure(np.roll(pictures, scenes.per_prompt, 0))
    assert found["all"] < 0.2
    assert score < 0.2
    assert found["fd"] == pytest.approx(scenes.measure(pictures)[1]["fd"])


def test_real_pictures_of_a_folder_are_at_no_distance(tmp_path: Path) -> None:
    data = captioned_folder(tmp_path / "photos", 32)
    monitor = FileMonitor(data, None)
    pictures = data.batch(0, 32).images
    score, found = monitor.measure(pictures)
    assert found["fd"] == pytest.approx(0, abs=1e-3)
    assert score == -found["fd"]
    assert min(found["precision"], found["recall"], found["coverage"]) > 0.9
    alike = np.repeat(pictures[:8], monitor.per_prompt, 0)
    worse, other = monitor.measure(alike)
    assert other["variation"] == pytest.approx(0, abs=1e-3)
    assert worse < score


@pytest.mark.parametrize(("count", "there"), [(32, False), (1000, True)])
def test_real_against_real_of_a_folder_needs_others_than_those_of_training(
    tmp_path: Path, count: int, there: bool
) -> None:
    monitor = FileMonitor(captioned_folder(tmp_path / "photos", count), None)
    row = monitor.real_against_real()
    assert bool(row) == there
    if there:  # one in twenty is held out
        assert (row["pictures"], row["references"], row["dimensions"]) == (200, 50, 192)
        assert row["fd"] > 0
        assert "variation" not in row


def test_pictures_that_are_all_the_same_have_no_variation_to_compare_with(tmp_path: Path) -> None:
    data = captioned_folder(tmp_path / "photos", 20, same=True)
    pictures = data.batch(0, 20).images
    assert "variation" not in FileMonitor(data, None).measure(pictures)[1]


def test_one_picture_cannot_be_measured_against(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="has one image, but measuring needs two"):
        FileMonitor(captioned_folder(tmp_path / "photos", 1), None)
