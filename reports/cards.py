"""The key numbers beside the verdict: both generators on one small scale."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

from gandiff.evaluate.result import MetricResult
from gandiff.reports.axes import axes_of, axis_metric
from gandiff.reports.comparing import lookup
from gandiff.reports.cost_sentences import LATENCY, THROUGHPUT
from gandiff.reports.ground import leaves_room
from gandiff.reports.run_data import RunData
from gandiff.reports.sentence import Sentence
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
    """What real images, noise or plain grounds get; ``at`` is None where it is too far away."""

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


def key_cards(run: RunData, sentences: Sequence[Sentence]) -> list[Card]:
    """Return a card for each axis, speed, throughput and training, if anything was measured."""
    index, names = lookup(run.results), run.headline
    by_topic = {s.topic: s for s in sentences}
    wanted: list[tuple[str, str | None, Sentence | None]] = [
        (axis.capitalize(), axis_metric(index, names, axis), by_topic.get(axis))
        for axis in axes_of(index)
    ]
    speed = by_topic.get("speed") or by_topic.get("cost")
    wanted += [
        ("Speed", LATENCY, speed),
        ("Throughput", THROUGHPUT, None),
        ("Training", TRAINING, by_topic.get("training")),
    ]
    cards = []
    for title, metric, sentence in wanted:
        results = [index.get((name, metric)) for name in names] if metric is not None else []
        first = next((r for r in results if r is not None and r.value is not None), None)
        if metric is None or first is None:
            continue
        marks = run.ground.marks(metric)
        cards.append(_card(title, first, results, names, sentence, marks))
    return cards


def _card(
    title: str,
    like: MetricResult,
    results: Sequence[MetricResult | None],
    names: Sequence[str],
    sentence: Sentence | None,
    marks: Sequence[tuple[str, float]],
) -> Card:
    winner = None if sentence is None else sentence.winner
    outcome = "" if sentence is None else _OUTCOMES.get(sentence.outcome, "")
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
    logarithmic = like.metric in (LATENCY, THROUGHPUT) and min(numbers) > 0
    at = _scale([*numbers, *near], logarithmic)
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


def _scale(numbers: Sequence[float], logarithmic: bool) -> Callable[[float | None], float | None]:
    """Map numbers to per cent of a width, with a little room left at both ends."""
    bend = math.log if logarithmic else float
    low, high = bend(min(numbers)), bend(max(numbers))

    def at(number: float | None) -> float | None:
        return (
            None
            if number is None
            else round(6 + 88 * (bend(number) - low) / (high - low or 1.0), 2)
        )

    return at
