"""Simulated races: how often the verdict calls one of two generators better."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from verdict_helpers import ALIGNMENT, DIVERSITY, FD, both

from gandiff.evaluate.numerics.frechet import frechet_replicates
from gandiff.evaluate.numerics.gaussian import GaussianStats
from gandiff.evaluate.numerics.proportions import mean_over_groups
from gandiff.evaluate.result import MetricResult
from gandiff.experiments.runs.describe import about_metric
from gandiff.experiments.scoring.differences import Side, differences
from gandiff.reports.ground import Ground
from gandiff.reports.run_data import DifferenceRow, ResultRow
from gandiff.reports.verdict import verdict

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # minutes: make test-slow
RACES, PROMPTS, SAMPLES = 500, 60, 2
GROUPS = [f"p{i}" for i in range(PROMPTS) for _ in range(SAMPLES)]
FIELDS = {f.name for f in dataclasses.fields(DifferenceRow)}
REAL = GaussianStats.of(np.random.default_rng(0).normal(size=(3000, 4)))


def accuracy(rng, gap):
    """Right or wrong, by a chance that hangs on the prompt; four standard errors are 0.3."""
    chance = np.clip(rng.beta(2, 1.2, PROMPTS), 0, 1).repeat(SAMPLES)
    a = rng.random(len(GROUPS)) < chance
    b = rng.random(len(GROUPS)) < np.clip(chance + 0.3 * gap, 0, 1)
    return a.astype(float), b.astype(float)


def diversity(rng, gap):
    """Below the target of 1; four standard errors are 0.055."""
    prompts = rng.normal(0.8, 0.2, PROMPTS).repeat(SAMPLES)
    a, b = (prompts + rng.normal(0, 0.1, len(GROUPS)) for _ in range(2))
    return a, b + 0.055 * gap


def said(axis, rows, found):
    pairs = [DifferenceRow(**{k: v for k, v in one.items() if k in FIELDS}) for one in found]
    ground = Ground.of([], PROMPTS)
    return verdict(rows, pairs, both(), ("gan", "ddim"), ground)[axis].winner


def race_by_image(axis, metric, draw, rng, gap, turn):
    target = about_metric(metric).target
    sides, rows = [], []
    for name, values in zip(("gan", "ddim"), draw(rng, gap), strict=True):
        images = [(group, f"{name}{i}") for i, group in enumerate(GROUPS)]
        targets = {} if target is None else {metric: target}
        sides.append(Side(generator=name, images=images, values={metric: values}, targets=targets))
        interval = mean_over_groups(values, GROUPS, turn)
        rows.append(ResultRow(name, MetricResult.of(interval, about_metric(metric), metric=metric)))
    return said(axis, rows, differences(sides, turn))


def race_by_distance(rng, gap, turn):
    """Both make nearly the same of each prompt; the second one lies farther away, by four standard
    errors of 150 such races where it is shifted by 0.55.
    """
    prompts = rng.normal(size=(PROMPTS, 4)).repeat(SAMPLES, axis=0)
    sides, rows = [], []
    for name, shift in (("gan", 0.0), ("ddim", 0.55 * gap)):
        made = prompts + 0.3 * rng.normal(size=prompts.shape) + shift
        found = frechet_replicates(made, REAL, GROUPS, turn)
        sides.append(Side(generator=name, images=[], values={}, targets={}, replicates={FD: found}))
        about = about_metric(FD)
        rows.append(ResultRow(name, MetricResult.of(found.at_this_number(), about, metric=FD)))
    return said(1, rows, differences(sides, turn))


def races(axis, gap):
    rng = np.random.default_rng(axis)
    if axis == 1:
        return [race_by_distance(rng, gap, turn) for turn in range(RACES)]
    metric, draw = {0: (ALIGNMENT, accuracy), 2: (DIVERSITY, diversity)}[axis]
    return [race_by_image(axis, metric, draw, rng, gap, turn) for turn in range(RACES)]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_of_equal_generators_one_is_seldom_called_better(axis):
    better = sum(winner is not None for winner in races(axis, 0.0))
    assert better / RACES <= 0.07


@pytest.mark.parametrize(("axis", "winner"), [(0, "ddim"), (1, "gan"), (2, "ddim")])
def test_a_difference_of_four_standard_errors_is_called_so(axis, winner):
    found = races(axis, 1.0)
    assert sum(one == winner for one in found) / RACES >= 0.8
    assert sum(one not in (winner, None) for one in found) == 0
