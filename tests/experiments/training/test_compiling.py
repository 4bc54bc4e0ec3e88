"""Compiled networks: the same numbers, and where nothing can be compiled it is said at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from gandiff.experiments.training.compiling import compiled

TRAIN = "train diffusion --kimg 0.5 --ticks 1 --batch-size 16 --dtype float32 --set channels=16,24"


def gandiff(line: str, **variables: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "gandiff", *line.split()]
    env = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    return subprocess.run(words, capture_output=True, text=True, env=env, check=False)


def test_without_a_compiler_it_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    out = tmp_path / "out"
    cache = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache"), "CXX": str(tmp_path / "no-g++")}
    done = gandiff(f"{TRAIN} --compile --out {out}", **cache)
    assert done.returncode == 2
    assert "--compile: torch.compile does not work for cpu" in done.stderr
    assert (
        "needs a C++ compiler (g++ or clang); install that, or leave out --compile" in done.stderr
    )
    assert "Traceback" not in done.stderr
    assert not out.exists()


def test_the_gan_whose_penalties_are_second_derivatives_is_not_compiled() -> None:
    done = gandiff("train gan --compile")
    assert done.returncode == 2
    assert "no such option: --compile" in done.stderr


def test_a_network_is_itself_unless_it_is_to_be_compiled() -> None:
    network = nn.Linear(2, 2)
    assert compiled(network, wanted=False) is network
    fast = compiled(network, wanted=True)  # nothing is compiled before the first call
    assert [p.data_ptr() for p in fast.parameters()] == [p.data_ptr() for p in network.parameters()]


@pytest.mark.slow
def test_a_compiled_training_is_the_other_one_up_to_rounding(tmp_path: Path) -> None:
    losses, weights = {}, {}
    for name, option in (("plain", ""), ("compiled", "--compile"), ("again", "--compile")):
        out = tmp_path / name
        done = gandiff(f"{TRAIN} {option} --out {out}")
        assert done.returncode == 0, done.stderr
        records = map(json.loads, (out / "training.jsonl").read_text().splitlines())
        losses[name] = [one["loss"] for one in records if "loss" in one]
        weights[name] = torch.load(out / "checkpoint.pt", weights_only=True)["state"]["unet"]
    assert losses["compiled"] == pytest.approx(losses["plain"], rel=2e-3)
    for name, tensor in weights["compiled"].items():
        assert torch.equal(tensor, weights["again"][name])  # repeated bit for bit
