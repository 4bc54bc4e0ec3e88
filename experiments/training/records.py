"""What training records say of progress and machine, and how they are written."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gandiff.common.devices import cpu_name
from gandiff.common.errors import RequestError
from gandiff.common.files import read_json, write_atomically
from gandiff.common.renamed import current_names
from gandiff.experiments.training.request import TrainingRequest

RECORD, TEXT_RECORD, CHECKPOINT = "training.json", "text_training.json", "checkpoint.pt"
TEXT_LABEL = "text encoder"  # of its checkpoint
_POINTS = 60  # of a curve


def read_record(path: Path) -> dict[str, Any]:
    """A record with the names of now; empty where there is none that can be read."""
    try:
        return current_names(read_json(path))
    except RequestError:
        return {}


def write_json(path: Path, data: Any) -> None:
    """Write readable JSON through a temporary name."""
    write_atomically(path, (json.dumps(data, indent=1) + "\n").encode())


@dataclasses.dataclass
class TrainingProgress:
    """How far a training is; saved with it.

    ``skipped`` counts images whose steps were rolled back: data are drawn at ``position``, so a
    batch that broke the training is not met again. ``commands`` has the command line of each start,
    with the images and seconds that were behind it. ``measuring`` is the part of the seconds that
    went to measurements at ticks. ``unmeasured``: the last of them was broken off.
    """

    seconds: float = 0.0
    measuring: float = 0.0
    images: int = 0
    steps: int = 0
    skipped: int = 0
    resumed: int = 0
    rollbacks: int = 0
    ticks: int = 0
    unmeasured: bool = False
    best: float = -math.inf
    commands: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    @property
    def position(self) -> int:
        """Where in the data the next batch starts."""
        return self.images + self.skipped

    def follow(self, record: Mapping[str, Any]) -> None:
        """Continue the record of an earlier part of the same training, of which this start was the
        last: its starts, and how often it was resumed and went back.
        """
        self.commands[:0] = record.get("commands", [])[:-1]
        self.resumed += record.get("resumed", 0)
        self.rollbacks += record.get("rollbacks", 0)


def training_record(
    request: TrainingRequest,
    progress: TrainingProgress,
    processes: int,
    events: Sequence[Mapping[str, Any]],
    rows: Sequence[Mapping[str, float]],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """What was asked, what it cost and how it went; the curve is thinned to 60 points."""
    import torch

    losses = [row for row in rows if "score" not in row]
    every = max(1, math.ceil(len(losses) / _POINTS))
    on_gpu = request.device.startswith("cuda")
    return {
        "command": request.command,
        "commands": progress.commands,
        "budget": {"kimg": request.kimg} if request.kimg else {"minutes": request.minutes},
        "data": request.data,
        "seed": request.seed,
        "seconds": round(progress.seconds, 1),
        "measuring_seconds": round(progress.measuring, 1),
        "images": progress.images,
        "steps": progress.steps,
        "resumed": progress.resumed,
        "rollbacks": progress.rollbacks,
        "batch_size": request.batch_size,
        "processes": processes,
        "device": request.device,
        "resolution": request.resolution,
        "threads": torch.get_num_threads(),
        "cpu": cpu_name(),
        **({"gpu": torch.cuda.get_device_name(request.device)} if on_gpu else {}),
        **facts,
        "events": list(events),
        "curve": losses[::every],
        "ticks": [row for row in rows if "score" in row],
    }
