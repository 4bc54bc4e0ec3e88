"""Whether a finished generator copies: how near its pictures lie to those it was trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import UInt8
from scipy.spatial.distance import cdist

from gandiff.common.grids import tile
from gandiff.experiments.training.generators.trainer import GeneratorTrainer
from gandiff.experiments.training.monitors.base import SEED, Monitor
from gandiff.experiments.training.monitors.files import thumbnails

_SHOWN, _NEAREST = 8, 5
_SEARCHED = 4096  # training pictures that are searched; all of a smaller set
_QUERIES = 200


def nearest_neighbours(
    trainer: GeneratorTrainer, monitor: Monitor, seen: int | None = None
) -> tuple[dict[str, Any], UInt8[np.ndarray, "h w 3"]]:
    """How near generated pictures lie to training pictures, beside held-out ones; and a picture.

    ``seen`` is how many pictures of an endless stream were learned from; all if omitted.
    Distances are Euclidean between thumbnails of 8 px. ``ratio`` is the median distance of
    generated pictures to their nearest training picture over that of held-out ones: far below 1
    is memorising. The picture has generated pictures in its first column, their nearest training
    pictures beside them.
    """
    made = trainer.sample(monitor.prompts[:_QUERIES], SEED)
    train = _searched(trainer, seen)
    distances = cdist(thumbnails(made), thumbnails(train))
    facts: dict[str, Any] = {
        "searched": len(train),
        "median_distance": round(float(np.median(distances.min(1))), 4),
    }
    held = trainer.data.held_out(_QUERIES).images
    if len(held):
        real = cdist(thumbnails(held), thumbnails(train)).min(1)
        facts["median_distance_held_out"] = round(float(np.median(real)), 4)
        facts["ratio"] = round(float(np.median(distances.min(1)) / np.median(real)), 3)
    nearest = np.argsort(distances[:_SHOWN], axis=1)[:, :_NEAREST]
    rows = np.concatenate([made[:_SHOWN, None], train[nearest]], 1)
    return facts, tile(rows.reshape(-1, *made.shape[1:]), rows.shape[1])


def _searched(trainer: GeneratorTrainer, seen: int | None) -> UInt8[np.ndarray, "n h w 3"]:
    """Training pictures, each of them once: the latest of an endless stream, else those of a pass.

    Finite data are drawn pass by pass in new orders, so a stretch that spans two passes would have
    some pictures twice and others never; the first pass begins at 0.
    """
    count, step = trainer.data.count, 256
    n = min([_SEARCHED, *(most for most in (count, seen) if most)])
    passed = trainer.loop.progress.position if seen is None else seen
    start = max(0, passed - n) if count is None else 0
    parts = [trainer.data.batch(start + i, min(step, n - i)).images for i in range(0, n, step)]
    return np.concatenate(parts)
