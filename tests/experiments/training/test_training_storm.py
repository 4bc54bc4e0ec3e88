"""Trainings that are killed, disturbed, out of disk: they end as if nothing had happened."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import training_storm
from disk_helpers import make_read_only, resize, small_disk
from training_helpers import little_to_check
from training_storm import TRAIN, faults

from gandiff.experiments.cli import main
from gandiff.experiments.training.checkpoints import CHECKPOINT
from gandiff.experiments.training.loop import Loop

pytestmark = pytest.mark.timeout(1800)


def storm(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    command = [sys.executable, training_storm.__file__, str(folder), str(kills), str(seed)]
    shared = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}  # helpers of the tests
    done = subprocess.run(command, capture_output=True, text=True, env=shared)
    assert done.returncode == 0, done.stderr[-2000:]
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(seen)
    return seen


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("kills", [3, pytest.param(60, marks=pytest.mark.slow)])
def test_a_training_survives_kills_and_other_writers(tmp_path: Path, kills: int) -> None:
    seen = storm(tmp_path, kills, seed=kills)
    assert seen["faults"] == []
    assert seen["kills"] >= kills
    assert seen["refused"] >= 3
    if kills >= 60:
        assert {"start", "GAN", "ticks"} <= seen["stages"].keys()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An undisturbed training; little is checked in the others, too."""
    folder = tmp_path_factory.mktemp("training") / "whole"
    with little_to_check(20, whole_ticks=True):
        assert train(folder) == 0
        yield folder


def train(folder: Path, *more: str) -> int:
    return main([*TRAIN, "--quiet", "--out", str(folder), *more])


def used(folder: Path) -> float:
    """Megabytes that the files take on a disk of pages of 4,096 bytes."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return sum(-(-size // 4096) * 4096 for size in sizes) / (1 << 20)


def assert_one_line(capsys: pytest.CaptureFixture[str], *words: str) -> None:
    errors = [line for line in capsys.readouterr().err.splitlines() if "error" in line.lower()]
    assert len(errors) == 1, errors
    assert [word for word in words if word not in errors[0]] == []


def assert_ends_as(whole: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = (folder / CHECKPOINT).is_file()
    assert train(folder, *(["--resume"] if there else [])) == 0, capsys.readouterr().err
    assert list(faults(folder, whole)) == []


def mostly_slow(*values: Any) -> list[Any]:
    """The first two, and the others among the slow tests."""
    return [*values[:2], *(pytest.param(value, marks=pytest.mark.slow) for value in values[2:])]


@pytest.mark.parametrize("share", mostly_slow(0.03, 1.03, 0.01, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9))
def test_a_disk_that_fills_up(
    share: float, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_disk(tmp_path / "disk", share * used(whole)) as disk:
        code = train(disk / "out")
        assert code == 1
        resumes = " --resume" if (disk / "out" / CHECKPOINT).is_file() else ""
        said = f"continue with: gandiff {' '.join(TRAIN)} --quiet --out {disk}/out{resumes}"
        assert_one_line(capsys, "the disk is full", said)
        resize(disk, 64)
        assert_ends_as(whole, disk / "out", capsys)


@pytest.mark.parametrize("stage", mostly_slow("start", "GAN", "text encoder"))
def test_a_disk_that_is_read_only(
    stage: str,
    whole: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = Loop._one

    def interrupted(self: Loop, step: Any) -> None:
        usual(self, step)
        if self.label == stage:
            raise KeyboardInterrupt

    with small_disk(tmp_path / "disk", 64) as disk:
        out, resume = disk / "out", []
        if stage != "start":
            with monkeypatch.context() as patch:
                patch.setattr(Loop, "_one", interrupted)
                assert train(out) == 130
            resume = ["--resume"]
            capsys.readouterr()
        make_read_only(disk)
        assert train(out, *resume) == 1
        assert_one_line(capsys, "the disk is read-only")
        make_read_only(disk, False)
        assert_ends_as(whole, out, capsys)


def test_a_torn_log_is_mended(whole: Path, tmp_path: Path) -> None:
    """Killed while it wrote a row: the rows behind the checkpoint are written once."""
    shutil.copytree(whole, tmp_path / "out")
    log = tmp_path / "out" / "training.jsonl"
    before = log.read_text()
    log.write_text(before + before[: len(before) // 2])
    assert train(tmp_path / "out", "--resume") == 0
    assert log.read_text() == before
