"""A full disk and exhausted memory: told from mistakes, and the work so far kept."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from run_helpers import calls, images, log_lines, make, record, write_comparison

from gandiff.common.errors import EnvironmentFailure
from gandiff.experiments.config.load import load_comparison
from gandiff.experiments.config.types import Comparison
from gandiff.experiments.runs import open as run_folder
from gandiff.experiments.runs import store
from gandiff.experiments.runs.generate import generate_images
from gandiff.experiments.runs.open import open_run


def test_a_disk_too_small_is_found_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(run_folder.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(
        EnvironmentFailure, match=r"the images need about 1 MB and .* has 0 MB free"
    ):
        make(write_comparison(tmp_path))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("word", ["MEMORY", "CUDA-OOM"])
def test_memory_that_runs_out_stops_the_run_and_keeps_the_work(tmp_path: Path, word: str) -> None:
    file = write_comparison(tmp_path, prompts=["a", "b", f"{word} c"])
    with pytest.raises(EnvironmentFailure, match="memory ran out"):
        make(file)
    folder = tmp_path / "run"
    assert len(log_lines(folder)) == 4
    assert record(folder)["status"] == "failed"
    assert "memory ran out" in record(folder)["error"]
    assert calls(tmp_path / "toy.log", "unload") == ["unload"]


def test_a_full_disk_stops_the_run_and_keeps_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_comparison(tmp_path)
    replace, left = os.replace, [6]

    def fill_up(source: str, target: str | Path) -> None:
        if str(target).endswith(".png"):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(28, "No space left on device", str(target))
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(store.os, "replace", fill_up)
        with pytest.raises(
            EnvironmentFailure, match=r"the disk is full \(.*png\)\. The work so far"
        ):
            make(file)
    folder = tmp_path / "run"
    assert len(log_lines(folder)) == 4
    assert not list(folder.rglob("*.tmp"))
    assert record(folder)["status"] == "failed"
    make(file)
    assert images(folder) == images(make(file, out="undisturbed"))
    assert record(folder)["status"] == "done"


def test_a_full_disk_that_cannot_even_take_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def run(comparison: Comparison) -> None:
        with open_run(comparison, tmp_path / "run") as run:
            monkeypatch.setattr(store.os, "replace", full)
            generate_images(run, quiet=True)

    comparison = load_comparison(write_comparison(tmp_path))
    with pytest.raises(EnvironmentFailure, match="disk is full"):
        run(comparison)
