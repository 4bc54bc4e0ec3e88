"""Error bars: intervals over prompts.

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
CHUNK = 4_000_000  # resampling weights held at once
_NEVER = 5e-6  # a chance so small that a few thousand resamples do not see it


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
    value = float(numerators.sum() / denominators.sum())
    if len(numerators) < MIN_GROUPS:
        return Interval(value=value)
    above, below = resampled_sums([numerators, denominators], seed, resamples)
    return percentile_interval(value, above / below, len(numerators), confidence)


def ratio_of_sums(
    above: Float[np.ndarray, " g"], below: Float[np.ndarray, " g"], seed: int, resamples: int = 2000
) -> Interval:
    """``bootstrap_ratio``, or the value alone where a resample could have nothing below."""
    value = float(above.sum() / below.sum())
    if len(below) < MIN_GROUPS or could_be_empty(below):
        return Interval(value=value)
    return bootstrap_ratio(above, below, seed, resamples)


def could_be_empty(below: Float[np.ndarray, " g"]) -> bool:
    """Whether a resample could have only groups with nothing in this column."""
    return float(np.mean(below <= 0)) ** len(below) > _NEVER


def resampled_sums(
    columns: Sequence[Float[np.ndarray, " g"]], seed: int, resamples: int = 2000
) -> list[Float[np.ndarray, " r"]]:
    """The sum of each column over groups that are drawn with replacement, the same for all."""
    count = len(columns[0])
    rng = np.random.default_rng(seed)
    step = max(1, CHUNK // count)
    sums: list[list[np.ndarray]] = [[] for _ in columns]
    for start in range(0, resamples, step):
        chance = np.full(count, 1 / count)
        weights = rng.multinomial(count, chance, size=min(step, resamples - start)).astype(float)
        for found, column in zip(sums, columns, strict=True):
            found.append(weights @ column)
    return [np.concatenate(found) for found in sums]


def percentile_interval(
    value: float, draws: Float[np.ndarray, " r"], groups: int, confidence: float = 0.95
) -> Interval:
    """The widened percentiles of resampled values (see ``bootstrap_ratio``)."""
    reach = math.sqrt(groups / (groups - 1)) * student_t(confidence, groups - 1)
    tail = NormalDist().cdf(-reach)
    low, high = np.quantile(draws, [tail, 1 - tail])
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Replicates:
    """An estimate from all prompts, and without each of g equal parts of them (empty: too few).

    ``part_of`` is the part of each prompt.
    """

    value: float
    without: Float[np.ndarray, " g"]
    part_of: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def interval(self) -> Interval:
        """The delete-a-group jackknife interval."""
        return jackknife_interval(self.value, self.without)

    def minus(self, other: Replicates) -> Interval | None:
        """The difference of two estimates that left out the same prompts; None if they did not.

        What both owe to the prompts of a part cancels, as in any paired difference; so does a bias
        that hangs on the number of images alone.
        """
        if self.part_of != other.part_of or len(self.without) != len(other.without):
            return None
        return jackknife_interval(self.value - other.value, self.without - other.without)


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
