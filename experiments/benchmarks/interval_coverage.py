"""Do the 95 % intervals cover? Simulated generators whose truth is known, one row a metric.

    python -m gandiff.experiments.benchmarks.interval_coverage --simulations 500

Each simulation draws features of prompts with correlated samples, measures as a run does, and looks
whether the interval holds the truth: the expectation at this number of images, found by many more
draws, or a closed form. The reference is drawn once and kept, as the intervals are defined.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from gandiff.evaluate.metric import Features, ImageRecord, MetricInput
from gandiff.evaluate.numerics.gaussian import GaussianStats, frechet_distance
from gandiff.evaluate.numerics.paired import paired_difference
from gandiff.evaluate.numerics.statistics import bootstrap_over_groups
from gandiff.evaluate.result import MetricSpec
from gandiff.experiments.plugins.factories import wants
from gandiff.experiments.plugins.registry import make_metric, metric_class
from gandiff.experiments.plugins.shipped import METRICS
from gandiff.experiments.scoring.folders import split_metrics

_MORE = 3  # times as many simulations find the truth


def metrics_of_features() -> list[str]:
    """Every built-in metric that takes an encoder, but near-duplicates: their interval is for a
    fixed threshold, and here the real images that give it are drawn again each time. What needs
    edits is the mean of an image's own number.
    """
    names = [
        name
        for name in METRICS
        if wants(metric := metric_class(MetricSpec(name)), "encoder")
        and name != "near_duplicates"
        and not getattr(metric, "needs_edit", ())
    ]
    specs = [make_metric(MetricSpec.of(name, encoder="scenes")).spec for name in names]
    return [*map(str, specs), "cmmd(encoder=scenes,estimator=unbiased)"]


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
    world: World, metrics: Sequence[str], simulations: int = 500, seed: int = 0
) -> list[Coverage]:
    """Measure in many simulations; the truth is the mean over ``_MORE`` times as many others."""
    made = [make_metric(MetricSpec.parse(metric)) for metric in metrics]
    rng = np.random.default_rng(seed)
    real = rng.normal(size=(world.references, world.width)).astype(np.float32)
    total = (1 + _MORE) * simulations
    found = np.full((total, len(made), 3), np.nan)  # value, low, high
    for turn in tqdm(range(total), desc="simulations", delay=2.0, leave=False):
        data = _input(world, real, rng, turn)
        for column, metric in enumerate(made):
            row = metric.measure(data).results[0]
            found[turn, column] = row.value, row.low, row.high
    exact = [metric.startswith("fd_inf") for metric in metrics]
    truths = np.where(exact, _distance(world, real), found[simulations:, :, 0].mean(axis=0))
    return [
        _coverage(metric, float(truth), intervals)
        for metric, truth, intervals in zip(
            metrics, truths, found[:simulations, :, 1:].swapaxes(0, 1), strict=True
        )
    ]


def _coverage(metric: str, truth: float, intervals: Float[np.ndarray, "n 2"]) -> Coverage:
    low, high = intervals.T
    return Coverage(
        metric=metric,
        truth=truth,
        covered=float(((low <= truth) & (truth <= high)).mean()),
        width=float(np.median(high - low)),
        simulations=len(intervals),
    )


def _distance(world: World, real: np.ndarray) -> float:
    """Of the generator's true Gaussian from the reference, which FD-infinity estimates."""
    true = GaussianStats(
        count=2,
        mean=np.full(world.width, world.shift),
        root=world.scale * np.eye(world.width),
    )
    return frechet_distance(true, GaussianStats.of(real))


def _draw(world: World, rng: np.random.Generator) -> np.ndarray:
    """Features of whole prompts in a row, each coordinate with variance ``scale`` squared."""
    shape = (world.prompts, world.samples, world.width)
    centres = rng.normal(size=(world.prompts, 1, world.width)) * np.sqrt(world.between)
    rows = centres + rng.normal(size=shape) * np.sqrt(1 - world.between)
    placed: np.ndarray = (rows * world.scale + world.shift).reshape(-1, world.width)
    return placed.astype(np.float32)


def _input(world: World, real: np.ndarray, rng: np.random.Generator, turn: int) -> MetricInput:
    plain = dataclasses.replace(world, scale=1.0, shift=0.0)
    sets = {"made": _draw(world, rng), "real": real, "matched": _draw(plain, rng)}
    images = {
        name: [
            ImageRecord(
                path=Path(name), sha256=f"{name} {turn if name != 'real' else ''} {i}",
                group=f"p{i // world.samples}", sample=i % world.samples,
            )
            for i in range(len(rows))
        ]
        for name, rows in sets.items()
    }  # fmt: skip
    return MetricInput(
        images=images["made"],
        reference=images["real"],
        matched=images["matched"],
        features=_Drawn(sets),
        seed=turn,
    )


def mean_coverage(world: World, simulations: int = 500, seed: int = 0) -> list[Coverage]:
    """The same for means of scores of single images, and for paired differences of two
    generators: skewed scores, correlated within a prompt, truths in closed form.
    """
    rng = np.random.default_rng(seed)
    groups = [f"p{i // world.samples}" for i in range(world.prompts * world.samples)]
    intervals = np.full((2, simulations, 2), np.nan)  # of the mean and the difference: low, high
    for turn in range(simulations):
        hard = rng.exponential(size=(world.prompts, 1))  # shared by both generators, mean 1
        noise = rng.exponential(size=(2, world.prompts, world.samples))
        a, b = (hard + noise[0]).ravel(), (hard + 1.2 * noise[1]).ravel()
        mean = bootstrap_over_groups(a, groups, turn)
        pair = paired_difference(a, groups, b, groups, seed=turn)
        intervals[:, turn] = (mean.low, mean.high), (pair.low, pair.high)
    return [
        _coverage("mean over prompts", 2.0, intervals[0]),
        _coverage("paired difference", -0.2, intervals[1]),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Coverage of the 95 % intervals.")
    parser.add_argument("--simulations", type=int, default=500)
    parser.add_argument("--prompts", type=int, default=World.prompts)
    parser.add_argument("--samples", type=int, default=World.samples)
    parser.add_argument("--width", type=int, default=World.width, help="features an image")
    parser.add_argument("--metrics", default="", help="with commas between; all if empty")
    given = parser.parse_args(arguments)
    world = World(prompts=given.prompts, samples=given.samples, width=given.width)
    metrics = split_metrics(given.metrics) or metrics_of_features()
    rows = simulate(world, metrics, given.simulations) + mean_coverage(world, given.simulations)
    print(f"{'metric':46} {'truth':>9} {'width':>9} {'covered':>8}   ({given.simulations} each)")
    for row in rows:
        print(f"{row.metric:46} {row.truth:9.4g} {row.width:9.3g} {row.covered:8.3f}")


if __name__ == "__main__":
    main()
