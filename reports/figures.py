"""The figures of a report, as PNG and SVG; none is drawn where the run has no numbers for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from gandiff.evaluate.result import MetricResult, split_metric
from gandiff.reports.axes import AXES, axis_metric
from gandiff.reports.category_figure import draw_categories
from gandiff.reports.comparing import goodness, lookup
from gandiff.reports.explanations import not_as_in_papers
from gandiff.reports.ground import leaves_room
from gandiff.reports.labels import label_points
from gandiff.reports.palette import Look, looks
from gandiff.reports.plotting import (
    FAINT,
    STYLE,
    Drawing,
    Point,
    canvas,
    draw_points,
    family_legend,
    finish,
    format_ticks,
    keep_to_shares,
)
from gandiff.reports.run_data import RunData
from gandiff.reports.sentence import Index, listed
from gandiff.reports.sweeps import joined, sweep_lines
from gandiff.reports.training_figures import training_drawings
from gandiff.reports.values import arrow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

LATENCY = "latency_seconds"


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
                found.append(Point(name, x.value, y.value, look, _ends(x), _ends(y)))
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


def draw_figures(run: RunData) -> list[Drawing]:
    """Draw every figure that the run has numbers for."""
    import matplotlib as mpl

    mpl.use("Agg")
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        return [*_planes(run), *_categories(run), *training_drawings(run)]


def axis_title(result: MetricResult, unit: str) -> str:
    """Return the words along an axis: label, parameters, unit, which way is better."""
    parameters = split_metric(result.metric)[1].strip("()").replace(",", ", ")
    shown = f" ({parameters})" if parameters and len(parameters) < 40 else ""
    return " ".join(filter(None, (f"{result.described.label}{shown}", unit, arrow(result))))


def _name_axis(axis: Axis, result: MetricResult, unit: str = "", beside: str = "") -> None:
    """Write ticks and title of an axis that shows a metric; ``beside`` follows the unit."""
    written = format_ticks(axis, result.described.scale, unit or result.unit)
    axis.set_label_text(axis_title(result, f"{written} {beside}".strip()))


def _planes(run: RunData) -> Iterator[Drawing]:
    index, names = lookup(run.results), list(run.generators)
    metrics: dict[str, str | None] = {a: axis_metric(index, names, a) for a in AXES}
    styles, lines = looks(run.generators), sweep_lines(run.record.comparison)
    for axis in ("alignment", "distribution"):
        metric = metrics[axis]
        if metric is not None:
            plane = Plane(LATENCY, metric, index, styles, lines, run.ground.marks(metric))
            if plane.points():
                yield _against_time(plane, axis)
    alignment, diversity = metrics["alignment"], metrics["diversity"]
    if alignment is not None and diversity is not None:
        plane = Plane(diversity, alignment, index, styles, lines)
        if plane.points():
            yield _diversity_alignment(plane)


def _against_time(plane: Plane, axis: str) -> Drawing:
    figure, axes = canvas()
    points, result = plane.points(), plane.result(plane.y)
    latency = plane.result(LATENCY)
    axes.set_xscale("log")
    front = pareto_front(points, result)
    corners = _staircase(front)
    if corners:
        xs, ys = zip(*corners, strict=True)
        axes.plot(xs, ys, color=FAINT, linestyle="--", linewidth=1.2, zorder=2)
    joins = _draw_sweeps(axes, plane, points)
    draw_points(axes, points)
    axes.margins(0.16, 0.18)
    anchored = _draw_marks(axes, plane.marks, [point.y for point in points])
    keep_to_shares(axes.yaxis, result.described.scale, result.unit)
    _name_axis(axes.xaxis, latency, "s", "(log scale)")
    _name_axis(axes.yaxis, result)
    family_legend(figure, points, "Pareto front" if corners else None)
    label_points(axes, points, corners)
    best = ", ".join(p.name for p in front)
    return finish(
        figure,
        f"{axis}_against_time",
        f"{axis.capitalize()} against time per image",
        f"By their values alone, nothing is both faster and better than the generators on the "
        f"Pareto front: {best}. {joins}{anchored}{plane.left_out()}{_caveat(result)}"
        "Whiskers are 95 % intervals.",
    )


def _caveat(result: MetricResult) -> str:
    caveat = not_as_in_papers([result])
    return f"{caveat} " if caveat else ""


def _draw_marks(axes: Axes, marks: Sequence[tuple[str, float]], numbers: Sequence[float]) -> str:
    """Draw a line for each anchor that leaves the points room; says which ones they are."""
    drawn = []
    # Beside each other, for noise and plain grounds lie on one line as often as not.
    for (name, value), place in zip(marks, (0.72, 0.01, 0.25), strict=False):
        if leaves_room(value, numbers):
            axes.axhline(value, color=FAINT, linewidth=1.0, linestyle=":", zorder=1)
            axes.annotate(
                name,
                (place, value),
                xycoords=axes.get_yaxis_transform(),
                xytext=(0, 2),
                textcoords="offset points",
                fontsize=7,
            )
            drawn.append(name)
    return f"Dotted lines: what {' and '.join(drawn)} get. " if drawn else ""


def _draw_sweeps(axes: Axes, plane: Plane, points: Sequence[Point]) -> str:
    """Join the points of each sweep; returns a sentence about the lines where there are any."""
    lines = list(joined(plane.lines, points))
    for line in lines:
        xs, ys, colour = [p.x for p in line], [p.y for p in line], line[0].look.colour
        axes.plot(xs, ys, color=colour, linewidth=1.0, alpha=0.6, zorder=1)
    return "Lines join the points of a sweep. " if lines else ""


def pareto_front(points: Sequence[Point], like: MetricResult) -> list[Point]:
    """Return the points that no other beats in both x (lower is better) and y, by rising x."""
    front: list[Point] = []
    best = float("-inf")
    for point in sorted(points, key=lambda p: (p.x, -_good(p, like))):
        if _good(point, like) > best:
            front.append(point)
            best = _good(point, like)
    return front


def _staircase(front: Sequence[Point]) -> list[tuple[float, float]]:
    """The corners of the front: level to the next generator's time, then to its quality."""
    corners = [(front[0].x, front[0].y)] if len(front) > 1 else []
    for before, after in pairwise(front):
        corners += [(after.x, before.y), (after.x, after.y)]
    return corners


