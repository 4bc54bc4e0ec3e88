"""A disk that is full or read-only at any stage of a run: one line, exit code 1, and the work kept.

The disk is a small one in memory, which only root may mount.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from run_helpers import TOY, images, log_lines, write_comparison
from storm_helpers import logged, tables

from gandiff.experiments.cli import main

STAGES = ("generate", "time", "score", "report")


def mount(disk: Path, options: str) -> bool:
    """Mount a disk in memory with these options, or change those of one that is mounted."""
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mount(folder, "size=64m"):
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_comparison(
        tmp_path_factory.mktemp("comparison"),
        12,
        generators={"toy": {"type": TOY}, "other": {"type": TOY, "family": "diffusion"}},
        metrics=["clip_score(model=scenes)", "fd(encoder=scenes)"],
        reference={"type": "scenes", "images": 40},
        timing={"warmup": 0, "repeats": 1, "batch_sizes": [1]},
    )


@pytest.fixture(scope="module")
def whole(file: Path) -> Path:
    """An undisturbed run."""
    folder = file.parent / "whole"
    assert main(["run", str(file), "--out", str(folder), "--quiet"]) == 0
    return folder


def used(folder: Path) -> int:
    """The bytes that files take on a disk of 4,096-byte pages."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return sum(-(-size // 4096) * 4096 for size in sizes)


def assert_one_line(capsys: pytest.CaptureFixture[str], words: str) -> None:
    errors = [line for line in capsys.readouterr().err.splitlines() if "error" in line.lower()]
    assert len(errors) == 1, errors
    assert words in errors[0]


def assert_ends_as(whole: Path, file: Path, folder: Path) -> None:
    assert main(["run", str(file), "--out", str(folder), "--quiet"]) == 0
    assert images(folder) == images(whole)
    assert logged(folder) == logged(whole)
    assert len(log_lines(folder)) == len(log_lines(whole))
    assert not list(folder.rglob("*.tmp"))
    assert all(frame.equals(tables(whole)[name]) for name, frame in tables(folder).items())


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95])
def test_a_disk_that_fills_up(
    share: float, disk: Path, file: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mount(disk, f"remount,size={int(share * used(whole))}")
    assert main(["run", str(file), "--out", str(disk / "run"), "--quiet"]) == 1
    assert_one_line(capsys, "the disk is full")
    kept = logged(disk / "run")
    mount(disk, "remount,size=64m")
    assert_ends_as(whole, file, disk / "run")
    assert kept.items() <= logged(disk / "run").items()


@pytest.mark.parametrize("stage", STAGES)
def test_a_disk_that_becomes_read_only(
    stage: str, disk: Path, file: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = disk / "run"
    place = STAGES.index(stage)
    if place:
        before = ["run", str(file), "--out", str(folder), "--quiet"]
        assert main([*before, "--stop-after", STAGES[place - 1]]) == 0
        capsys.readouterr()
    kept = logged(folder)
    mount(disk, "remount,ro")
    assert main(["run", str(file), "--out", str(folder), "--quiet"]) == 1
    assert_one_line(capsys, "read-only")
    mount(disk, "remount,rw")
    assert logged(folder) == kept
    assert_ends_as(whole, file, folder)
