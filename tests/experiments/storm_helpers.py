"""A storm of kills over whole runs: ``python storm_helpers.py FILE FOLDER KILLS SEED``.

The program loads the libraries once and forks for every run, so that a kill costs a second and not
the import of torch. It prints what became of the runs as one line of JSON.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from run_helpers import images, log_lines

TABLES = ("scores.parquet", "results.parquet", "differences.parquet")
_COSTS = ("latency_seconds", "images_per_second", "load_seconds", "peak_memory_bytes")


def begin(words: list[str], folder: Path) -> int:
    """Start a command that writes ``folder`` in a process group of its own; returns its id."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        problems = os.open(f"{folder}.stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(problems, 2)
        from gandiff.experiments.cli import main

        code = main([*words, "--out", str(folder), "--quiet"])
    finally:
        os._exit(code)


def wait(child: int, seconds: float) -> int:
    """Kill the process and its children after so many seconds; returns its exit code, -9 if so."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:  # before it has a group of its own
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def logged(folder: Path) -> dict[str, str]:
    """Every whole line of the log: the key of an image and the hash of its file."""
    log = folder / "images.jsonl"
    text = log.read_text(encoding="utf-8") if log.exists() else ""
    entries = [json.loads(line) for line in text.split("\n")[:-1]]
    return {entry["key"]: entry["sha256"] for entry in entries}


def tables(folder: Path) -> dict[str, Any]:
    """What was measured, but for the speed."""
    import pandas as pd

    frames = {name: pd.read_parquet(folder / name) for name in TABLES}
    return {
        name: frame[~frame["metric"].isin(_COSTS)].reset_index(drop=True)
        for name, frame in frames.items()
    }


def faults(folder: Path, whole: Path) -> Iterator[str]:
    """How a run that came to its end differs from the undisturbed one."""
    import pandas as pd

    if images(folder) != images(whole):
        yield "other images"
    lines = log_lines(folder)
    if len(lines) != len({line["key"] for line in lines}):
        yield "doubled lines"
    if {line["key"]: line["sha256"] for line in lines} != logged(whole):
        yield "another log"
    if left := [str(path.relative_to(folder)) for path in folder.rglob("*.tmp")]:
        yield f"half-written files {left}"
    for name, frame in tables(folder).items():
        if not frame.equals(tables(whole)[name]):
            yield f"another {name}:\n{pd.concat([frame, tables(whole)[name]])}"
    if not (folder / "report" / "report.html").is_file():
        yield "no report"
    if json.loads((folder / "run.json").read_text())["status"] != "done":
        yield "not done"


def storm(file: Path, base: Path, kills: int, seed: int) -> dict[str, Any]:
    """Kill runs at random moments until there are so many kills, and continue each to its end."""
    rng = random.Random(seed)
    whole = base / "whole"
    start = time.monotonic()
    code = wait(begin(["run", str(file)], whole), 120)
    seconds = time.monotonic() - start
    seen: dict[str, Any] = {"kills": 0, "runs": 0, "faults": [], "stages": {}}
    seen["seconds"] = round(seconds, 2)
    if code != 0:
        return {**seen, "faults": [f"undisturbed: {code}", Path(f"{whole}.stderr").read_text()]}
    while seen["kills"] < kills:
        folder = base / f"run-{seen['runs']}"
        kept: dict[str, str] = {}
        for attempt in range(1000):
            last = seen["kills"] >= kills or attempt > 12
            code = wait(
                begin(["run", str(file)], folder), 120 if last else rng.uniform(0.0, seconds)
            )
            now = logged(folder)
            if lost := [key for key, sha in kept.items() if now.get(key) != sha]:
                seen["faults"].append(f"{folder.name}: {len(lost)} images lost")
            kept = now
            if code == 0:
                break
            if code != -signal.SIGKILL:
                seen["faults"] += [f"exit {code}", Path(f"{folder}.stderr").read_text()[-500:]]
                break
            seen["kills"] += 1
            stage = reached(folder)
            seen["stages"][stage] = seen["stages"].get(stage, 0) + 1
        if code == 0:
            seen["faults"] += [f"{folder.name}: {fault}" for fault in faults(folder, whole)]
        seen["runs"] += 1
        shutil.rmtree(folder)
    return seen


def reached(folder: Path) -> str:
    """The last stage that left something in the folder."""
    marks = {
        "report": "report/report.html",
        "score": "scores.parquet",
        "features": "features/*/*.npy",
        "time": "timing.parquet",
        "generate": "images/*/*.png",
        "plan": "run.json",
    }
    return next((name for name, mark in marks.items() if any(folder.glob(mark))), "start")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for module in (
        "matplotlib.figure",
        "open_clip",
        "pandas",
        "pyarrow.parquet",
        "scipy.stats",
        "torch",
    ):
        import_module(module)
    for module in ("evaluate.extractors.scenes", "experiments.api", "reports.document"):
        import_module(f"gandiff.{module}")

    print(json.dumps(storm(*map(Path, sys.argv[1:3]), *map(int, sys.argv[3:5]))))
