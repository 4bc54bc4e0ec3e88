"""Trainings in processes of their own: several at once, killed, interrupted, refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import interrupt_helpers
import psutil
import pytest
import torch
from gan_helpers import encoder, refusing
from safetensors.torch import load_file
from training_helpers import read, request

from gandiff.common.errors import Diverged, GeneratorError, MetricError
from gandiff.experiments.training.checkpoints import CHECKPOINT, read_checkpoint
from gandiff.experiments.training.ranks import launch
from gandiff.experiments.training.records import write_json
from gandiff.experiments.training.text import train as text


def small(out: Path, **changes: Any) -> Any:
    defaults = {"resolution": 16, "seed": 3, "kimg": 0.032, "dtype": "float32"}
    return request(out, **{**defaults, **changes})


@pytest.mark.parametrize(
    "kind",
    [GeneratorError, *(pytest.param(k, marks=pytest.mark.slow) for k in (Diverged, MetricError))],
)
def test_an_error_in_one_of_them_is_the_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: type[Exception]
) -> None:
    start = time.monotonic()
    with pytest.raises(kind, match="the second process has no data"):
        launch(refusing, small(tmp_path, processes=2), kind)
    assert time.monotonic() - start < 50  # the other one was not waited for
    assert "Traceback" not in capfd.readouterr().err


def save_text(folder: Path) -> None:
    """A text encoder as if it had been trained, so that trainings begin at once and alike."""
    folder.mkdir(parents=True)
    encoder().save_pretrained(folder)
    write_json(folder / text.RECORD, {"seconds": 0.0, "images": 0, "validation": {}})


# Small enough, and a checkpoint while the autoencoder trains.
_SMALL = {
    "gan": "train gan",
    "diffusion": "train diffusion --set channels=8,16 --set factor=4 --set sampling_steps=2",
}


def command(out: Path, *more: str, family: str = "gan") -> list[str]:
    line = f"{_SMALL[family]} --resolution 16 --batch-size 8 --kimg 0.4 --ticks 5 --seed 5"
    code = "import sys; from gandiff.experiments.cli import main; sys.exit(main())"
    whole = [sys.executable, "-c", code, *line.split(), "--dtype", "float32"]
    return [*whole, "--out", str(out), *more]


@pytest.mark.parametrize(
    ("family", "killed_at"),
    [
        ("gan", "samples/kimg-*.png"),
        pytest.param("diffusion", "samples/kimg-*.png", marks=pytest.mark.slow),
        pytest.param("diffusion", "state/autoencoder/training.jsonl", marks=pytest.mark.slow),
    ],
)
def test_killed_and_resumed_it_ends_with_the_same_weights(
    tmp_path: Path, family: str, killed_at: str
) -> None:
    """In the suite a denoiser's is test_it_resumes_bit_for_bit, in one process."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    for folder in (whole, halves):
        save_text(folder)
    done = subprocess.run(
        command(whole, family=family), env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    with subprocess.Popen(command(halves, "--quiet", family=family), env=environment) as killed:
        while not list(halves.glob(killed_at)):
            assert killed.poll() is None
            time.sleep(0.05)
        killed.send_signal(signal.SIGKILL)
    assert not (halves / "README.md").exists()
    resumed = subprocess.run(
        command(halves, "--resume", family=family),
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert resumed.returncode == 0, resumed.stderr
    weights = sorted(path.relative_to(whole) for path in whole.glob("**/*.safetensors"))
    assert len(weights) > 1
    for path in weights:
        a, b = (load_file(folder / path) for folder in (whole, halves))
        for name, value in a.items():
            assert torch.equal(b[name], value), f"{path}: {name}"
    records = [read(folder) for folder in (whole, halves)]
    assert records[0]["images"] == records[1]["images"] >= 400
    assert records[0]["finished"]
    if family == "gan":
        assert records[1]["resumed"] >= 1
    # Progress began with the first step, on stderr; the result is on stdout.
    assert "images/s" in done.stderr
    assert "left" in done.stderr
    assert done.stdout == f"trained: {whole}\n"


@pytest.mark.parametrize(
    ("family", "processes"),
    [
        pytest.param("gan", "1", marks=pytest.mark.slow),
        ("gan", "2"),
        pytest.param("diffusion", "2", marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_saves_and_tells_how_to_go_on(tmp_path: Path, family: str, processes: str) -> None:
    out = tmp_path / "out"
    save_text(out)
    line = command(out, "--processes", processes, family=family)
    line[line.index("--kimg") + 1] = "900"
    # 15 % of so many images keep the first phase of a diffusion model busy for long.
    phase = out / "state" / "autoencoder" if family == "diffusion" else out
    with in_a_terminal(line) as child:
        log = phase / "training.jsonl"
        while not (log.is_file() and log.read_text().count("\n") >= 2):
            assert child.poll() is None
            time.sleep(0.05)
        press_ctrl_c(child)
        _, said = child.communicate(timeout=60)
    assert child.returncode == 130
    assert said.splitlines()[-1].startswith(f"interrupted; continue with: gandiff train {family}")
    assert said.splitlines()[-1].endswith("--resume")
    assert "Traceback" not in said
    saved = read_checkpoint(phase / CHECKPOINT)["progress"]
    assert saved["images"] == 8 * saved["steps"] > 0


def in_a_terminal(line: list[str]) -> subprocess.Popen[str]:
    """A program whose processes are a group of their own, which Ctrl-C reaches as a whole."""
    return subprocess.Popen(
        line,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def press_ctrl_c(child: subprocess.Popen[str]) -> None:
    os.killpg(child.pid, signal.SIGINT)


def two_processes(name: str, out: Path) -> subprocess.Popen[str]:
    return in_a_terminal([sys.executable, interrupt_helpers.__file__, name, str(out)])


def children_in_a_step(child: subprocess.Popen[str], out: Path) -> list[psutil.Process]:
    """The two that train, once both are within a step."""
    files = [out / f"pid-{rank}" for rank in (0, 1)]
    while not all(file.is_file() and file.read_text() for file in files):
        assert child.poll() is None
        time.sleep(0.05)
    return [psutil.Process(int(file.read_text())) for file in files]


def all_gone(processes: list[psutil.Process], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def interrupted_while_counting(name: str, out: Path) -> int:
    """Press Ctrl-C within a step of two processes; how many steps the checkpoint has, all whole."""
    with two_processes(name, out) as child:
        log = out / "training.jsonl"
        while not (log.is_file() and log.read_text()):
            assert child.poll() is None
            time.sleep(0.05)
        press_ctrl_c(child)
        _, said = child.communicate(timeout=60)
    assert (child.returncode, said) == (130, "")
    saved = read_checkpoint(out / CHECKPOINT)
    steps = int(saved["progress"]["steps"])
    assert saved["state"]["count"] == {"begun": steps, "ended": steps}
    assert steps >= 1
    return steps


def test_ctrl_c_ends_the_step_of_all_processes_and_waits_for_the_checkpoint(tmp_path: Path) -> None:
    steps = interrupted_while_counting("counting", tmp_path)
    kimg = 4 * (steps + 2) / 1000
    more = request(tmp_path, kimg=kimg, processes=2, resume=True)
    launch(interrupt_helpers.counting, more)
    saved = read_checkpoint(tmp_path / CHECKPOINT)
    assert saved["state"]["count"] == {"begun": steps + 2, "ended": steps + 2}
    assert saved["progress"]["resumed"] == 1


def test_ctrl_c_that_reaches_every_process_is_not_passed_on(tmp_path: Path) -> None:
    """As on Windows, where to pass it on is to kill."""
    interrupted_while_counting("counting-on-windows", tmp_path)


def test_ctrl_c_while_processes_start_ends_them(tmp_path: Path) -> None:
    with two_processes("counting", tmp_path) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "launching\n"
        time.sleep(0.5)
        press_ctrl_c(child)
        _, said = child.communicate(timeout=60)
    assert (child.returncode, said) == (130, "")


def test_a_second_ctrl_c_ends_them_at_once(tmp_path: Path) -> None:
    with two_processes("stuck", tmp_path) as child:
        training = children_in_a_step(child, tmp_path)
        press_ctrl_c(child)
        time.sleep(1.0)
        assert child.poll() is None
        press_ctrl_c(child)
        _, said = child.communicate(timeout=20)
    assert child.returncode == 130
    assert "Traceback" not in said
    assert all_gone(training, 5.0)
    assert read_checkpoint(tmp_path / CHECKPOINT)["progress"]["steps"] == 0


def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    with two_processes("stuck", tmp_path) as child:
        training = children_in_a_step(child, tmp_path)
        child.kill()
        assert all_gone(training, 20.0)


def test_the_log_is_lines_of_json(tmp_path: Path) -> None:
    """Also what a sweep and its recommendation look like, in the shortest training there is."""
    out = tmp_path / "sweep"
    save_text(out / "gamma=1")
    shutil.copytree(out / "gamma=1", out / "gamma=0.5")
    line = "train gan --resolution 16 --batch-size 8 --kimg 0.04 --ticks 1 --quiet --dtype float32"
    code = "import sys; from gandiff.experiments.cli import main; sys.exit(main())"
    whole = [sys.executable, "-c", code, *line.split(), "--sweep", "gamma=0.5,1", "--out", str(out)]
    found = subprocess.run(whole, capture_output=True, text=True, timeout=280)
    assert found.returncode == 0, found.stderr
    lines = found.stdout.splitlines()
    assert lines[0].split()[:3] == ["gamma", "kimg", "score"]
    assert [row.split()[0] for row in lines[1:3]] == ["0.5", "1"]
    assert lines[3].startswith(("recommended: --set gamma=", "no clear winner: gamma="))
    assert read(out / "gamma=0.5")["recipe"]["gamma"] == 0.5
    rows = [
        json.loads(row) for row in (out / "gamma=1" / "training.jsonl").read_text().splitlines()
    ]
    assert {"seconds", "kimg"} <= set(rows[0])
    again = subprocess.run(whole, capture_output=True, text=True, timeout=280)
    assert again.stdout == found.stdout  # nothing is trained twice
