"""Two generators on the same prompts: paired differences, corrected for many comparisons.

Prompts that equal pictures tie together are one (``gandiff.evaluate.clusters``).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from gandiff.evaluate.numerics.statistics import (
    CHUNK,
    MIN_GROUPS,
    add_up,
    bootstrap_ratio,
    deviation,
    percentile_interval,
    resampled_sums,
)
from gandiff.evaluate.result import Interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """How much more generator a has than b over the prompts that both have.

    ``win_rate`` is the share of prompts where a's value is the greater one, ties counting half;
    whether greater is better is for the caller to know. ``clusters`` counts the prompts, those with
    equal pictures as one. ``deviation`` is the standard deviation of their differences (n - 1; None
    for one), ``effect_size`` the difference over it (d_z in Cohen 1988, section 2.3.5; None where
    they do not vary).
    """

    difference: float
    low: float | None
    high: float | None
    win_rate: float
    p_value: float
    prompts: int
    clusters: int
    effect_size: float | None
    deviation: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairedMeans:
    """Each side's mean for every prompt that both have a value for."""

    prompts: list[str]
    a: Float[np.ndarray, " g"]
    b: Float[np.ndarray, " g"]

    def labels(self, cluster_of: Mapping[str, str] | None) -> list[str]:
        """The cluster of each prompt; without any, each is its own."""
        return [cluster_of.get(p, p) for p in self.prompts] if cluster_of else self.prompts

    def difference(
        self,
        *,
        cluster_of: Mapping[str, str] | None = None,
        seed: int = 0,
        resamples: int = 2000,
        permutations: int = 10_000,
    ) -> PairedDifference:
        """The mean over prompts of a - b, with an interval that bootstraps the prompts and a p
        value that flips the signs of their differences at random (two-sided, never 0); both move
        the prompts of one cluster together.
        """
        differences = self.a - self.b
        sums, counts = add_up(self.labels(cluster_of), differences, np.ones(len(differences)))
        interval = bootstrap_ratio(sums, counts, seed, resamples)
        spread = deviation(sums / counts)
        return PairedDifference(
            difference=interval.value,
            low=interval.low,
            high=interval.high,
            win_rate=float(np.mean(differences > 0) + np.mean(differences == 0) / 2),
            p_value=_sign_flip_p(sums, seed, permutations),
            prompts=len(differences),
            clusters=len(sums),
            effect_size=interval.value / spread if spread else None,
            deviation=spread,
        )

    def distance_difference(
        self,
        target: float,
        *,
        cluster_of: Mapping[str, str] | None = None,
        seed: int = 0,
        resamples: int = 2000,
    ) -> Interval:
        """How much farther from a target the mean of a lies than that of b: |a - target| -
        |b - target|, bootstrapped over the prompts of both sides at once.

        The difference of the values says nothing of it where they lie on both sides of the target.
        """
        ones = np.ones(len(self.a))
        sides = (self.a - target, self.b - target)
        a, b, counts = add_up(self.labels(cluster_of), *sides, ones)
        value = float((abs(a.sum()) - abs(b.sum())) / counts.sum())
        if len(a) < MIN_GROUPS:
            return Interval(value=value)
        ours, theirs, number = resampled_sums([a, b, counts], seed, resamples)
        return percentile_interval(value, (np.abs(ours) - np.abs(theirs)) / number, len(a))


def paired_means(
    a_values: Float[np.ndarray, " n"],
    a_groups: Sequence[str],
    b_values: Float[np.ndarray, " m"],
    b_groups: Sequence[str],
) -> PairedMeans:
    """Pair two sides by prompt; ``ValueError`` if no prompt has a value (not NaN) on both."""
    a, b = _group_means(a_values, a_groups), _group_means(b_values, b_groups)
    common = [group for group in a if group in b]
    if not common:
        raise ValueError("the two sides have no prompt in common that both have values for")
    sides = (np.array([side[group] for group in common]) for side in (a, b))
    return PairedMeans(prompts=common, a=next(sides), b=next(sides))


def paired_difference(
    a_values: Float[np.ndarray, " n"],
    a_groups: Sequence[str],
    b_values: Float[np.ndarray, " m"],
    b_groups: Sequence[str],
    **how: Any,
) -> PairedDifference:
    """Compare two generators on the prompts for which both have a value (NaN: none); ``how`` are
    the keywords of ``PairedMeans.difference``.
    """
    return paired_means(a_values, a_groups, b_values, b_groups).difference(**how)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values for being several (Holm 1979): step-down Bonferroni, order kept, at most
    1.
    """
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def _group_means(values: Float[np.ndarray, " n"], groups: Sequence[str]) -> dict[str, float]:
    collected: dict[str, list[float]] = {}
    for value, group in zip(values, groups, strict=True):
        if not math.isnan(value):
            collected.setdefault(group, []).append(float(value))
    return {group: math.fsum(found) / len(found) for group, found in collected.items()}


def _sign_flip_p(differences: Float[np.ndarray, " g"], seed: int, permutations: int) -> float:
    # A relative slack counts permutations that equal the observed sum but for rounding.
    observed = abs(float(differences.sum())) * (1 - 1e-12)
    rng = np.random.default_rng(seed)
    step = max(1, CHUNK // len(differences))
    extreme = 0
    for start in range(0, permutations, step):
        shape = (min(step, permutations - start), len(differences))
        signs = rng.integers(0, 2, size=shape, dtype=np.int8).astype(np.float64) * 2 - 1
        extreme += int(np.sum(np.abs(signs @ differences) >= observed))
    return (1 + extreme) / (1 + permutations)
