"""Sentences about alignment, distribution and diversity: better, undecided, level, not measured."""

from __future__ import annotations

from collections.abc import Sequence

from gandiff.evaluate.result import Axis, MetricResult
from gandiff.reports.comparing import find_difference, goodness, pairs_with, separated
from gandiff.reports.run_data import DifferenceRow
from gandiff.reports.sentence import Index, Sentence, listed
from gandiff.reports.values import Scale, scale_for, scale_of, show_interval, show_value

Side = tuple[str, MetricResult]
AXES: tuple[Axis, ...] = ("alignment", "distribution", "diversity")


def axis_metric(index: Index, names: Sequence[str], axis: Axis) -> str | None:
    """Return the metric that stands for an axis: the first that all, else any, of ``names`` have.

    First by the priority that metrics give themselves, then in the order of the results.
    """
    priorities = {
        metric: priority
        for (_, metric), result in index.items()
        if (priority := _priority(result, axis)) is not None
    }
    metrics = sorted(priorities, key=lambda metric: priorities[metric])
    for enough in (all, any):
        for metric in metrics:
            if enough(_value(index, name, metric) is not None for name in names):
                return metric
    return None


def _priority(result: MetricResult, axis: Axis) -> int | None:
    about = result.described
    return about.priority if about.axis == axis else None


def _value(index: Index, name: str, metric: str) -> float | None:
    result = index.get((name, metric))
    return None if result is None else result.value


def _measured(result: MetricResult) -> str:
    interval = show_interval(result)
    return f"{show_value(result)} (95 % interval {interval})" if interval else show_value(result)


def alone_sentence(index: Index, name: str) -> Sentence:
    """Say what the only generator reaches on each axis."""
    parts = []
    for axis in AXES:
        metric = axis_metric(index, [name], axis)
        if metric is None:
            parts.append(f"{axis} not measured")
        else:
            result = index[name, metric]
            parts.append(f"{result.described.label} {_measured(result)}")
    text = f"Only {name} was run, so nothing is compared; it reaches {listed(parts)}."
    return Sentence("summary", text, "single")


def axis_sentence(
    axis: Axis, index: Index, differences: Sequence[DifferenceRow], a: str, b: str
) -> Sentence:
    """Say whether a or b is better on one axis, by how much and with what interval."""
    metric = axis_metric(index, (a, b), axis)
    if metric is None:
        return _unmeasured(axis, index, a, b)
    first, second = index.get((a, metric)), index.get((b, metric))
    if first is None or first.value is None or second is None or second.value is None:
        return _half_measured(axis, index, metric, a, b)
    pair = find_difference(differences, a, b, metric)
    if pair is not None and not pairs_with(first, second, pair):
        pair = None
    return _compared(axis, (a, first), (b, second), pair)


def _unmeasured(axis: Axis, index: Index, a: str, b: str) -> Sentence:
    notes = [
        result.note
        for (name, _), result in index.items()
        if name in (a, b) and _priority(result, axis) is not None and result.note
    ]
    why = f" ({notes[0].rstrip('.')})" if notes else ""
    return Sentence(axis, f"{axis.capitalize()} was not measured{why}.", "not measured")


def _half_measured(axis: Axis, index: Index, metric: str, a: str, b: str) -> Sentence:
    there, missing = (a, b) if _value(index, a, metric) is not None else (b, a)
    result = index[there, metric]
    gap = index.get((missing, metric))
    why = f" ({gap.note.rstrip('.')})" if gap is not None and gap.note else ""
    text = (
        f"{axis.capitalize()} was not measured for {missing}{why}, so it is not compared; "
        f"{there} has {result.described.label} {_measured(result)}."
    )
    return Sentence(axis, text, "not measured")


def _compared(axis: Axis, first: Side, second: Side, pair: DifferenceRow | None) -> Sentence:
    (a, one), (b, two) = first, second
    flipped = None if pair is None else pair.flipped()
    if separated(one, two, pair):
        return _better(axis, first, second, pair)
    if separated(two, one, flipped):
        return _better(axis, second, first, flipped)
    label, scale = one.described.label, scale_of(one, two)
    if one.value == two.value and (pair is None or pair.low == pair.high == 0):
        text = f"On {axis}, {a} and {b} are level: {label} is {_plain(one, scale)} for both."
        return Sentence(axis, text, "tie")
    text = (
        f"On {axis}, {a} against {b} is undecided: {label} is {_plain(one, scale)} against "
        f"{_plain(two, scale)}, {_why_undecided(one, two, pair)}."
    )
    return Sentence(axis, text, "undecided")


def _plain(result: MetricResult, scale: Scale) -> str:
    return "unknown" if result.value is None else scale(result.value)


def _better(axis: Axis, winner: Side, loser: Side, pair: DifferenceRow | None) -> Sentence:
    (best, good), (rest, bad) = winner, loser
    scale = scale_of(good, bad)
    target = f" (target {good.target:g})" if good.direction == "target" else ""
    text = (
        f"On {axis}, {best} is better: {good.described.label}{target} {_plain(good, scale)} "
        f"against {_plain(bad, scale)} for {rest}, {_by_how_much(good, bad, pair)}."
    )
    return Sentence(axis, text, "better", best)


def _by_how_much(good: MetricResult, bad: MetricResult, pair: DifferenceRow | None) -> str:
    ahead = (good.value or 0.0) - (bad.value or 0.0)
    if pair is None or pair.low is None or pair.high is None:
        how = "higher" if ahead > 0 else "lower"
        scale = scale_for(good.described.scale, good.unit, ahead, difference=True)
        ends = f"{show_interval(good)} and {show_interval(bad)}"
        return f"{scale(abs(ahead))} {how} (the 95 % intervals, {ends}, do not overlap)"
    if pair.low < 0:
        pair = pair.flipped()
        how = "lower"
    else:
        how = "higher"
    scale = _difference_scale(good, pair)
    middle = abs(ahead) if pair.difference is None else pair.difference
    low, high = pair.low or 0.0, pair.high or 0.0
    return f"{scale(middle)} {how} (95 % interval {scale.number(low)} to {scale.number(high)})"


def _why_undecided(one: MetricResult, two: MetricResult, pair: DifferenceRow | None) -> str:
    if goodness(one) is None or goodness(two) is None:
        return "and neither direction of this metric counts as better"
    if pair is not None and pair.low is not None and pair.high is not None:
        scale = _difference_scale(one, pair)
        ends = f"{scale.number(pair.low)} to {scale(pair.high)}"
        how = "contains 0" if pair.low <= 0 <= pair.high else "points the other way"
        return f"and the 95 % interval of the paired difference, {ends}, {how}"
    intervals = [show_interval(one), show_interval(two)]
    if all(intervals):
        return f"and the 95 % intervals, {intervals[0]} and {intervals[1]}, overlap"
    return "measured without the intervals that would decide it"


def _difference_scale(result: MetricResult, pair: DifferenceRow) -> Scale:
    numbers = [abs(n) for n in (pair.difference, pair.low, pair.high) if n is not None]
    return scale_for(result.described.scale, result.unit, max(numbers), difference=True)
