"""Sentences about alignment, distribution and diversity, and what edits keep: better, undecided,
level, not measured.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from gandiff.common.words import counted
from gandiff.evaluate.result import Axis, MetricResult, split_metric
from gandiff.reports.comparing import (
    NO_GROUND,
    Gain,
    find_difference,
    goodness,
    goodness_interval,
    paired_gain,
    separated,
)
from gandiff.reports.ground import Ground
from gandiff.reports.run_data import DifferenceRow
from gandiff.reports.sentence import Index, Sentence, listed, reason
from gandiff.reports.values import (
    Scale,
    distinguish,
    scale_of,
    scale_of_differences,
    show_interval,
    show_value,
)

Side = tuple[str, MetricResult]
_JUDGES = ("other_judge", "agreement")  # rows of a metric that a judge measures
AXES: tuple[Axis, ...] = ("alignment", "distribution", "diversity")


def axes_of(index: Index) -> tuple[Axis, ...]:
    """The axes of a run's verdict: what edits must keep is one where a metric looks at it."""
    kept = any(result.described.axis == "preservation" for result in index.values())
    return ("alignment", "preservation", *AXES[1:]) if kept else AXES


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


def _measured(result: MetricResult, beside: str = "") -> str:
    interval = show_interval(result)
    ends = f"95 % interval {interval}{beside}" if interval else beside.removeprefix("; ")
    return f"{show_value(result)} ({ends})" if ends else show_value(result)


def alone_sentence(index: Index, name: str, ground: Ground = NO_GROUND) -> Sentence:
    """Say what the only generator reaches on each axis."""
    metrics = {axis: axis_metric(index, [name], axis) for axis in axes_of(index)}
    results = [index[name, metric] for metric in metrics.values() if metric is not None]
    reached = [f"{one.described.label} {_measured(one, ground.beside(one))}" for one in results]
    text = f"Only {name} was run, so nothing is compared"
    text += f"; it reaches {listed(reached)}." if reached else "."
    if missing := [axis for axis, metric in metrics.items() if metric is None]:
        was = "was" if len(missing) == 1 else "were"
        text += f" {listed(missing).capitalize()} {was} not measured."
    return Sentence("summary", text, "single")


def axis_sentence(
    axis: Axis,
    index: Index,
    differences: Sequence[DifferenceRow],
    a: str,
    b: str,
    ground: Ground = NO_GROUND,
) -> Sentence:
    """Say whether a or b is better on one axis, by how much and with what interval."""
    metric = axis_metric(index, (a, b), axis)
    if metric is None:
        return _unmeasured(axis, index, a, b)
    first, second = index.get((a, metric)), index.get((b, metric))
    if first is None or first.value is None or second is None or second.value is None:
        return _half_measured(axis, index, metric, (a, b), ground)
    pair = find_difference(differences, a, b, metric)
    before = _before_compositing(index, metric, a, b)
    beside = ground.beside(first, second) + _other_judge(index, metric, a, b) + before
    said = _compared(axis, (a, first), (b, second), pair, ground, beside)
    if said.winner is None:
        return said
    sides = (said.winner, b if said.winner == a else a)
    against = _opposite(axis, index, metric, sides, differences, ground)
    return dataclasses.replace(said, text=f"{said.text.removesuffix('.')}{against}.")


def _opposite(
    axis: Axis,
    index: Index,
    metric: str,
    pair: tuple[str, str],
    differences: Sequence[DifferenceRow],
    ground: Ground,
) -> str:
    """Which other metrics of the axis call the loser of a pair (winner, loser) better."""
    winner, loser = pair
    metrics = dict.fromkeys(m for (_, m), one in index.items() if _priority(one, axis) is not None)
    parts = []
    for other in (m for m in metrics if m != metric):
        good, bad = index.get((loser, other)), index.get((winner, other))
        if good is None or bad is None:
            continue
        if separated(good, bad, find_difference(differences, loser, winner, other), ground):
            scale = distinguish(scale_of(good, bad), (good.value or 0.0, bad.value or 0.0))
            both = f"{_plain(good, scale)} for {loser}, {_plain(bad, scale)} for {winner}"
            label = good.described.label
            same = [m for m in metrics if _label_of(index, pair, m) == label]
            parts.append(f"{label if same == [other] else other} ({both})")
    says = "says" if len(parts) == 1 else "say"
    return f"; {listed(parts)} {says} the opposite" if parts else ""


