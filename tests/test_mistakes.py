"""Slips that can be foreseen: the wrong kind of file, options given twice, names in capitals."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
import toys

from gandiff.experiments.benchmarks import folder_speed
from gandiff.experiments.cli import main

FD = "--metrics 'fd(encoder=scenes)'"


@pytest.fixture
def place(empty_folder: Path) -> Path:
    """A folder with images, statistics, something like a run, a prompt file and a text file."""
    toys.save_toy_images(empty_folder / "a", [f"{i}.png" for i in range(3)])
    np.savez(empty_folder / "s.npz", mu=np.zeros(96), sigma=np.eye(96))
    toys.save_toy_images(empty_folder / "run" / "images" / "gan", ["0.png", "1.png"])
    (empty_folder / "run" / "run.json").write_text("{}")
    (empty_folder / "reference.yaml").write_text(
        "generators: {g: {type: gan}}\nmetrics: []\nreference: {folder: run}\n"
    )
    return empty_folder


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("score s.npz --reference a", "s.npz is a file; give the folder of the images to measure"),
        ("score s.npz --reference a", "a file of statistics is given as --reference"),
        (f"score s.npz {FD}", "s.npz is a file; give the folder"),
        ("score a/0.png", "a/0.png is a file; give the folder"),
        (f"score a --reference a/0.png {FD}", "a/0.png is a file; give a folder of images"),
        (f"score a --reference run {FD}", "such as one of those in run/images"),
        ("stats run --out t.npz --encoder scenes", "run is a run folder; give a folder of images"),
        ("stats a/0.png --out t.npz --encoder scenes", "a/0.png is a file; give a folder"),
        ("validate reference.yaml", "run is a run folder; must be a folder of images"),
        ("validate a", "a is a folder without run.json, so it is not a run"),
        ("validate scenes --set timing=of", "timing: must be on, off or a mapping, got 'of'; did"),
        (
            "run scenes --set seed=1 --set seed=2",
            "--set seed=1 and --set seed=2 contradict each other: give a field one value",
        ),
        ("validate scenes --set suite.limit=1 --set suite=scenes", "contradict each other"),
        ("run s.npz", "s.npz: must be a comparison file (.yaml)"),
        ("run run/run.json", "missing required field"),
        ("run a", "a is a folder without run.json, so it is not a run"),
        ("report a", "a is a folder without run.json, so it is not a run"),
        ("generate a", "a is a folder without run.json, so it is not a run"),
        ("suites scenes --head many", "'--head': must be a whole number; see gandiff suites"),
        ("compare s.npz run", "no run.json in s.npz"),
        ("score a --reference a --metrics FID", "did you mean 'fid'?"),
        ("score a --reference a --metrics fid,KID", "did you mean 'kid'?"),
        ("score a --reference a --metrics 'fd(encoder=Scenes)'", "did you mean 'scenes'?"),
        ("score a --reference a --metrics fid --weights inception=a", "a is a folder; --weights"),
        ("run scenes --out a --out=b", "--out was given twice; give it once"),
        ("run scenes --limit 2 --limit 3", "--limit was given twice"),
        ("draw x --open --no-open", "--open was given twice"),
        ("train gan --minutes 1 --minutes 2", "--minutes was given twice"),
    ],
)
def test_it_is_named_in_one_line(
    line: str, said: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(place.rglob("*"))
    assert main(shlex.split(line)) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    assert said in shown.err
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize("words", ["draw", "explore truncation", "explore mix"])
def test_prompts_that_are_not_text(
    words: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del place
    assert main([*words.split(), "a star", "caf\udce9", "--out", "t.png"]) == 2
    assert capsys.readouterr().err == "error: a prompt must be UTF-8 text, got 'caf\\udce9'\n"


def test_what_may_be_repeated_still_may(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del place
    line = "validate scenes --set seed=1 --set samples_per_prompt=2 --set seed=1 --quiet -q --json"
    assert main(shlex.split(line)) == 0
    assert '"seed": 1' in capsys.readouterr().out


def test_statistics_may_end_in_capitals(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "s.npz").rename(place / "S.NPZ")
    assert main(shlex.split(f"score a --reference S.NPZ {FD} --quiet")) == 0
    assert "fd(encoder=scenes)" in capsys.readouterr().out


def test_an_argument_of_the_wrong_type_stops_a_run_before_its_first_image(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "prompts.txt").write_text("a star\na ring\n")
    (place / "c.yaml").write_text(
        "suite: prompts.txt\nmetrics: []\ngenerators:\n  gan: {type: gan}\n"
        "  sd: {type: diffusers, pipeline: diffusion-scenes, extra: {clip_skip: two}}\n"
    )
    assert main(["run", "c.yaml", "--out", "out"]) == 2
    assert "extra.clip_skip: must be a whole number, got 'two'" in capsys.readouterr().err
    assert not (place / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--images", "1"], "--images must be at least 2"),
        (["--images", "4", "--only", "torch-fidelty"], "did you mean 'torch-fidelity'?"),
    ],
)
def test_the_benchmark_of_folders_says_what_it_cannot_do(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        folder_speed.main(arguments)
    assert said in f"{ended.value}{capsys.readouterr().err}"


@pytest.mark.slow
def test_the_benchmark_of_folders_runs_with_few_images(
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder_speed.main(["--images", "4", "--side", "32", "--only", "gandiff,torch-fidelity"])
    assert "torch-fidelity" in capsys.readouterr().out
