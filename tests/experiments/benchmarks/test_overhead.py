"""The benchmark of the harness, on toys that cost nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from run_helpers import TOY, calls

from gandiff.experiments.benchmarks import overhead
from gandiff.experiments.benchmarks.overhead import Loaded, Overhead, main, measure
from gandiff.experiments.plugins.registry import make_generator

LINE = re.compile(
    r"(\w+): ratio [\d.]+ \(95 % interval [\d.]+ to [\d.]+\), [+-][\d.]+ ms an image, "
    r"2 pairs of 4 images at batch size 2"
)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The log of a toy that stands in for both cases."""
    toy: dict[str, object] = {"type": TOY, "log": str(tmp_path / "toy.log"), "delay": 0.002}
    monkeypatch.setattr(overhead, "CASES", {"first": toy, "second": toy})
    return tmp_path / "toy.log"


def test_both_sides_make_the_same_calls(log: Path) -> None:
    found = measure("first", pairs=2, prompts=5, batch_size=2)
    assert len(found.ratios) == len(found.extra_milliseconds) == 2
    assert all(ratio > 0 for ratio in found.ratios)
    # Three pairs, the first of which warms up; each side makes 2 + 2 + 1 images, the runner's last
    # batch padded as it always is.
    sizes = [len(call.split()) for call in calls(log)]
    assert len(sizes) == 3 * 2 * 3
    assert len(calls(log, "load")) == 1  # loading is on neither side
    assert "unload" not in log.read_text()


def test_a_line_for_each_case(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = ["--pairs", "2", "--prompts", "4", "--batch-size", "2"]
    main(quick)
    lines = capsys.readouterr().out.splitlines()
    assert [m[1] for m in map(LINE.fullmatch, lines) if m] == ["first", "second"]
    main([*quick, "--only", "second"])
    assert capsys.readouterr().out.startswith("second: ")
    with pytest.raises(SystemExit):
        main(["--only", "third"])


def test_a_loaded_generator_stays_loaded(log: Path) -> None:
    inner = make_generator("toy", TOY, {"log": str(log)})
    loaded = Loaded(inner)
    loaded.load("cpu")
    loaded.unload()
    assert log.read_text() == "load cpu float32\n"
    assert loaded.info == inner.info


def test_the_interval_is_between_order_statistics() -> None:
    ratios = tuple(float(r) for r in np.random.default_rng(0).permutation(15))
    found = Overhead(ratios=ratios, extra_milliseconds=ratios)
    assert found.interval() == (7.0, 3.0, 11.0)  # the 4th and the 12th of 15: 96.5 %
    one = Overhead(ratios=(2.0,), extra_milliseconds=(1.0,))
    assert one.interval() == (2.0, 2.0, 2.0)


def test_the_interval_covers_the_median() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(1000):
        sample = tuple(rng.lognormal(0, 0.3, 15).tolist())
        _, low, high = Overhead(ratios=sample, extra_milliseconds=sample).interval()
        hits += low <= 1.0 <= high
    assert 0.94 <= hits / 1000 <= 0.99


def test_it_is_a_program() -> None:
    command = [sys.executable, "-m", "gandiff.experiments.benchmarks.overhead", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "--pairs" in shown
