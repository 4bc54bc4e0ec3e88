"""Runs of tasks: what generators are asked for, and that a run needs nothing but its folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from edit_helpers import EDIT, SIDE, write_edits
from PIL import Image
from run_helpers import TOY, images, log_lines, make, record
from toy_generators import EditToy

from gandiff.common.errors import RequestError
from gandiff.experiments import api
from gandiff.experiments.cli import main
from gandiff.experiments.config.load import load_comparison
from gandiff.experiments.prompts.suites import PromptSuite, prompt_from_dict
from gandiff.experiments.runs.generate import generate_images
from gandiff.experiments.runs.open import load_run, open_run
from gandiff.experiments.runs.replay import replay
from gandiff.experiments.scoring.edits import edit_records
from gandiff.experiments.timing import measure, time
from gandiff.models.generator import Generation, GenerationRequest
from gandiff.models.tasks import PICTURES, SOURCES


def lose(run: Path, line: Mapping[str, Any]) -> None:
    """Take one image out of a run."""
    (run / line["path"]).unlink()
    rest = [one for one in log_lines(run) if one["key"] != line["key"]]
    (run / "images.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rest))


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


@pytest.mark.parametrize("task", ["image_to_image", "inpaint", "paint", "control"])
def test_a_request_carries_what_its_task_takes(tmp_path: Path, task: str) -> None:
    file = write_edits(tmp_path, task, rows=[{"strength": 0.25}])
    comparison = load_comparison(file, [f"generators.toy.tasks={task}"])
    with open_run(comparison, tmp_path / "run") as run:
        jobs = [job for batch in run.batches["toy"] for job in batch.jobs]
        given = toys.edit_pictures(SIDE, 0)
        request = jobs[0].request()
        assert (request.task, request.prompt_id) == (task, "p0")
        for field in PICTURES:
            got = getattr(request, field)
            assert (got is not None) == (field in SOURCES[request.task])
            if got is not None:
                np.testing.assert_array_equal(got, given[field])
        assert request.strength == (None if task == "control" else 0.25)
        assert all(getattr(jobs[0].request(pictures=False), f) is None for f in PICTURES)
        assert jobs[2].request().strength is None


@pytest.mark.parametrize("task", ["image_to_image", "inpaint"])
def test_where_there_is_a_mask_nothing_else_says_what_may_change(tmp_path: Path, task: str) -> None:
    file = write_edits(tmp_path, task, count=2)
    prompts = tmp_path / "prompts.csv"
    rows = prompts.read_text().splitlines()
    region = ["region", *(f"pictures/mask-{1 - i}.png" for i in range(2))]
    prompts.write_text("\n".join(map(",".join, zip(rows, region, strict=True))) + "\n")
    with open_run(load_comparison(file), tmp_path / "run") as run:
        records = edit_records(run)
    for i in range(2):
        seen = records[f"p{i}"].region
        assert seen is not None
        of = i if task != "image_to_image" else 1 - i
        np.testing.assert_array_equal(pixels(seen.path), toys.edit_pictures(SIDE, of)["mask"])


def test_the_strength_of_a_prompt_comes_before_that_of_the_comparison(tmp_path: Path) -> None:
    file = write_edits(tmp_path, "image_to_image", rows=[{"strength": 0.25}], strength=0.75)
    run = load_run(make(file))
    strengths = {j.prompt.id: j.strength for batch in run.batches["toy"] for j in batch.jobs}
    assert strengths == {"p0": 0.25, **{f"p{i}": 0.75 for i in range(1, 5)}}
    assert record(run.folder)["comparison"]["strength"] == 0.75


def test_what_the_mask_keeps_stays(tmp_path: Path) -> None:
    run = make(write_edits(tmp_path, "inpaint"))
    given = toys.edit_pictures(SIDE, 0)
    made = pixels(run / "images/toy/p0_0.png")
    np.testing.assert_array_equal(made[:, SIDE // 2 :], given["init_image"][:, SIDE // 2 :])
    assert (made[:, : SIDE // 2] != given["init_image"][:, : SIDE // 2]).any()
    assert record(run)["counts"]["toy"]["ok"] == 10


def test_what_was_made_before_compositing_lies_beside_the_image(tmp_path: Path) -> None:
    run = make(write_edits(tmp_path, "inpaint"))
    inside = toys.edit_pictures(SIDE, 0)["mask"] == 255
    made, before = (pixels(run / f"{f}/toy/p0_0.png") for f in ("images", "uncomposited"))
    np.testing.assert_array_equal(made[inside], before[inside])
    assert (made[~inside] != before[~inside]).any()
    names = {path.name for path in (run / "images/toy").iterdir()}
    assert {path.name for path in (run / "uncomposited/toy").iterdir()} == names
    assert all(line["uncomposited"] for line in log_lines(run))


@pytest.mark.parametrize("how", ["gone", "another"])
def test_an_image_without_what_was_before_it_is_made_again(tmp_path: Path, how: str) -> None:
    file = write_edits(tmp_path, "inpaint")
    run = make(file)
    whole = {path: path.read_bytes() for path in run.glob("uncomposited/toy/*")}
    lost = min(whole)
    lost.unlink() if how == "gone" else lost.write_bytes(b"another")
    before = images(run)
    make(file)
    assert {path: path.read_bytes() for path in run.glob("uncomposited/toy/*")} == whole
    assert images(run) == before


def test_changed_generators_keep_theirs(tmp_path: Path) -> None:
    file = write_edits(tmp_path, "inpaint")
    run = make(file)
    make(file, "generators.toy.tasks=inpaint")
    for name in ("toy", "toy@1"):
        assert len(list((run / "uncomposited" / name).iterdir())) == 10
    assert load_run(run).missing("toy@1") == []


def test_a_picture_of_another_size_before_compositing_is_a_failure(tmp_path: Path) -> None:
    run = make(write_edits(tmp_path, "inpaint", rows=[{"prompt": "TORN"}]))
    reasons = {line["reason"] for line in log_lines(run) if line["prompt_id"] == "p0"}
    assert reasons == {"uncomposited must be an image of 8x8 px, got 8x7 px"}
    assert record(run)["counts"]["toy"]["failed"] == 2
    assert not list(run.glob("uncomposited/toy/p0*"))


@pytest.mark.parametrize("how", ["file", "folder"])
def test_a_run_needs_nothing_but_its_folder(tmp_path: Path, how: str) -> None:
    """The pictures go after planning; the rest is made from the copies, with the same bytes."""
    file = write_edits(tmp_path, "inpaint")
    run = make(file)
    before, lines = images(run), log_lines(run)
    shutil.rmtree(tmp_path / "pictures")
    lose(run, lines[3])
    if how == "file":
        make(file)
    else:
        (tmp_path / "prompts.csv").unlink()
        file.unlink()
        api.run(run, until="generate", quiet=True)
    assert images(run) == before
    assert {line["key"] for line in log_lines(run)} == {line["key"] for line in lines}
    for line in lines[::3]:
        assert replay(run, line["key"]).same
    other = tmp_path / "other"
    api.run(run, until="generate", out=other, quiet=True)
    assert images(other) == before


def test_copies_are_by_content_and_mended(tmp_path: Path) -> None:
    same = {"init_image": "pictures/init_image-0.png"}
    file = write_edits(tmp_path, "inpaint", 2, rows=[same, same])
    run = make(file)
    copies = sorted(run.glob("sources/*.png"))
    assert len(copies) == 2  # one init image, and masks that are all the same
    row = json.loads((run / "prompts.jsonl").read_text().splitlines()[0])
    assert row["init_image"]["origin"] == "pictures/init_image-0.png"
    assert (run / row["init_image"]["path"]) in copies
    assert "control_image" not in row
    written = {path: path.read_bytes() for path in copies}
    copies[0].write_bytes(b"nothing")
    copies[1].unlink()
    with pytest.raises(RequestError, match=r"sources/\w+.png.* run again, restores it"):
        api.run(run, until="generate", quiet=True)
    make(file)
    assert {path: path.read_bytes() for path in copies} == written


def test_a_start_that_was_killed_before_the_record_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / "run" / "sources").mkdir(parents=True)
    (tmp_path / "run" / "sources" / "half.png.1.tmp").touch()
    run = make(write_edits(tmp_path, "inpaint"))
    assert record(run)["counts"]["toy"]["ok"] == 10
    assert not list(run.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("picture", "the init_image of prompt 'p0' is another picture here"),
        ("strength", "strength is 0.5 there and 0.6 here"),
        ("cell", "the strength of prompt 'p0' is 0.25 there and 0.3 here"),
        ("task", "task is 'image_to_image' there and 'inpaint' here"),
    ],
)
def test_another_edit_is_another_run(tmp_path: Path, change: str, says: str) -> None:
    rows = [{"strength": 0.25}]
    file = write_edits(tmp_path, "image_to_image", 2, rows=rows, strength=0.5)
    run = make(file)
    before, overrides = images(run), []
    if change == "picture":
        shutil.copy(tmp_path / "pictures/init_image-1.png", tmp_path / "pictures/init_image-0.png")
    elif change == "cell":
        file = write_edits(tmp_path, "image_to_image", 2, rows=[{"strength": 0.3}], strength=0.5)
    else:
        overrides = ["strength=0.6" if change == "strength" else "task=inpaint"]
    with pytest.raises(RequestError) as refused:
        make(file, *overrides)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert images(run) == before
    make(file, *overrides, out="other")


def test_a_prompt_more_leaves_what_is_there(tmp_path: Path) -> None:
    file = write_edits(tmp_path, "inpaint", 5)
    run = make(file, limit=3)
    before = images(run)
    make(file)
    assert images(run).items() > before.items()
    assert len(images(run)) == 10


def test_pictures_that_a_program_makes(tmp_path: Path) -> None:
    """They are in memory alone, and in the run folder once it is begun."""
    file = write_edits(tmp_path, "inpaint")
    rows: list[dict[str, Any]] = [{"id": f"q{i}", "text": f"a toy {i}"} for i in range(3)]
    for i, row in enumerate(rows):
        given = toys.edit_pictures(SIDE, i)
        row |= {**given, "mask": given["mask"] == 255}  # a boolean mask will do
    suite = PromptSuite(name="made", prompts=tuple(map(prompt_from_dict, rows)))
    with open_run(load_comparison(file), tmp_path / "run", suite=suite) as run:
        generate_images(run, quiet=True)
    before = images(tmp_path / "run")
    assert len(before) == 6
    assert load_run(tmp_path / "run").suite.sha256 == record(tmp_path / "run")["suite"]["sha256"]
    lose(tmp_path / "run", log_lines(tmp_path / "run")[0])
    api.run(tmp_path / "run", until="generate", quiet=True)
    assert images(tmp_path / "run") == before
    with pytest.raises(
        RequestError, match=r"mask must be a uint8 array of shape \(height, width\)"
    ):
        prompt_from_dict({"id": "a", "text": "b", "mask": np.zeros((4, 4))})


def test_one_that_cannot_is_a_row_that_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generators = {
        "gan": {"type": TOY, "log": str(tmp_path / "gan.log")},
        "toy": {"type": EDIT},
    }
    metrics = ["near_duplicates(encoder=scenes)"]
    changes = {"generators": generators, "metrics": metrics, "timing": "off"}
    file = write_edits(tmp_path, "inpaint", **changes)
    line = ["run", str(file), "--out", str(tmp_path / "run"), "--stop-after", "score", "-q"]
    for _ in range(2):  # and again, where there is nothing to do
        assert main(line) == 0
        said = [one for one in capsys.readouterr().err.splitlines() if "gan" in one]
        why = "cannot inpaint: its abilities are text_to_image"
        assert said == [f"warning: gan: {why}"]
        about = record(tmp_path / "run")
        assert about["unmade"] == {"gan": why}
        assert about["counts"]["toy"]["ok"] == 10
        assert about["counts"]["gan"]["failed"] == 0
        assert about["headline"] == ["toy"]
        assert not [one for one in log_lines(tmp_path / "run") if one["generator"] == "gan"]
        assert not (tmp_path / "gan.log").exists()  # it was not even loaded
    import pandas as pd

    results = pd.read_parquet(tmp_path / "run" / "results.parquet").set_index("generator")
    measured = results[results.metric.str.startswith(metrics[0])]
    assert measured.note["gan"] == f"not measured: there is no usable image ({why})"
    assert measured.value.loc[["toy"]].notna().all()


@pytest.mark.parametrize("command", ["run", "validate"])
def test_nobody_can(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    generators = {"a": {"type": TOY}, "b": {"type": EDIT, "tasks": "trace control"}}
    file = write_edits(tmp_path, "image_to_image", generators=generators)
    assert main([command, str(file), *(["--out", "run"] if command == "run" else []), "-q"]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.endswith(
        "no generator of this comparison can do the task image_to_image: a cannot do "
        "image_to_image: its abilities are text_to_image; b cannot do image_to_image: its "
        "abilities are control"
    )
    assert not (tmp_path / "run").exists()


def test_what_is_timed_is_the_edit(tmp_path: Path) -> None:
    file = write_edits(tmp_path, "inpaint", 2, rows=[{"strength": 0.25}], strength=0.5)
    with open_run(load_comparison(file), tmp_path / "run") as run:
        job = json.loads(json.dumps(time._job(run, "toy")))
    shutil.rmtree(tmp_path / "pictures")
    first, second, third = measure._requests(job["prompts"], 3, measure._edits(job))
    assert (first.task, first.strength, second.strength) == ("inpaint", 0.25, 0.5)
    np.testing.assert_array_equal(third.init_image, toys.edit_pictures(SIDE, 0)["init_image"])
    assert first.mask is not None
    assert first.control_image is None


def test_no_repeat_of_a_timing_edits_a_picture_that_was_seen() -> None:
    seen = list[bytes]()

    class Watched(EditToy):
        def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
            images = [one.init_image for one in requests if one.init_image is not None]
            seen.extend(image.tobytes() for image in images)
            return super().generate(requests)

    given = toys.edit_pictures(SIDE, 0)
    pictures = {name: given[name] for name in ("init_image", "mask")}
    request = GenerationRequest(prompt="a toy", seed=0, task="inpaint", **pictures)
    call = measure._unseen(Watched("toy"), [request])
    for _ in range(9):
        call()
    assert len(set(seen)) == len(seen) == 9
    levels = [np.frombuffer(one, np.uint8).astype(int) for one in seen]
    assert all(np.abs(one - given["init_image"].ravel()).sum() == 1 for one in levels)


def test_images_from_elsewhere_serve_every_task(tmp_path: Path) -> None:
    names = [f"p{i}_{k}.png" for i in range(5) for k in range(2)]
    toys.save_toy_images(tmp_path / "elsewhere", names)
    file = write_edits(
        tmp_path, "paint", generators={"mine": {"type": "folder", "folder": "elsewhere"}}
    )
    assert record(make(file))["counts"]["mine"]["ok"] == 10
