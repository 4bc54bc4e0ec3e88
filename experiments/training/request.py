"""What the command line asks of a training, and why one may refuse."""

from __future__ import annotations

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """One training. ``minutes`` is a budget of wall time; ``command`` goes into the model card.

    ``data`` is ``scenes`` (the endless procedural stream) or a captioned image folder.
    """

    out: Path
    data: str = "scenes"
    resolution: int = 32  # px
    minutes: float = 30.0
    seed: int = 0
    resume: bool = False
    batch_size: int = 32
    device: str = "cpu"
    dtype: str = "float32"
    quiet: bool = False
    command: str = "gandiff train"
