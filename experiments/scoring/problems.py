"""What was asked for and could not be made or measured, a line for each; exit status 1 if any."""

from __future__ import annotations

from gandiff.common.run_record import RESULTS
from gandiff.evaluate.cost_descriptions import COSTS
from gandiff.evaluate.result import split_metric
from gandiff.experiments.runs.retry import without_images
from gandiff.experiments.runs.run import Run
from gandiff.experiments.runs.tables import is_table


def missing_images(run: Run) -> list[str]:
    """The generators without a single image, beside those whose abilities lack the task: that is
    what the comparison shows.
    """
    empty = without_images(run).items()
    return [f"{name} made no image: {why}" for name, why in empty if name not in run.unable]


def missing_measurements(run: Run) -> list[str]:
    """A line for each metric of the last scoring that has no value for a generator."""
    if not is_table(run.folder / RESULTS):
        return [f"{RESULTS} cannot be read; measure again with: gandiff score {run.folder}"]
    return [
        f"{metric} was not measured for {', '.join(of)}: {why}"
        for (metric, why), of in unmeasured(run).items()
    ]


def unmeasured(run: Run) -> dict[tuple[str, str], list[str]]:
    """The generators that have images and no value of a metric, by the metric and the reason.

    A metric of several parts was measured if one of them was.
    """
    import pyarrow.parquet as pq

    empty = without_images(run)
    reasons: dict[tuple[str, str], str] = {}
    measured = set()
    table = pq.read_table(run.folder / RESULTS, columns=["generator", "metric", "value", "note"])
    for row in table.to_pylist():
        base, parameters, _ = split_metric(row["metric"])
        place = (row["generator"], base + parameters)
        if base in COSTS or place[0] in empty:
            continue
        if row["value"] is None or row["value"] != row["value"]:
            reasons.setdefault(place, row["note"] or "")
        else:
            measured.add(place)
    names: dict[tuple[str, str], list[str]] = {}
    for (name, metric), why in reasons.items():
        if (name, metric) not in measured:
            why = why.removeprefix("not measured").removeprefix(": ") or "no reason given"
            names.setdefault((metric, why), []).append(name)
    return names


def missing_timings(run: Run) -> list[str]:
    """The generators whose timing failed."""
    return [
        f"{name} was not timed: {cost['problem']}"
        for name, cost in run.record.costs.items()
        if "problem" in cost
    ]
