"""Pictures of prompts that do not fit: one clear line each, before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edit_helpers import SIDE, write_edits
from PIL import Image
from run_helpers import TOY, images, make, record

from gandiff.experiments.cli import main
from gandiff.experiments.prompts import tasks

INIT, MASK, CONTROL = (f"pictures/{name}-1.png" for name in ("init_image", "mask", "control_image"))
Spoil = Callable[[Path], object]


def picture(name: str, array: np.ndarray) -> Spoil:
    return lambda place: Image.fromarray(array.astype(np.uint8)).save(place / name)


def _grey(place: Path) -> None:
    levels = np.asarray(Image.open(place / MASK)).copy()
    levels[0, 0] = 128
    Image.fromarray(levels).save(place / MASK)


def _transparent(name: str) -> Spoil:
    return lambda place: Image.open(place / name).convert("RGBA").save(place / name)


def _white_lines(place: Path) -> None:
    """White everywhere, opaque along a line alone, as programs save drawings."""
    lines = np.full((SIDE, SIDE, 4), 255, np.uint8)
    lines[:, 1:, 3] = 0
    Image.fromarray(lines).save(place / CONTROL)


FILES: dict[str, tuple[str, Spoil, str]] = {
    "no file": (
        "inpaint",
        lambda place: (place / INIT).unlink(),
        "init_image: there is no file ",
    ),
    "no picture": (
        "image_to_image",
        lambda place: (place / INIT).write_text("x"),
        f"init_image: {INIT} cannot be read: it is not an image of a known format",
    ),
    "alpha": (
        "image_to_image",
        _transparent(INIT),
        f"init_image: {INIT} has an alpha channel or a transparent colour, and an init image must "
        "be opaque",
    ),
    "size": (
        "inpaint",
        picture(MASK, 255 * np.eye(SIDE + 1)),
        f"mask {MASK} is 9x9 px, and the init image 8x8 px; must be of its size",
    ),
    "one of another size": (
        "control",
        picture(CONTROL, np.zeros((SIDE, SIDE + 1, 3))),
        f"control_image {CONTROL} is 9x8 px, and that of prompt 'p0' 8x8 px; must be of one size",
    ),
    "grey levels": (
        "paint",
        _grey,
        f"mask {MASK} has grey levels, such as 128; must be 0 (keep) and 255 (change) alone",
    ),
    "all kept": (
        "inpaint",
        picture(MASK, np.zeros((SIDE, SIDE))),
        f"mask {MASK} is 0 everywhere, so that nothing may change; must be 255 somewhere",
    ),
    "nothing kept": (
        "inpaint",
        picture(MASK, np.full((SIDE, SIDE), 255)),
        f"mask {MASK} is 255 everywhere, so that nothing is kept; must be 0 somewhere",
    ),
    "colours": (
        "inpaint",
        picture(MASK, np.zeros((SIDE, SIDE, 3))),
        f"mask: {MASK} must be one grey picture of 0 (keep) and 255 (change), and has colours; "
        "save it as greyscale",
    ),
    "white": (
        "control",
        picture(CONTROL, np.full((SIDE, SIDE, 3), 255)),
        f"control_image {CONTROL} is of one colour, (255, 255, 255), so that there is nothing to "
        "follow; must show lines or levels",
    ),
    "black": (
        "control",
        picture(CONTROL, np.zeros((SIDE, SIDE))),
        f"control_image {CONTROL} is of one colour, (0, 0, 0), so that there is nothing to follow",
    ),
    "white lines on nothing": (
        "control",
        _white_lines,
        f"control_image: {CONTROL} is transparent: laid over white it is of one colour, so that "
        "there is nothing to follow; lay it over black",
    ),
    "alpha in the mask": (
        "inpaint",
        lambda place: Image.open(place / MASK).convert("LA").save(place / MASK),
        "and has an alpha channel",
    ),
}
CELLS: dict[str, tuple[str, dict[str, Any], str]] = {
    "blank": ("inpaint", {"mask": ""}, "prompt 'p1': it has no mask, which the task inpaint takes"),
    "strength 0": (
        "image_to_image",
        {"strength": 0},
        "prompts.csv:3: strength must be a number above 0 and at most 1, got '0'",
    ),
    "strength above 1": ("inpaint", {"strength": 1.5}, "at most 1, got '1.5'"),
    "strength of words": ("inpaint", {"strength": "much"}, "at most 1, got 'much'"),
    "strength nan": ("inpaint", {"strength": "nan"}, "at most 1, got 'nan'"),
}


def refused(file: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What ``run`` says of a comparison that it refuses; ``validate`` says the same."""
    lines = []
    for command in (["run", str(file), "--out", str(file.parent / "run")], ["validate", str(file)]):
        assert main([*command, "-q"]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        lines.append(line)
    assert lines[0] == lines[1]
    assert not (file.parent / "run").exists()
    return lines[0]


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_does_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    task, spoil, says = FILES[name]
    file = write_edits(tmp_path, task)
    if task == "paint":
        file.write_text(file.read_text().replace("type: ", "tasks: paint\n    type: "))
    spoil(tmp_path)
    said = refused(file, capsys)
    assert says in said
    assert "prompts.csv: prompt 'p1': " in said


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_that_does_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    task, cells, says = CELLS[name]
    assert says in refused(write_edits(tmp_path, task, rows=[{}, cells]), capsys)


def test_several_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_edits(tmp_path, "inpaint")
    for i in (1, 2, 4):
        (tmp_path / f"pictures/mask-{i}.png").unlink()
    said = refused(file, capsys)
    assert "prompt 'p1'" in said
    assert said.endswith("(and 2 more)")


def test_a_column_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_edits(tmp_path, "control", suite="prompts.txt")
    (tmp_path / "prompts.txt").write_text("a toy\n")
    assert (
        "prompts.txt: no prompt has control_image, which the task control takes; in a .csv, .tsv "
        "or .jsonl file of prompts the column control_image names a picture"
    ) in refused(file, capsys)


@pytest.mark.parametrize(
    ("task", "changes", "says"),
    [
        ("inpaint", {"strength": 0}, "strength: must be above 0 and at most 1, got 0"),
        ("inpaint", {"strength": 1.01}, "strength: must be above 0 and at most 1, got 1.01"),
        (
            "control",
            {"strength": 0.5},
            "strength: is for tasks that begin from an image (image_to_image, inpaint, paint), and "
            "the task is control; leave it out",
        ),
        (
            "img2img",
            {},
            "task: must be one of text_to_image, image_to_image, inpaint, paint, control, got "
            "'img2img'",
        ),
    ],
)
def test_the_file_says_what_does_not_fit(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    task: str,
    changes: dict[str, Any],
    says: str,
) -> None:
    said = refused(write_edits(tmp_path, task, **changes), capsys)
    assert says in said
    assert "edits.yaml:" in said


def test_control_images_are_laid_over_white(tmp_path: Path) -> None:
    """The one rule for transparent pictures; what is opaque is what it was."""
    file = write_edits(tmp_path, "control")
    before = images(make(file))
    _transparent(CONTROL)(tmp_path)
    assert images(make(file, out="again")) == before
    dark = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0))
    dark.putpixel((0, 0), (0, 0, 0, 255))
    dark.save(tmp_path / CONTROL)
    run = make(file, out="white")
    kept = [np.asarray(Image.open(file)) for file in run.glob("sources/*")]
    assert any((one.reshape(-1, 3)[1:] == 255).all() for one in kept)


def test_a_run_of_before_keeps_a_control_image_of_one_colour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_edits(tmp_path, "control")
    picture(CONTROL, np.zeros((SIDE, SIDE, 3)))(tmp_path)
    monkeypatch.setattr(tasks, "check_control", lambda pixels: None)
    before = images(make(file))
    monkeypatch.undo()
    assert images(make(file)) == before


def test_text_alone_takes_no_notice(tmp_path: Path) -> None:
    """Columns of these names in a file of prompts mean nothing where nothing is edited."""
    rows = [{"init_image": "gone.png", "mask": "x", "strength": "much"}]
    generators = {"toy": {"type": TOY}}
    file = write_edits(tmp_path, "text_to_image", rows=rows, generators=generators)
    run = make(file)
    assert not (run / "sources").exists()
    assert "strength" not in (run / "prompts.jsonl").read_text()
    assert not {"task", "strength"} & record(run)["comparison"].keys()
