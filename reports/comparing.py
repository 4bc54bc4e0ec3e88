"""When one result is better than another by more than chance."""

from __future__ import annotations

from collections.abc import Sequence

from gandiff.evaluate.result import MetricResult
from gandiff.reports.run_data import DifferenceRow, ResultRow


def lookup(rows: Sequence[ResultRow]) -> dict[tuple[str, str], MetricResult]:
    """Index rows by generator and metric."""
    return {(row.generator, row.result.metric): row.result for row in rows}


def find_difference(
    differences: Sequence[DifferenceRow], a: str, b: str, metric: str
) -> DifferenceRow | None:
    """Return the paired comparison of a with b, turned round if it was written as b with a."""
    for row in differences:
        if row.metric == metric and row.difference is not None:
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


def separated(
    better: MetricResult, other: MetricResult, difference: DifferenceRow | None = None
) -> bool:
    """Say whether ``better`` is better than ``other`` by more than chance.

    A paired difference (better minus other) decides if there is one and both values lie on one side
    of a target; otherwise the two intervals must not overlap. Exact numbers need no interval.
    """
    good, bad = goodness(better), goodness(other)
    if good is None or bad is None or good <= bad:
        return False
    if better.described.is_exact:
        return True
    if difference is not None and pairs_with(better, other, difference):
        low, high = difference.low, difference.high
        assert better.value is not None
        assert other.value is not None
        if low is None or high is None:
            return False
        return low > 0 if better.value > other.value else high < 0
    mine, theirs = goodness_interval(better), goodness_interval(other)
    return mine is not None and theirs is not None and mine[0] > theirs[1]


def pairs_with(a: MetricResult, b: MetricResult, difference: DifferenceRow) -> bool:
    """Say whether a paired difference can decide: with an interval, and not across a target."""
    if difference.low is None or difference.high is None:
        return False
    if a.direction != "target" or a.target is None or a.value is None or b.value is None:
        return True
    return (a.value - a.target) * (b.value - a.target) >= 0
