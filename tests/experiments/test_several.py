"""A comparison file of several tasks through the command line: a run of each, one report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from edit_toys import EDITOR
from run_helpers import TOY, images, record, write_comparison

from gandiff.experiments.cli import main
from gandiff.experiments.config.load import load_comparison
from gandiff.experiments.config.paths import shipped_comparisons
from gandiff.experiments.runs import generate
from gandiff.experiments.several import find_tasks

TASKS = {
    "inpaint": {"strength": 0.5, "timing": False},
    "paint": {"generators": {"toy": {"misses": 1}}},
    "outline": {"task": "control", "metrics": ["outline_overlap"]},
    "depth": {"task": "control", "metrics": ["depth_order"], "suite": {"control": "depth"}},
}


def write(place: Path, tasks: Any = None, **changes: Any) -> Path:
    """A comparison of a GAN that misses half of the edits, and another that misses none."""
    fields: dict[str, Any] = {
        "suite": {"name": "scene-edits", "prompts": 5},
        "samples_per_prompt": 1,
        "generators": {
            "gan": {"type": EDITOR, "family": "gan", "misses": 2, "noise": 12},
            "toy": {"type": EDITOR},
        },
        "metrics": ["edit_success", "kept_psnr", "seam", "outline_overlap"],
        "timing": "off",
        "tasks": TASKS if tasks is None else tasks,
        **changes,
    }
    return write_comparison(place, name="edits", **fields)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("several")
    assert main(["run", str(write(place)), "--out", str(place / "run"), "-q"]) == 0
    return place


def test_each_task_is_a_run_of_its_own(done: Path) -> None:
    run = done / "run"
    assert json.loads((run / "tasks.json").read_text())["tasks"] == list(TASKS)
    assert (run / "comparison.yaml").read_text() == (done / "edits.yaml").read_text()
    for name, given in TASKS.items():
        about = record(run / name)
        assert about["comparison"]["task"] == given.get("task", name)
        assert about["name"] == f"edits-{name}"
        assert about["status"] == "done"
        assert (run / name / "report/report.html").is_file()
    assert record(run / "inpaint")["comparison"]["strength"] == 0.5
    assert "strength" not in record(run / "paint")["comparison"]
    generators = record(run / "paint")["comparison"]["generators"]
    assert (generators["toy"]["misses"], generators["toy"]["type"]) == (1, EDITOR)
    # Of the metrics for all, each task has those that are for it.
    assert record(run / "inpaint")["comparison"]["metrics"] == ["edit_success", "kept_psnr", "seam"]


def test_the_numbers_are_those_of_the_toys(done: Path) -> None:
    import pandas as pd

    tables = {name: pd.read_parquet(done / "run" / name / "results.parquet") for name in TASKS}
    value = {n: t.set_index(["generator", "metric"]).value for n, t in tables.items()}
    assert value["inpaint"]["toy", "edit_success/all"] == 1
    assert value["inpaint"]["gan", "edit_success/all"] < 1
    assert value["paint"]["toy", "edit_success/all"] == 0
    for name in ("inpaint", "paint"):
        assert value[name]["gan", "kept_psnr"] > 58
        apart = value[name]["gan", "kept_psnr/uncomposited"]
        assert 25 < apart < value[name]["toy", "kept_psnr/uncomposited"] < 45
    assert value["outline"]["toy", "outline_overlap"] > 0.8
    assert value["depth"]["toy", "depth_order/overlap"] > 0.75


def test_one_report_has_the_verdict_by_task(done: Path) -> None:
    page = (done / "run/report/report.html").read_text()
    for number, name in enumerate(TASKS, 1):
        assert f'<a href="#task-{number}">{name}</a>' in page
        assert f'href="../{name}/report/report.html"' in page
        assert f"Before and after, {name}" in page
    assert page.count("<img") > 60
    assert "before the known pixels were put back" in page
    own = (done / "run/inpaint/report/report.html").read_text()
    assert 'id="edits"' in own
    assert "beside a right result" in own


def test_the_table_has_all_generators_and_says_who_cannot_do_a_task(tmp_path: Path) -> None:
    generators = {"plain": {"type": TOY}, "toy": {"type": EDITOR}, "third": {"type": EDITOR}}
    file = write(tmp_path, {"inpaint": {"metrics": ["edit_success"]}}, generators=generators)
    assert main(["run", str(file), "--out", str(tmp_path / "run"), "-q"]) == 0
    page = (tmp_path / "run/report/report.html").read_text()
    row = page.partition("<tbody>")[2].partition("</tbody>")[0]
    assert "plain cannot inpaint" in row
    assert "toy 100.0 %" in row
    assert "third 100.0 %" in row
    assert "edit success" in row
    assert "edit_success" not in row
    assert "not compared" in row


def test_the_same_command_again_makes_nothing(
    done: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {name: images(done / "run" / name) for name in TASKS}
    assert main(["run", str(done / "run"), "-q"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"run: {done / 'run'} (images: 40 ok)"
    assert any(line.startswith("inpaint: ") for line in said)
    assert {name: images(done / "run" / name) for name in TASKS} == before


def test_where_one_run_is_wanted_one_task_must_be_given(
    done: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = done / "run"
    assert main(["compare", str(run), str(run / "inpaint")]) == 2
    assert "it holds a run of each of several tasks; give the folder of one" in (
        capsys.readouterr().err
    )
    assert main(["compare", str(run / "inpaint"), str(run / "inpaint"), "-q"]) == 0


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_shipped_comparison_of_edits_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = ["timing=off", "generators.gan.inversion_steps=30", "reference.images=100"]
    words = ["run", "editing", "--limit", "2", "-q", *(w for q in quick for w in ("--set", q))]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out
    tasks = json.loads((tmp_path / "run/tasks.json").read_text())["tasks"]
    assert tasks == ["image_to_image", "inpaint", "paint", "outline", "depth"]
    for name in tasks:
        assert f"{name}: " in said
        about = record(tmp_path / "run" / name)
        unable = "diffusion" if name == "paint" else "gan" if name in tasks[3:] else None
        for generator, counts in about["counts"].items():
            assert counts["ok"] == (0 if generator == unable else 2), (name, generator)


def test_a_task_that_nobody_can_do_costs_the_others_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only = {"gan": {"type": TOY, "family": "gan"}, "toy": {"type": TOY}}
    file = write(
        tmp_path,
        {"text_to_image": None, "inpaint": {"strength": 0.5}},
        generators=only,
        metrics=[],
        suite="prompts.txt",
    )
    assert main(["run", str(file), "--out", str(tmp_path / "run"), "-q"]) == 1
    captured = capsys.readouterr()
    assert "inpaint: " in captured.err.strip().splitlines()[-1]
    assert "inpaint: not run: " in captured.out
    assert record(tmp_path / "run/text_to_image")["counts"]["toy"]["ok"] == 5
    assert not (tmp_path / "run/inpaint").exists()
    assert "Not run: " in (tmp_path / "run/report/report.html").read_text()


def test_a_task_without_a_run_stays_on_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, run = write(tmp_path, {"inpaint": None, "depth": TASKS["depth"]}), tmp_path / "run"
    assert main(["run", str(file), "--out", str(run), "-q"]) == 0
    shutil.rmtree(run / "depth")
    capsys.readouterr()
    assert main(["report", str(run), "-q"]) == 1
    captured = capsys.readouterr()
    assert "depth: there is no run of it yet; the comparison file, run again" in captured.err
    assert "depth: not run: there is no run of it yet" in captured.out
    assert main(["run", str(file), "--out", str(run), "-q"]) == 0
    assert (run / "depth/run.json").is_file()


def test_what_is_interrupted_in_its_first_task_can_be_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, run = write(tmp_path, {"inpaint": None}), tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(generate, "call", interrupted)
        assert main(["run", str(file), "--out", str(run), "-q"]) == 130
    assert json.loads((run / "tasks.json").read_text())["tasks"] == ["inpaint"]
    assert main(["run", str(run), "-q"]) == 0
    assert (run / "inpaint/report/report.html").is_file()


def interrupted(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("tasks", "options", "says"),
    [
        ([], [], "tasks: must map the name of each task to what differs for it, got an empty list"),
        ({"inpaint": 3}, [], "tasks.inpaint: must be a mapping of fields, got 3"),
        ({"in": None}, [], "tasks.in: is no task, so it needs 'task:', one of text_to_image"),
        ({"inpaint": {"sede": 3}}, [], "tasks.inpaint.sede: "),
        ({"in/paint": {"task": "inpaint"}}, [], "cannot be the name of a folder"),
        ({"inpaint": {"tasks": {}}}, [], "a task has no tasks of its own"),
        ({"inpaint": None}, ["--set", "task=paint"], "task: is 'paint', and tasks: has inpaint"),
        (
            {"inpaint": {"suite": {"control": "depth"}}},
            [],
            "suite.control: is for pictures that the task inpaint does not take; leave it out",
        ),
        (
            {"text_to_image": {"suite": {"resolution": 32}, "metrics": []}},
            [],
            "suite.resolution: is for pictures that the task text_to_image does not take",
        ),
        (
            {"inpaint": {"seed": 3}},
            ["--set", "seed=4"],
            "--set seed=4: the task inpaint has its own; write tasks.inpaint.seed",
        ),
        (
            {"inpaint": {"metrics": ["seam"]}},
            ["--set", "metrics.0=kept_psnr"],
            "--set metrics.0=kept_psnr: the task inpaint has its own; write tasks.inpaint.metrics",
        ),
        (
            {"control": {"metrics": ["kept_psnr"]}},
            [],
            "kept_psnr is for the tasks image_to_image, inpaint, paint, and the task is control",
        ),
    ],
)
def test_what_is_wrong_with_a_task(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tasks: Any, options: list[str], says: str
) -> None:
    line = ["run", str(write(tmp_path, tasks)), "--out", str(tmp_path / "run"), "-q", *options]
    assert main(line) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert says in said
    assert not (tmp_path / "run").exists()


def test_one_task_is_wanted_elsewhere(tmp_path: Path) -> None:
    from gandiff.common.errors import RequestError

    with pytest.raises(RequestError, match="tasks: a comparison of one task must be given here"):
        load_comparison(write(tmp_path))


def test_a_folder_of_something_else_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/mine.txt").write_text("mine")
    assert main(["run", str(write(tmp_path)), "--out", str(tmp_path / "run"), "-q"]) == 2
    assert "holds 'mine.txt' but no tasks.json" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine.txt"]


def test_validate_looks_at_each_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path)
    assert main(["validate", str(file)]) == 0
    said = capsys.readouterr().out
    for name in TASKS:
        assert f"{file}, task {name}, is valid: gan, toy" in said
    assert main(["validate", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tasks"].keys() == TASKS.keys()


def test_the_shipped_comparison_has_every_task() -> None:
    tasks = find_tasks(shipped_comparisons()["editing"])
    assert tasks is not None
    found = {name: part.comparison.task for name, part in tasks.parts.items()}
    assert set(found.values()) == {"image_to_image", "inpaint", "paint", "control"}
    for name, part in tasks.parts.items():
        asked, given = part.comparison, part.comparison.generators
        assert asked.suite.prompts == (40 if name == "depth" else 32)
        assert list(given)[:2] == ["gan", "diffusion"]
        if asked.task == "control":  # beside one that is given the outlines and does not look
            net = {"controlnet": f"control-scenes-{name}"}
            assert given["diffusion"].settings.items() >= net.items()
            scale = {"controlnet_conditioning_scale": 0.0}
            assert given["without"].settings == given["diffusion"].settings | scale
