"""Pictures in files as squares: cropped, upright, over white, by workers, and kept in the cache."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from PIL import Image

from gandiff.common.errors import EnvironmentFailure
from gandiff.experiments.data import decode as decoding
from gandiff.experiments.data.decode import decode

COUNT = 6


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Pictures of 16 px, each another one."""
    names = [f"{i}.png" for i in range(COUNT)]
    folder = toys.save_toy_images(tmp_path / "pictures", names)
    return [folder / name for name in names]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where squares are kept, as if the least were too much for memory."""
    monkeypatch.setattr(decoding, "_IN_MEMORY", 10)
    monkeypatch.setenv("GANDIFF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def expected(paths: list[Path]) -> np.ndarray:
    """What decoding gives, one by one."""
    return np.stack([decoding.read_square(path, 16) for path in paths])


def test_pictures_are_cropped_to_the_middle(tmp_path: Path) -> None:
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 200
    Image.fromarray(wide).save(tmp_path / "a.png")
    squares, _ = decode([tmp_path / "a.png"], 16)
    assert (squares > 190).all()


def test_what_is_transparent_becomes_white(tmp_path: Path) -> None:
    clear = np.zeros((16, 16, 4), np.uint8)  # black where nothing is, as most programs leave it
    clear[4:12, 4:12] = (200, 0, 0, 255)
    Image.fromarray(clear).save(tmp_path / "a.png")
    Image.fromarray(clear).quantize(2).save(tmp_path / "b.png")
    for square in decode([tmp_path / "a.png", tmp_path / "b.png"], 16)[0]:
        assert square[0, 0].tolist() == [255, 255, 255]
        assert square[8, 8].tolist() == [200, 0, 0]


@pytest.mark.parametrize("kind", toys.BROKEN_EXIF)
def test_a_corrupt_exif_block_is_one_bad_file(
    paths: list[Path], capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    toys.toy_image(0).save(paths[2], "JPEG", exif=toys.BROKEN_EXIF[kind])
    assert decode(paths, 16)[1] == [0, 1, 3, 4, 5]
    said = "warning: 1 of 6 images could not be read: 2.png (its EXIF block is corrupt ("
    assert said in capsys.readouterr().err


def test_many_pictures_are_decoded_by_workers_to_the_same(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "_FEW", 2)
    monkeypatch.setattr(decoding.os, "cpu_count", lambda: 2)
    np.testing.assert_array_equal(decode(paths, 16)[0], expected(paths))


def test_more_than_fits_into_memory_is_kept_in_a_file(
    paths: list[Path],
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    good = expected([*paths[:2], *paths[3:]])
    paths[2].write_bytes(b"")
    first = decode(paths, 16)
    said = capsys.readouterr().err
    assert "1 of 6 images could not be read: 2.png (" in said
    assert len(list(cache.iterdir())) == 2
    monkeypatch.setattr(decoding, "read_square", None)  # nothing is decoded again
    again = decode(paths, 16)
    assert capsys.readouterr().err == said
    for squares, places in (first, again):
        assert places == [0, 1, 3, 4, 5]
        np.testing.assert_array_equal(squares, good)


def test_a_file_that_is_cut_is_made_again(paths: list[Path], cache: Path) -> None:
    whole = np.array(decode(paths, 16)[0])
    (kept,) = cache.glob("*.rgb")
    kept.write_bytes(kept.read_bytes()[:-5])
    np.testing.assert_array_equal(decode(paths, 16)[0], whole)


def test_none_that_can_be_read_is_kept_too(paths: list[Path], cache: Path) -> None:
    for path in paths:
        path.write_bytes(b"no picture")
    for _ in range(2):
        squares, places = decode(paths, 16)
        assert (len(squares), places) == (0, [])


SECOND = """
import sys, time
from pathlib import Path
from gandiff.experiments.data import decode as decoding

begun, go, *paths = map(Path, sys.argv[1:])
usual, decoding._IN_MEMORY = decoding.read_square, 10

def read(path, resolution):
    begun.touch()
    while not go.exists():
        time.sleep(0.01)
    return usual(path, resolution)

decoding.read_square = read
decoding.decode(paths, 16)
"""


def test_two_may_decode_the_same_at_once(
    paths: list[Path], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second begins while the first is at work, and goes on when the first is done."""
    whole, usual = expected(paths), decoding.read_square
    begun, go = tmp_path / "begun", tmp_path / "go"
    second: list[subprocess.Popen[bytes]] = []

    def read(path: Path, resolution: int) -> Any:
        if path == paths[3]:
            second.append(subprocess.Popen([sys.executable, "-c", SECOND, begun, go, *paths]))
            while not begun.exists() and second[0].poll() is None:
                time.sleep(0.01)
        return usual(path, resolution)

    monkeypatch.setattr(decoding, "read_square", read)
    first = decode(paths, 16)[0].copy()
    go.touch()
    assert second[0].wait() == 0
    np.testing.assert_array_equal(first, whole)
    np.testing.assert_array_equal(decode(paths, 16)[0], whole)


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_what_is_decoded_by_half_leaves_nothing(
    paths: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    usual = decoding.read_square

    def read(path: Path, resolution: int) -> Any:
        if path == paths[3]:
            raise failure
        return usual(path, resolution)

    with monkeypatch.context() as patch:
        patch.setattr(decoding, "read_square", read)
        with pytest.raises(type(failure)):
            decode(paths, 16)
    assert list(cache.iterdir()) == []
    np.testing.assert_array_equal(decode(paths, 16)[0], expected(paths))


def test_what_a_killed_process_left_is_removed_and_nothing_else(
    paths: list[Path], cache: Path
) -> None:
    cache.mkdir()
    left, at_work, other = (
        cache / name for name in (f"{'0a' * 16}.rgb.1.tmp", f"{'0a' * 16}.rgb.2.tmp", "other.tmp")
    )
    for path in (left, at_work, other):
        path.touch()
    for path in (left, other):
        os.utime(path, (0, 0))
    decode(paths, 16)
    assert other.exists()
    assert at_work.exists()
    assert not left.exists()


def test_a_disk_without_room_is_found_before_anything_is_decoded(
    paths: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(cache.parent)._replace(free=1000)
    monkeypatch.setattr(decoding.shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(decoding, "read_square", None)
    with pytest.raises(EnvironmentFailure, match=r"about 1 MB and .*cache has 0 MB .* GANDIFF_CAC"):
        decode(paths, 16)
    assert list(cache.iterdir()) == []
