"""Quality against the steps that an image takes: one for a GAN, many for a diffusion model."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from gandiff.evaluate.result import About, MetricResult
from gandiff.reports.axes import axis_metric
from gandiff.reports.comparing import lookup
from gandiff.reports.explanations import not_as_in_papers
from gandiff.reports.labels import name_points
from gandiff.reports.palette import looks
from gandiff.reports.planes import Plane, draw_lines, draw_marks, name_axis
from gandiff.reports.plotting import (
    Drawing,
    Point,
    canvas,
    draw_points,
    finish,
    keep_to_shares,
    spread_log,
)
from gandiff.reports.run_data import GeneratorFacts, RunData

_STEPS, _SETTING = "steps", "num_inference_steps"
_FOLLOW = (
    _SETTING,
    "resolved",
    "solver_steps",
    "first_timestep",
)  # the steps, and what they decide
_APART = 0.04  # of the axis: how far apart points of equally many steps stand
_MOST = 0.4  # of the way to the next number of steps: how much of it they may take together
_ABOUT = About(label="steps", meaning="Steps that an image takes.", scale="whole", is_exact=True)


def step_drawings(run: RunData) -> Iterator[Drawing]:
    """Draw alignment and distribution against steps, where generators differ in them."""
    steps = {name: count for name, facts in run.generators.items() if (count := _steps(facts))}
    index = dict(lookup(run.results))
    for name, count in steps.items():
        index[name, _STEPS] = MetricResult(metric=_STEPS, value=float(count), about=_ABOUT)
    lines = _lines(run.generators, steps)
    for axis in ("alignment", "distribution"):
        metric = axis_metric(index, list(run.generators), axis)
        if metric is not None:
            marks = run.ground.marks(metric)
            plane = Plane(_STEPS, metric, index, looks(run.generators), lines, marks)
            if len({point.x for point in plane.points()}) > 1:
                yield _draw(plane, axis)


def _steps(facts: GeneratorFacts) -> int | None:
    """One for a GAN, as many as a pipeline was asked for; None where they are not known."""
    settings = facts.info.get("settings") or {}
    if facts.family == "gan":
        return 1
    count = None if settings.get("stages") else settings.get(_SETTING)
    return count if isinstance(count, int) and count > 0 else None


def _lines(generators: Mapping[str, GeneratorFacts], steps: Mapping[str, int]) -> list[list[str]]:
    """Generators of the same weights that differ in their steps alone, by their steps."""
    alike: dict[str, list[str]] = {}
    for name in sorted(steps, key=lambda name: steps[name]):
        facts = generators[name]
        settings = {**(facts.info.get("settings") or {}), **dict.fromkeys(_FOLLOW)}
        key = json.dumps([facts.weights_sha256 or name, settings], sort_keys=True, default=str)
        alike.setdefault(key, []).append(name)
    return [line for line in alike.values() if len({steps[name] for name in line}) > 1]


def side_by_side(points: Sequence[Point]) -> list[Point]:
    """The points with those at one x > 0 moved apart a little, in their order, evenly around it on
    a logarithmic axis: their intervals would cover each other.
    """
    places = sorted({point.x for point in points})
    ways = [math.log(after / before) for before, after in pairwise(places)]
    moved = []
    for point in points:
        level = [other.name for other in points if other.x == point.x]
        here = places.index(point.x)
        near = ways[max(0, here - 1) : here + 1]
        if len(level) > 1 and near:
            step = min(_APART * sum(ways), _MOST * min(near) / (len(level) - 1))
            shift = step * (level.index(point.name) - (len(level) - 1) / 2)
            point = dataclasses.replace(point, x=point.x * math.exp(shift), x_interval=None)
        moved.append(point)
    return moved


def _draw(plane: Plane, axis: str) -> Drawing:
    figure, axes = canvas()
    at, result = plane.points(), plane.result(plane.y)
    points = side_by_side(at)
    axes.set_xscale("log")
    joins = "Lines join generators that differ in their steps alone. "
    joins = joins if draw_lines(axes, plane, points) else ""
    draw_points(axes, points)
    axes.margins(0.16, 0.18)
    spread_log(axes)
    anchored = draw_marks(axes, plane.marks, points)
    keep_to_shares(axes.yaxis, result.described.scale, result.unit)
    name_axis(axes.xaxis, plane.result(_STEPS), beside="(log scale)")
    name_axis(axes.yaxis, result)
    name_points(figure, axes, points)
    beside = "" if points == at else "Generators of equally many steps stand side by side. "
    caveat = f"{said} " if (said := not_as_in_papers([result])) else ""
    return finish(
        figure,
        f"steps_{axis}",
        f"{axis.capitalize()} against steps",
        "A GAN makes an image in one step; each step of a diffusion model is at least one call of "
        f"its network. {joins}{beside}{anchored}{plane.left_out()}{caveat}"
        "Whiskers are 95 % intervals.",
    )
