"""Planes of two metrics that generators are placed in, with what is drawn beside the points."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gandiff.evaluate.result import MetricResult, split_metric
from gandiff.reports.cost_sentences import LATENCY
from gandiff.reports.ground import leaves_room
from gandiff.reports.palette import Look
from gandiff.reports.plotting import FAINT, Point, format_ticks
from gandiff.reports.sentence import Index, listed
from gandiff.reports.sweeps import joined
from gandiff.reports.values import arrow, show_interval, show_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis


@dataclasses.dataclass(frozen=True)
class Plane:
    """Two metrics that generators are placed by; ``marks`` are the anchors along y."""

    x: str
    y: str
    index: Index
    looks: Mapping[str, Look]
    lines: Sequence[Sequence[str]] = ()  # of the points of sweeps
    marks: Sequence[tuple[str, float]] = ()

    def points(self) -> list[Point]:
        """Return the generators that have both."""
        found = []
        for name, look in self.looks.items():
            x, y = self.index.get((name, self.x)), self.index.get((name, self.y))
            if x is None or y is None or x.value is None or y.value is None:
                continue
            if self.x != LATENCY or x.value > 0:
                said = ", ".join(f"{r.described.label} {in_words(r)}" for r in (x, y))
                found.append(
                    Point(name, x.value, y.value, look, _ends(x), _ends(y), f"{name}: {said}")
                )
        return found

    def left_out(self) -> str:
        """Name the generators without a point, and what was not measured of them."""
        drawn = {point.name for point in self.points()}
        reasons: dict[str, list[str]] = {}
        for name in self.looks:
            rows = {m: self.index.get((name, m)) for m in (self.x, self.y)}
            lacks = [m for m, row in rows.items() if row is None or row.value is None]
            if name not in drawn:
                labels = [self.result(metric).described.label for metric in lacks or [self.x]]
                reasons.setdefault(listed(labels), []).append(name)
        return "".join(
            f"Not drawn: {listed(names)}, without {labels}. " for labels, names in reasons.items()
        )

    def result(self, metric: str) -> MetricResult:
        """Return one row of a metric, for its unit and direction."""
        return next(r for (_, m), r in self.index.items() if m == metric)


def _ends(result: MetricResult) -> tuple[float, float] | None:
    return None if result.low is None or result.high is None else (result.low, result.high)


def in_words(result: MetricResult) -> str:
    """Return a value with its interval, as it is written."""
    interval = f" ({ends})" if (ends := show_interval(result)) else ""
    return f"{show_value(result)}{interval}"


def axis_title(result: MetricResult, unit: str) -> str:
    """Return the words along an axis: label, parameters, unit, which way is better."""
    parameters = split_metric(result.metric)[1].strip("()").replace(",", ", ")
    shown = f" ({parameters})" if parameters and len(parameters) < 40 else ""
    return " ".join(filter(None, (f"{result.described.label}{shown}", unit, arrow(result))))


def name_axis(axis: Axis, result: MetricResult, unit: str = "", beside: str = "") -> None:
    """Write ticks and title of an axis that shows a metric; ``beside`` follows the unit."""
    written = format_ticks(axis, result.described.scale, unit or result.unit)
    axis.set_label_text(axis_title(result, f"{written} {beside}".strip()))


def draw_marks(axes: Axes, marks: Sequence[tuple[str, float]], points: Sequence[Point]) -> str:
    """Draw a line for each anchor that leaves the points room; says which ones they are."""
    drawn, numbers = [], [point.y for point in points]
    # Beside each other, for noise and plain grounds lie on one line as often as not.
    places = [0.72, 0.01, 0.25, 0.48]
    for name, value in marks:
        if leaves_room(value, numbers):
            axes.axhline(value, color=FAINT, linewidth=1.0, linestyle=":", zorder=1)
            places.sort(key=lambda place: _covered(axes, place, value, points))
            axes.annotate(
                name,
                (places.pop(0), value),
                xycoords=axes.get_yaxis_transform(),
                xytext=(0, 2),
                textcoords="offset points",
                fontsize=8,
            )
            drawn.append(name)
    return f"Dotted lines: what {listed(drawn)} get. " if drawn else ""


def _covered(axes: Axes, place: float, value: float, points: Sequence[Point]) -> bool:
    """Whether a point lies on a name that begins at this place of a line."""
    axes.autoscale_view()
    to_shares = axes.transData + axes.transAxes.inverted()
    line = to_shares.transform((points[0].x, value))[1]
    at = to_shares.transform([(point.x, point.y) for point in points])
    return any(-0.03 < x - place < 0.25 and abs(y - line) < 0.07 for x, y in at)


def draw_lines(axes: Axes, plane: Plane, points: Sequence[Point]) -> str:
    """Join the points of each sweep; returns a sentence about the lines where there are any."""
    lines = list(joined(plane.lines, points))
    for line in lines:
        xs, ys, colour = [p.x for p in line], [p.y for p in line], line[0].look.colour
        axes.plot(xs, ys, color=colour, linewidth=1.0, alpha=0.6, zorder=1)
    return "Lines join the points of a sweep. " if lines else ""
