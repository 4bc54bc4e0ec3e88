"""What the command line asks of a training."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

Precision = Literal["auto", "float32", "bfloat16"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """One training; ``command`` goes into the model card.

    The budget is ``minutes`` of wall time, or ``kimg`` thousand images where that is given: only
    the latter makes a run that can be repeated bit for bit, on the same CPU with the same
    settings. Another processor, another number of threads, and what ``dtype`` ``auto`` chooses
    there, round differently. ``batch_size`` counts the images of a step over all ``processes``,
    each of which works on its share in ``accumulate`` parts. ``data`` is ``scenes`` (the endless
    procedural stream) or a captioned image folder.
    """

    out: Path
    data: str = "scenes"
    resolution: int = 32  # px
    minutes: float = 30.0
    kimg: float | None = None
    seed: int = 0
    resume: bool = False
    batch_size: int = 32
    accumulate: int = 1
    processes: int = 1
    device: str = "cpu"
    dtype: Precision = "auto"
    text_encoder: str | None = None  # an id or a folder; None trains a small one
    monitor: str | None = None  # the encoder that ticks measure with; None needs no weights
    ticks: int = 24  # evaluations, picture grids and kept checkpoints over the whole budget
    keep: int = 1  # checkpoints
    tensorboard: bool = False
    quiet: bool = False
    command: str = "gandiff train"
