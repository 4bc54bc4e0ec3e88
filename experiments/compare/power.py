"""How many prompts a run would need to see a given difference between its generators."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gandiff.common.errors import RequestError
from gandiff.evaluate.numerics.paired import MIN_PAIRS
from gandiff.evaluate.numerics.power import detectable_difference, prompts_needed
from gandiff.evaluate.numerics.statistics import add_up, deviation
from gandiff.experiments.compare.names import find_metric
from gandiff.experiments.compare.tables import RunTables, open_tables
from gandiff.experiments.runs.tables import tied_prompts


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairPower:
    """What one pair of generators takes, in the unit of the metric.

    ``deviation`` is that of the prompts' differences (None: fewer than 2 prompts have values),
    ``difference`` the one found (a minus b). ``needed`` is the number of prompts that shows the
    difference asked for (None: nothing to go by, or more than 10^9), ``detectable`` the smallest
    difference that the run's ``prompts`` show (None: fewer than 6); of these, those with equal
    pictures count as one.
    """

    a: str
    b: str
    metric: str
    prompts: int
    difference: float | None
    deviation: float | None
    needed: int | None
    detectable: float | None


def power_of_run(
    run: Path,
    *,
    metric: str,
    difference: float,
    generators: Sequence[str] | None = None,
    power: float = 0.8,
) -> list[PairPower]:
    """For each pair of a run's generators: how many prompts would show ``difference`` with this
    power, and what the prompts that there are would show.

    The metric must have a score of every image. Raises ``RequestError``.
    """
    if not (math.isfinite(difference) and difference):
        raise RequestError(f"the difference to see is {difference}; give a number other than 0")
    if not 0.5 <= power < 1:
        raise RequestError(f"the power is {power}; give a number from 0.5 up to, but not, 1")
    tables = open_tables(run)
    name = _scored_metric(tables, metric)
    names = [tables.generator(n) for n in generators or tables.generators]
    names = [n for n in dict.fromkeys(names) if (n, name) in tables.scores]
    if len(names) < 2:
        raise RequestError(
            f"{run} has scores of {name} for {' and '.join(names) or 'no generator'} of those "
            "asked for; a difference needs 2"
        )
    pairs = itertools.combinations(names, 2)
    return [_pair(tables, a, b, name, difference, power) for a, b in pairs]


def _scored_metric(tables: RunTables, metric: str) -> str:
    scored = list(dict.fromkeys(name for _, name in tables.scores))
    known = list(dict.fromkeys([*scored, *tables.metrics]))
    name = find_metric(metric, known)
    if name not in scored:
        raise RequestError(
            f"{name} has no score of each image in {tables.name}, so its differences are not paired"
            + (f"; {', '.join(scored)} have" if scored else "")
        )
    return name


def _pair(
    tables: RunTables, a: str, b: str, metric: str, difference: float, power: float
) -> PairPower:
    x, y = tables.scores[a, metric], tables.scores[b, metric]
    try:
        means = x.paired_with(y)
        differences, (ours, theirs) = means.differences, means.values
        labels = means.labels(tied_prompts((tables.data, a), (tables.data, b)))
    except ValueError:  # no prompt for which both have a value
        differences, labels, ours, theirs = x.values[:0], [], 0.0, 0.0
    sums, counts = add_up(labels, differences, np.ones(len(differences)))
    spread, prompts = deviation(sums / counts), len(sums)
    return PairPower(
        a=a,
        b=b,
        metric=metric,
        prompts=prompts,
        difference=ours - theirs if prompts else None,
        deviation=spread,
        needed=prompts_needed(difference, spread, power) if spread else None,
        detectable=detectable_difference(spread, prompts, power)
        if spread and prompts >= MIN_PAIRS
        else None,
    )
