"""Two generators on the same prompts: paired differences, corrected for many comparisons.

Prompts that equal pictures tie together are one (``gandiff.evaluate.clusters``).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from gandiff.evaluate.numerics.statistics import (
    CHUNK,
    add_up,
    bootstrap_ratio,
    could_be_empty,
    deviation,
    percentile_interval,
    resampled_sums,
)
from gandiff.evaluate.result import Interval, reaching_0

MIN_PAIRS = 6  # of five prompts that agree, p is 2 / 32: no fewer show a difference
_ALL_SIGNS = 13  # numbers that differ up to which all 2^13 patterns of signs are gone through


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
    """Each side's mean for every prompt that both have a value for.

    The sides are compared by their means, or, of a metric that is a ratio of sums over prompts, by
    the sum of each over that of its denominators in ``below`` (a, b; None: 1 everywhere).
    """

    prompts: list[str]
    a: Float[np.ndarray, " g"]
    b: Float[np.ndarray, " g"]
    below: tuple[Float[np.ndarray, " g"], Float[np.ndarray, " g"]] | None = None

    @property
    def values(self) -> tuple[float, float]:
        """What each side has over these prompts."""
        below = self._below
        return float(self.a.sum() / below[0].sum()), float(self.b.sum() / below[1].sum())

    @property
    def differences(self) -> Float[np.ndarray, " g"]:
        """How much more a has in each prompt, in the unit of ``values``.

        Where the denominators of a prompt differ, each side counts by how far it is above what it
        would have at the ratio of both together.
        """
        (a, b), (over_a, over_b) = (self.a, self.b), self._below
        together = (a.sum() + b.sum()) / (over_a.sum() + over_b.sum())
        apart: np.ndarray = (a - b) - together * (over_a - over_b)
        return apart / self._level

    @property
    def _level(self) -> float:
        """What is below a side in a prompt, on average of both."""
        over_a, over_b = self._below
        return float(over_a.mean() + over_b.mean()) / 2

    @property
    def _below(self) -> tuple[Float[np.ndarray, " g"], Float[np.ndarray, " g"]]:
        return self.below or (np.ones(len(self.a)), np.ones(len(self.a)))

    def flipped(self) -> PairedMeans:
        """The same seen from b."""
        below = None if self.below is None else self.below[::-1]
        return dataclasses.replace(self, a=self.b, b=self.a, below=below)

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
        """a - b over the prompts, with an interval that bootstraps the prompts and a p value that
        flips the signs of their differences (two-sided, never 0; every pattern of signs where at
        most 13 differ, else so many at random); both move the prompts of one cluster together. The
        interval reaches to 0 where the p value does not deny it; fewer than 6 have none, nor do
        those in which one side could have nothing below.
        """
        differences = self.differences
        sums, counts = add_up(self.labels(cluster_of), differences, np.ones(len(differences)))
        p_value = _sign_flip_p(sums, seed, permutations)
        if self.below is None:
            found = bootstrap_ratio(sums, counts, seed, resamples)
        else:
            found = self._resampled(_minus, cluster_of, seed, resamples)
        interval = _reaching_0(found, p_value)
        if len(sums) < MIN_PAIRS:
            interval = Interval(value=interval.value)
        spread = deviation(sums / counts)
        return PairedDifference(
            difference=interval.value,
            low=interval.low,
            high=interval.high,
            win_rate=float(np.mean(differences > 0) + np.mean(differences == 0) / 2),
            p_value=p_value,
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
        permutations: int = 10_000,
    ) -> Interval:
        """How much farther from a target a lies than b: |a - target| - |b - target|, bootstrapped
        over the prompts of both sides, and what is below them, at once.

        The difference of the values says nothing of it where they lie on both sides of the target.
        The interval reaches to 0 where trading a for b in some prompts does not deny it, which is
        the test of ``difference`` where both lie on one side.
        """

        over_a, over_b = self._below
        # What is left of the target: exact where both sides are as far.
        left = dataclasses.replace(self, a=self.a - target * over_a, b=self.b - target * over_b)
        found = left._resampled(_farther, cluster_of, seed, resamples)
        (apart,) = add_up(self.labels(cluster_of), self.differences)
        if len(apart) < MIN_PAIRS:
            return found
        # With D the sum of a - b and S that of a + b, ||A| - |B|| is the smaller of |D| and |S|;
        # a trade turns the sign of a part of D and leaves S as it is.
        most = abs(float(left.a.sum() + left.b.sum())) / self._level
        return _reaching_0(found, _sign_flip_p(apart, seed, permutations, most))

    def _resampled(
        self,
        statistic: Callable[[np.ndarray, np.ndarray], np.ndarray],
        cluster_of: Mapping[str, str] | None,
        seed: int,
        resamples: int,
    ) -> Interval:
        """A statistic of both sides' values, and its interval over prompts, if there is one."""
        columns = add_up(self.labels(cluster_of), self.a, self.b, *self._below)
        a, b, over_a, over_b = (column.sum() for column in columns)
        value = float(statistic(np.asarray(a / over_a), np.asarray(b / over_b)))
        groups = len(columns[0])
        if groups < MIN_PAIRS or any(could_be_empty(column) for column in columns[2:]):
            return Interval(value=value)
        a, b, over_a, over_b = resampled_sums(columns, seed, resamples)
        return percentile_interval(value, statistic(a / over_a, b / over_b), groups)


