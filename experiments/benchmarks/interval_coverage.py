"""Do the 95 % intervals cover? Simulated generators whose truth is known, one row a metric.

    python -m gandiff.experiments.benchmarks.interval_coverage --simulations 500

Each simulation draws features of prompts with correlated samples, measures as a run does, and looks
whether the interval holds the truth: the expectation at this number of images, found by many more
draws, or a closed form. The reference is drawn once and kept, as the intervals are defined.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gandiff.evaluate.metric import Features, ImageRecord, MetricInput
from gandiff.evaluate.result import MetricSpec
from gandiff.experiments.plugins.factories import wants
from gandiff.experiments.plugins.registry import METRICS, make_metric, metric_class

_MORE = 3  # times as many simulations find the truth


def metrics_of_features() -> list[str]:
    """Every built-in metric that takes an encoder, but near-duplicates: their interval is for a
    fixed threshold, and here the real images that give it are drawn again each time.
    """
    names = [
        name
        for name in METRICS
        if wants(metric_class(MetricSpec(name)), "encoder") and name != "near_duplicates"
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
    for turn in _shown(total):
        data = _input(world, real, rng, turn)
        for column, metric in enumerate(made):
            row = metric.measure(data).results[0]
            assert row.value is not None
            assert row.low is not None
            assert row.high is not None
            found[turn, column] = row.value, row.low, row.high
    truths = found[simulations:, :, 0].mean(axis=0)
    truths = _known(truths, world, real, metrics)
    low, high = found[:simulations, :, 1], found[:simulations, :, 2]
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


def _known(
    truths: np.ndarray, world: World, real: np.ndarray, metrics: Sequence[str]
) -> np.ndarray:
    """FD-infinity is the distance of the generator's true Gaussian: no simulation is needed."""
    from gandiff.evaluate.numerics.gaussian import GaussianStats, frechet_distance

    true = GaussianStats(
        count=2,
        mean=np.full(world.width, world.shift),
        root=world.scale * np.eye(world.width),
    )
    distance = frechet_distance(true, GaussianStats.of(real))
    exact = np.array([metric.startswith("fd_inf") for metric in metrics])
    known: np.ndarray = np.where(exact, distance, truths)
    return known


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


def _shown(total: int) -> Iterable[int]:
    from tqdm import tqdm

    shown: Iterable[int] = tqdm(range(total), desc="simulations", delay=2.0, leave=False)
    return shown


def mean_coverage(world: World, simulations: int = 500, seed: int = 0) -> list[Coverage]:
    """The same for means of scores of single images, and for paired differences of two
    generators: skewed scores, correlated within a prompt, truths in closed form.
    """
    from gandiff.evaluate.numerics.statistics import bootstrap_over_groups, paired_difference

    rng = np.random.default_rng(seed)
    groups = [f"p{i // world.samples}" for i in range(world.prompts * world.samples)]
    hits: dict[str, list[tuple[bool, float]]] = {"mean over prompts": [], "paired difference": []}
    for turn in range(simulations):
        hard = rng.exponential(size=(world.prompts, 1))  # shared by both generators, mean 1
        noise = rng.exponential(size=(2, world.prompts, world.samples))
        a, b = (hard + noise[0]).ravel(), (hard + 1.2 * noise[1]).ravel()
        mean = bootstrap_over_groups(a, groups, turn)
        pair = paired_difference(a, groups, b, groups, seed=turn, permutations=10)
        for name, low, high, truth in (
            ("mean over prompts", mean.low, mean.high, 2.0),
            ("paired difference", pair.low, pair.high, -0.2),
        ):
            assert low is not None
            assert high is not None
            hits[name].append((low <= truth <= high, high - low))
    return [
        Coverage(
            metric=name,
            truth=2.0 if name.startswith("mean") else -0.2,
            covered=float(np.mean([hit for hit, _ in found])),
            width=float(np.median([width for _, width in found])),
            simulations=simulations,
        )
        for name, found in hits.items()
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
    from gandiff.experiments.scoring.folders import split_metrics

    world = World(prompts=given.prompts, samples=given.samples, width=given.width)
    metrics = split_metrics(given.metrics) or metrics_of_features()
    rows = simulate(world, metrics, given.simulations) + mean_coverage(world, given.simulations)
    print(f"{'metric':46} {'truth':>9} {'width':>9} {'covered':>8}   ({given.simulations} each)")
    for row in rows:
        print(f"{row.metric:46} {row.truth:9.4g} {row.width:9.3g} {row.covered:8.3f}")


if __name__ == "__main__":
    main()
