"""A storm of kills over trainings of a GAN: ``python training_storm.py FOLDER KILLS SEED``.

As ``storm_helpers``: the libraries are loaded once, and every training is a fork.
"""

from __future__ import annotations

import itertools
import json
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from storm_helpers import begin, wait
from training_helpers import little_to_check, read

from gandiff.common.lock import HOLDER
from gandiff.experiments.training.checkpoints import CHECKPOINT, read_checkpoint
from gandiff.experiments.training.text.record import TEXT_PARTS

TRAIN = ["train", "gan", "--resolution", "8", "--kimg", "0.096", "--batch-size", "8"]
TRAIN += ["--ticks", "2", "--device", "cpu", "--dtype", "float32"]
WEIGHTS = ("model.safetensors", "best/model.safetensors", "text_encoder/model.safetensors")
_CLOCK = ("seconds", "images_per_second")


def command(folder: Path) -> list[str]:
    """What a person types: ``--resume`` once there is something to resume."""
    return [*TRAIN, *(["--resume"] if (folder / CHECKPOINT).is_file() else [])]


def images(folder: Path) -> int:
    """How far the checkpoint is; the text encoder comes first, and then it is removed."""
    path = folder / CHECKPOINT
    if not path.is_file():
        return int((folder / "text_training.json").is_file())
    saved = read_checkpoint(path)
    return 1 + int(saved["progress"]["images"]) * (saved["label"] == "GAN")


def ticks(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    """What was measured, but for the clock."""
    return [{k: v for k, v in row.items() if k not in _CLOCK} for row in rows if "score" in row]


def same(one: Any, other: Any) -> bool:
    """Whether two states of a checkpoint are the same, to the last bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def faults(folder: Path, whole: Path) -> Iterator[str]:
    """How a training that came to its end differs from the undisturbed one."""
    for name in WEIGHTS:
        if (folder / name).read_bytes() != (whole / name).read_bytes():
            yield f"another {name}"
    pictures = [
        {p.name: p.read_bytes() for p in (one / "samples").iterdir()} for one in (folder, whole)
    ]
    if pictures[0] != pictures[1]:
        yield f"other samples: {sorted(pictures[0])}"
    states = [read_checkpoint(one / CHECKPOINT)["state"] for one in (folder, whole)]
    if not same(*states):
        yield "another state"
    records = [read(one) for one in (folder, whole)]
    for name in ("images", "steps", "finished", "recipe", "rollbacks", "truncation"):
        if records[0][name] != records[1][name]:
            yield f"{name} is {records[0][name]}, not {records[1][name]}"
    log = [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]
    for rows in (records[0]["ticks"], log):
        if ticks(rows) != ticks(records[1]["ticks"]):
            yield f"other or doubled measurements: {ticks(rows)}"
    if [row["kimg"] for row in log] != sorted(row["kimg"] for row in log):
        yield "doubled rows of the log"
    if left := [path.name for path in folder.rglob("*") if ".tmp" in path.name]:
        yield f"half-written files {left}"
    if left := [path.name for path in folder.rglob(".text-*")]:
        yield f"half a text encoder {left}"
    if not all((folder / part).is_dir() for part in TEXT_PARTS):
        yield "a part of the text encoder is missing"


def storm(base: Path, kills: int, seed: int) -> dict[str, Any]:
    """Kill trainings at random moments until there are so many kills; resume each to its end."""
    rng, whole, start = random.Random(seed), base / "whole", time.monotonic()
    code = wait(begin(command(whole), whole), 300)
    seconds = time.monotonic() - start
    seen: dict[str, Any] = {"kills": 0, "trainings": 0, "faults": [], "stages": {}}
    seen["seconds"] = round(seconds, 2)
    if code != 0:
        return {**seen, "faults": [f"undisturbed: {code}", Path(f"{whole}.stderr").read_text()]}
    while seen["kills"] < kills:
        folder, kept = base / f"training-{seen['trainings']}", 0
        for attempt in range(1000):
            last = seen["kills"] >= kills or attempt > 12
            child = begin(command(folder), folder)
            code = wait(child, 300 if last else seconds * rng.random() ** 2)  # early, too
            if code not in (0, -signal.SIGKILL):
                seen["faults"] += [f"exit {code}", Path(f"{folder}.stderr").read_text()[-500:]]
                break
            now = images(folder)
            if now < kept:
                seen["faults"].append(f"{folder.name}: {kept} images became {now}")
            kept = now
            if code == 0:
                seen["faults"] += [f"{folder.name}: {fault}" for fault in faults(folder, whole)]
                break
            seen["kills"] += 1
            stage = reached(folder)
            seen["stages"][stage] = seen["stages"].get(stage, 0) + 1
        seen["trainings"] += 1
        shutil.rmtree(folder)
    return seen


def reached(folder: Path) -> str:
    """The last stage that left something in the folder."""
    marks = {
        "end": "model.safetensors",
        "ticks": "best/training.json",
        "GAN": "samples/reals.png",
        "text encoder made": "text_training.json",
        "text encoder": CHECKPOINT,
    }
    return next((name for name, mark in marks.items() if (folder / mark).is_file()), "start")


OTHERS = (["--seed", "1"], ["--resume"], ["--overwrite"], ["--sweep", "lr=1,2"])


def second_writers(base: Path) -> tuple[int, list[str]]:
    """Ask for other trainings in the folder of one from its start to its first measurement.

    Returns how many were refused, and what is wrong.
    """
    folder, wrong, refused = base / "one", [], 0
    first = begin(command(folder), folder)
    while not (folder / HOLDER).is_file():
        time.sleep(0.001)
    for more in itertools.cycle(OTHERS):
        if (folder / "best/training.json").is_file():
            break
        code = wait(begin([*TRAIN, *more], folder), 60)
        said = Path(f"{folder}.stderr").read_text()
        refused += code == 2
        if code != 2 or f"is being written by another process (id {first})" not in said:
            wrong.append(f"{more}: exit {code}: {said[-300:]}")
    code = wait(first, 300)
    wrong += [f"exit {code}"] if code else faults(folder, base / "whole")
    return refused, wrong


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    import_module("transformers.models.clip.modeling_clip")
    with little_to_check(20, whole_ticks=True):
        base = Path(sys.argv[1])
        seen = storm(base, *map(int, sys.argv[2:4]))
        seen["refused"], wrong = second_writers(base)
    print(json.dumps({**seen, "faults": [*seen["faults"], *wrong]}))
