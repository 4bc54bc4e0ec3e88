"""The rows of the results table about cost, from what the timing stage recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gandiff.evaluate.cost_descriptions import COSTS
from gandiff.evaluate.result import Interval, MetricResult
from gandiff.evaluate.timing import Timing
from gandiff.experiments.runs.run import Run
from gandiff.experiments.runs.tables import result_row


def can_time(run: Run, name: str) -> bool:
    """Whether it can be timed: not a folder, nor a Python object of an earlier process."""
    facts = run.record.generators.get(name, {})
    gone = run.comparison.generators[name].type == "python" and name not in run.objects
    return bool(facts.get("family") != "folder" and run.suite.prompts and not gone)


def not_timed(run: Run) -> str | None:
    """Say which generators could be timed and never were; None if there are none."""
    names = [n for n in run.batches if n not in run.record.costs and can_time(run, n)]
    if not names:
        return None
    return (
        f"{', '.join(names)}: speed and memory were not measured; measure them with: "
        f"gandiff time {run.folder}, then score again"
    )


def cost_rows(run: Run) -> list[dict[str, Any]]:
    """What is known of the cost of every generator; speed and memory only where it was timed."""
    return [result_row(name, row) for name in run.batches for row in _rows(run, name)]


def _rows(run: Run, name: str) -> list[MetricResult]:
    cost = run.record.costs.get(name, {})
    facts = run.record.generators.get(name, {})
    rows = _timed_rows(run, cost) if "phases" in cost else []
    if parameters := cost.get("parameters") or facts.get("parameters"):
        rows.append(_row("parameters", parameters))
    nfe = [entry.nfe for entry in run.entries(name) if entry.status == "ok"]
    if nfe and facts.get("family") != "folder":
        rows.append(_row("nfe", sum(nfe) / len(nfe), images=len(nfe)))
    if seconds := facts.get("training_seconds"):
        protocol = {"device": facts.get("training_device"), "images": facts.get("training_images")}
        rows.append(_row("training_seconds", seconds, protocol=protocol))
    return rows


def _timed_rows(run: Run, cost: Mapping[str, Any]) -> list[MetricResult]:
    own = cost["own_process"]
    protocol = {**cost["mark"]["machine"], **cost["mark"]["timing"], "own_process": own}
    timings = {p["batch_size"]: Timing(seconds=tuple(p["seconds"])) for p in cost["phases"]}
    best = max(timings, key=lambda size: size / timings[size].p50)
    one, fastest = timings[1], timings[best]
    latency = {"batch_size": 1, "p90": one.p90, "calls": len(one.seconds)}
    rate = {"batch_size": best, "calls": len(fastest.seconds)}
    memory = {"counts": "tensors" if run.device.startswith("cuda") else "the process"}
    note = None if own else "of the whole process, which held other things too"
    peak = cost["peak_memory_bytes"]
    return [
        _row("latency_seconds", one.p50, protocol=protocol | latency),
        _row("images_per_second", best / fastest.p50, protocol=protocol | rate),
        _row("load_seconds", cost["load_seconds"], protocol=protocol),
        _row("peak_memory_bytes", peak, protocol=protocol | memory, note=note),
    ]


def _row(metric: str, value: float | int, **more: Any) -> MetricResult:
    return MetricResult.of(Interval(value=float(value)), COSTS[metric], metric=metric, **more)
