"""Captioned images to train on: by position, from scenes and from folders, good and bad."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gandiff.experiments.datasets import (
    CaptionedBatch,
    CaptionedImages,
    FolderImages,
    SceneImages,
    open_data,
)
from gandiff.experiments.errors import RequestError
from gandiff.experiments.scenes import fits, sample_scenes, scene_seeds
from gandiff.experiments.scenes_captions import caption_facts

COUNT = 6


def picture(i: int, size: tuple[int, int] = (16, 16)) -> Image.Image:
    """A flat colour that tells which picture it is; size is width, height."""
    return Image.new("RGB", size, (40 * i, 255 - 40 * i, 7))


def write_listing(folder: Path, rows: list[object]) -> None:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures with a ``metadata.jsonl``; captions 4 and 5 are the same."""
    made = tmp_path / "pictures"
    made.mkdir()
    rows: list[object] = []
    for i in range(COUNT):
        picture(i).save(made / f"{i}.png")
        rows.append({"file_name": f"{i}.png", "text": f"picture {min(i, 4)}"})
    write_listing(made, rows)
    return made


@pytest.fixture(params=["scenes", "folder"])
def data(request: pytest.FixtureRequest, folder: Path) -> CaptionedImages:
    return open_data("scenes" if request.param == "scenes" else str(folder), 16, seed=3)


def joined(parts: list[CaptionedBatch]) -> tuple[np.ndarray, list[str]]:
    images = np.concatenate([part.images for part in parts])
    return images, [caption for part in parts for caption in part.captions]


def test_a_batch_is_its_positions(data: CaptionedImages) -> None:
    whole = data.batch(3, 6)
    images, captions = joined([data.batch(3, 2), data.batch(5, 4, wrong=False)])
    np.testing.assert_array_equal(images, whole.images)
    assert captions == whole.captions
    again = data.batch(3, 6)
    assert again.wrong == whole.wrong
    np.testing.assert_array_equal(again.wrong_certain, whole.wrong_certain)


def test_a_batch_has_its_shapes(data: CaptionedImages) -> None:
    batch = data.batch(0, 5)
    assert batch.images.shape == (5, 16, 16, 3)
    assert batch.images.dtype == np.uint8
    assert len(batch.captions) == len(batch.wrong) == len(batch.wrong_certain) == 5
    assert batch.fit.shape == (5, 5)
    assert np.diagonal(batch.fit).all()
    assert all(isinstance(caption, str) for caption in data.captions(4))
    assert len(data.captions(4)) == 4


def test_another_seed_shows_other_pictures(folder: Path) -> None:
    for name in ("scenes", str(folder)):
        first, second = (open_data(name, 16, seed).batch(0, 6).images for seed in (0, 1))
        assert not np.array_equal(first, second)


def test_scenes_know_which_captions_fit() -> None:
    batch = SceneImages(16, seed=1).batch(100, 40)
    seeds = scene_seeds("train", (1 << 28) + 100, 40)
    scenes = sample_scenes(seeds)
    facts = caption_facts(scenes, seeds)
    for j in range(40):
        caption = facts[np.full(40, j)]
        np.testing.assert_array_equal(batch.fit[:, j], fits(caption, scenes))
    assert batch.wrong_certain.mean() > 0.9
    assert all(wrong != right for wrong, right in zip(batch.wrong, batch.captions, strict=True))


def test_words_are_learned_from_captions_that_belong_to_no_picture() -> None:
    shown = set(SceneImages(16).batch(0, 50, wrong=False).captions)
    assert len(shown & set(SceneImages(16).captions(50))) < 10


@pytest.mark.parametrize("seed", [-1, 2048, 10**6])
def test_scenes_refuse_seeds_whose_pictures_belong_to_others(seed: int) -> None:
    with pytest.raises(RequestError, match=f"--seed must be from 0 to 2047 for scenes, got {seed}"):
        SceneImages(16, seed)
    assert len(SceneImages(8, 2047).batch((1 << 28) - 4, 4).captions) == 4


