"""Every stage takes a file or a run folder, with --set and --limit, under the same rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import toys
from run_helpers import TOY, calls, images, record, write_comparison
from scene_toys import QUICK, noise

import gandiff
from gandiff.experiments.cli import main

STAGES = ("run", "generate", "time", "score", "report")
METRIC = "vendi(encoder=scenes)"
TIMING = {"warmup": 0, "repeats": 1, "batch_sizes": [1], "min_seconds": 0}


def comparison(folder: Path, prompts: int = 4, **changes: Any) -> Path:
    """A comparison of one toy, made beside its prompts."""
    generators = {"toy": {"type": TOY, "log": str(folder / "toy.log")}}
    chosen = {"metrics": [METRIC], "timing": TIMING, "generators": generators, **changes}
    return write_comparison(folder, prompts, samples_per_prompt=1, **chosen)


def done(*words: object) -> None:
    assert main([*map(str, words), "--quiet"]) == 0


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """What a command that is refused says on its one line."""
    capsys.readouterr()
    assert main([*map(str, words), "--quiet"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A comparison file and its run, of the first 3 of 4 prompts."""
    folder = tmp_path_factory.mktemp("stages")
    file = comparison(folder)
    done("run", file, "--out", folder / "run", "--limit", 3)
    return file, folder / "run"


@pytest.mark.parametrize("stage", STAGES)
def test_a_run_that_is_done_is_left_as_it_is(finished: tuple[Path, Path], stage: str) -> None:
    file, folder = finished
    before, made = images(folder), (folder / "comparison.yaml").read_bytes()
    asked = len(calls(file.parent / "toy.log"))
    done(stage, folder)
    done(stage, file, "--out", folder, "--limit", 3)
    done(stage, folder, "--limit", 3)
    assert images(folder) == before
    assert (folder / "comparison.yaml").read_bytes() == made
    assert record(folder)["status"] == "done"
    assert len(calls(file.parent / "toy.log")) == asked


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (["--set", "seed=7"], "holds another comparison: seed is 0 there and 7 here"),
        (["--limit", "2"], "it has 3 prompts and 2 are asked for here"),
        (["--set", "metrics=[fdd]"], "did you mean 'fd'"),
        (["--set", "generators.toi.shade=9"], "no generator is named 'toi'; did you mean 'toy'?"),
        (["--set", "generators.toy.shad=9"], "unknown field; did you mean 'shade'"),
        (["--set", "suite=nowhere.txt"], "nowhere.txt"),
        (["--set", "timing.repeats=0"], "timing.repeats: must be at least 1, got 0"),
    ],
)
def test_a_folder_follows_the_rules_of_a_file(
    finished: tuple[Path, Path],
    stage: str,
    change: list[str],
    says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file, folder = finished
    limit = [] if "--limit" in change else ["--limit", "3"]
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}
    assert says in refused(capsys, stage, folder, *change)
    assert says in refused(capsys, stage, file, "--out", folder, *limit, *change)
    for path, data in before.items():
        assert path.name == ".lock-holder" or path.read_bytes() == data


