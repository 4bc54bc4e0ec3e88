"""The figures of a report, as PNG and SVG; none is drawn where the run has no numbers for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import pairwise

from gandiff.evaluate.result import MetricResult
from gandiff.reports.axes import AXES, axis_metric
from gandiff.reports.category_figure import draw_categories, legend_lines
from gandiff.reports.comparing import goodness, lookup
from gandiff.reports.cost_sentences import LATENCY
from gandiff.reports.explanations import not_as_in_papers
from gandiff.reports.labels import name_points
from gandiff.reports.palette import looks
from gandiff.reports.planes import Plane, draw_lines, draw_marks, in_words, name_axis
from gandiff.reports.plotting import (
    FAINT,
    STYLE,
    Drawing,
    Point,
    canvas,
    draw_points,
    finish,
    keep_to_shares,
    spread_log,
)
from gandiff.reports.run_data import CategoryScore, RunData
from gandiff.reports.sentence import listed
from gandiff.reports.step_figures import step_drawings
from gandiff.reports.sweeps import sweep_lines
from gandiff.reports.training_figures import training_drawings


def draw_figures(run: RunData) -> list[Drawing]:
    """Draw every figure that the run has numbers for."""
    import matplotlib as mpl

    mpl.use("Agg")
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        return [
            *_planes(run),
            *_categories(run),
            *step_drawings(run),
            *training_drawings(run),
        ]


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
    joins = draw_lines(axes, plane, points)
    draw_points(axes, points)
    axes.margins(0.16, 0.18)
    spread_log(axes)
    anchored = draw_marks(axes, plane.marks, points)
    keep_to_shares(axes.yaxis, result.described.scale, result.unit)
    name_axis(axes.xaxis, latency, "s", "(log scale)")
    name_axis(axes.yaxis, result)
    name_points(figure, axes, points, "Pareto front" if corners else None, corners)
    best = ", ".join(p.name for p in front)
    beaten = (
        "By their values alone, nothing is both faster and better than the generators on the "
        f"Pareto front: {best}. "
    )
    return finish(
        figure,
        f"{axis}_against_time",
        f"{axis.capitalize()} against time per image",
        f"{beaten if len(points) > 1 else ''}{joins}{anchored}{plane.left_out()}{_caveat(result)}"
        "Whiskers are 95 % intervals.",
    )


def _caveat(result: MetricResult) -> str:
    caveat = not_as_in_papers([result])
    return f"{caveat} " if caveat else ""


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
    joins = draw_lines(axes, plane, points)
    draw_points(axes, points)
    axes.margins(0.16, 0.18)
    keep_to_shares(axes.xaxis, x.described.scale, x.unit)
    keep_to_shares(axes.yaxis, y.described.scale, y.unit)
    for result, draw in ((x, axes.axvline), (y, axes.axhline)):
        if result.direction == "target" and result.target is not None:
            draw(result.target, color=FAINT, linewidth=1.0, linestyle=":", zorder=1)
    name_axis(axes.xaxis, x)
    name_axis(axes.yaxis, y)
    name_points(figure, axes, points)
    return finish(
        figure,
        "diversity_against_alignment",
        "Diversity against alignment",
        f"{_advice(x, y)}{joins}{plane.left_out()}Whiskers are 95 % intervals.",
    )


def _advice(x: MetricResult, y: MetricResult) -> str:
    """Where in a plane the best is, by the directions of both axes."""
    upright, level = {"higher": "top", "lower": "bottom"}, {"higher": "right", "lower": "left"}
    corner = f"{upright.get(y.direction, '')} {level.get(x.direction, '')}".strip()
    aims = [r for r in (x, y) if r.direction == "target" and r.target is not None]
    near = f"nearest to the dotted line{'s' if len(aims) > 1 else ''}" if aims else ""
    best = ", ".join(filter(None, (f"the {corner}" if corner else "", near)))
    real = ": the diversity of real images" if x in aims and len(aims) == 1 else ""
    return f"Best is {best}{real}. " if best else ""


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
    if not styles or not any(score.category for score in scores):
        return
    categories = list(dict.fromkeys(c.category for c in scores))
    figure, axes = canvas(
        1.1 + 0.2 * legend_lines(list(styles)) + len(categories) * (0.2 + 0.13 * len(styles))
    )
    unknown = MetricResult(metric=metric, value=None, about=run.about(metric))
    like = next((r for (_, m), r in index.items() if m == metric), unknown)

    def said(score: CategoryScore) -> str:
        one = dataclasses.replace(like, value=score.value, low=score.low, high=score.high)
        return in_words(one)

    draw_categories(figure, axes, scores, styles, said)
    keep_to_shares(axes.xaxis, like.described.scale, like.unit)
    name_axis(axes.xaxis, like)
    without = [name for name in names if name not in scored]
    label = like.described.label
    left_out = f"Not drawn: {listed(without)}, without scores. " if without else ""
    yield finish(
        figure,
        "scores_by_category",
        "Scores by prompt category",
        f"{label[:1].upper()}{label[1:]} on the prompts of each category. "
        f"{left_out}95 % intervals over prompts: bootstrap, score interval of shares; the samples "
        "of a prompt are kept together.",
    )
