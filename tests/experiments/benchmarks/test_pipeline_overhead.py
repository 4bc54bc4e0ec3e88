"""The benchmark of our generator against the bare pipeline, on a toy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gandiff.experiments.benchmarks import pipeline_overhead

LINE = re.compile(
    r"2 steps: ratio [\d.]+ \(95 % interval [\d.]+ to [\d.]+\), [+-][\d.]+ ms an image, "
    r"2 pairs at batch size 2; of processor time [\d.]+ \(95 % interval [\d.]+ to [\d.]+\)\n"
)


def test_a_line_for_each_number_of_steps(
    toy_pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ["--pipeline", str(toy_pipeline), "--steps", "2", "--pairs", "2", "--batch-size", "2"]
    pipeline_overhead.main(chosen)
    assert LINE.fullmatch(capsys.readouterr().out)


def test_other_images_are_not_timed(toy_pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = pipeline_overhead.make_generator

    def other(name: str, kind: str, settings: dict[str, object]) -> object:
        return make(name, kind, {**settings, "guidance_scale": 1.0})

    monkeypatch.setattr(pipeline_overhead, "make_generator", other)
    with pytest.raises(RuntimeError, match="different images"):
        pipeline_overhead.measure(str(toy_pipeline), 2, pairs=1, batch_size=1)
