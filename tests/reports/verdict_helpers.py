"""Rows, facts and differences of made-up runs, and the verdict on them."""

from __future__ import annotations

import functools
from typing import Any

from gandiff.evaluate.result import MetricResult
from gandiff.experiments.runs.describe import about_metric
from gandiff.reports.run_data import DifferenceRow, GeneratorFacts, ResultRow
from gandiff.reports.verdict import verdict

ALIGNMENT, FD, DIVERSITY = "scene_accuracy/all", "fd(encoder=scenes)", "diversity(encoder=scenes)"


_about = functools.cache(about_metric)


def row(name: str, metric: str, value: float | None, half: float | None = None, **more: Any):
    known = value is not None and half is not None
    ends = {"low": value - half, "high": value + half} if known else {}
    return ResultRow(
        name, MetricResult(metric=metric, value=value, about=_about(metric), **ends, **more)
    )


def rows_of(name: str, acc: float, fd: float, div: float, seconds: float) -> list[ResultRow]:
    return [
        row(name, ALIGNMENT, acc, 0.02, direction="higher"),
        row(name, FD, fd, 1.0, direction="lower"),
        row(name, DIVERSITY, div, 0.02, direction="target", target=1.0),
        row(name, "latency_seconds", seconds, seconds / 50, direction="lower"),
        row(name, "images_per_second", 2 / seconds, direction="higher"),
    ]


def facts(name: str, family: str = "gan", **fields: Any) -> GeneratorFacts:
    known = {"training_seconds": 1500.0, "training_device": "cpu", "planned": 8, "ok": 8}
    return GeneratorFacts(name=name, family=family, **{**known, **fields})


def both(**b: Any) -> dict[str, GeneratorFacts]:
    return {"gan": facts("gan"), "ddim": facts("ddim", "diffusion", **b)}


def premise(found: list) -> str:
    return next((s.text for s in found if s.topic == "premise"), "")


def say(rows, differences=(), generators=None, headline=("gan", "ddim")) -> list:
    found = verdict(rows, list(differences), generators or both(), headline)
    assert len([s for s in found if s.topic != "premise"]) <= 5
    assert [s.topic for s in found].index("premise") == 0 if premise(found) else True
    assert all((s.outcome == "better") == (s.winner is not None) for s in found)
    assert all(s.text.endswith(".") and s.text.count("..") == 0 for s in found)
    return found


def pair(
    metric: str, difference: float, half: float, a: str = "gan", b: str = "ddim", **more: float
):
    return DifferenceRow(
        **more,
        a=a,
        b=b,
        metric=metric,
        difference=difference,
        low=difference - half,
        high=difference + half,
        prompts=40,
    )
