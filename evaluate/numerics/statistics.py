"""Error bars: intervals over prompts, paired differences, corrections for many comparisons.

Samples of one prompt are not independent, so every resampling moves whole prompts ("groups"), and
prompts that equal pictures tie together as one (``gandiff.evaluate.clusters``).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist

import numpy as np
from jaxtyping import Float, Int

from gandiff.evaluate.result import Interval

MIN_GROUPS = 5  # below this no interval is given: it would be a guess
_CHUNK = 4_000_000  # resampling weights held at once


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


def student_t(confidence: float, freedom: int) -> float:
    """Two-sided quantile of Student's t."""
    from scipy.special import stdtrit  # here, so that naming a metric does not load scipy

    return float(stdtrit(freedom, 0.5 + confidence / 2))


def group_labels(groups: Sequence[str]) -> Int[np.ndarray, " n"]:
    """Number the groups 0, 1, ... in the order in which they first appear."""
    numbers: dict[str, int] = {}
    labels = [numbers.setdefault(group, len(numbers)) for group in groups]
    return np.asarray(labels, dtype=np.int64)


def add_up(labels: Sequence[str], *columns: Float[np.ndarray, " n"]) -> list[np.ndarray]:
    """The sum of each column over the items of each label, in the order of their first appearance;
    a label with one item keeps its number bit for bit.
    """
    numbers = group_labels(labels)
    return [np.bincount(numbers, weights=column) for column in columns]


def partition_groups(groups: Sequence[str], parts: int, seed: int) -> Int[np.ndarray, " n"]:
    """Deal whole groups at random into at most ``parts`` parts of nearly equal number; the part
    of each item.
    """
    labels = group_labels(groups)
    count = int(labels.max()) + 1 if len(labels) else 0
    order = np.random.default_rng(seed).permutation(count)
    part_of_group = np.empty(count, dtype=np.int64)
    part_of_group[order] = np.arange(count) % max(1, min(parts, count))
    dealt: Int[np.ndarray, " n"] = part_of_group[labels]
    return dealt


def bootstrap_over_groups(
    values: Float[np.ndarray, " n"],
    groups: Sequence[str],
    seed: int,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> Interval:
    """Mean of the values and its interval, resampling groups with replacement; NaN values are
    left out.
    """
    values = np.asarray(values, dtype=np.float64)
    kept = ~np.isnan(values)
    if not kept.any():
        raise ValueError("there are no values to take a mean of: all are NaN or there are none")
    labels = [group for group, keep in zip(groups, kept, strict=True) if keep]
    sums, counts = add_up(labels, values[kept], np.ones(len(labels)))
    return bootstrap_ratio(sums, counts, seed, resamples, confidence)


def bootstrap_ratio(
    numerators: Float[np.ndarray, " g"],
    denominators: Float[np.ndarray, " g"],
    seed: int,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> Interval:
    """Ratio of two sums over groups and its percentile interval, resampling the groups.

    The percentiles are widened for few groups as in Hesterberg, "What Teachers Should Know About
    the Bootstrap" (2015), section 5.2: plain percentiles are too narrow by sqrt((g-1)/g) and by
    using z for t.
    """
    count = len(numerators)
    value = float(numerators.sum() / denominators.sum())
    if count < MIN_GROUPS:
        return Interval(value=value)
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // count)
    ratios = []
    for start in range(0, resamples, step):
        chance = np.full(count, 1 / count)
        weights = rng.multinomial(count, chance, size=min(step, resamples - start)).astype(float)
        ratios.append((weights @ numerators) / (weights @ denominators))
    reach = math.sqrt(count / (count - 1)) * student_t(confidence, count - 1)
    tail = NormalDist().cdf(-reach)
    low, high = np.quantile(np.concatenate(ratios), [tail, 1 - tail])
    return Interval(value=value, low=float(low), high=float(high))


def jackknife_variance(replicates: Float[np.ndarray, " g"]) -> float:
    """Variance from estimates that each leave out one of g equal parts: (g-1)/g times the sum of
    squared deviations (Kott, "The Delete-a-Group Jackknife", 2001).
    """
    parts = len(replicates)
    return float(np.sum((replicates - replicates.mean()) ** 2) * (parts - 1) / parts)


def jackknife_interval(
    value: float, replicates: Float[np.ndarray, " g"], confidence: float = 0.95
) -> Interval:
    """Interval around ``value`` from estimates that each leave out one of g equal parts.

    Student's t with g-1 degrees of freedom (Kott 2001).
    """
    parts = len(replicates)
    if parts < MIN_GROUPS:
        return Interval(value=value)
    reach = student_t(confidence, parts - 1) * math.sqrt(jackknife_variance(replicates))
    return Interval(value=value, low=value - reach, high=value + reach)


def jackknife_over_groups(
    statistic: Callable[[Int[np.ndarray, " k"]], float],
    groups: Sequence[str],
    seed: int,
    parts: int = 20,
    confidence: float = 0.95,
) -> Interval:
    """Interval of any statistic of the kept items (their indices), leaving out whole groups,
    ``parts`` times.
    """
    labels = partition_groups(groups, parts, seed)
    found = int(labels.max()) + 1 if len(labels) else 0
    value = statistic(np.arange(len(labels)))
    if found < MIN_GROUPS:
        return Interval(value=value)
    replicates = np.array([statistic(np.flatnonzero(labels != part)) for part in range(found)])
    return jackknife_interval(value, replicates, confidence)


def paired_difference(
    a_values: Float[np.ndarray, " n"],
    a_groups: Sequence[str],
    b_values: Float[np.ndarray, " m"],
    b_groups: Sequence[str],
    *,
    cluster_of: Mapping[str, str] | None = None,
    seed: int = 0,
    resamples: int = 2000,
    permutations: int = 10_000,
) -> PairedDifference:
    """Compare two generators on the prompts for which both have a value (NaN: none).

    The difference is the mean over prompts of (mean of a - mean of b), its interval bootstraps the
    prompts, the p value flips the signs of the prompts' differences at random (two-sided, never 0);
    both move prompts of one cluster together.
    """
    means = paired_means(a_values, a_groups, b_values, b_groups)
    differences = means.a - means.b
    sums, counts = add_up(means.labels(cluster_of), differences, np.ones(len(differences)))
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


def deviation(values: Float[np.ndarray, " n"]) -> float | None:
    """Standard deviation (n - 1), exactly 0 where all values are equal; None for fewer than 2."""
    if len(values) < 2:
        return None
    return float(values.std(ddof=1)) if np.ptp(values) else 0.0


def independent_difference(a: Interval, b: Interval) -> Interval:
    """a minus b from the intervals of two independent estimates of the same confidence.

    Each half-width is the root of the sum of the squares of the two that face it (Zou and Donner,
    "Construction of confidence limits about effect measures", 2008), so unequal halves keep
    their side. Without both intervals there is none.
    """
    value = a.value - b.value
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return Interval(value=value)
    return Interval(
        value=value,
        low=value - math.hypot(a.value - a.low, b.high - b.value),
        high=value + math.hypot(a.high - a.value, b.value - b.low),
    )


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
    step = max(1, _CHUNK // len(differences))
    extreme = 0
    for start in range(0, permutations, step):
        shape = (min(step, permutations - start), len(differences))
        signs = rng.integers(0, 2, size=shape, dtype=np.int8).astype(np.float64) * 2 - 1
        extreme += int(np.sum(np.abs(signs @ differences) >= observed))
    return (1 + extreme) / (1 + permutations)
