"""What truncation does to a trained GAN: measured at several psi, and shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import UInt8

from gandiff.common.finished_training import REAL
from gandiff.common.grids import tile
from gandiff.experiments.training.monitors.base import Monitor

PSIS = (0.0, 0.25, 0.5, 0.7, 1.0)

# Pictures of captions at a psi, with the same noise at each.
AtPsi = Callable[[list[str], float], UInt8[np.ndarray, "n h w 3"]]


def truncation_sweep(sample: AtPsi, monitor: Monitor) -> dict[str, Any]:
    """What the monitor measures at several psi, on validation captions, and of real pictures; as
    fields of the training record.
    """
    rows = [
        {"truncation_psi": psi, **monitor.at_setting(sample(monitor.captions, psi))} for psi in PSIS
    ]
    return {"truncation": rows, REAL: monitor.real_against_real()}


def truncation_grid(sample: AtPsi, prompts: list[str]) -> UInt8[np.ndarray, "h w 3"]:
    """Rows are prompts, columns psi from 0 to 1, with one noise."""
    columns = [sample(prompts, psi) for psi in PSIS]
    pictures = np.stack(columns, 1).reshape(-1, *columns[0].shape[1:])
    return tile(pictures, len(PSIS))
