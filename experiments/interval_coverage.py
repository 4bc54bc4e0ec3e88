"""Do the 95 % intervals cover? Simulated generators whose truth is known, one row a metric.

    python -m gandiff.experiments.interval_coverage --simulations 500

Each simulation draws features of prompts with correlated samples, measures as ``gandiff score``
does, and looks whether the interval holds the truth: the expectation at this number of images, found
by many more draws, or a closed form. The reference is drawn once and kept, as in the intervals'
definition.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gandiff.evaluate.metric import Features, ImageRecord, Metric, MetricInput
from gandiff.evaluate.result import MetricSpec
from gandiff.experiments.plugins import make_metric

METRICS = (
    "fd(encoder=scenes)",
    "fd_inf(encoder=scenes)",
    "kid(encoder=scenes)",
    "cmmd(encoder=scenes,estimator=biased)",
    "cmmd(encoder=scenes,estimator=unbiased)",
    "precision(encoder=scenes,nearest_k=5)",
    "recall(encoder=scenes,nearest_k=5)",
    "density(encoder=scenes,nearest_k=5)",
    "coverage(encoder=scenes,nearest_k=5)",
    "vendi(encoder=scenes)",
    "diversity(encoder=scenes)",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class World:
    """A simulated generator: ``prompts`` x ``samples`` images with ``width`` features each.

    ``between`` is the share of the variance that lies between prompts; ``scale`` and ``shift``
    set it apart from the reference.
    """

    prompts: int = 100
    samples: int = 4
    width: int = 8
    references: int = 1000
    between: float = 0.5
    scale: float = 1.1
    shift: float = 0.15


@dataclasses.dataclass(frozen=True, kw_only=True)
class Coverage:
    """How often the interval of a metric held the truth."""

    metric: str
    truth: float
    covered: float
    width: float
    simulations: int


class _Drawn(Features):
    """Features by the images' names."""

    def __init__(self, sets: Mapping[str, np.ndarray]) -> None:
        self._sets = sets

    def __call__(self, encoder: str, images: Sequence[ImageRecord]) -> np.ndarray:
        del encoder
        return self._sets[images[0].sha256.partition(" ")[0]]

    def protocol(self, encoder: str) -> dict[str, Any]:
        return {"encoder": encoder}


def simulate(
    world: World, metrics: Sequence[str] = METRICS, simulations: int = 500, seed: int = 0
) -> list[Coverage]:
    """Measure in many simulations; the truth is the mean over five times as many others."""
    made = [make_metric(MetricSpec.parse(metric)) for metric in metrics]
    rng = np.random.default_rng(seed)
    fixed = {
        "real": rng.normal(size=(world.references, world.width)).astype(np.float32),
        "matched": _draw(dataclasses.replace(world, scale=1.0, shift=0.0), rng),
    }
    values = np.empty((6 * simulations, len(made)))
    low, high = (np.full((simulations, len(made)), np.nan) for _ in range(2))
    for turn in _shown(6 * simulations):
        data = _input(world, fixed, _draw(world, rng), turn)
        inner = turn < simulations
        for column, metric in enumerate(made):
            row = metric.measure(data).results[0]
            assert row.value is not None
            values[turn, column] = row.value
            if inner and row.low is not None and row.high is not None:
                low[turn, column], high[turn, column] = row.low, row.high
    truths = values[simulations:].mean(axis=0)
    covered = ((low <= truths) & (truths <= high)).mean(axis=0)
    return [
        Coverage(
            metric=metric,
            truth=float(truths[column]),
            covered=float(covered[column]),
            width=float(np.median(high[:, column] - low[:, column])),
            simulations=simulations,
        )
        for column, metric in enumerate(metrics)
    ]
