"""``gandiff explore``: pictures that are written, and requests that are refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gandiff.common.grids import tile
from gandiff.experiments.cli import main

ONE, TWO = "a red star", "a blue ring on white"
CELL = 96 + 2  # 32 px, three times enlarged, and the gap


def explore(toy_gan: Path, out: Path, *words: str) -> tuple[int, int]:
    """Run the command; columns and rows of the picture."""
    assert main(["explore", *words, "--weights", str(toy_gan), "--out", str(out)]) == 0
    with Image.open(out) as picture:
        width, height = picture.size
    assert width % CELL == height % CELL == 0
    return width // CELL, height // CELL


@pytest.mark.parametrize(
    ("words", "shape"),
    [
        (["truncation", ONE, TWO], (5, 2)),
        (["truncation", ONE, "--psi", "0,1"], (2, 1)),
        (["interpolate", ONE, TWO], (8, 2)),
        (["interpolate", ONE, TWO, "--seeds", "1,2,3", "--steps", "4"], (4, 3)),
        (["interpolate", ONE], (8, 1)),
        (["interpolate", ONE, TWO, "--space", "z", "--steps", "3"], (3, 2)),
        (["interpolate", ONE, TWO, "--space", "w", "--steps", "3"], (3, 2)),
        (["mix", ONE, TWO, "a heart"], (3, 3)),
        (["mix", ONE, TWO, "--crossover", "2"], (2, 2)),
    ],
)
def test_pictures_are_written(
    toy_gan: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    shape: tuple[int, int],
) -> None:
    out = tmp_path / "deep" / "picture.png"
    assert explore(toy_gan, out, *words) == shape
    with Image.open(out) as picture:
        assert np.asarray(picture).std() > 5
    assert capsys.readouterr().out == f"written: {out}\n"


def test_as_json_it_tells_the_shape(
    toy_gan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.png"
    explore(toy_gan, out, "truncation", ONE, TWO, "--json")
    assert json.loads(capsys.readouterr().out) == {"out": str(out), "rows": 2, "columns": 5}
    explore(toy_gan, out, "truncation", ONE, "--quiet")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["mix", ONE, TWO, "--crossover", "9"],
            "--crossover 9: crossover must be from 1 to 3, got 9",
        ),
        (["truncation", ONE, "--psi", "a,b"], "'a,b' is not a list of numbers such as 0,0.5,1"),
        (
            ["interpolate", ONE, "--seeds", "3"],
            "--seeds 3: must be two, such as 0,1, to interpolate the noise",
        ),
        (["truncation", ONE, "--psi", "0,2.5"], "--psi 0,2.5: must be numbers from 0 to 2"),
        (
            ["interpolate", ONE, "--seeds", "nan,1"],
            "'nan,1' is not a list of numbers such as 0,0.5,1",
        ),
        (
            ["interpolate", ONE, "--seeds", "0.5,1"],
            "--seeds 0.5,1: must be whole numbers from 0 up",
        ),
        (
            ["interpolate", ONE, "--seeds", "1,2,3"],
            "--seeds 1,2,3: must be two, such as 0,1, to interpolate the noise",
        ),
        (["interpolate", ONE, TWO, "a heart"], "interpolating between prompts takes two, got 3"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    toy_gan: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    says: str,
) -> None:
    out = tmp_path / "x.png"
    assert main(["explore", *words, "--weights", str(toy_gan), "--out", str(out)]) == 2
    assert capsys.readouterr().err.strip() == f"error: {says}"
    assert not out.exists()


LONG = "a red star " * 20  # the toy reads 16 tokens


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["truncation", LONG, TWO], "1 of 2 prompts is"),
        (["interpolate", LONG, TWO], "1 of 2 prompts is"),
        (["interpolate", LONG], "1 of 1 prompt is"),
        (["mix", LONG, TWO, f"{LONG} on white"], "2 of 3 prompts are"),
    ],
)
def test_prompts_that_are_cut_are_told_on_one_line(
    toy_gan: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    count: str,
) -> None:
    for _ in range(2):  # each time
        explore(toy_gan, tmp_path / "x.png", *words, "--json")
        out, err = capsys.readouterr()
        assert json.loads(out)["rows"]
        assert err == (
            f"warning: {count} longer than the 16 tokens that the text encoder reads; "
            + ("their ends are cut\n" if count.endswith("are") else "its end is cut\n")
        )


def test_tiles_keep_their_places() -> None:
    pictures = np.zeros((6, 4, 4, 3), np.uint8)
    pictures[4] = 200
    laid = tile(pictures, 3)
    side = 4 * 24 + 2
    assert laid.shape == (2 * side, 3 * side, 3)
    inside = laid[side + 1 : 2 * side - 1, side + 1 : 2 * side - 1]
    assert (inside == 200).all()
    assert (laid[1 : side - 1, 1 : side - 1] == 0).all()
    assert (laid[0] == 255).all()
