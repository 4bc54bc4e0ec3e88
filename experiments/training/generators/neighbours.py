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
_SEARCHED = 100_000  # training pictures that are searched; all of a smaller set
_QUERIES = 200
_STEP = 256  # pictures that are read at once


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
    places = _searched(trainer, seen)
    parts = (places[i : i + _STEP] for i in range(0, len(places), _STEP))
    small = [thumbnails(trainer.data.batch(part.start, len(part)).images) for part in parts]
    train = np.concatenate(small)
    distances = cdist(thumbnails(made), train)
    facts: dict[str, Any] = {
        "searched": len(train),
        "median_distance": round(float(np.median(distances.min(1))), 4),
    }
    held = trainer.data.held_out(_QUERIES).images
    if len(held):
        real = cdist(thumbnails(held), train).min(1)
        facts["median_distance_held_out"] = round(float(np.median(real)), 4)
        facts["ratio"] = round(float(np.median(distances.min(1)) / np.median(real)), 3)
    nearest = np.argsort(distances[:_SHOWN], axis=1)[:, :_NEAREST]
    beside = [
        np.concatenate([trainer.data.batch(places[int(i)], 1).images for i in row])
        for row in nearest
    ]
    rows = np.concatenate([made[:_SHOWN, None], np.stack(beside)], 1)
    return facts, tile(rows.reshape(-1, *made.shape[1:]), rows.shape[1])


def _searched(trainer: GeneratorTrainer, seen: int | None) -> range:
    """Where the data have the training pictures, each of them once: the latest of an endless
    stream, else those of a pass.

    Finite data are drawn pass by pass in new orders, so a stretch that spans two passes would have
    some pictures twice and others never; the first pass begins at 0.
    """
    count = trainer.data.count
    if count is not None:
        return range(min([_SEARCHED, count, *([seen] if seen else [])]))
    passed = max(_NEAREST, trainer.loop.progress.position if seen is None else seen)
    return range(max(0, passed - _SEARCHED), passed)
