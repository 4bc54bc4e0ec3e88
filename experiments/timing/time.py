"""The timing stage: rounds in which each generator is timed in a process of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gandiff.common.files import write_atomically
from gandiff.common.run_record import COLUMNS, TIMING
from gandiff.experiments.config.types import TimingConfig
from gandiff.experiments.prompts.tasks import strength_of
from gandiff.experiments.runs import provenance
from gandiff.experiments.runs.fence import fenced
from gandiff.experiments.runs.run import Run
from gandiff.experiments.runs.tables import parquet
from gandiff.experiments.timing.costs import rounds_of, warmups_of, why_not_timed
from gandiff.experiments.timing.measure import PATIENCE_SECONDS, measure_generator
from gandiff.experiments.timing.processes import LIMIT, Processes

_PROCESS_SECONDS = LIMIT
_ROUNDS = 3
_WORTH_PROMPTS = 64  # with a limit of fewer prompts, timing takes a share of its time


def time_run(run: Run, *, quiet: bool = False) -> None:
    """Time every generator that was not timed under this protocol on this machine, in turns.

    What is measured goes into run.json and ``timing.parquet``. A generator that cannot be timed
    is a warning; for one that is not to be timed, the results say why.
    """
    from tqdm import tqdm

    wanted = _rounds(run)
    waiting: dict[str, list[Any]] = {}  # what each has of this protocol already
    for name in run.batches:
        known, mark = run.record.costs.get(name, {}), _mark(run, name)
        enough = "problem" not in known and _is_enough(known.get("mark"), mark)
        before = rounds_of(known) if enough else []
        if len(before) < wanted:
            with fenced(run.folder, functools.partial(_not_timed, run, name)):
                _complete_facts(run, name)
            if why_not_timed(run, name) is None:
                waiting[name] = before
    if waiting:
        run.note_command()
    started = provenance.now()
    turns = sum(wanted - len(before) for before in waiting.values())
    with (
        contextlib.closing(Processes()) as processes,
        tqdm(total=turns, desc="timing", unit="turn", disable=quiet or not turns) as bar,
    ):
        for i in range(wanted):
            # Those of which no turn before has failed.
            names = [name for name in waiting if len(waiting[name]) == i]
            for name, measured in zip(names, _measurements(run, names, processes), strict=True):
                _note(run, name, waiting[name], {"round": f"{started} {i}", **measured})
                bar.update()
    if waiting or not (run.folder / TIMING).is_file():
        _write_timing(run)


def _note(run: Run, name: str, before: list[Any], measured: Mapping[str, Any]) -> None:
    """Note what was measured of a generator with its rounds before; ``round`` is the same for all
    that take their turn in it.
    """
    mark = _mark(run, name)
    if problem := measured.get("problem"):
        cost = {"mark": mark, "problem": problem}
        _not_timed(run, name, problem)
    else:
        before.append(measured)
        cost = {"mark": mark, "rounds": list(before)}
    done = {**run.record.costs, name: cost}
    run.update(costs={n: done[n] for n in run.batches if n in done})


def _rounds(run: Run) -> int:
    """How many rounds: a first look at a few prompts is not to wait for several."""
    few = len(run.suite.prompts) < _WORTH_PROMPTS
    return run.comparison.timing.rounds or (1 if few else _ROUNDS)


def _not_timed(run: Run, name: str, reason: str) -> None:
    run.warn(f"{name} was not timed: {reason}")


def _complete_facts(run: Run, name: str) -> None:
    """Note what a call costs, which runs of earlier versions do not say of a generator."""
    facts = run.record.generators.get(name, {})
    if "cost" not in facts and why_not_timed(run, name) is None:
        cost = run.generator(name).info.cost
        run.update(generators={**run.record.generators, name: {**facts, "cost": cost}})


def _mark(run: Run, name: str) -> dict[str, Any]:
    """What a timing depends on."""
    machine = run.record.environment
    mark = {
        "identity": run.record.plan.generators[name].identity,
        "timing": _protocol(run.comparison.timing),
        "machine": {k: getattr(machine, k) for k in ("cpu", "cores", "device", "driver")},
        "torch": machine.packages.get("torch"),
        "patience_seconds": _patience(run.comparison.suite.limit),
    }
    plain: dict[str, Any] = json.loads(json.dumps(mark))
    return plain


def _patience(limit: int | None) -> float:
    """How long a batch size is timed: a first look at a few prompts is not to wait for it."""
    return PATIENCE_SECONDS * (1.0 if limit is None else min(1.0, limit / _WORTH_PROMPTS))


def _is_enough(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> bool:
    """Whether it was timed under this protocol, for as long as this or longer.

    What was timed before there was a least time stands, until another than the default is set.
    """
    if before is None or before.get("patience_seconds", 0.0) < now["patience_seconds"]:
        return False
    timing = {"min_seconds": TimingConfig().min_seconds, **before.get("timing", {})}
    return {**before, "timing": timing, "patience_seconds": now["patience_seconds"]} == now


def _protocol(timing: TimingConfig) -> dict[str, Any]:
    """How it is timed; whether it is timed is another matter."""
    asked = dataclasses.asdict(timing)
    return {k: v for k, v in asked.items() if k not in ("enabled", "rounds")}


def _measurements(run: Run, names: Sequence[str], processes: Processes) -> Iterator[dict[str, Any]]:
    """What is measured of each, one after another; a ``problem`` where that fails."""
    jobs: dict[str, dict[str, Any]] = {}
    found: dict[str, dict[str, Any]] = {name: {} for name in names}
    for name in names:
        with fenced(run.folder, functools.partial(found[name].setdefault, "problem")):
            jobs[name] = _job(run, name)
    # A Python object cannot be sent elsewhere; its memory is then that of the whole process.
    elsewhere = [name for name in jobs if name not in run.objects]
    asked = [jobs[name] for name in elsewhere]
    with contextlib.closing(processes.in_turn(asked, _PROCESS_SECONDS)) as answers:
        for name in names:
            if name in elsewhere:
                found[name] |= next(answers)
            elif name in jobs:
                with fenced(run.folder, functools.partial(found[name].setdefault, "problem")):
                    measured = measure_generator(run.objects[name], jobs[name])
                    found[name] |= {**measured, "own_process": False}
            yield found[name]


def _job(run: Run, name: str) -> dict[str, Any]:
    config, timing = run.comparison.generators[name], run.comparison.timing
    patience = _patience(run.comparison.suite.limit) / _rounds(run)
    is_free = run.record.generators.get(name, {}).get("cost") == "compute"
    task, strength = run.comparison.task, run.comparison.strength
    prompts = run.suite.prompts[: max(timing.batch_sizes)]
    edits = [{"task": task, "strength": strength_of(one, task, strength)} for one in prompts]
    return {
        "name": name,
        "type": config.type,
        "settings": run.settings(name),
        "base": str(run.comparison.folder),
        "device": run.device,
        "dtype": run.comparison.dtype,
        "prompts": [prompt.text for prompt in prompts],
        "edits": edits if task != "text_to_image" else [],
        "sources": [{k: v.to_dict() for k, v in one.sources().items()} for one in prompts],
        "folder": str(run.folder),
        "warmup": timing.warmup,
        "repeats": math.ceil(timing.repeats / _rounds(run)),
        "fewest_repeats": math.ceil(2 / _rounds(run)),
        "batch_sizes": list(timing.batch_sizes),
        "min_seconds": min(timing.min_seconds, patience) if is_free else 0.0,
        "patience_seconds": patience,
    }


def _write_timing(run: Run) -> None:
    rows: list[tuple[Any, ...]] = []
    for name, cost in run.record.costs.items():
        for number, measured in enumerate(rounds_of(cost)):
            rows.append((name, number, "load", 0, 0, 0, measured["load_seconds"]))
            for phase in measured["phases"]:
                kind = "latency" if phase["batch_size"] == 1 else "throughput"
                warmups = warmups_of(phase, cost)
                rows += [
                    (name, number, kind, phase["batch_size"], warmups, i, seconds)
                    for i, seconds in enumerate(phase["seconds"])
                ]
    write_atomically(run.folder / TIMING, parquet(rows, COLUMNS[TIMING]))
