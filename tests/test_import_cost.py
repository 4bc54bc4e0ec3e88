"""Importing is free: what a command does not need, it does not load."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TORCH = {"torch", "torchvision", "diffusers", "transformers", "open_clip", "torchmetrics", "gradio"}
HEAVY = TORCH | {"numpy", "pandas", "pyarrow", "pydantic", "matplotlib", "PIL"}
SCENES = str(ROOT / "experiments" / "comparisons" / "scenes.yaml")


def loaded_by(code: str) -> set[str]:
    """Top-level modules in memory after running code in a fresh interpreter."""
    report = "\nimport sys; print(*{m.partition('.')[0] for m in sys.modules}, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code + report], capture_output=True, text=True, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


def run_cli(*arguments: str) -> str:
    return f"from gandiff.experiments.cli import main\nassert main({list(arguments)!r}) == 0"


def test_the_probe_sees_what_is_loaded() -> None:
    assert "numpy" in loaded_by("import numpy")


@pytest.mark.parametrize("code", ["import gandiff; dir(gandiff)", run_cli("--help")])
def test_import_and_help_load_nothing_heavy(code: str) -> None:
    assert loaded_by(code) & HEAVY == set()


@pytest.mark.parametrize(
    "code",
    [
        run_cli("list", "generators"),
        run_cli("list", "metrics"),
        run_cli("list", "encoders"),
        run_cli("list", "suites"),
        run_cli("validate", SCENES),
        run_cli("draw", "--help"),
        run_cli("studio", "--help"),
        "from gandiff import Comparison, Generator, Metric, MetricSpec, load_comparison",
        "import gandiff.reports.document",
        "import gandiff.experiments.api",
    ],
)
def test_looking_and_reporting_load_no_torch(code: str) -> None:
    assert loaded_by(code) & TORCH == set()


def test_import_takes_less_than_a_fifth_of_a_second() -> None:
    code = (
        "import time; start = time.perf_counter(); import gandiff; "
        "print(time.perf_counter() - start)"
    )
    seconds = min(
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(5)
    )
    assert seconds < 0.2


def test_help_takes_less_than_half_a_second() -> None:
    command = [str(Path(sys.executable).with_name("gandiff")), "--help"]
    taken = []
    for _ in range(7):  # the best of several, and processor time: other work must not decide
        before = os.times()
        subprocess.run(command, capture_output=True, check=True)
        after = os.times()
        taken.append(
            after.children_user
            - before.children_user
            + after.children_system
            - before.children_system
        )
    assert 0 < min(taken) < 0.5
