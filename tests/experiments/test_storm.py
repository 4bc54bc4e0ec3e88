"""Runs that are killed at random moments of every stage end as if nothing had happened."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import storm_helpers
from run_helpers import TOY, write_comparison

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.timeout(1800),
]


def storm(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """Runs of two toys on 24 prompts with a score for each image and distances of sets."""
    toys = {
        name: {"type": TOY, "family": family, "delay": 0.01}
        for name, family in (("toy", "gan"), ("other", "diffusion"))
    }
    file = write_comparison(
        folder,
        24,
        generators=toys,
        metrics=["clip_score(model=scenes)", "fd(encoder=scenes)", "vendi(encoder=scenes)"],
        reference={"type": "scenes", "images": 40},
        timing={"warmup": 0, "repeats": 1, "batch_sizes": [1]},
    )
    command = [sys.executable, storm_helpers.__file__, file, folder, str(kills), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(seen)
    return seen


def test_a_run_survives_kills(tmp_path: Path) -> None:
    seen = storm(tmp_path, kills=3, seed=1)
    assert seen["faults"] == []
    assert seen["kills"] >= 3


@pytest.mark.slow
def test_a_run_survives_two_hundred_kills(tmp_path: Path) -> None:
    seen = storm(tmp_path, kills=200, seed=0)
    assert seen["faults"] == []
    assert seen["kills"] >= 200
    assert {"generate", "time", "features", "score"} <= seen["stages"].keys()
