"""The key numbers beside the verdict: both generators on one small scale."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

from gandiff.evaluate.result import MetricResult
from gandiff.reports.axes import axes_of, axis_metric
from gandiff.reports.comparing import find_difference, goodness, lookup, separated
from gandiff.reports.cost_sentences import LATENCY, THROUGHPUT
from gandiff.reports.ground import leaves_room
from gandiff.reports.run_data import RunData
from gandiff.reports.sentence import Index, Sentence
from gandiff.reports.training_sentences import TRAINING
from gandiff.reports.values import (
    MISSING,
    arrow,
    explain,
    missing,
    show_beside,
    show_interval,
    show_value,
)

_OUTCOMES = {"undecided": "undecided", "tie": "level", MISSING: MISSING}
Decision = tuple[str, str | None]  # an outcome and, where that is "better", whose


@dataclasses.dataclass(frozen=True)
class Line:
    """One generator's number; ``start``, ``end`` and ``at`` are per cent of the card's scale."""

    generator: str
    value: str
    interval: str
    at: float | None
    start: float | None
    end: float | None
    wins: bool


@dataclasses.dataclass(frozen=True)
class Mark:
    """What real images, noise or plain grounds get, or should be reached; ``at`` is None where it
    is too far away.
    """

    name: str
    value: str
    at: float | None


@dataclasses.dataclass(frozen=True)
class Card:
    """One key number of the headline generators."""

    title: str
    metric: str
    label: str
    arrow: str
    meaning: str
    outcome: str
    winner: str | None
    lines: tuple[Line, ...]
    marks: tuple[Mark, ...] = ()
    target: Mark | None = None

    @property
    def ticks(self) -> list[Mark]:
        """The marks that are on the scale, from left to right."""
        return sorted((m for m in self.marks if m.at is not None), key=lambda m: m.at or 0.0)

    @property
    def beyond(self) -> list[Mark]:
        """The marks that are too far away to be on it."""
        return [mark for mark in self.marks if mark.at is None]


def key_cards(run: RunData, sentences: Sequence[Sentence]) -> list[Card]:
    """Return a card for each axis, speed, throughput and training, if anything was measured."""
    index, names = lookup(run.results), run.headline
    decided = {s.topic: (s.outcome, s.winner) for s in sentences}
    nothing: Decision = ("", None)
    wanted: list[tuple[str, str | None, Decision]] = [
        (axis.capitalize(), axis_metric(index, names, axis), decided.get(axis, nothing))
        for axis in axes_of(index)
    ]
    wanted += [
        ("Speed", LATENCY, decided.get("speed") or decided.get("cost") or nothing),
        ("Throughput", THROUGHPUT, _decide(run, index, THROUGHPUT)),
        ("Training", TRAINING, decided.get("training", nothing)),
    ]
    cards = []
    for title, metric, decision in wanted:
        results = [index.get((name, metric)) for name in names] if metric is not None else []
        first = next((r for r in results if r is not None and r.value is not None), None)
        if metric is None or first is None:
            continue
        marks = run.ground.marks(metric)
        cards.append(_card(title, first, results, names, decision, marks))
    return cards


def _decide(run: RunData, index: Index, metric: str) -> Decision:
    """What the table says of two generators, for a metric that has no sentence of its own."""
    found = [(n, r) for n in run.headline if (r := index.get((n, metric))) and r.value is not None]
    if len(run.headline) < 2:
        return "", None
    if len(found) < 2:
        return MISSING, None
    (better, one), (worse, two) = sorted(
        found, key=lambda item: goodness(item[1]) or 0.0, reverse=True
    )
    pair = find_difference(run.differences, better, worse, metric)
    if separated(one, two, pair, run.ground):
        return "better", better
    return ("tie" if one.value == two.value else "undecided"), None


def _card(
    title: str,
    like: MetricResult,
    results: Sequence[MetricResult | None],
    names: Sequence[str],
    decision: Decision,
    marks: Sequence[tuple[str, float]],
) -> Card:
    winner, outcome = decision[1], _OUTCOMES.get(decision[0], "")
    if outcome == MISSING:
        outcome = missing(like.metric)
    numbers = [
        n
        for r in results
        if r is not None
        for n in (r.value, r.low, r.high, r.target)
        if n is not None
    ]
    near = [value for _, value in marks if leaves_room(value, numbers)]
    at = _scale([*numbers, *near], like.metric, results)
    return Card(
        title,
        like.metric,
        like.described.label,
        arrow(like),
        explain(like),
        outcome,
        winner,
        _lines(names, results, winner, at, like.metric),
        tuple(
            Mark(name, show_beside(value, like), at(value) if value in near else None)
            for name, value in marks
        ),
        None
        if like.target is None
        else Mark("target", show_beside(like.target, like), at(like.target)),
    )


def _lines(
    names: Sequence[str],
    results: Sequence[MetricResult | None],
    winner: str | None,
    at: Callable[[float | None], float | None],
    metric: str,
) -> tuple[Line, ...]:
    return tuple(
        Line(
            name,
            missing(metric) if r is None else show_value(r),
            "" if r is None else show_interval(r),
            None if r is None else at(r.value),
            None if r is None else at(r.low),
            None if r is None else at(r.high),
            name == winner,
        )
        for name, r in zip(names, results, strict=True)
    )


def _scale(
    numbers: Sequence[float], metric: str, results: Sequence[MetricResult | None]
) -> Callable[[float | None], float | None]:
    """Map numbers to per cent of a width, with a little room left at both ends.

    Where no number has an interval the scale starts at 0: it would tell no small difference from a
    large one.
    """
    if not any(r is not None and r.low is not None for r in results):
        numbers = [0.0, *numbers]
    bend = math.log if metric in (LATENCY, THROUGHPUT) and min(numbers) > 0 else float
    low, high = bend(min(numbers)), bend(max(numbers))

    def at(number: float | None) -> float | None:
        if number is None:
            return None
        return round(6 + 88 * (bend(number) - low) / (high - low or 1.0), 2)

    return at
