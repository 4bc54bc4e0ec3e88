"""Which generators are timed, and the rows of the results table about what an image costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from gandiff.evaluate.cost_descriptions import COSTS
from gandiff.evaluate.result import Interval, MetricResult
from gandiff.evaluate.timing import Timing
from gandiff.experiments.runs.run import Run
from gandiff.experiments.runs.store import ImageEntry
from gandiff.experiments.runs.tables import result_row

LATENCY = "latency_seconds"


def why_not_timed(run: Run, name: str) -> str | None:
    """Say why a generator is not timed; None if it is to be timed.

    What nobody asked for is not timed where calls may cost money: functions of Python, and plugins
    that say so (``GeneratorInfo.cost``).
    """
    config, timing = run.comparison.generators[name], run.comparison.timing
    counts = run.record.counts.get(name)
    if run.is_lookup(name):
        return "its images were made elsewhere"
    if run.is_kept(name):
        return "it is kept as it was before it changed"
    if name in run.mending.changed:
        return "it has changed since its images were made"
    if config.timing == "off" or (config.timing is None and not timing.enabled):
        return "timing is off"
    if config.timing is None and run.record.generators.get(name, {}).get("cost") == "request":
        return f"each call may cost something; generators.{name}.timing=on has it timed"
    if run.is_gone(name):
        return "it was a Python object of an earlier process"
    if not run.suite.prompts or (counts is not None and not counts.ok):
        return "it made no image"
    return None


def not_timed(run: Run) -> str | None:
    """Say which generators could be timed and never were; None if there are none."""
    names = [n for n in run.batches if n not in run.record.costs and not why_not_timed(run, n)]
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
    lookup = run.is_lookup(name)
    cost = {} if lookup else run.record.costs.get(name, {})
    facts = run.record.generators.get(name, {})
    rows = _timed_rows(run, cost) if "phases" in cost else _untimed_rows(run, name, cost)
    if parameters := cost.get("parameters") or facts.get("parameters"):
        rows.append(_row("parameters", parameters))
    made = [entry for entry in run.entries(name) if entry.status == "ok"]
    if made and not lookup:
        rows.append(_evaluations(made))
    if seconds := facts.get("training_seconds"):
        protocol = {"device": facts.get("training_device"), "images": facts.get("training_images")}
        rows.append(_row("training_seconds", seconds, protocol=protocol))
    return rows


def _evaluations(made: Sequence[ImageEntry]) -> MetricResult:
    """The mean over images, with the share of each network where several run."""
    sums = Counter[str]()
    for entry in made:
        sums.update(entry.nfe_by_network)
    shares = {network: total / len(made) for network, total in sums.items()}
    return _row(
        "nfe",
        sum(entry.nfe for entry in made) / len(made),
        images=len(made),
        protocol={"by network": shares} if shares else {},
        note=" + ".join(f"{network} {n:g}" for network, n in shares.items()) or None,
    )


def _untimed_rows(run: Run, name: str, cost: Mapping[str, Any]) -> list[MetricResult]:
    """A row without a value that says why, unless it only waits to be timed."""
    problem = cost.get("problem")
    if reason := why_not_timed(run, name) or problem:
        note = f"not {'measured' if reason == problem else 'timed'}: {reason}"
        return [MetricResult.of(None, COSTS[LATENCY], metric=LATENCY, note=note)]
    return []


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