@pytest.mark.parametrize("stage", ["time", "score", "report"])
def test_a_stage_that_makes_no_images_takes_no_other_generator(
    finished: tuple[Path, Path], stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = finished
    other = ["--set", "generators.toy.shade=9"]
    said = refused(capsys, stage, folder, *other)
    assert "generators.toy: shade was 0 and is 9; make its images first: gandiff generate" in said


@pytest.mark.parametrize(
    "table", ["results.parquet", "scores.parquet", "differences.parquet", "anchors.parquet"]
)
def test_a_damaged_table_is_measured_again(finished: tuple[Path, Path], table: str) -> None:
    _, folder = finished
    before = pd.read_parquet(folder / table)
    data = (folder / table).read_bytes()
    for damaged in (b"", data[:-20]):
        (folder / table).write_bytes(damaged)
        done("score", folder)
        pd.testing.assert_frame_equal(pd.read_parquet(folder / table), before)


def test_a_run_folder_with_kept_results_is_asked_for_more(tmp_path: Path) -> None:
    file, folder = comparison(tmp_path), tmp_path / "run"
    done("run", file, "--out", folder, "--limit", 2)
    done("generate", folder, "--set", "generators.toy.shade=9")
    assert {path.split("/")[1] for path in images(folder)} == {"toy", "toy@1"}
    for stage in ("time", "score", "report"):
        done(stage, folder)
    done("run", folder, "--limit", 3)
    assert len(images(folder)) == 3 + 2  # what is kept does not grow
    rows = pd.read_parquet(folder / "results.parquet")
    assert {"toy", "toy@1"} <= set(rows[rows.metric == METRIC].generator)


def test_a_run_folder_grows_and_is_measured_otherwise(tmp_path: Path) -> None:
    file, folder = comparison(tmp_path), tmp_path / "run"
    done("generate", file, "--out", folder, "--limit", 2)
    assert len(images(folder)) == 2
    file.unlink()  # from here on the run is enough
    done("generate", folder, "--limit", 3)
    assert len(images(folder)) == 3
    done("time", folder, "--set", "timing.repeats=2")
    timed = pd.read_parquet(folder / "timing.parquet")
    assert (timed.phase == "latency").sum() == 2
    done("score", folder, "--set", "metrics=['near_duplicates(encoder=scenes)']")
    rows = pd.read_parquet(folder / "results.parquet")
    assert METRIC not in set(rows.metric)
    assert any(rows.metric.str.startswith("near_duplicates"))
    done("report", folder, "--set", "report.gallery_prompts=1")
    kept = record(folder)["comparison"]
    assert (kept["report"]["gallery_prompts"], kept["timing"]["repeats"]) == (1, 2)
    assert kept["suite"]["limit"] == 3
    done("run", folder, "--limit", 4)
    assert len(images(folder)) == 4
    assert record(folder)["counts"]["toy"]["ok"] == 4


def test_a_run_folder_with_another_out_begins_the_same_run_there(tmp_path: Path) -> None:
    file, folder = comparison(tmp_path), tmp_path / "run"
    done("generate", file, "--out", folder, "--limit", 2)
    done("run", folder, "--out", tmp_path / "again", "--set", "generators.toy.shade=3")
    assert len(images(tmp_path / "again")) == 2
    assert images(tmp_path / "again") != images(folder)
    assert record(folder)["comparison"]["generators"]["toy"]["shade"] == 0


def test_a_report_says_when_its_scores_are_older_than_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, folder = comparison(tmp_path), tmp_path / "run"
    done("run", file, "--out", folder, "--limit", 3)
    done("report", folder)
    assert "have changed" not in capsys.readouterr().err
    done("generate", folder, "--limit", 4)
    capsys.readouterr()
    done("report", folder)
    says = "images have changed since the scores that are reported; measure again with: gandiff"
    assert says in capsys.readouterr().err
    assert says in (folder / "report/report.md").read_text(encoding="utf-8")
    done("score", folder)
    done("time", folder, "--set", "timing.repeats=2")
    capsys.readouterr()
    done("report", folder)
    assert says.replace("images", "timings") in capsys.readouterr().err
    done("run", folder)
    assert "have changed" not in capsys.readouterr().err


def test_a_report_is_on_what_was_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, folder = comparison(tmp_path), tmp_path / "run"
    done("run", file, "--out", folder)
    said = refused(capsys, "report", folder, "--set", "metrics=[near_duplicates(encoder=scenes)]")
    assert f"other metrics were measured; measure first: gandiff score {folder}" in said
    assert record(folder)["comparison"]["metrics"] == [METRIC]
    file.write_text(file.read_text().replace(METRIC, "near_duplicates(encoder=scenes)"))
    assert "other metrics were measured" in refused(capsys, "report", file, "--out", folder)


@pytest.mark.parametrize("stage", STAGES)
def test_a_folder_that_is_not_a_run_is_named(
    tmp_path: Path, stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = toys.save_toy_images(tmp_path / "in/a", ["x.png"])
    said = refused(capsys, stage, photos)
    assert f"{photos} is " in said
    assert "run.json" in said
    assert "must be a comparison file" not in said
    if stage not in ("run", "generate"):
        file = comparison(tmp_path)
        assert "start with: gandiff generate" in refused(
            capsys, stage, file, "--out", tmp_path / "none"
        )


def test_a_shipped_name_goes_before_a_folder_that_is_not_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scenes").mkdir()
    for stage in ("time", "report"):  # score takes it for a folder of images
        said = refused(capsys, stage, "scenes", "--limit", "1", "--set", "seed=3")
        assert said == (
            "error: there is no run in runs/scenes yet; start with: gandiff generate scenes"
        )


def test_images_are_scored_as_before_and_statistics_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = toys.save_toy_images(tmp_path / "photos", [f"{i}.png" for i in range(4)])
    done("score", photos, "--metrics", METRIC)
    for option in (["--set", "seed=3"], ["--limit", "3"], ["--out", str(tmp_path / "x")]):
        assert "is a folder of images, not a run, to which --set, --limit and --out belong" in (
            refused(capsys, "score", photos, "--metrics", METRIC, *option)
        )
    (tmp_path / "x.npz").write_bytes(b"PK")
    said = refused(capsys, "score", tmp_path / "x.npz", "--reference", photos)
    assert "give the folder of the images" in said
    assert "--reference" in said


def test_the_report_names_the_commands_that_made_the_run(tmp_path: Path) -> None:
    file, folder = comparison(tmp_path), tmp_path / "run"
    made = [
        ["generate", str(file), "--out", str(folder), "--limit", "2", "--set", "seed=5"],
        ["time", str(folder), "--set", "timing.repeats=2"],
        ["score", str(folder), "--set", f"metrics=['{METRIC}', near_duplicates(encoder=scenes)]"],
    ]
    for words in made:
        done(*words)
        done("report" if words[0] == "score" else words[0], folder)  # which makes nothing
    commands = [" ".join(["gandiff", words[0], words[1]]) for words in made]
    assert [c[: len(start)] for c, start in zip(record(folder)["commands"], commands, strict=True)]
    assert len(record(folder)["commands"]) == 3
    text = (folder / "report/report.md").read_text(encoding="utf-8")
    block = text.split("## How to reproduce")[1].split("##")[0]
    for start, words in zip(commands, made, strict=True):
        (line,) = [line for line in block.splitlines() if line.startswith(start)]
        assert words[-1].replace("'", "") in line.replace("'", "").replace('"', "")
    assert "--limit 2 --set seed=5" in block


def test_what_an_older_run_says_of_its_making_is_kept(finished: tuple[Path, Path]) -> None:
    _, folder = finished
    about = record(folder)
    old = {k: v for k, v in about.items() if k != "commands"} | {"command": "gandiff run old.yaml"}
    (folder / "run.json").write_text(json.dumps(old), encoding="utf-8")
    done("score", folder)
    assert record(folder)["commands"] == ["gandiff run old.yaml"]


def test_a_run_from_python_is_continued_by_all_stages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "r"
    asked = {**QUICK, "metrics": [METRIC], "out": folder, "quiet": True}
    gandiff.compare(generators={"mine": noise}, suite=["a dog", "a cat"], **asked)
    made = images(folder)
    for stage in STAGES:
        done(stage, folder)
    done("score", folder, "--set", "metrics=[vendi]")
    assert images(folder) == made
    capsys.readouterr()
    (folder / "images/mine/00001_0.png").unlink()
    assert "run the script that made it again" in refused(capsys, "run", folder)


def test_retry_is_an_option_of_run_and_generate(tmp_path: Path) -> None:
    generators = {"toy": {"type": TOY, "log": str(tmp_path / "toy.log")}}
    file = write_comparison(
        tmp_path, ["a", "NAN b"], generators=generators, samples_per_prompt=1, timing="off"
    )
    folder, log = tmp_path / "run", tmp_path / "toy.log"

    def asked(*words: object) -> int:
        before = len(calls(log))
        assert main([*map(str, words), "--quiet"]) == 0
        return len(calls(log)) - before

    assert asked("generate", file, "--out", folder) == 1
    assert asked("generate", folder, "--no-retry") == 0
    assert asked("run", folder) == 1
    assert asked("run", folder) == 0
    assert asked("generate", folder, "--retry") == 1
    assert asked("run", folder, "--retry") == 1
    assert asked("run", folder, "--no-retry") == 0