def _label_of(index: Index, names: Sequence[str], metric: str) -> str:
    found = (index.get((name, metric)) for name in names)
    return next((one.described.label for one in found if one is not None), metric)


def _unmeasured(axis: Axis, index: Index, a: str, b: str) -> Sentence:
    notes = [
        result.note
        for (name, _), result in index.items()
        if name in (a, b) and _priority(result, axis) is not None and result.note
    ]
    why = f" ({reason(notes[0])})" if notes else ""
    return Sentence(axis, f"{axis.capitalize()} was not measured{why}.", "not measured")


def _half_measured(
    axis: Axis, index: Index, metric: str, pair: tuple[str, str], ground: Ground
) -> Sentence:
    there, missing = pair if _value(index, pair[0], metric) is not None else pair[::-1]
    result, whole = index[there, metric], "".join(split_metric(metric)[:2])
    gap = index.get((missing, metric)) or index.get((missing, whole))
    why = f" ({reason(gap.note)})" if gap is not None and gap.note else ""
    text = (
        f"{axis.capitalize()} was not measured for {missing}{why}, so it is not compared; "
        f"{there} has {result.described.label} {_measured(result, ground.beside(result))}."
    )
    return Sentence(axis, text, "not measured")


def _compared(
    axis: Axis, first: Side, second: Side, pair: DifferenceRow | None, ground: Ground, beside: str
) -> Sentence:
    (a, one), (b, two) = first, second
    gain = paired_gain(one, pair)
    if separated(one, two, pair, ground):
        return _better(axis, first, second, gain, beside)
    if separated(two, one, None if pair is None else pair.flipped(), ground):
        return _better(axis, second, first, None if gain is None else gain.flipped, beside)
    label, scale = f"{one.described.label}{_target(one)}", scale_of(one, two)
    if one.value == two.value and (gain is None or gain.low == gain.high == 0):
        text = (
            f"On {axis}, {a} and {b} are level: {label} is {_plain(one, scale)} for both{beside}."
        )
        return Sentence(axis, text, "tie")
    doubt = ground.doubt(one, two, None if pair is None else pair.prompts)
    why = f"and {doubt}" if doubt else _why_undecided(first, second, pair)
    text = (
        f"On {axis}, {a} against {b} is undecided: {label} is {_plain(one, scale)} against "
        f"{_plain(two, scale)}, {why}{beside}."
    )
    return Sentence(axis, text, "undecided")


def _other_judge(index: Index, metric: str, a: str, b: str) -> str:
    """What another judge says of both, where the metric is by one, and how far the two agree."""
    base = metric.rpartition("/")[0]
    rows = [index.get((n, f"{base}/{part}")) for part in _JUDGES for n in (a, b)]
    if not base or any(row is None or row.value is None for row in rows):
        return ""
    one, two, same_one, same_two = (show_value(row) for row in rows if row is not None)
    return (
        f"; the other judge gives {a} {one} and {b} {two}, and agrees on {same_one} and {same_two} "
        "of their images"
    )


def _before_compositing(index: Index, metric: str, a: str, b: str) -> str:
    """What both got before known pixels were put back, where that was measured."""
    base = split_metric(metric)
    rows = [index.get((name, f"{base[0]}{base[1]}/uncomposited")) for name in (a, b)]
    if any(row is None or row.value is None for row in rows):
        return ""
    one, two = (show_value(row) for row in rows if row is not None)
    return f"; before the known pixels were put back, {a} had {one} and {b} {two}"