def _minus(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(a - b)


def _farther(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(a) - np.abs(b))


def paired_means(
    a_values: Float[np.ndarray, " n"],
    a_groups: Sequence[str],
    b_values: Float[np.ndarray, " m"],
    b_groups: Sequence[str],
    below: tuple[Float[np.ndarray, " n"], Float[np.ndarray, " m"]] | None = None,
) -> PairedMeans:
    """Pair two sides by prompt; ``below`` are the denominators of each side's values.

    ``ValueError`` if no prompt has a value (not NaN) on both, or nothing is below one of them.
    """
    a, b = _group_means(a_values, a_groups), _group_means(b_values, b_groups)
    common = [group for group in a if group in b]
    if not common:
        raise ValueError("the two sides have no prompt in common that both have values for")

    def column(side: Mapping[str, float]) -> Float[np.ndarray, " g"]:
        return np.array([side[group] for group in common])

    means = PairedMeans(prompts=common, a=column(a), b=column(b))
    if below is None or all((np.isnan(c) | (c == 1)).all() for c in below):
        return means
    over_a, over_b = _group_means(below[0], a_groups), _group_means(below[1], b_groups)
    means = dataclasses.replace(means, below=(column(over_a), column(over_b)))
    if not all(one.sum() > 0 for one in means.below or ()):
        raise ValueError("nothing is below one of the two sides")
    return means


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


def _reaching_0(interval: Interval, p_value: float) -> Interval:
    low, high = reaching_0(interval.low, interval.high, p_value)
    return dataclasses.replace(interval, low=low, high=high)


def _sign_flip_p(
    differences: Float[np.ndarray, " g"], seed: int, permutations: int, most: float = math.inf
) -> float:
    """How often a sum with signs at random is as large as the one found; none counts as more than
    ``most``.
    """
    moved = differences[differences != 0]  # the sign of 0 changes nothing
    # A relative slack counts permutations that equal the observed sum but for rounding.
    observed = min(abs(float(moved.sum())), most) * (1 - 1e-12)
    if len(moved) <= _ALL_SIGNS:
        patterns = np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved)) & 1
        return float(np.mean(np.abs((2.0 * patterns - 1) @ moved) >= observed))
    rng = np.random.default_rng(seed)
    step = max(1, CHUNK // len(moved))
    extreme = 0
    for start in range(0, permutations, step):
        shape = (min(step, permutations - start), len(moved))
        signs = rng.integers(0, 2, size=shape, dtype=np.int8).astype(np.float64) * 2 - 1
        extreme += int(np.sum(np.abs(signs @ moved) >= observed))
    return (1 + extreme) / (1 + permutations)
