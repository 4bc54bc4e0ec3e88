"""Which generators are timed, and the rows of the results table about what an image costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from gandiff.evaluate.cost_descriptions import COSTS
from gandiff.evaluate.result import Interval, MetricResult
from gandiff.evaluate.timing import Rounds, Timing
from gandiff.experiments.runs.run import Run
from gandiff.experiments.runs.store import ImageEntry
from gandiff.experiments.runs.tables import result_row

LATENCY = "latency_seconds"
_ONE_PROCESS = "timed in one process: how the machine drifts is not in the interval"


def why_not_timed(run: Run, name: str) -> str | None:
    """Say why a generator is not timed; None if it is to be timed.

    What nobody asked for is not timed where calls may cost money: functions of Python, and plugins
    that say so (``GeneratorInfo.cost``).
    """
    config, timing = run.comparison.generators[name], run.comparison.timing
    counts = run.record.counts.get(name)
    if run.is_lookup(name):
        return "the images were made elsewhere"
    if run.is_kept(name):
        return "it is kept as it was before it changed"
    if name in run.mending.changed:
        return "it has changed since its images were made"
    if config.timing == "off" or (config.timing is None and not timing.enabled):
        return "timing is off for it" if timing.enabled else "timing is off"
    if config.timing is None and run.record.generators.get(name, {}).get("cost") == "request":
        return f"each call may cost something; generators.{name}.timing=on has it timed"
    if run.is_gone(name):
        return "it was a Python object of an earlier process"
    if not run.suite.prompts or (counts is not None and not counts.ok):
        return "it made no image"
    return None


def say_who_is_not_timed(run: Run) -> None:
    """Warn of every generator that is not timed, with the reason."""
    for name in run.batches:
        if reason := why_not_timed(run, name):
            run.warn(f"{name} is not timed: {reason}")


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
    return [result_row(n, row) for n, rows in cost_results(run).items() for row in rows]


def cost_results(run: Run) -> dict[str, list[MetricResult]]:
    """The same by generator."""
    return {name: _rows(run, name) for name in run.batches}


def _rows(run: Run, name: str) -> list[MetricResult]:
    lookup = run.is_lookup(name)
    cost = {} if lookup else run.record.costs.get(name, {})
    facts = run.record.generators.get(name, {})
    rounds = rounds_of(cost)
    rows = _timed_rows(run, cost, rounds) if rounds else _untimed_rows(run, name, cost)
    if parameters := (rounds[0].get("parameters") if rounds else None) or facts.get("parameters"):
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


def rounds_of(cost: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What each process measured; runs of earlier versions have one."""
    return list(cost["rounds"]) if "rounds" in cost else [cost] if "phases" in cost else []


def _timed_rows(
    run: Run, cost: Mapping[str, Any], rounds: Sequence[Mapping[str, Any]]
) -> list[MetricResult]:
    own = rounds[0]["own_process"]
    machine, timing = cost["mark"]["machine"], cost["mark"]["timing"]
    protocol = {**machine, **timing, "own_process": own}
    protocol["rounds"] = [one.get("round") for one in rounds]
    if run.comparison.task != "text_to_image":
        protocol["task"] = run.comparison.task
    protocol |= _conditions(rounds)
    timings = _by_size(rounds)
    medians = {size: timed.median for size, timed in timings.items()}
    best = max(medians, key=lambda size: size / max(medians[size].value, 1e-9))
    one, fastest = timings[1], medians[best]
    latency = {"p90": one.every.p90, **_calls(cost, rounds, 1)}
    rate = _calls(cost, rounds, best)
    memory = {"counts": "tensors" if run.device.startswith("cuda") else "the process"}
    note = None if own else "of the whole process, which held other things too"
    load = Rounds(timings=tuple(Timing(seconds=(one["load_seconds"],)) for one in rounds))
    peak = max(one["peak_memory_bytes"] for one in rounds)
    return [
        _row(
            "latency_seconds",
            medians[1],
            protocol=protocol | latency | {"round_medians": one.medians},
            note=None if len(rounds) > 1 else _ONE_PROCESS,
        ),
        _row(
            "images_per_second",
            _rate(best, fastest),
            protocol=protocol | rate | {"round_medians": [best / s for s in timings[best].medians]},
        ),
        _row("load_seconds", load.median, protocol=protocol),
        _row("peak_memory_bytes", peak, protocol=protocol | memory, note=note),
    ]


def _calls(
    cost: Mapping[str, Any], rounds: Sequence[Mapping[str, Any]], size: int
) -> dict[str, int]:
    """How many calls of a batch size were timed, and how many went before to warm up."""
    phases = [phase for one in rounds for phase in one["phases"] if phase["batch_size"] == size]
    return {
        "batch_size": size,
        "calls": sum(len(phase["seconds"]) for phase in phases),
        "warmup_calls": sum(warmups_of(phase, cost) for phase in phases),
    }


def warmups_of(phase: Mapping[str, Any], cost: Mapping[str, Any]) -> int:
    """The calls to warm up before those of a phase; earlier versions made as many as was asked."""
    return int(phase.get("warmups", cost["mark"]["timing"]["warmup"]))


def _conditions(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Threads, and how busy others kept the cores in each round; runs of before do not say."""
    threads = sorted({one["threads"] for one in rounds if one.get("threads")})
    shares = [one["others_busy"] for one in rounds if one.get("others_busy") is not None]
    said: dict[str, Any] = {"threads": threads[0] if len(threads) == 1 else threads}
    return {k: v for k, v in {**said, "others_busy": shares}.items() if v}


def _by_size(rounds: Sequence[Mapping[str, Any]]) -> dict[int, Rounds]:
    """The rounds of each batch size; one that not every round came to is left out."""
    found: dict[int, list[Timing]] = {}
    for one in rounds:
        for phase in one["phases"]:
            timing = Timing(seconds=tuple(phase["seconds"]))
            found.setdefault(phase["batch_size"], []).append(timing)
    return {size: Rounds(timings=tuple(t)) for size, t in found.items() if len(t) == len(rounds)}


def _rate(size: int, seconds: Interval) -> Interval:
    """Images a second from the seconds of a batch."""
    value, high, low = (
        None if end is None else size / max(end, 1e-9)
        for end in (seconds.value, seconds.low, seconds.high)
    )
    assert value is not None
    return Interval(value=value, low=low, high=high)


def _row(metric: str, value: float | int | Interval, **more: Any) -> MetricResult:
    found = value if isinstance(value, Interval) else Interval(value=float(value))
    return MetricResult.of(found, COSTS[metric], metric=metric, **more)
