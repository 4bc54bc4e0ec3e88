"""Trainings in processes of their own: several at once, killed, interrupted, refused."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from gan_helpers import encoder, refusing, small_training
from safetensors.torch import load_file
from training_helpers import read, request

from gandiff.experiments.errors import RequestError
from gandiff.experiments.training import text
from gandiff.experiments.training.checkpoints import CHECKPOINT, read_checkpoint
from gandiff.experiments.training.ranks import launch
from gandiff.experiments.training.records import write_json


def small(out: Path, **changes: Any) -> Any:
    defaults = {"resolution": 16, "seed": 3, "kimg": 0.032, "dtype": "float32"}
    return request(out, **{**defaults, **changes})


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    launch(small_training, small(tmp_path / "one"))
    launch(small_training, small(tmp_path / "two", processes=2))
    one, two = (read_checkpoint(tmp_path / name / CHECKPOINT) for name in ("one", "two"))
    for counter in ("images", "steps", "skipped"):
        assert one["progress"][counter] == two["progress"][counter]
    for part in ("g", "d", "ema"):
        for name, value in one["state"][part].items():
            if name == "judge.real.bias":  # a constant that the loss leaves open: only noise
                continue
            other = two["state"][part][name]
            torch.testing.assert_close(other, value, rtol=1e-2, atol=5e-3, msg=f"{part}/{name}")
    apart = [
        (two["state"]["g"][name] - value).abs().mean() / value.abs().mean().clamp(min=1e-3)
        for name, value in one["state"]["g"].items()
    ]
    assert torch.stack(apart).mean() < 1e-3


def test_an_error_in_one_of_them_is_the_error(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(RequestError, match="the second process has no data"):
        launch(refusing, small(tmp_path, processes=2))
    assert time.monotonic() - start < 50  # the other one was not waited for


def save_text(folder: Path) -> None:
    """A text encoder as if it had been trained, so that trainings begin at once and alike."""
    folder.mkdir(parents=True)
    encoder().save_pretrained(folder)
    write_json(folder / text.RECORD, {"seconds": 0.0, "images": 0, "validation": {}})


def command(out: Path, *more: str) -> list[str]:
    line = "train gan --resolution 16 --batch-size 8 --kimg 0.4 --ticks 5 --seed 5 --dtype float32"
    code = "import sys; from gandiff.experiments.cli import main; sys.exit(main())"
    return [sys.executable, "-c", code, *line.split(), "--out", str(out), *more]


def test_killed_and_resumed_it_ends_with_the_same_weights(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    for folder in (whole, halves):
        save_text(folder)
    done = subprocess.run(
        command(whole), env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    with subprocess.Popen(command(halves, "--quiet"), env=environment) as killed:
        while not list((halves / "samples").glob("kimg-*.png")):
            assert killed.poll() is None
            time.sleep(0.05)
        killed.send_signal(signal.SIGKILL)
    assert not (halves / "model.safetensors").exists()
    resumed = subprocess.run(
        command(halves, "--resume"), env=environment, capture_output=True, text=True, timeout=280
    )
    assert resumed.returncode == 0, resumed.stderr
    a, b = (load_file(folder / "model.safetensors") for folder in (whole, halves))
    for name, value in a.items():
        assert torch.equal(b[name], value), name
    records = [read(folder) for folder in (whole, halves)]
    assert [r["images"] for r in records] == [400, 400]
    assert records[1]["resumed"] >= 1
    assert records[0]["finished"]
    # Progress began with the first step, on stderr; the result is on stdout.
    assert "images/s" in done.stderr
    assert "left" in done.stderr
    assert done.stdout == f"trained: {whole}\n"


def test_ctrl_c_saves_and_tells_how_to_go_on(tmp_path: Path) -> None:
    out = tmp_path / "out"
    save_text(out)
    with subprocess.Popen(
        [*command(out), "--kimg", "900"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as child:
        log = out / "training.jsonl"
        while not (log.is_file() and log.read_text().count("\n") >= 2):
            assert child.poll() is None
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=60)
    assert child.returncode == 130
    assert said.splitlines()[-1].startswith("interrupted; go on with: gandiff train gan")
    assert said.splitlines()[-1].endswith("--resume")
    assert "Traceback" not in said
    saved = read_checkpoint(out / CHECKPOINT)["progress"]
    assert saved["images"] == 8 * saved["steps"] > 0


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


def test_requests_are_values() -> None:
    asked = small(Path("out"))
    assert dataclasses.replace(asked, processes=2).processes == 2
