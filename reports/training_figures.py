"""The figures of how models were trained, one of each kind for a model."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gandiff.reports.curves import Curve, draw_curves, training_curves
from gandiff.reports.health import draw_health, training_health
from gandiff.reports.operating_points import OperatingPoints, draw_operating_points
from gandiff.reports.palette import Look, looks
from gandiff.reports.plotting import Drawing, finish, stacked
from gandiff.reports.run_data import RunData


def training_drawings(run: RunData) -> Iterator[Drawing]:
    """Draw every figure that the training records of a run have numbers for."""
    yield from _curves(run)
    yield from _health(run)
    yield from _points(run)


def _curves(run: RunData) -> Iterator[Drawing]:
    styles = looks(run.generators)
    for curve in training_curves(run.generators):
        if curve.lines:
            yield _training(curve, styles[curve.generators[0]])


def _training(curve: Curve, look: Look) -> Drawing:
    figure, axes = stacked([2.0] * len(curve.panels))
    draw_curves(axes, curve, look)
    return finish(
        figure,
        f"training_{_slug(curve.generators[0])}",
        f"Training of {curve.title}",
        "What training reported, over its own time.",
    )


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _health(run: RunData) -> Iterator[Drawing]:
    styles = looks(run.generators)
    for health in (one for one in training_health(run) if one.panels):
        figure, axes = stacked([2.4 if len(names) > 1 else 1.4 for names in health.panels])
        draw_health(axes, health, styles[health.generator])
        yield finish(
            figure,
            f"training_health_{_slug(health.generator)}",
            f"Health of {health.title} in training",
            "What was measured on validation captions while it trained; a vertical dotted line is "
            "an alarm.",
        )


def _points(run: RunData) -> Iterator[Drawing]:
    styles = looks(run.generators)
    for curve in training_curves(run.generators):
        points = OperatingPoints.of(curve.record)
        if not points.panels:
            continue
        figure, axes = stacked([2.0] * len(points.panels), share_x=False)
        draw_operating_points(axes, points, styles[curve.generators[0]])
        yield finish(
            figure,
            f"training_points_{_slug(curve.generators[0])}",
            f"Steps, solvers and guidance of {curve.title}",
            points.caption,
        )
