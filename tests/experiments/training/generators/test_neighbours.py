"""What is looked at once a GAN is trained: which training pictures are searched for near ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import toys
from gan_helpers import CONFIG, RECIPE, encoder, trainer
from jaxtyping import UInt8
from training_helpers import request

from gandiff.experiments.data.captioned import FileImages
from gandiff.experiments.training.gan.trainer import GanTrainer
from gandiff.experiments.training.generators import neighbours
from gandiff.experiments.training.generators.neighbours import nearest_neighbours
from gandiff.experiments.training.monitors.base import Monitor

COUNT = 19


class Twice(Monitor):
    """Two captions; nothing is measured."""

    def __init__(self) -> None:
        self.captions, self.per_prompt = ["a star", "a ring"], 1

    def measure(self, pictures: UInt8[np.ndarray, "n h w 3"]) -> tuple[float, dict[str, float]]:
        return 0.0, {}


@pytest.fixture
def photos(tmp_path: Path) -> FileImages:
    """Pictures that all differ, with captions."""
    folder = toys.save_toy_images(tmp_path / "photos", [f"{i:02d}.png" for i in range(COUNT)])
    for i in range(COUNT):
        (folder / f"{i:02d}.txt").write_text(f"a star number {i}", encoding="utf-8")
    return FileImages(folder, 16, seed=3)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[UInt8[np.ndarray, "n h w 3"]]:
    """Whatever is made into thumbnails: pictures that were painted, then those searched."""
    found: list[UInt8[np.ndarray, "n h w 3"]] = []
    usual = neighbours.thumbnails

    def noted(pictures: UInt8[np.ndarray, "n h w 3"]) -> np.ndarray:
        found.append(pictures)
        return usual(pictures)

    monkeypatch.setattr(neighbours, "thumbnails", noted)
    return found


@pytest.mark.parametrize("position", [0, 8, COUNT, COUNT + 7, 5 * COUNT - 1])
def test_each_picture_of_a_folder_is_searched_once(
    tmp_path: Path, photos: FileImages, seen: list[np.ndarray], position: int
) -> None:
    asked = request(tmp_path / "out", resolution=16, seed=3, kimg=0.032, dtype="float32")
    one = GanTrainer(asked, RECIPE, CONFIG, encoder(), photos)
    one.loop.progress.images = position
    facts, _ = nearest_neighbours(one, Twice())
    *searched, made = seen
    searched = np.concatenate(searched)
    assert len(made) == 2
    assert facts["searched"] == len(searched) == COUNT
    assert len({picture.tobytes() for picture in searched}) == COUNT


def test_of_an_endless_stream_the_latest_are_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: list[np.ndarray]
) -> None:
    monkeypatch.setattr(neighbours, "_SEARCHED", 12)
    one = trainer(tmp_path)
    one.loop.progress.images = 40
    facts, _ = nearest_neighbours(one, Twice())
    assert facts["searched"] == 12
    np.testing.assert_array_equal(seen[0], one.data.batch(28, 12).images)


def test_of_a_short_training_no_more_than_it_saw_is_searched(tmp_path: Path) -> None:
    one = trainer(tmp_path)
    one.loop.progress.images = 40
    assert nearest_neighbours(one, Twice())[0]["searched"] == 40


def test_a_copy_is_found_wherever_in_the_data_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "_STEP", 16)  # in several parts
    one = trainer(tmp_path)
    one.loop.progress.images = 60
    copied = one.data.batch(0, 60).images[[3, 47]]
    monkeypatch.setattr(type(one), "sample", lambda *_: copied)
    facts, picture = nearest_neighbours(one, Twice())
    assert (facts["median_distance"], facts["ratio"]) == (0, 0)
    h, w = picture.shape[0] // 2, picture.shape[1] // 6  # each beside its nearest five
    for row in (0, 1):
        made, near = (picture[row * h : (row + 1) * h, i * w : (i + 1) * w] for i in (0, 1))
        np.testing.assert_array_equal(made, near)
