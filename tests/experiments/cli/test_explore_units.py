"""``gandiff explore units`` and ``paint``: a dissection is written, read and painted with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gandiff.experiments.cli import main
from gandiff.models.gan.units import UNITS, read_units

CELL = 96 + 2  # 32 px, three times enlarged, and the gap
pytestmark = pytest.mark.usefixtures("empty_folder")


@pytest.fixture
def gan(toy_gan: Path) -> Path:
    """A toy GAN that one test may write to."""
    return Path(shutil.copytree(toy_gan, "gan"))


def test_a_dissection_is_written_beside_the_weights(
    gan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["explore", "units", "--weights", str(gan), "--pictures", "200"]
    assert main(words) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].split() == ["concept", "best", "unit,", "IoU", "next", "next"]
    assert [line.split()[0] for line in out[1:4]] == ["object", "circle", "square"]
    assert out[-1] == "written: gan/units.npz, units.png"
    units = read_units(gan)
    assert len(units.concepts) == 17
    with Image.open("units.png") as picture:
        assert picture.width == 8 * CELL
        assert picture.height % CELL == 0
    written = (gan / UNITS).read_bytes()
    assert main([*words, "--json"]) == 0
    best = json.loads(capsys.readouterr().out)["concepts"]["object"]
    assert best[0]["iou"] >= best[1]["iou"] >= best[2]["iou"] > 0
    assert best[0]["unit"] == units.address(units.best("object", 1)[0])
    assert (gan / UNITS).read_bytes() == written


def test_units_are_painted_in_the_region_beside_random_ones(
    toy_painter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["explore", "paint", "a star", "a ring", "--weights", str(toy_painter)]
    assert main([*words, "--units", "star", "--region", "16,0,32,16"]) == 0
    assert capsys.readouterr().out == "written: painted.png\n"
    with Image.open("painted.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert pixels.shape == (2 * CELL, 3 * CELL, 3)
    drawn, painted, random = (pixels[:CELL, i * CELL : (i + 1) * CELL] for i in range(3))
    assert np.abs(painted - drawn)[10:40, 58:88].mean() > 3
    assert np.abs(random - drawn)[10:40, 58:88].mean() > 0
    far = np.abs(painted - drawn)[60:90, 5:35].mean()  # convolutions reach a little beyond
    assert far < np.abs(painted - drawn)[10:40, 58:88].mean() / 4


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--units", "star", "--region", "1,2,3"], "--region 1,2,3: must be four whole numbers, "),
        (
            ["--units", "star", "--region", "20,20,40,30"],
            "--region 20,20,40,30: must lie inside the picture, 0 to 32 px, the left and top edge",
        ),
        (["--units", "star", "--region", "9,9,9,12"], "--region 9,9,9,12: must lie inside the pi"),
        (["--units", "moon", "--region", "0,0,9,9"], "units 'moon': no concept is named 'moon'"),
        (["--units", "8:24", "--region", "0,0,9,9"], "units '8:24': the level of 8 px has the"),
    ],
)
def test_what_cannot_be_painted_is_refused(
    toy_painter: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    assert main(["explore", "paint", "a star", "--weights", str(toy_painter), *words]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {says}")
    assert err.count("\n") == 1
    assert not Path("painted.png").exists()


def test_without_a_dissection_it_says_how_to_make_one(
    toy_gan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--units", "star", "--region", "0,0,9,9", "--weights", str(toy_gan)]
    assert main(["explore", "paint", "a star", *words]) == 2
    err = capsys.readouterr().err
    assert f"has no {UNITS}" in err
    assert f"gandiff explore units --weights {toy_gan}" in err
