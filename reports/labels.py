"""Names beside points, placed so that they keep apart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from gandiff.reports.plotting import FAINT, INK, Point, settle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

_DIRECTIONS = 16
_GAPS = (7.0, 11.0, 18.0, 28.0, 40.0, 55.0, 75.0)  # points of type between marker and name
_DOT = 5.0  # half the side of a marker, in points


def label_points(
    axes: Axes, points: Sequence[Point], line: Sequence[tuple[float, float]] = ()
) -> None:
    """Write each name where it covers no other name and no point, and little of the intervals
    and of the ``line`` (corners in data coordinates, all its parts level or upright).

    Candidates lie on rings around the point and the cheapest is taken; the most crowded points
    choose first. A name that had to go far gets a thin leader.
    """
    from matplotlib.transforms import Bbox

    figure = axes.figure.get_figure(root=True)
    assert figure is not None
    settle(figure)
    scale = figure.dpi / 72
    dots = [(float(x), float(y)) for x, y in axes.transData.transform([(p.x, p.y) for p in points])]
    taken = [
        Bbox.from_extents(x - _DOT * scale, y - _DOT * scale, x + _DOT * scale, y + _DOT * scale)
        for x, y in dots
    ]
    bars = [box for point in points for box in _bars(axes, point, scale)]
    bars += [_strip(axes, (a, b), scale) for a, b in pairwise(line)]
    for i in sorted(range(len(points)), key=lambda i: _distance_to_next(dots, i)):
        text = axes.annotate(
            points[i].name,
            (points[i].x, points[i].y),
            xytext=(0, 0),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=8.5,
            color=INK,
            zorder=4,
            annotation_clip=False,
        )
        size = text.get_window_extent()
        choices = _candidates(dots[i], size.width, size.height, scale)
        frame = axes.get_window_extent()
        best = min(choices, key=lambda box: _cost(box, dots[i], taken, bars, frame))
        dx, dy = ((best.x0 + best.x1) / 2 - dots[i][0], (best.y0 + best.y1) / 2 - dots[i][1])
        text.set_position((dx / scale, dy / scale))
        taken.append(best)
        if _gap(best, dots[i]) > 16 * scale:
            _leader(axes, points[i], dx / scale, dy / scale)


def _leader(axes: Axes, point: Point, dx: float, dy: float) -> None:
    axes.annotate(
        "",
        (point.x, point.y),
        xytext=(dx, dy),
        textcoords="offset points",
        zorder=2,
        arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.7, "shrinkA": 7},
    )


def _distance_to_next(dots: Sequence[tuple[float, float]], i: int) -> float:
    others = [math.dist(dots[i], dot) for k, dot in enumerate(dots) if k != i]
    return min(others, default=math.inf)


def _candidates(
    dot: tuple[float, float], width: float, height: float, scale: float
) -> Iterator[Bbox]:
    from matplotlib.transforms import Bbox

    for gap in _GAPS:
        for k in range(_DIRECTIONS):
            angle = 2 * math.pi * k / _DIRECTIONS
            across, up = math.cos(angle), math.sin(angle)
            x = dot[0] + across * (gap * scale + width / 2)
            y = dot[1] + up * (gap * scale + height / 2)
            yield Bbox.from_bounds(x - width / 2, y - height / 2, width, height)


def _cost(
    box: Bbox, dot: tuple[float, float], taken: Sequence[Bbox], bars: Sequence[Bbox], frame: Bbox
) -> float:
    area = box.width * box.height
    padded = box.padded(1.0)
    covered = sum(1 + _overlap(box, other) / area for other in taken if padded.overlaps(other))
    crossed = sum(_overlap(box, bar) > 0 for bar in bars)
    outside = 1 - _overlap(box, frame) / area
    return 50 * covered + 30 * outside + 1.5 * crossed + _gap(box, dot) / box.height / 2


def _overlap(a: Bbox, b: Bbox) -> float:
    width = float(min(a.x1, b.x1) - max(a.x0, b.x0))
    height = float(min(a.y1, b.y1) - max(a.y0, b.y0))
    return max(0.0, width) * max(0.0, height)


def _gap(box: Bbox, dot: tuple[float, float]) -> float:
    across = max(box.x0 - dot[0], 0.0, dot[0] - box.x1)
    up = max(box.y0 - dot[1], 0.0, dot[1] - box.y1)
    return math.hypot(across, up)


def _bars(axes: Axes, point: Point, scale: float) -> Iterator[Bbox]:
    for ends in (
        [(x, point.y) for x in point.x_interval or ()],
        [(point.x, y) for y in point.y_interval or ()],
    ):
        if ends:
            yield _strip(axes, ends, scale)


def _strip(axes: Axes, ends: Sequence[tuple[float, float]], half: float) -> Bbox:
    """The box, in pixels, around a level or upright piece of line."""
    from matplotlib.transforms import Bbox

    (x0, y0), (x1, y1) = axes.transData.transform(list(ends))
    return Bbox.from_extents(
        min(x0, x1) - half, min(y0, y1) - half, max(x0, x1) + half, max(y0, y1) + half
    )
