"""Runs at and off the native point of a pipeline: what is recorded, warned of, marked and kept."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from run_helpers import besides_domain, images, make, record, write_comparison

from gandiff.experiments.cli.app import main
from gandiff.experiments.compare.runs import compare_runs

TURBO = "---\nbase_model: stabilityai/sd-turbo\n---\n# A copy\n"


def pipeline(folder: Path, toy: Path, card: str) -> Path:
    shutil.copytree(toy, folder)
    (folder / "README.md").write_text(card)
    return folder


def comparison(folder: Path, *, file: str = "c", **generators: dict[str, Any]) -> Path:
    named = {name: {"type": "diffusers", **given} for name, given in generators.items()}
    changes = {"generators": named, "metrics": ["diversity(encoder=scenes)"], "timing": "off"}
    return write_comparison(folder, 2, file, **changes, report={"trace_prompts": 1})


def test_off_its_native_point_a_turbo_model_is_marked_everywhere(
    tmp_path: Path, toy_pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    turbo = pipeline(tmp_path / "weights", toy_pipeline, TURBO)
    off = {"pipeline": str(turbo), "num_inference_steps": 12, "guidance_scale": 7.5}
    file = comparison(tmp_path, own={"pipeline": str(turbo)}, off=off)
    run = tmp_path / "run"
    assert main(["run", str(file), "--out", str(run), "--quiet"]) == 0
    said = "off: runs off its native point: 12 steps, made for 1 to 4; guidance 7.5, made for none"
    assert f"warning: {said}" in capsys.readouterr().err.splitlines()
    own, marked = (record(run)["generators"][name] for name in ("own", "off"))
    assert besides_domain(record(run)["warnings"]) == [said]
    assert (own["family"], own["off_native"]) == ("hybrid", [])
    point = [own["settings"][key] for key in ("num_inference_steps", "guidance_scale")]
    assert (point, own["settings"]["resolved"]["num_inference_steps"]) == ([1, 0.0], "card")
    assert len(marked["off_native"]) == 2
    page, text = ((run / "report" / f"report.{end}").read_text() for end in ("html", "md"))
    assert "| off † |" in text
    assert "| own |" in text
    assert "† off runs off its native point: 12 steps, made for 1 to 4" in text
    assert page.count("Runs off its native point: 12 steps") >= 2
    assert "num_inference_steps = 1 (its card)" in page
    rows = list(csv.DictReader((run / "report" / "results.csv").open()))
    assert {row["off_native"] for row in rows if row["generator"] == "off"} == {
        "12 steps, made for 1 to 4; guidance 7.5, made for none"
    }
    assert compare_runs(run, run).off_native == ("off",)
    assert main(["compare", str(run), str(run), "--all"]) == 0
    assert "\noff †  " in capsys.readouterr().out


def test_settings_that_are_left_out_keep_the_images_that_had_them(
    tmp_path: Path, toy_pipeline: Path
) -> None:
    named = {"num_inference_steps": 50, "guidance_scale": 7.5}
    run = make(comparison(tmp_path, toy={"pipeline": str(toy_pipeline), **named}))
    before = images(run)
    made = {path: (run / path).stat().st_mtime_ns for path in before}
    make(comparison(tmp_path, toy={"pipeline": str(toy_pipeline)}))
    label = {"family": "distilled", "native": {"num_inference_steps": 50}}
    make(comparison(tmp_path, toy={"pipeline": str(toy_pipeline), **label}))
    assert images(run) == before
    assert {path: (run / path).stat().st_mtime_ns for path in before} == made
    assert record(run)["generators"]["toy"]["settings"]["num_inference_steps"] == 50


def test_another_native_point_makes_other_images(tmp_path: Path, toy_pipeline: Path) -> None:
    weights = pipeline(tmp_path / "weights", toy_pipeline, "# A model\n")
    run = make(comparison(tmp_path, toy={"pipeline": str(weights)}))
    before = images(run)
    (weights / "README.md").write_text(TURBO)
    now = images(make(comparison(tmp_path, toy={"pipeline": str(weights)})))
    assert {name.replace("toy@1", "toy"): v for name, v in now.items() if "@1" in name} == before
    assert all(now[name] != pixels for name, pixels in before.items())
    assert "num_inference_steps was 50 and is 1" in record(run)["warnings"][0]


def test_traces_go_by_the_steps_that_were_made(tmp_path: Path, toy_pipeline: Path) -> None:
    turbo = pipeline(tmp_path / "weights", toy_pipeline, "---\nbase_model: a/b\n---\n")
    (turbo / "scheduler" / "scheduler_config.json").write_text(
        json.dumps({"_class_name": "LCMScheduler", "clip_sample": False})
    )
    index = json.loads((turbo / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", "LCMScheduler"]
    (turbo / "model_index.json").write_text(json.dumps(index))
    file = comparison(tmp_path, toy={"pipeline": str(turbo)})
    run = tmp_path / "run"
    assert main(["run", str(file), "--out", str(run), "-q", "--set", "metrics=[]"]) == 0
    trace = json.loads((run / "traces" / "traces.json").read_text())[0]
    assert {frame["of"] for frame in trace["frames"]} == {4}


def test_a_negative_prompt_without_effect_is_said_once(
    tmp_path: Path, toy_pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "prompts.csv").write_text("prompt,negative_prompt\na star,a ring\na ring,a star\n")
    toy = {
        "pipeline": str(toy_pipeline),
        "num_inference_steps": 2,
        "guidance_scale": 1.0,
        "native": {"num_inference_steps": 2, "guidance_scale": 0.0},
    }
    file = comparison(tmp_path, toy=toy)
    arguments = ["--set", f"suite={tmp_path / 'prompts.csv'}", "--set", "metrics=[]"]
    assert main(["run", str(file), "--out", str(tmp_path / "run"), "-q", *arguments]) == 0
    said = "negative prompt not used: guidance_scale is 1"
    err = capsys.readouterr().err
    assert [line for line in err.splitlines() if "negative" in line] == [
        f"warning: toy: 4 of 4 images: {said}"
    ]