def _target(result: MetricResult) -> str:
    return f" (target {result.target:g})" if result.direction == "target" else ""


def _plain(result: MetricResult, scale: Scale) -> str:
    return "unknown" if result.value is None else scale(result.value)


def _better(axis: Axis, winner: Side, loser: Side, gain: Gain | None, beside: str) -> Sentence:
    (best, good), (rest, bad) = winner, loser
    scale = distinguish(scale_of(good, bad), (good.value or 0.0, bad.value or 0.0))
    text = (
        f"On {axis}, {best} is better: {good.described.label}{_target(good)} "
        f"{_plain(good, scale)} against {_plain(bad, scale)} for {rest}, "
        f"{_by_how_much(good, bad, gain)}{beside}."
    )
    return Sentence(axis, text, "better", best)


def _by_how_much(good: MetricResult, bad: MetricResult, gain: Gain | None) -> str:
    """The difference, the test that found it, and the interval that decided."""
    how = f"nearer to {good.target:g}" if good.direction == "target" else good.direction
    if gain is not None and not good.described.is_exact:
        scale = scale_of_differences(good, gain.value, gain.low, gain.high)
        scale = distinguish(scale, (0.0, gain.low))
        ends = f"{scale.number(gain.low)} to {scale.number(gain.high)}"
        same = _same_prompts(gain.prompts)
        return f"{scale(gain.value)} {how} on {same} (paired, 95 % interval {ends})"
    ahead = (goodness(good) or 0.0) - (goodness(bad) or 0.0)
    by = f"{scale_of_differences(good, ahead)(ahead)} {how}"
    ends = _two_intervals(good, bad)
    return f"{by} ({ends}, do not overlap)" if ends else f"{by} (both are exact)"


def _same_prompts(count: int | None) -> str:
    return "the same prompts" if count is None else f"the same {counted(count, 'prompt')}"


def _why_undecided(first: Side, second: Side, pair: DifferenceRow | None) -> str:
    (a, one), (b, two) = first, second
    if goodness(one) is None or goodness(two) is None:
        return "and neither direction of this metric counts as better"
    gain = paired_gain(one, pair)
    if gain is not None:
        # As the table of differences has it: a minus b.
        raw = gain if one.direction == "higher" else gain.flipped
        scale = distinguish(
            scale_of_differences(one, raw.value, raw.low, raw.high),
            *([] if raw.low <= 0 <= raw.high else [(0.0, raw.low), (0.0, raw.high)]),
        )
        of = f" in distance from {one.target:g}" if one.direction == "target" else ""
        holds = "contains 0" if raw.low <= 0 <= raw.high else "points another way than the values"
        return (
            f"and the paired difference{of} on {_same_prompts(raw.prompts)}, {a} minus {b}, "
            f"has the 95 % interval {scale.number(raw.low)} to {scale(raw.high)}, which {holds}"
        )
    mine, theirs = goodness_interval(one), goodness_interval(two)
    if mine is None or theirs is None:
        return "measured without the intervals that would decide it"
    overlap = mine[0] <= theirs[1] and theirs[0] <= mine[1]
    return f"and {_two_intervals(one, two)}, {'overlap' if overlap else 'do not decide it'}"


def _two_intervals(one: MetricResult, two: MetricResult) -> str:
    """Both intervals, of the distance from the target where there is one; empty without both.

    Ends that face each other are written apart if they are.
    """
    mine, theirs = goodness_interval(one), goodness_interval(two)
    if mine is None or theirs is None:
        return ""
    if one.direction != "higher":
        mine, theirs = ((-high, -low) for low, high in (mine, theirs))
    scale = distinguish(scale_of(one, two), (mine[1], theirs[0]), (mine[0], theirs[1]))
    ends = [f"{scale.number(low)} to {scale.number(high)}" for low, high in (mine, theirs)]
    of = f" of the distance from {one.target:g}" if one.direction == "target" else ""
    return f"the 95 % intervals{of}, {ends[0]} and {ends[1]}"
