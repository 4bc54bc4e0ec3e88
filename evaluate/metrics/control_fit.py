"""Whether an image follows the outlines or the depth map that it was given."""

from __future__ import annotations

import dataclasses

import numpy as np

from gandiff.common.errors import MetricError
from gandiff.evaluate.metric import Metric, MetricInput, MetricOutput
from gandiff.evaluate.metrics.edited import Edited, row_of, values_of
from gandiff.evaluate.numerics.regions import (
    FAR,
    filled,
    filled_outline,
    foreground,
    nearer_in_front,
    overlap,
    planes,
    sizes_in_order,
)
from gandiff.evaluate.result import About, MetricSpec

_MOST = 0.5  # share of control images that may be something else
_PROTOCOL = {"foreground": f"farther than {FAR:g} levels (RGB) from the median of the frame"}
_OVERLAP = About(
    label="overlap with the outline",
    meaning="Intersection over union of what was drawn before the background and what the given "
    "outlines enclose.",
    group="What was given",
    unit="IoU",
    axis="preservation",
    priority=0,
    direction="higher",
)


_ORDER = dataclasses.replace(
    _OVERLAP,
    label="order in depth",
    meaning="Share of images whose two objects are in the order of the given depth map: sizes in "
    "order, and the nearer one in front where they touch.",
    unit="share",
    scale="percent",
)


class OutlineOverlap(Metric):
    """``outline_overlap``: intersection over union of what is drawn and what outlines enclose.

    Drawn is what is farther from the background's colour (the median of the outermost pixels) than
    backgrounds of scenes vary, with its holes.
    """

    spec = MetricSpec("outline_overlap")
    about = _OVERLAP
    tasks = ("control",)
    needs_edit = ("control_image",)

    def measure(self, data: MetricInput) -> MetricOutput:
        """One row and the overlap of every image."""
        name = str(self.spec)
        values = values_of(data, data.images, self.needs_edit, _outline_overlap)
        if np.isnan(values).mean() > _MOST:
            raise MetricError(
                f"{name} needs outlines as control images, light on dark, and most enclose nothing"
            )
        row = row_of(data, name, values, self.about, _PROTOCOL)
        return MetricOutput(results=[row], per_image={name: values})


def _outline_overlap(one: Edited) -> float:
    enclosed = filled_outline(one.picture("control_image"))
    return np.nan if enclosed is None else overlap(filled(foreground(one.pixels)), enclosed)


class DepthOrder(Metric):
    """``depth_order``: whether objects are drawn in the order of a depth map (nearer is lighter).

    Rows ``/all`` (every order that can be seen is right), ``/sizes`` (the larger object of the map
    is the larger one drawn), ``/front`` (where the two touch, the nearer one is seen), and
    ``/overlap`` of what is drawn with what the map shows before the background.
    """

    spec = MetricSpec("depth_order")
    about = dataclasses.replace(
        _ORDER,
        parts={
            "all": _ORDER,
            "sizes": dataclasses.replace(
                _ORDER,
                label="sizes in order",
                meaning="Share of images of two objects of which the larger one of the depth map "
                "is the larger one drawn.",
                axis=None,
            ),
            "front": dataclasses.replace(
                _ORDER,
                label="nearer in front",
                meaning="Share of images in which the nearer object is seen where the two of the "
                "depth map touch.",
                axis=None,
            ),
            "overlap": dataclasses.replace(
                _OVERLAP,
                label="overlap with the depth map",
                meaning="Intersection over union of what was drawn before the background and what "
                "the given depth map shows there.",
                axis=None,
            ),
        },
    )
    tasks = ("control",)
    needs_edit = ("control_image",)

    def measure(self, data: MetricInput) -> MetricOutput:
        """The rows; an order that cannot be seen (one object, equal sizes, objects apart) has no
        value.
        """
        rows: dict[str, np.ndarray] = {
            "sizes": values_of(data, data.images, self.needs_edit, _sizes),
            "front": values_of(data, data.images, self.needs_edit, _front),
        }
        both = np.stack(list(rows.values()))
        known = ~np.isnan(both).all(axis=0)
        every = np.full(len(data.images), np.nan)
        every[known] = np.nanmin(both[:, known], axis=0)
        rows = {
            "all": every,
            **rows,
            "overlap": values_of(data, data.images, self.needs_edit, _depth_overlap),
        }
        if np.isnan(rows["overlap"]).mean() > _MOST:
            raise MetricError(
                f"{self.spec} needs depth maps of one or two flat objects before a background of "
                "level 0, and most control images are none"
            )
        stated = {row: values for row, values in rows.items() if not np.isnan(values).all()}
        results = [
            row_of(data, f"{self.spec}/{row}", values, self.describe(row), _PROTOCOL)
            for row, values in stated.items()
        ]
        per_image = {f"{self.spec}/{row}": values for row, values in stated.items()}
        return MetricOutput(results=results, per_image=per_image)


def _sizes(one: Edited) -> float:
    given = planes(one.picture("control_image"))
    return np.nan if given is None else sizes_in_order(foreground(one.pixels), given)


def _front(one: Edited) -> float:
    given = planes(one.picture("control_image"))
    return np.nan if given is None else nearer_in_front(one.pixels, given)


def _depth_overlap(one: Edited) -> float:
    given = planes(one.picture("control_image"))
    return np.nan if given is None else overlap(foreground(one.pixels), given.covered)
