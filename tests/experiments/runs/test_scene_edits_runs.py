"""The suite of scene edits in runs: what each task is asked for, and what metrics alone see."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from edit_helpers import EDIT, write_edits
from edit_toys import write_scene_edits
from PIL import Image
from run_helpers import images, log_lines, make, record

from gandiff.common.errors import RequestError
from gandiff.experiments.cli import main
from gandiff.experiments.config.types import EditKind
from gandiff.experiments.prompts.suites import open_suite
from gandiff.experiments.runs.open import load_run
from gandiff.experiments.runs.replay import replay
from gandiff.experiments.scenes.edits import EDIT_KINDS, edit_pictures, edit_suite
from gandiff.models.generator import Task
from gandiff.models.tasks import SOURCES

TASKS = ("image_to_image", "inpaint", "paint", "control")


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


@pytest.mark.parametrize("task", TASKS)
def test_a_suite_gives_what_the_task_takes(tmp_path: Path, task: Task) -> None:
    run = make(write_scene_edits(tmp_path, task))
    row = json.loads((run / "prompts.jsonl").read_text().splitlines()[0])
    edit = edit_suite("test", 1)[0]
    drawn = edit_pictures(edit, 32)
    wanted = {"init_image": drawn.source, "mask": drawn.mask, "control_image": drawn.outlines}
    for field, picture in wanted.items():
        assert (field in row) == (field in SOURCES[task])
        if field in row:
            np.testing.assert_array_equal(pixels(run / row[field]["path"]), picture)
    np.testing.assert_array_equal(pixels(run / row["target"]["path"]), drawn.target)
    assert ("region" in row) == (task == "image_to_image")  # elsewhere a mask says it, or nothing
    assert row["text"] == edit.words.caption_after
    assert row["edit"]["instruction"] == edit.words.instruction
    assert (row["category"], row["id"]) == ("recolour", edit.id)
    request = load_run(run).batches["toy"][0].jobs[0].request()
    given = {f for f in wanted if getattr(request, f) is not None}
    assert given == set(SOURCES[task])
    assert record(run)["counts"]["toy"]["ok"] == 10


def test_such_a_run_is_continued_and_replayed(tmp_path: Path) -> None:
    file = write_scene_edits(tmp_path, "inpaint")
    run = make(file, limit=3)
    before = images(run)
    make(file)
    assert images(run).items() > before.items()
    assert replay(run, log_lines(run)[0]["key"]).same


def test_kinds_resolution_and_control(tmp_path: Path) -> None:
    suite = open_suite(
        "scene-edits", prompts=4, task="control", resolution=48, control="depth", kinds=["add"]
    )
    assert [prompt.category for prompt in suite.prompts] == ["add"] * 4
    source = suite.prompts[0].control_image
    assert source is not None
    drawn = edit_pictures(edit_suite("test", 1, kinds=["add"])[0], 48)
    np.testing.assert_array_equal(source.read(), drawn.depth)
    assert set(get_args(EditKind)) == set(EDIT_KINDS)
    plain = open_suite("scene-edits", prompts=2)
    assert not any(prompt.pictures() for prompt in plain.prompts)


def test_what_metrics_see_decides_no_image(tmp_path: Path) -> None:
    suite = open_suite("scene-edits", prompts=1, task="inpaint")
    prompt = suite.prompts[0]
    bare = dataclasses.replace(prompt, target=None, region=None, edit=None)
    assert prompt.seen() == bare.seen()
    assert prompt.sources().keys() == {"init_image", "mask"}


@pytest.mark.parametrize("command", ["run", "validate"])
def test_pictures_of_another_size_than_the_generator_makes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    scenes = write_scene_edits(tmp_path, "inpaint", suite={"name": "scene-edits", "resolution": 48})
    files = write_edits(tmp_path / "f", "inpaint", generators={"toy": {"type": EDIT, "side": 16}})
    for file, named, rest in (
        (scenes, "gan", "32x32 px, and the init_image of the prompts 48x48 px; must be of one size "
         "(set suite.resolution: 32)"),
        (files, "toy", "16x16 px, and the init_image of the prompts 8x8 px; must be of one size "
         "(resize the pictures)"),
    ):  # fmt: skip
        options = ["--out", str(tmp_path / "run")] if command == "run" else []
        assert main([command, str(file), *options, "-q"]) == 2
        said = capsys.readouterr().err.strip().splitlines()[-1]
        assert f"generators.{named}: its images are {rest}" in said
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("suite", "says"),
    [
        ({"name": "prompts.txt", "resolution": 64}, "suite.resolution: is for the suite scene-ed"),
        ({"name": "scene-edits", "kinds": ["add", "ad"]}, "suite.kinds"),
        ({"name": "scene-edits", "kinds": ["add", "add"]}, "must be given once, got 'add' twice"),
        ({"name": "scene-edit"}, "no suite is named 'scene-edit'; did you mean 'scene-edits'?"),
        ({"name": "scene-edits", "resolution": 4}, "suite.resolution"),
    ],
)
def test_bad_suites(tmp_path: Path, suite: dict[str, object], says: str) -> None:
    file = write_scene_edits(tmp_path, "inpaint", suite=suite)
    with pytest.raises(RequestError) as refused:
        make(file)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_files_bring_ground_truth_for_metrics(tmp_path: Path) -> None:
    file = write_edits(tmp_path, "image_to_image", 2)
    table = (tmp_path / "prompts.csv").read_text().splitlines()
    extra = [
        "target,region,caption_before",
        *["pictures/init_image-0.png,pictures/mask-0.png,old"] * 2,
    ]
    joined = "\n".join(",".join(pair) for pair in zip(table, extra, strict=True))
    (tmp_path / "prompts.csv").write_text(joined + "\n")
    prompt = load_run(make(file)).suite.prompts[0]
    assert prompt.pictures().keys() == {"init_image", "target", "region"}
    assert prompt.edit == {"caption_before": "old"}
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "pictures/init_image-0.png")
    with pytest.raises(RequestError, match="9x9 px"):
        make(file, out="other")
