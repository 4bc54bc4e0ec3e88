"""What an image costs: time, memory, parameters, training; measured in a process of its own per
generator.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gandiff.common.files import write_atomically
from gandiff.common.run_record import COLUMNS, TIMING
from gandiff.evaluate.result import MetricResult
from gandiff.evaluate.timing import (
    Timing,
    peak_memory_bytes,
    reset_peak_memory,
    synchronise,
    time_callable,
)
from gandiff.experiments.runs.run import Run
from gandiff.experiments.runs.tables import parquet, result_row
from gandiff.models.generator import GenerationRequest, Generator

PATIENCE_SECONDS = 4.0  # a batch size gets fewer repeats, two at least, once it has taken this long
_PROCESS_SECONDS = 1800


def measure_costs(run: Run, *, quiet: bool = False) -> None:
    """Time every generator that was not timed under this protocol on this machine; folders cost
    nothing.
    """
    from tqdm import tqdm

    done: dict[str, Any] = dict(run.record.costs)
    waiting = []
    for name in run.batches:
        mark = _mark(run, name)
        known = done.get(name, {})
        if ("problem" in known or known.get("mark") != mark) and _can_time(run, name):
            waiting.append((name, mark))
    for name, mark in tqdm(waiting, desc="timing", unit="generator", disable=quiet or not waiting):
        done[name] = {"mark": mark, **_measure(run, name)}
        run.update(costs={n: done[n] for n in run.batches if n in done})
        if problem := done[name].get("problem"):
            run.warn(f"{name} was not timed: {problem}")
    if waiting or not (run.folder / TIMING).is_file():
        _write_timing(run)


def _can_time(run: Run, name: str) -> bool:
    facts = run.record.generators.get(name, {})
    gone = run.comparison.generators[name].type == "python" and name not in run.objects
    return bool(facts.get("family") != "folder" and run.suite.prompts and not gone)


def _mark(run: Run, name: str) -> dict[str, Any]:
    """What a timing depends on."""
    machine = run.record.environment
    identity = run.record.plan.generators[name].identity
    return {
        "identity": json.loads(json.dumps(identity)),
        "timing": json.loads(json.dumps(dataclasses.asdict(run.comparison.timing))),
        "machine": {k: getattr(machine, k) for k in ("cpu", "cores", "device", "driver")},
        "torch": machine.packages.get("torch"),
        "patience_seconds": PATIENCE_SECONDS,
    }


def _measure(run: Run, name: str) -> dict[str, Any]:
    if name in run.objects:
        # A Python object cannot be sent elsewhere; its memory is then that of the whole process.
        return {**measure_generator(run.objects[name], _job(run, name)), "own_process": False}
    command = [sys.executable, "-m", "gandiff.experiments.timing.time"]
    try:
        finished = subprocess.run(
            command,
            input=json.dumps(_job(run, name)),
            capture_output=True,
            text=True,
            timeout=_PROCESS_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"problem": f"it took longer than {_PROCESS_SECONDS} s"}
    if finished.returncode != 0:
        lines = finished.stderr.strip().splitlines() or [f"exit code {finished.returncode}"]
        return {"problem": lines[-1][:300]}
    measured: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return {**measured, "own_process": True}


def _job(run: Run, name: str) -> dict[str, Any]:
    config, timing = run.comparison.generators[name], run.comparison.timing
    return {
        "name": name,
        "type": config.type,
        "settings": dict(config.settings),
        "base": str(run.comparison.folder),
        "device": run.device,
        "dtype": run.comparison.dtype,
        "prompts": [prompt.text for prompt in run.suite.prompts[: max(timing.batch_sizes)]],
        "warmup": timing.warmup,
        "repeats": timing.repeats,
        "batch_sizes": list(timing.batch_sizes),
    }


def measure_generator(generator: Generator, job: Mapping[str, Any]) -> dict[str, Any]:
    """Load and time one generator; plain data: seconds of each repeat, load, peak memory."""
    import time

    device = job["device"]
    reset_peak_memory(device)
    start = time.perf_counter()
    generator.load(device, job["dtype"])
    synchronise(device)
    load = time.perf_counter() - start
    phases = []
    sizes = sorted({1, *job["batch_sizes"]})
    for size in sizes:
        requests = _requests(job["prompts"], size)
        timing = _patient(lambda r=requests: generator.generate(r), job, device)
        phases.append({"batch_size": size, "seconds": list(timing.seconds)})
    parameters = generator.info.parameters
    peak = peak_memory_bytes(device)
    generator.unload()
    return {
        "load_seconds": load,
        "phases": phases,
        "peak_memory_bytes": peak,
        "parameters": parameters,
    }


def _patient(fn: Any, job: Mapping[str, Any], device: str) -> Timing:
    """Time a call, one repeat after another until there are enough or patience ends."""
    seconds: list[float] = []
    warmup = job["warmup"]
    while len(seconds) < job["repeats"]:
        seconds += time_callable(fn, warmup=warmup, repeats=1, device=device).seconds
        warmup = 0
        if sum(seconds) > PATIENCE_SECONDS and len(seconds) >= min(2, job["repeats"]):
            break
    return Timing(seconds=tuple(seconds))


def _requests(prompts: Sequence[str], size: int) -> list[GenerationRequest]:
    return [GenerationRequest(prompt=prompts[i % len(prompts)], seed=i) for i in range(size)]


def _write_timing(run: Run) -> None:
    rows: list[tuple[Any, ...]] = []
    for name, cost in run.record.costs.items():
        if "phases" not in cost:
            continue
        rows.append((name, "load", 0, 0, cost["load_seconds"]))
        for phase in cost["phases"]:
            kind = "latency" if phase["batch_size"] == 1 else "throughput"
            rows += [
                (name, kind, phase["batch_size"], i, seconds)
                for i, seconds in enumerate(phase["seconds"])
            ]
    write_atomically(run.folder / TIMING, parquet(rows, COLUMNS[TIMING]))


def cost_rows(run: Run) -> list[dict[str, Any]]:
    """The rows of the results table about cost."""
    return [result_row(name, row) for name in run.batches for row in _rows(run, name)]


def _rows(run: Run, name: str) -> list[MetricResult]:
    cost = run.record.costs.get(name, {})
    facts = run.record.generators.get(name, {})
    rows = _timed_rows(run, cost) if "phases" in cost else []
    parameters = cost.get("parameters") or facts.get("parameters")
    if parameters:
        rows.append(
            MetricResult(metric="parameters", value=float(parameters), unit="", direction="lower")
        )
    nfe = [entry.nfe for entry in run.entries(name) if entry.status == "ok"]
    if nfe and facts.get("family") != "folder":
        mean = sum(nfe) / len(nfe)
        rows.append(
            MetricResult(
                metric="nfe",
                value=mean,
                unit="evaluations/image",
                direction="lower",
                images=len(nfe),
            )
        )
    if facts.get("training_seconds"):
        protocol = {"device": facts.get("training_device"), "images": facts.get("training_images")}
        rows.append(
            MetricResult(
                metric="training_seconds",
                value=float(facts["training_seconds"]),
                unit="s",
                direction="lower",
                protocol=protocol,
            )
        )
    return rows


def _timed_rows(run: Run, cost: Mapping[str, Any]) -> list[MetricResult]:
    protocol = {
        **cost["mark"]["machine"],
        **cost["mark"]["timing"],
        "own_process": cost["own_process"],
    }
    timings = {p["batch_size"]: Timing(seconds=tuple(p["seconds"])) for p in cost["phases"]}
    best = max(timings, key=lambda size: size / timings[size].p50)
    one = timings[1]
    return [
        MetricResult(
            metric="latency_seconds",
            value=one.p50,
            unit="s",
            direction="lower",
            protocol={**protocol, "batch_size": 1, "p90": one.p90, "calls": len(one.seconds)},
        ),
        MetricResult(
            metric="images_per_second",
            value=best / timings[best].p50,
            unit="images/s",
            direction="higher",
            protocol={**protocol, "batch_size": best, "calls": len(timings[best].seconds)},
        ),
        MetricResult(
            metric="load_seconds",
            value=cost["load_seconds"],
            unit="s",
            direction="lower",
            protocol=protocol,
        ),
        MetricResult(
            metric="peak_memory_bytes",
            value=float(cost["peak_memory_bytes"]),
            unit="bytes",
            direction="lower",
            protocol={
                **protocol,
                "counts": "tensors" if run.device.startswith("cuda") else "the process",
            },
            note=None
            if cost["own_process"]
            else "of the whole process, which held other things too",
        ),
    ]


def main() -> None:
    """Time the generator that standard input describes; one line of JSON on standard output."""
    from gandiff.experiments.plugins.registry import make_generator

    job = json.load(sys.stdin)
    out = sys.stdout
    sys.stdout = sys.stderr  # whatever a library prints
    try:
        generator = make_generator(job["name"], job["type"], job["settings"], Path(job["base"]))
        measured = measure_generator(generator, job)
    except Exception as error:  # whatever it is, the last line says what, and the run goes on
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")
    print(json.dumps(measured), file=out)


if __name__ == "__main__":
    main()