def test_a_pass_shows_every_picture_once(folder: Path) -> None:
    data = FolderImages(folder, 16)
    passes = [data.batch(start, COUNT).images[:, 0, 0, 0] for start in range(0, 30, COUNT)]
    for shown in passes:
        assert sorted(shown) == [40 * i for i in range(COUNT)]
    assert len({tuple(shown) for shown in passes}) > 1
    across = data.batch(COUNT // 2, COUNT).images[:, 0, 0, 0]
    assert [*across] == [*passes[0][COUNT // 2 :], *passes[1][: COUNT // 2]]


def test_pictures_keep_their_captions_and_wrong_ones_are_told(folder: Path) -> None:
    batch = FolderImages(folder, 16).batch(0, COUNT)
    for image, caption in zip(batch.images, batch.captions, strict=True):
        assert caption == f"picture {min(image[0, 0, 0] // 40, 4)}"
    assert sorted(batch.wrong) == sorted(batch.captions)
    for right, wrong, certain in zip(batch.captions, batch.wrong, batch.wrong_certain, strict=True):
        assert certain == (right != wrong)
    same = [[a == b for b in batch.captions] for a in batch.captions]
    np.testing.assert_array_equal(batch.fit, same)
    assert batch.fit.sum() == COUNT + 2


def test_captions_may_lie_beside_the_pictures(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for i, name in enumerate(("b.png", "a.jpg", "deep/c.WEBP", "alone.png")):
        picture(i).save(tmp_path / name)
    for name, text in (("b", " two\n"), ("a", "one"), ("deep/c", "three")):
        (tmp_path / f"{name}.txt").write_text(text)
    assert FolderImages(tmp_path, 16).captions(9) == ["one", "two", "three"]


def test_pictures_are_cropped_to_the_middle(tmp_path: Path) -> None:
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 200
    Image.fromarray(wide).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("bright")
    assert (FolderImages(tmp_path, 16).images > 190).all()


def test_bad_files_are_counted_and_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "1.png").write_bytes(b"no picture")
    whole = (folder / "2.png").read_bytes()
    (folder / "2.png").write_bytes(whole[: len(whole) // 2])
    (folder / "3.png").unlink()
    data = FolderImages(folder, 16)
    warning = capsys.readouterr().err.strip().splitlines()[-1]
    assert "3 images could not be read" in warning
    assert all(name in warning for name in ("1.png", "2.png", "3.png"))
    assert data.count == 3
    assert data.captions(9) == ["picture 0", "picture 4", "picture 4"]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (["{"], "line 1: needs an object with file_name and text"),
        ([{"file_name": "0.png", "text": "a"}, ["0.png"]], "line 2: needs an object"),
        (["", {"text": "a"}], "line 2: needs an object with file_name and text ('file_name')"),
        ([{"file_name": "0.png"}], "line 1: needs an object with file_name and text ('text')"),
        ([], "has no captioned image; write a metadata.jsonl"),
        ([{"file_name": "gone.png", "text": "a"}], "none of the 1 images in"),
    ],
)
def test_bad_listings_are_refused(folder: Path, rows: list[object], says: str) -> None:
    write_listing(folder, rows)
    with pytest.raises(RequestError) as refused:
        FolderImages(folder, 16)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["metadata.jsonl", "0.txt"])
def test_captions_that_are_no_text_are_refused(folder: Path, name: str) -> None:
    (folder / "metadata.jsonl").unlink()
    (folder / name).write_bytes(b"a \xff")
    with pytest.raises(RequestError, match=rf"{name}: expected UTF-8 text; byte 2 is not"):
        FolderImages(folder, 16)


def test_folders_that_are_none_or_empty_are_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(RequestError, match=r"gone is no folder; give a folder of captioned images"):
        open_data(str(tmp_path / "gone"), 16)
    with pytest.raises(RequestError, match=r"0\.png is no folder"):
        open_data(str(folder / "0.png"), 16)
    shutil.rmtree(folder)
    folder.mkdir()
    picture(0).save(folder / "a.png")
    with pytest.raises(RequestError, match="has no captioned image"):
        open_data(str(folder), 16)


def test_fewer_images_than_a_batch_are_refused(folder: Path) -> None:
    data = FolderImages(folder, 16)
    for ask in (lambda: data.batch(0, COUNT + 1), lambda: data.require(COUNT + 1)):
        with pytest.raises(RequestError, match="has 6 images, fewer than a batch of 7"):
            ask()
    data.require(COUNT)
    SceneImages(16).require(10**6)