def _good(point: Point, like: MetricResult) -> float:
    quality = goodness(dataclasses.replace(like, value=point.y))
    return point.y if quality is None else quality


def _diversity_alignment(plane: Plane) -> Drawing:
    figure, axes = canvas()
    points = plane.points()
    x, y = plane.result(plane.x), plane.result(plane.y)
    joins = _draw_sweeps(axes, plane, points)
    draw_points(axes, points)
    axes.margins(0.16, 0.18)
    keep_to_shares(axes.xaxis, x.described.scale, x.unit)
    keep_to_shares(axes.yaxis, y.described.scale, y.unit)
    if x.direction == "target" and x.target is not None:
        axes.axvline(x.target, color=FAINT, linewidth=1.0, linestyle=":", zorder=1)
    _name_axis(axes.xaxis, x)
    _name_axis(axes.yaxis, y)
    family_legend(figure, points, None)
    label_points(axes, points)
    target = ", at the dotted line: the diversity of real images" if x.target is not None else ""
    return finish(
        figure,
        "diversity_against_alignment",
        "Diversity against alignment",
        f"Best is the top{target}. {joins}{plane.left_out()}Whiskers are 95 % intervals.",
    )


def _categories(run: RunData) -> Iterator[Drawing]:
    index, names = lookup(run.results), list(run.generators)
    wanted = [m for axis in AXES if (m := axis_metric(index, names, axis)) is not None]
    present = dict.fromkeys(score.metric for score in run.categories)
    metric = next((m for m in wanted if m in present), next(iter(present), None))
    if metric is None:
        return
    scores = [score for score in run.categories if score.metric == metric]
    scored = {score.generator for score in scores}
    styles = {n: look for n, look in looks(run.generators).items() if n in scored}
    categories = list(dict.fromkeys(c.category for c in scores))
    figure, axes = canvas(1.3 + len(categories) * (0.2 + 0.13 * len(styles)))
    draw_categories(figure, axes, scores, styles)
    unknown = MetricResult(metric=metric, value=None, about=run.about(metric))
    like = next((r for (_, m), r in index.items() if m == metric), unknown)
    keep_to_shares(axes.xaxis, like.described.scale, like.unit)
    _name_axis(axes.xaxis, like)
    without = [name for name in names if name not in scored]
    left_out = f"Not drawn: {listed(without)}, without scores. " if without else ""
    yield finish(
        figure,
        "scores_by_category",
        "Scores by prompt category",
        f"{like.described.label.capitalize()} on the prompts of each category. "
        f"{left_out}95 % intervals: bootstrap over prompts, the samples of a prompt kept together.",
    )
