"""Captioned images to train on: by position, from scenes and from folders, good and bad."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coco_helpers import coco, picture
from PIL import Image

from gandiff.common.errors import RequestError
from gandiff.experiments.data.captioned import (
    CaptionedBatch,
    CaptionedImages,
    FileImages,
    SceneImages,
    open_data,
)
from gandiff.experiments.scenes.captions import caption_facts
from gandiff.experiments.scenes.facts import (
    HELD_OUT_PAIRS,
    SHAPES,
    fits,
    sample_scenes,
    scene_seeds,
)

COUNT = 6


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
    images, captions = joined([data.batch(3, 2), data.batch(5, 4)])
    np.testing.assert_array_equal(images, whole.images)
    assert captions == whole.captions
    first, again = (data.batch(3, 6, num_mismatched=2) for _ in range(2))
    assert again.mismatched == first.mismatched
    np.testing.assert_array_equal(again.is_mismatch, first.is_mismatch)


def test_rows_of_a_batch_are_those_of_the_whole(data: CaptionedImages) -> None:
    whole, part = (
        data.batch(2, 6, num_mismatched=2),
        data.batch(2, 6, num_mismatched=2, rows=range(3, 5)),
    )
    np.testing.assert_array_equal(part.images, whole.images[3:5])
    assert part.captions == whole.captions
    assert part.mismatched == whole.mismatched[3:5]
    np.testing.assert_array_equal(part.is_mismatch, whole.is_mismatch[3:5])
    np.testing.assert_array_equal(part.fits, whole.fits[3:5])


def test_a_batch_has_its_shapes(data: CaptionedImages) -> None:
    batch = data.batch(0, 5, num_mismatched=3)
    assert batch.images.shape == (5, 16, 16, 3)
    assert batch.images.dtype == np.uint8
    assert len(batch.captions) == len(batch.mismatched) == 5
    assert {len(row) for row in batch.mismatched} == {3}
    assert batch.is_mismatch.shape == (5, 3)
    assert data.batch(0, 5).is_mismatch.shape == (5, 0)
    assert batch.fits.shape == (5, 5)
    assert np.diagonal(batch.fits).all()
    assert all(isinstance(caption, str) for caption in data.captions(4))
    assert len(data.captions(4)) == 4


def test_another_seed_shows_other_pictures(folder: Path) -> None:
    for name in ("scenes", str(folder)):
        first, second = (open_data(name, 16, seed).batch(0, 6).images for seed in (0, 1))
        assert not np.array_equal(first, second)


def test_scenes_know_which_captions_fit() -> None:
    batch = SceneImages(16, seed=1).batch(100, 40, num_mismatched=2)
    seeds = scene_seeds("train", (1 << 28) + 100, 40)
    scenes = sample_scenes(seeds)
    facts = caption_facts(scenes, seeds)
    for j in range(40):
        caption = facts[np.full(40, j)]
        np.testing.assert_array_equal(batch.fits[:, j], fits(caption, scenes))
    assert batch.is_mismatch.mean() > 0.9
    for wrong, right in zip(batch.mismatched, batch.captions, strict=True):
        assert right not in wrong
    assert any(first != second for first, second in batch.mismatched)


def test_scenes_know_which_wrong_captions_leave_no_room_for_the_right_one() -> None:
    """Beside a star there may be a ring where nothing is said of a second object."""
    batch = SceneImages(8).batch(0, 3000, num_mismatched=3)
    assert not (batch.contradicts & ~batch.is_mismatch).any()  # the picture fits the right caption
    room = [
        (right, wrong)
        for i, right in enumerate(batch.captions)
        for k, wrong in enumerate(batch.mismatched[i])
        if not batch.contradicts[i, k]
    ]
    assert 100 < len(room) < 2000
    shape = {name: i for i, name in enumerate(SHAPES)}
    for right, wrong in room:
        before, after = ([s for s in SHAPES if s in text] for text in (right, wrong))
        assert len(before) == len(after) == 1
        assert shape[before[0]] != shape[after[0]]
        assert "only" not in right


def test_no_caption_of_scenes_has_a_held_out_pair() -> None:
    """Not even a wrong one: the pairs never reach a generator."""
    batch = SceneImages(8).batch(0, 2000, num_mismatched=3)
    everything = " ".join([*batch.captions, *(text for row in batch.mismatched for text in row)])
    assert len(everything) > 100_000
    found = [
        f"{colour} {shape}" for shape, colour in HELD_OUT_PAIRS if f"{colour} {shape}" in everything
    ]
    assert not found


def test_words_are_learned_from_captions_that_belong_to_no_picture() -> None:
    shown = set(SceneImages(16).batch(0, 50).captions)
    assert len(shown & set(SceneImages(16).captions(50))) < 10


@pytest.mark.parametrize("seed", [-1, 2048, 10**6])
def test_scenes_refuse_seeds_whose_pictures_belong_to_others(seed: int) -> None:
    with pytest.raises(RequestError, match=f"--seed must be from 0 to 2047 for scenes, got {seed}"):
        SceneImages(16, seed)
    assert len(SceneImages(8, 2047).batch((1 << 28) - 4, 4).captions) == 4


def test_a_pass_shows_every_picture_once(folder: Path) -> None:
    data = FileImages(folder, 16)
    passes = [data.batch(start, COUNT).images[:, 0, 0, 0] for start in range(0, 30, COUNT)]
    for shown in passes:
        assert sorted(shown) == [40 * i for i in range(COUNT)]
    assert len({tuple(shown) for shown in passes}) > 1
    across = data.batch(COUNT // 2, COUNT).images[:, 0, 0, 0]
    assert [*across] == [*passes[0][COUNT // 2 :], *passes[1][: COUNT // 2]]


def test_pictures_keep_their_captions_and_wrong_ones_are_told(folder: Path) -> None:
    batch = FileImages(folder, 16).batch(0, COUNT, num_mismatched=4)
    for image, caption in zip(batch.images, batch.captions, strict=True):
        assert caption == f"picture {min(image[0, 0, 0] // 40, 4)}"
    for right, wrong, known in zip(
        batch.captions, batch.mismatched, batch.is_mismatch, strict=True
    ):
        assert set(wrong) <= set(batch.captions)
        assert known.tolist() == [one != right for one in wrong]
    same = [[a == b for b in batch.captions] for a in batch.captions]
    np.testing.assert_array_equal(batch.fits, same)
    assert batch.fits.sum() == COUNT + 2


def test_captions_may_lie_beside_the_pictures(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for i, name in enumerate(("b.png", "a.jpg", "deep/c.WEBP", "alone.png")):
        picture(i).save(tmp_path / name)
    for name, text in (("b", " two\n"), ("a", "one"), ("deep/c", "three")):
        (tmp_path / f"{name}.txt").write_text(text)
    assert FileImages(tmp_path, 16).captions(9) == ["one", "two", "three"]


def test_bad_files_are_counted_and_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "1.png").write_bytes(b"no picture")
    whole = (folder / "2.png").read_bytes()
    (folder / "2.png").write_bytes(whole[: len(whole) // 2])
    (folder / "3.png").unlink()
    data = FileImages(folder, 16)
    warning = capsys.readouterr().err.strip().splitlines()[-1]
    assert "3 of 6 images could not be read" in warning
    assert all(name in warning for name in ("1.png", "2.png", "3.png"))
    assert data.count == 3
    assert data.captions(9) == ["picture 0", "picture 4", "picture 4"]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (["{"], "jsonl:1: this is not JSON"),
        (
            [{"file_name": "0.png", "text": "a"}, ["0.png"]],
            'metadata.jsonl:2: expected a JSON object, got ["0.png"]',
        ),
        (["", {"text": "a"}], "jsonl:2: missing required field 'file_name'"),
        ([{"file_name": "0.png"}], "jsonl:1: missing required field 'text'"),
        (
            [{"file_name": "0.png", "text": None}],
            "jsonl:1: text must be a string, got null",
        ),
        (
            [{"file_name": "0.png", "text": ["a", 7]}],
            "jsonl:1: text must be a string, got 7",
        ),
        (
            [{"file_name": None, "text": "a"}],
            "jsonl:1: file_name must be a string, got null",
        ),
        ([], "has no captioned image; write a metadata.jsonl"),
        ([{"file_name": "gone.png", "text": "a"}], "none of 1 image in"),
    ],
)
def test_bad_listings_are_refused(folder: Path, rows: list[object], says: str) -> None:
    write_listing(folder, rows)
    with pytest.raises(RequestError) as refused:
        FileImages(folder, 16)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_pictures_that_a_listing_leaves_out_are_counted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_listing(
        folder, [{"file_name": f"../{folder.name}/{i}.png", "text": "a"} for i in range(4)]
    )
    assert FileImages(folder, 16).count == 4
    said = f"warning: 2 images in {folder} are not in metadata.jsonl and are left out\n"
    assert capsys.readouterr().err == said


def test_several_captions_take_turns(tmp_path: Path) -> None:
    for i in range(4):
        picture(i).save(tmp_path / f"{i}.png")
        (tmp_path / f"{i}.txt").write_text(f"first of {i}\n\nsecond of {i}\n")
    data = FileImages(tmp_path, 16)
    passes = [set(data.batch(start, 4).captions) for start in (0, 4, 8)]
    assert passes[0] == passes[2] == {f"first of {i}" for i in range(4)}
    assert passes[1] == {f"second of {i}" for i in range(4)}
    assert len(data.captions(99)) == 8
    batch = data.batch(0, 4, num_mismatched=5)
    assert (batch.fits == np.eye(4, dtype=bool)).all()


def test_the_turn_of_a_caption_does_not_tell_that_it_is_wrong(tmp_path: Path) -> None:
    for i in range(4):
        picture(i).save(tmp_path / f"{i}.png")
        (tmp_path / f"{i}.txt").write_text(f"first of {i}\nsecond of {i}\nthird of {i}\n")
    data = FileImages(tmp_path, 16)
    seen = []
    for start in (0, 2, 5, 8):  # two of these batches belong to two passes
        batch = data.batch(start, 4, num_mismatched=6)
        for right, wrong in zip(batch.captions, batch.mismatched, strict=True):
            assert {text.split()[0] for text in wrong} == {right.split()[0]}
            seen.append(right.split()[0])
        part = data.batch(start, 4, num_mismatched=6, rows=range(2, 4))
        assert part.mismatched == batch.mismatched[2:]
    assert set(seen) == {"first", "second", "third"}


def test_coco_captions_find_their_pictures(tmp_path: Path) -> None:
    path = coco(tmp_path / "coco")
    for source in (path, tmp_path / "coco"):
        data = open_data(str(source), 16)
        assert data.count == 4
        batch = data.batch(0, 4)
        for image, caption in zip(batch.images, batch.captions, strict=True):
            assert caption == f"caption 0 of {round(int(image[0, 0, 0]) / 40)}"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: f.write_text("{"), "is not a COCO captions file"),
        (lambda f: f.write_text('{"images": []}'), "is not a COCO captions file"),
        (
            lambda f: f.write_text(f.read_text().replace('"caption 1 of 2"', "null")),
            r"val2017\.json: the caption of image 12 must be a string, got null",
        ),
        (lambda f: shutil.rmtree(f.parent.parent / "val2017"), "the images of .* are not there"),
        (
            lambda f: shutil.copy(f, f.with_name("captions_train2017.json")),
            "has captions in captions_train2017.json, captions_val2017.json; give one",
        ),
    ],
)
def test_bad_coco_folders_are_refused(tmp_path: Path, change: Any, says: str) -> None:
    change(coco(tmp_path / "coco"))
    with pytest.raises(RequestError, match=says):
        open_data(str(tmp_path / "coco"), 16)


def test_pictures_without_captions_are_counted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "metadata.jsonl").unlink()
    with pytest.raises(RequestError, match="it has 6 images without captions; write a metadata"):
        open_data(str(folder), 16)
    (folder / "0.txt").write_text("one")
    assert open_data(str(folder), 16).count == 1
    assert "5 of 6 images in" in capsys.readouterr().err


def test_one_in_twenty_of_many_is_held_out(tmp_path: Path) -> None:
    for i in range(100):
        Image.new("RGB", (8, 8), (i, 2 * i, 99)).save(tmp_path / f"{i}.png")
        (tmp_path / f"{i}.txt").write_text(f"picture {i}")
    data = FileImages(tmp_path, 8)
    held = data.held_out(50)
    assert (len(held.images), data.count) == (5, 95)
    shown = {caption for start in range(0, 190, 95) for caption in data.batch(start, 95).captions}
    assert len(shown) == 95
    assert not shown & set(held.captions)
    assert set(FileImages(tmp_path, 8, seed=9).held_out(50).captions) == set(held.captions)
    assert not set(held.captions) & set(data.captions(200))


def test_few_pictures_are_all_trained_on(folder: Path) -> None:
    data = FileImages(folder, 16)
    assert data.count == COUNT
    assert len(data.held_out(9).images) == 0


@pytest.mark.parametrize("name", ["metadata.jsonl", "0.txt"])
def test_captions_that_are_no_text_are_refused(folder: Path, name: str) -> None:
    (folder / "metadata.jsonl").unlink()
    (folder / name).write_bytes(b"a \xff")
    with pytest.raises(RequestError, match=rf"{name}: expected UTF-8 text; byte 2 is not"):
        FileImages(folder, 16)


def test_folders_that_are_none_or_empty_are_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(RequestError, match=r"gone is not a folder; give a folder of cap"):
        open_data(str(tmp_path / "gone"), 16)
    with pytest.raises(RequestError, match=r"0\.png is not a folder"):
        open_data(str(folder / "0.png"), 16)
    shutil.rmtree(folder)
    folder.mkdir()
    picture(0).save(folder / "a.png")
    with pytest.raises(RequestError, match="has no captioned image"):
        open_data(str(folder), 16)


def test_fewer_images_than_a_batch_are_refused(folder: Path) -> None:
    data = FileImages(folder, 16)
    for ask in (lambda: data.batch(0, COUNT + 1), lambda: data.require(COUNT + 1)):
        with pytest.raises(RequestError, match="has 6 images, fewer than a batch of 7"):
            ask()
    data.require(COUNT)
    SceneImages(16).require(10**6)
