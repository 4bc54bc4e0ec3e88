"""Names beside points, placed so that they keep apart, and the legend that says the rest."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from gandiff.reports.palette import FAMILY_NAMES
from gandiff.reports.plotting import FAINT, INK, Point, settle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ANGLES = np.tile(np.arange(16) * np.pi / 8, 7)
_GAPS = np.repeat([7.0, 11, 18, 28, 40, 55, 75], 16)  # points of type between marker and name
_DOT = 5.0  # half the side of a marker, in points
_LONGEST = 28  # letters of names that have room beside their points
_ROW = 0.17  # height of a line of the legend, in inches
_LINE = 32  # letters of the widest kind that a legend holds beside each other


def name_points(
    figure: Figure,
    axes: Axes,
    points: Sequence[Point],
    dashed: str | None = None,
    line: Sequence[tuple[float, float]] = (),
) -> None:
    """Name points beside them and families in the legend, where names are long all of it there;
    ``dashed`` is what a dashed line is, ``line`` its corners.
    """
    from matplotlib.lines import Line2D

    how: dict[str, Any] = {"linestyle": ""}
    if any(len(p.name) > _LONGEST for p in points):
        numbered = [dataclasses.replace(p, name=str(k)) for k, p in enumerate(points, 1)]
        handles = [
            Line2D([], [], color=p.look.colour, marker=p.look.marker, label=f"{k}  {name}", **how)
            for k, (p, name) in enumerate(
                zip(points, broken([p.name for p in points]), strict=True), 1
            )
        ]
        lines = sum(1 + str(handle.get_label()).count("\n") for handle in handles)
        figure.set_figheight(figure.get_figheight() + _ROW * lines)
    else:
        numbered, families = list(points), {p.look.family: p.look.colour for p in points}
        handles = [
            Line2D([], [], color=colour, marker="o", label=FAMILY_NAMES[family], **how)
            for family, colour in families.items()
        ]
    if dashed is not None:
        handles.append(Line2D([], [], color=FAINT, linestyle="--", label=dashed))
    columns = 1 if numbered != list(points) else 4
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    label_points(axes, numbered, line)


def broken(names: Sequence[str]) -> list[str]:
    """Names as a legend holds them: long ones in lines."""
    return ["\n".join(re.findall(f".{{1,{_LINE}}}", name)) for name in names]


def label_points(
    axes: Axes, points: Sequence[Point], line: Sequence[tuple[float, float]] = ()
) -> None:
    """Write each name where it covers no other name and no point, and little of the intervals
    and of the ``line`` (corners in data coordinates, all its parts level or upright).

    Candidates lie on rings around the point and the cheapest is taken; the most crowded points
    choose first. A name that had to go far gets a thin leader.
    """
    figure = axes.figure.get_figure(root=True)
    assert figure is not None
    settle(figure)
    scale = figure.dpi / 72
    dots = axes.transData.transform([(p.x, p.y) for p in points])
    # Boxes are rows of left, bottom, right and top, in pixels.
    there = [text.get_window_extent().extents for text in axes.texts if text.get_text()]
    taken = np.vstack([np.hstack([dots - _DOT * scale, dots + _DOT * scale]), *there])
    frame = np.array([axes.get_window_extent().extents])
    bars = _bars(axes, points, line, scale)
    apart = np.linalg.norm(dots[:, None] - dots, axis=2) + np.diag(np.full(len(dots), np.inf))
    directions = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
    style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8.5, "color": INK}
    for i in np.argsort(apart.min(axis=1), kind="stable"):
        at: dict[str, Any] = {"xy": (points[i].x, points[i].y), "textcoords": "offset points"}
        text = axes.annotate(points[i].name, xytext=(0, 0), annotation_clip=False, **at, **style)
        size = np.array(text.get_window_extent().size)
        offsets = directions * (_GAPS[:, None] * scale + size / 2)
        boxes = np.tile(dots[i], 2) + np.hstack([offsets - size / 2, offsets + size / 2])
        far = np.linalg.norm((abs(offsets) - size / 2).clip(0), axis=1)
        covered = (_shared(boxes, taken, margin=1.0) > 0) + _shared(boxes, taken) / size.prod()
        outside = 1 - _shared(boxes, frame)[:, 0] / size.prod()
        crossed = (_shared(boxes, bars) > 0).sum(axis=1)
        cost = 50 * covered.sum(axis=1) + 30 * outside + 1.5 * crossed + far / size[1] / 2
        best = cost.argmin()
        text.set(position=offsets[best] / scale, zorder=4)
        taken = np.vstack([taken, boxes[best]])
        if far[best] > 16 * scale:
            leader = {"arrowstyle": "-", "color": FAINT, "linewidth": 0.7, "shrinkA": 7}
            axes.annotate("", xytext=offsets[best] / scale, zorder=2, arrowprops=leader, **at)


def _bars(
    axes: Axes, points: Sequence[Point], line: Sequence[tuple[float, float]], half: float
) -> Float[np.ndarray, "n 4"]:
    """The boxes around the intervals and the pieces of the line."""
    ends = list(pairwise(line))
    for p in points:
        ends += [((p.x_interval[0], p.y), (p.x_interval[1], p.y))] if p.x_interval else []
        ends += [((p.x, p.y_interval[0]), (p.x, p.y_interval[1]))] if p.y_interval else []
    corners = axes.transData.transform(np.reshape(ends, (-1, 2))).reshape(-1, 2, 2)
    return np.hstack([corners.min(axis=1) - half, corners.max(axis=1) + half])


def _shared(
    a: Float[np.ndarray, "n 4"], b: Float[np.ndarray, "m 4"], margin: float = 0.0
) -> Float[np.ndarray, "n m"]:
    """The area that each box of a, with a margin around it, has in common with each of b."""
    low = np.maximum(a[:, None, :2] - margin, b[:, :2])
    high = np.minimum(a[:, None, 2:] + margin, b[:, 2:])
    area: Float[np.ndarray, "n m"] = (high - low).clip(0).prod(axis=2)
    return area
