"""What one generator does wrong, at any stage, never costs the others their images and scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from run_helpers import TOY, images, record, write_comparison

import gandiff
from gandiff.experiments.cli import main

BAD = f"{Path(__file__).parents[1] / 'bad_generator.py'}:Bad"
METRIC = "vendi(encoder=scenes)"
QUICK = {"warmup": 0, "repeats": 1, "batch_sizes": [1]}


class Grumpy(gandiff.Metric):
    """A metric with a mistake in it."""

    spec = gandiff.MetricSpec("grumpy")

    def measure(self, data: gandiff.MetricInput) -> gandiff.MetricOutput:
        raise ZeroDivisionError("of nothing")


def run(
    folder: Path, capsys: pytest.CaptureFixture[str], *more: str, **bad: Any
) -> tuple[int, dict[str, Any], str]:
    """Run a bad generator beside a good one: exit code, the printed JSON, and stderr."""
    generators = {"bad": {"type": BAD, **bad}, "toy": {"type": TOY}}
    file = write_comparison(
        folder, 3, generators=generators, metrics=[METRIC], timing=QUICK, samples_per_prompt=1
    )
    capsys.readouterr()
    code = main(["run", str(file), "--out", str(folder / "run"), "--quiet", "--json", *more])
    shown = capsys.readouterr()
    return code, json.loads(shown.out or "{}"), shown.err


def values(folder: Path) -> pd.Series[Any]:
    rows = pd.read_parquet(folder / "run" / "results.parquet")
    return rows.set_index(["generator", "metric"]).value


@pytest.mark.parametrize("error", ["TypeError", "KeyError", "Permission"])
@pytest.mark.parametrize("stage", ["load", "generate", "info", "result", "results"])
def test_the_others_are_made_scored_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], stage: str, error: str
) -> None:
    code, summary, said = run(tmp_path, capsys, at=stage, error=error)
    assert code == 1
    assert "Traceback" not in said
    assert "a mistake in gandiff" not in said
    (line,) = (line for line in said.splitlines() if "bad" in line)  # one for each reason
    assert line.startswith("error: bad made no image: ")
    assert summary["problems"] == [line.removeprefix("error: ")]
    assert record(tmp_path / "run")["status"] == "done"
    assert len(images(tmp_path / "run")) == 3
    assert values(tmp_path)["toy", METRIC] > 1
    assert pd.isna(values(tmp_path)["bad", METRIC])
    report = (tmp_path / "run/report/report.html").read_text(encoding="utf-8")
    assert "not measured: there is no usable image" in report


@pytest.mark.parametrize(
    ("stage", "says"),
    [
        ("trace", "warning: bad: its steps are not shown: TypeError: not like this"),
        ("frames", "warning: bad: its steps are not shown: "),
        ("timing", "warning: bad was not timed: TypeError: not like this"),
        ("unload", "warning: bad: TypeError: not like this"),
    ],
)
def test_what_is_there_is_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], stage: str, says: str
) -> None:
    code, summary, said = run(tmp_path, capsys, at=stage)
    assert (code, summary["problems"]) == (0, [])
    assert says in said
    assert summary["images"] == {"ok": 6}
    found = values(tmp_path)
    assert found["toy", METRIC] > 1
    assert found["bad", METRIC] > 1
    assert found["toy", "latency_seconds"] > 0
    assert summary["report"]


def test_a_timing_that_is_asked_for_alone_must_succeed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, capsys, at="timing")
    assert main(["time", str(tmp_path / "run"), "--quiet"]) == 1
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "bad" in line)
    assert line == "error: bad was not timed: TypeError: not like this"


@pytest.mark.parametrize("error", ["TypeError", "KeyError", "Permission"])
@pytest.mark.parametrize("stage", ["build", "facts"])
def test_what_can_be_seen_before_the_first_image_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], stage: str, error: str
) -> None:
    code, _, said = run(tmp_path, capsys, at=stage, error=error)
    assert code == 2
    assert said.startswith("error: generator 'bad' cannot be built: ")
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("stage", ["load", "generate", "trace"])
def test_a_machine_that_fails_ends_the_run_and_keeps_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], stage: str
) -> None:
    code, _, said = run(tmp_path, capsys, at=stage, error="Memory")
    assert code == 1
    assert "memory ran out" in said
    assert record(tmp_path / "run")["status"] == "failed"
    code, summary, _ = run(tmp_path / "again", capsys, at="none")
    assert (code, summary["problems"]) == (0, [])


def test_a_metric_with_a_mistake_costs_one_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from gandiff.experiments.plugins import registry

    found = registry.metric_class
    monkeypatch.setattr(
        registry, "metric_class", lambda spec: Grumpy if spec.name == "grumpy" else found(spec)
    )
    metrics = ["--set", f"metrics=[grumpy, '{METRIC}']"]
    code, summary, said = run(tmp_path, capsys, *metrics, at="none")
    assert code == 1
    problem = "grumpy was not measured for bad, toy: ZeroDivisionError: of nothing"
    assert summary["problems"] == [problem]
    assert [line for line in said.splitlines() if "grumpy" in line] == [f"error: {problem}"]
    assert values(tmp_path)["toy", METRIC] > 1
