"""When one result is better than another by more than chance."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from gandiff.evaluate.result import MetricResult
from gandiff.reports.ground import Ground
from gandiff.reports.run_data import DifferenceRow, ResultRow

_ROUNDING = 1e-12  # of a value: differences smaller than that are none
LEVEL = 1.005  # ratios nearer to 1 than this read "1.00 times"
NO_GROUND = Ground()  # where nothing is known of prompts and anchors


def lookup(rows: Sequence[ResultRow]) -> dict[tuple[str, str], MetricResult]:
    """Index rows by generator and metric."""
    return {(row.generator, row.result.metric): row.result for row in rows}


def find_difference(
    differences: Sequence[DifferenceRow], a: str, b: str, metric: str
) -> DifferenceRow | None:
    """Return the paired comparison of a with b, turned round if it was written as b with a; one of
    0 prompts says that they have none in common.
    """
    for row in differences:
        if row.metric == metric and (row.difference is not None or row.prompts == 0):
            if (row.a, row.b) == (a, b):
                return row
            if (row.a, row.b) == (b, a):
                return row.flipped()
    return None


def goodness(result: MetricResult) -> float | None:
    """Return a number that is larger for a better value; None where no direction is known."""
    if result.value is None or result.direction == "none":
        return None
    if result.direction == "target":
        return None if result.target is None else -abs(result.value - result.target)
    return result.value if result.direction == "higher" else -result.value


def goodness_interval(result: MetricResult) -> tuple[float, float] | None:
    """Return the interval of ``goodness``, lower end first; None where there is no interval."""
    low, high = result.low, result.high
    if low is None or high is None or goodness(result) is None:
        return None
    if result.direction == "target" and result.target is not None:
        ends = (abs(low - result.target), abs(high - result.target))
        nearest = 0.0 if low <= result.target <= high else min(ends)
        return -max(ends), -nearest
    return (low, high) if result.direction == "higher" else (-high, -low)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gain:
    """By how much one result is better than another on the same prompts: a paired difference in
    the direction that is better, with its 95 % interval; of metrics with a target, how much nearer
    to it.
    """

    value: float
    low: float
    high: float
    prompts: int | None

    @property
    def flipped(self) -> Gain:
        """The same seen from the other side."""
        return dataclasses.replace(self, value=-self.value, low=-self.high, high=-self.low)


def paired_gain(result: MetricResult, difference: DifferenceRow | None) -> Gain | None:
    """What the paired difference of a result and another one (that minus this) says; None where
    there is none with an interval.
    """
    if difference is None or result.direction == "none":
        return None
    ends = (difference.difference, difference.low, difference.high)
    sign = 1 if result.direction == "higher" else -1
    if result.direction == "target":
        ends = (difference.farther, difference.farther_low, difference.farther_high)
    value, low, high = ends
    if value is None or low is None or high is None:
        return None
    value, low, high = (without_rounding(result, number) for number in (value, low, high))
    found = Gain(value=value, low=low, high=high, prompts=difference.prompts)
    return found if sign > 0 else found.flipped


def without_rounding(result: MetricResult, number: float) -> float:
    """0 in place of a difference to a result that is smaller than the rounding of its values."""
    least = _ROUNDING * max(abs(result.value or 0.0), abs(result.target or 0.0))
    return 0.0 if abs(number) < least else number


def doubt(
    ground: Ground, one: MetricResult, two: MetricResult, difference: DifferenceRow | None
) -> str | None:
    """What speaks against calling either better, whatever the intervals say (``Ground.doubt``)."""
    if difference is None:
        return ground.doubt(one, two, None)
    return ground.doubt(one, two, difference.prompts, difference.clusters)


def separated(
    better: MetricResult,
    other: MetricResult,
    difference: DifferenceRow | None = None,
    ground: Ground = NO_GROUND,
) -> bool:
    """Say whether ``better`` is better than ``other`` by more than chance.

    The interval of the paired difference (better minus other) decides if there is one: of the
    distances from the target where the metric has one; of what was timed in the same rounds that of
    the ratio. Otherwise the two intervals must not overlap. Exact numbers need no interval.
    ``ground`` may speak against it.
    """
    good, bad = goodness(better), goodness(other)
    least = _ROUNDING * max(abs(better.value or 0.0), abs(better.target or 0.0))
    if good is None or bad is None or good - bad <= least:
        return False
    if better.described.is_exact:
        return True
    if doubt(ground, better, other, difference):
        return False
    if better.described.axis == "cost" and _reads_as_1(better, other):
        return False
    if difference is not None and difference.ratio is not None:
        return _by_ratio(better, difference)
    gain = paired_gain(better, difference)
    if gain is not None:
        return gain.low > 0
    mine, theirs = goodness_interval(better), goodness_interval(other)
    return mine is not None and theirs is not None and mine[0] - theirs[1] > least


def is_level(one: MetricResult, two: MetricResult, difference: DifferenceRow | None) -> bool:
    """Whether two results are equal, and so is what is behind them as far as that was compared."""
    gain = paired_gain(one, difference)
    return one.value == two.value and (gain is None or gain.low == gain.high == 0)


def _reads_as_1(one: MetricResult, two: MetricResult) -> bool:
    """Whether two costs are so near to each other that one is said to be 1.00 times the other."""
    small, large = sorted((abs(one.value or 0.0), abs(two.value or 0.0)))
    return large < LEVEL * small


def _by_ratio(better: MetricResult, difference: DifferenceRow) -> bool:
    """Whether the interval of a ratio (better over other) lies on the better side of 1."""
    if better.direction == "lower":
        difference = difference.flipped()
    return difference.ratio_low is not None and difference.ratio_low > 1
