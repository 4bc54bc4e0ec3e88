"""Sentences about alignment, distribution and diversity, and what edits keep: better, undecided,
level, not measured.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from gandiff.evaluate.result import Axis, MetricResult, split_metric
from gandiff.reports.comparing import (
    NO_GROUND,
    doubt,
    find_difference,
    is_level,
    separated,
)
from gandiff.reports.deciding import Side, lead, why_undecided
from gandiff.reports.ground import Ground
from gandiff.reports.other_judge import other_judge
from gandiff.reports.run_data import DifferenceRow
from gandiff.reports.sentence import Index, Sentence, distinct_labels, listed, reason
from gandiff.reports.values import (
    Scale,
    distinguish,
    scale_of,
    show_interval,
    show_value,
)

_NO_REFERENCE = "there are no reference images; give --reference, or reference in a comparison file"
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


def alone_sentence(
    index: Index, name: str, ground: Ground = NO_GROUND, others: Sequence[str] = ()
) -> Sentence:
    """Say what the only generator reaches on each axis; ``others`` say why theirs are not there,
    such as "diffusion cannot paint".
    """
    metrics = {axis: axis_metric(index, [name], axis) for axis in axes_of(index)}
    results = [index[name, metric] for metric in metrics.values() if metric is not None]
    reached = [f"{one.described.label} {_measured(one, ground.beside(one))}" for one in results]
    why, who = (listed(others), name) if others else (f"Only {name} was run", "it")
    text = f"{why}, so nothing is compared"
    text += f"; {who} reaches {listed(reached)}." if reached else "."
    missing = {a: _why(a, index, [name], ground) for a, metric in metrics.items() if metric is None}
    for why in dict.fromkeys(missing.values()):
        axes = [axis for axis, its in missing.items() if its == why]
        was = "was" if len(axes) == 1 else "were"
        text += f" {listed(axes).capitalize()} {was} not measured{why}."
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
        why = _why(axis, index, (a, b), ground)
        return Sentence(axis, f"{axis.capitalize()} was not measured{why}.", "not measured")
    first, second = index.get((a, metric)), index.get((b, metric))
    if first is None or first.value is None or second is None or second.value is None:
        return _half_measured(axis, index, metric, (a, b), ground)
    pair = find_difference(differences, a, b, metric)
    said = _compared(axis, (a, first), (b, second), pair, ground)
    more = other_judge(index, metric, (a, b), differences, ground, said)
    more += ground.beside(first, second) + _before_compositing(index, metric, a, b)
    if said.winner is not None:
        sides = (said.winner, b if said.winner == a else a)
        more += _opposite(axis, index, metric, sides, differences, ground)
    return dataclasses.replace(said, text=f"{said.text.removesuffix('.')}{more}.")


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
    labels = distinct_labels(
        {
            m: one.described.label
            for (_, m), one in index.items()
            if _priority(one, axis) is not None
        }
    )
    parts = []
    for other in (m for m in labels if m != metric):
        good, bad = index.get((loser, other)), index.get((winner, other))
        if good is None or bad is None:
            continue
        if separated(good, bad, find_difference(differences, loser, winner, other), ground):
            scale = distinguish(scale_of(good, bad), (good.value or 0.0, bad.value or 0.0))
            both = f"{_plain(good, scale)} for {loser}, {_plain(bad, scale)} for {winner}"
            parts.append(f"{labels[other]} ({both})")
    says = "says" if len(parts) == 1 else "say"
    return f"; {listed(parts)} {says} the opposite" if parts else ""


def _why(axis: Axis, index: Index, names: Sequence[str], ground: Ground) -> str:
    """Why nothing was measured on an axis, in brackets; empty where nothing is known of it."""
    rows = [r for (n, _), r in index.items() if n in names and _priority(r, axis) is not None]
    if rows or ground.reference is None:
        return next((f" ({reason(row.note)})" for row in rows if row.note), "")
    if axis == "distribution" and not ground.reference:
        return f" ({_NO_REFERENCE})"
    if axis in ground.left_out:
        return f" ({ground.left_out[axis]})"
    return " (no metric of it was asked for)"


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
    axis: Axis, first: Side, second: Side, pair: DifferenceRow | None, ground: Ground
) -> Sentence:
    (a, one), (b, two) = first, second
    if separated(one, two, pair, ground):
        return _better(axis, first, second, pair)
    turned = None if pair is None else pair.flipped()
    if separated(two, one, turned, ground):
        return _better(axis, second, first, turned)
    label = f"{one.described.label}{_target(one)}"
    scale = distinguish(scale_of(one, two), (one.value or 0.0, two.value or 0.0))
    if is_level(one, two, pair):
        text = f"On {axis}, {a} and {b} are level: {label} is {_plain(one, scale)} for both."
        return Sentence(axis, text, "tie")
    against = doubt(ground, one, two, pair)
    why = f"and {against}" if against else why_undecided(first, second, pair)
    text = (
        f"On {axis}, {a} against {b} is undecided: {label} is {_plain(one, scale)} against "
        f"{_plain(two, scale)}, {why}."
    )
    return Sentence(axis, text, "undecided")


def _before_compositing(index: Index, metric: str, a: str, b: str) -> str:
    """What both got before known pixels were put back, where that was measured."""
    base = split_metric(metric)
    rows = [index.get((name, f"{base[0]}{base[1]}/uncomposited")) for name in (a, b)]
    if any(row is None or row.value is None for row in rows):
        return ""
    one, two = (show_value(row) for row in rows if row is not None)
    return f"; before the known pixels were put back, {a} had {one} and {b} {two}"


def _target(result: MetricResult) -> str:
    return "" if result.target is None else f" (target {result.target:g})"


def _plain(result: MetricResult, scale: Scale) -> str:
    return "unknown" if result.value is None else scale(result.value)


def _better(axis: Axis, winner: Side, loser: Side, pair: DifferenceRow | None) -> Sentence:
    (best, good), (rest, bad) = winner, loser
    scale, by_how_much = lead(good, bad, pair)
    text = (
        f"On {axis}, {best} is better: {good.described.label}{_target(good)} "
        f"{_plain(good, scale)} against {_plain(bad, scale)} for {rest}, {by_how_much}."
    )
    return Sentence(axis, text, "better", best)
