"""Drawing scenes: signed distances to each shape, antialiased over one pixel.

Shapes are drawn in their own frame (radius 1, x right, y down) from distances that need no
trigonometry per pixel: a pentagram, for one, is where at least four of its five edge lines have the
point on their inner side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

from gandiff.experiments.scenes.facts import SHAPES, Scenes

OBJECT_RGB = np.array(
    [
        (214, 40, 40),  # red
        (245, 138, 28),  # orange
        (246, 222, 50),  # yellow
        (46, 158, 62),  # green
        (58, 204, 216),  # cyan
        (42, 78, 204),  # blue
        (128, 56, 172),  # purple
        (246, 130, 190),  # pink
    ],
    np.float32,
)
BACKGROUND_RGB = np.array(
    [(244, 244, 244), (128, 128, 128), (18, 18, 18), (202, 182, 140)], np.float32
)
Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _half_planes(corners: int, inner_radius: float, turn: float) -> np.ndarray:
    angle = turn + 2 * np.pi * np.arange(corners) / corners
    planes = np.stack([np.cos(angle), np.sin(angle), np.full(corners, inner_radius)], 1)
    return planes.astype(np.float32)


_TRIANGLE = _half_planes(3, 0.52, np.pi / 2)  # a corner up
_STAR = _half_planes(5, 0.36, np.pi / 2)


def _lines(planes: np.ndarray, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    return [a * x + b * y - c for a, b, c in planes]


def _circle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(x * x + y * y) - 0.95)


def _square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.asarray(np.maximum(np.abs(x), np.abs(y)) - 0.82)


def _triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    a, b, c = _lines(_TRIANGLE, x, y - 0.2)
    return np.asarray(np.maximum(np.maximum(a, b), c))


def _star(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    first = second = np.full_like(x, -np.inf)  # the largest and second largest distance
    for line in _lines(_STAR, x, y - 0.05):
        second = np.maximum(second, np.minimum(first, line))
        first = np.maximum(first, line)
    return second


def _heart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    # A square on its corner and two discs that have its upper sides as diameters.
    x, y = np.abs(x), y - 0.06
    diamond = (x + np.abs(y) - 0.82) * np.float32(np.sqrt(0.5))
    lobe = np.sqrt((x - 0.41) ** 2 + (y + 0.41) ** 2) - np.float32(0.41 * np.sqrt(2))
    return np.asarray(np.minimum(diamond, lobe))


def _ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(np.sqrt(x * x + y * y) - 0.74) - 0.24)


def _cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = np.abs(x), np.abs(y)
    return np.asarray(np.minimum(np.maximum(x - 0.95, y - 0.3), np.maximum(x - 0.3, y - 0.95)))


def _crescent(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    moon = np.sqrt(x * x + y * y) - 0.98
    bite = 0.78 - np.sqrt((x - 0.48) ** 2 + y * y)
    return np.asarray(np.maximum(moon, bite))


_DISTANCES: tuple[Distance, ...] = (
    *(_circle, _square, _triangle, _star),
    *(_heart, _ring, _cross, _crescent),
)
# How far a shape goes from its centre, in radii, and how many px more its soft edge takes: that of
# sharp tips is longer. Of all others 1, and a pixel and a half.
_REACH = {SHAPES.index("star"): (1.22, 2.5)}


class Patch(NamedTuple):
    """Objects of one slot and one shape, and how far the pixels of a square around each are.

    ``where`` indexes (n, h, w) arrays and gives (m, p, p) of them. ``distance`` is signed, in px,
    negative inside, and Euclidean but near corners, where the lines at one distance are mitred.
    """

    rows: np.ndarray  # of the scenes, (m,)
    where: tuple[np.ndarray, np.ndarray, np.ndarray]
    distance: Float32[np.ndarray, "m p p"]

    @property
    def coverage(self) -> Float32[np.ndarray, "m p p"]:
        """The share of each pixel, 0..1, that its object covers: the edge is one pixel wide."""
        return np.asarray(np.clip(0.5 - self.distance, 0, 1))


def patches(scenes: Scenes, slot: int, resolution: int, *, whole: bool = False) -> Iterator[Patch]:
    """The objects of one slot, shape by shape, in patches that hold what ``render`` draws of them.

    A square holds all of the largest object of its patch, whose edge is a pixel wide; with
    ``whole`` it is the whole picture. Raises ``ValueError`` for a resolution below 8 px.
    """
    check_resolution(resolution)
    for shape in range(len(SHAPES)):
        rows = np.flatnonzero(scenes.shape[:, slot] == shape)
        if len(rows):
            yield _patch(scenes, rows, slot, resolution, shape, whole)


def check_resolution(resolution: int) -> None:
    """Raise ``ValueError`` where a scene could not be drawn."""
    if resolution < 8:
        raise ValueError(f"a scene needs at least 8 px, got a resolution of {resolution}")


def render(scenes: Scenes, resolution: int = 32) -> UInt8[np.ndarray, "n h w 3"]:
    """Draw the scenes at ``resolution`` px, rounded to uint8; slot 1 is drawn over slot 0.

    Image i depends on scene i alone.
    """
    check_resolution(resolution)
    canvas = np.empty((len(scenes), resolution, resolution, 3), np.float32)
    canvas[:] = (BACKGROUND_RGB[scenes.background] + scenes.background_jitter)[:, None, None, :]
    for slot in range(2):
        for patch in patches(scenes, slot, resolution):
            colour = scenes.colour[patch.rows, slot]
            rgb = OBJECT_RGB[colour] + scenes.object_jitter[patch.rows, slot]
            blend(canvas, patch, rgb[:, None, None, :])
    return np.rint(np.clip(canvas, 0, 255)).astype(np.uint8)


def blend(canvas: Float32[np.ndarray, "n h w c"], patch: Patch, value: np.ndarray) -> None:
    """Lay ``value``, which broadcasts to (m, p, p, c), over the canvas as far as objects cover."""
    under = canvas[patch.where]
    canvas[patch.where] = under + patch.coverage[..., None] * (value - under)


def _patch(
    scenes: Scenes, rows: np.ndarray, slot: int, side: int, shape: int, whole: bool
) -> Patch:
    centre, radius = scenes.centre[rows, slot] * side, scenes.radius[rows, slot] * side
    reach, edge = _REACH.get(shape, (1.0, 1.5))
    size = side if whole else min(side, int(np.ceil(2 * (reach * float(radius.max()) + edge))))
    corner = np.clip(np.floor(centre - size / 2).astype(np.int64), 0, side - size)
    steps = np.arange(size)
    xs, ys = corner[:, 0:1] + steps, corner[:, 1:2] + steps  # (m, p)
    x = ((xs + np.float32(0.5) - centre[:, 0:1]) / radius[:, None]).astype(np.float32)
    y = ((ys + np.float32(0.5) - centre[:, 1:2]) / radius[:, None]).astype(np.float32)
    grid_x, grid_y = np.broadcast_arrays(x[:, None, :], y[:, :, None])
    where = (rows[:, None, None], ys[:, :, None], xs[:, None, :])
    return Patch(rows, where, _DISTANCES[shape](grid_x, grid_y) * radius[:, None, None])
