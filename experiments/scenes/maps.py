"""What is where in a scene: masks of its objects, their outlines and their depth.

They come from the distances that the picture is drawn from, so they fit it to the pixel.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from gandiff.experiments.scenes.facts import RADIUS, Scenes
from gandiff.experiments.scenes.render import blend, check_resolution, patches

LINE_WIDTH = 1 / 32  # of the side of the image, and no less than a pixel
# Grey levels of a slot's smallest and largest object; between them by radius. Slot 1 is drawn last.
DEPTH = ((96.0, 160.0), (176.0, 240.0))
FARTHEST = 0.0  # the background's grey level


def object_masks(scenes: Scenes, resolution: int = 32) -> Float32[np.ndarray, "n 2 h w"]:
    """How much of each pixel, 0..1, shows each object; a slot without one has zeros.

    What slot 1 is drawn over does not count for slot 0: a pixel is the sum of the colours of
    objects and background in these shares, the background having the rest. Raises ``ValueError``
    for a resolution below 8 px.
    """
    check_resolution(resolution)
    masks = np.zeros((len(scenes), 2, resolution, resolution), np.float32)
    for slot in range(2):
        for patch in patches(scenes, slot, resolution):
            row, y, x = patch.where
            masks[:, 1 - slot][patch.where] *= 1 - patch.coverage
            masks[row, slot, y, x] = patch.coverage
    return masks


def is_covered(masks: Float32[np.ndarray, "*any h w"]) -> Bool[np.ndarray, "*any h w"]:
    """Shares of pixels as a boolean mask: those of which an object has at least half."""
    return np.asarray(masks >= 0.5)


def line_width(resolution: int) -> float:
    """Width of outlines in px: a 32nd of the side, at least 1."""
    return max(1.0, LINE_WIDTH * resolution)


def outlines(scenes: Scenes, resolution: int = 32) -> UInt8[np.ndarray, "n h w 3"]:
    """White lines on black along the edges of the objects, antialiased, holes included.

    A line is ``line_width`` px wide, half of it on either side of the edge. What slot 1 covers has
    no line of slot 0. Raises ``ValueError`` for a resolution below 8 px.
    """
    check_resolution(resolution)
    lines = np.zeros((len(scenes), resolution, resolution, 1), np.float32)
    half = line_width(resolution) / 2
    for slot in range(2):
        for patch in patches(scenes, slot, resolution, whole=True):
            line = np.clip(half + 0.5 - np.abs(patch.distance), 0, 1)
            uncovered = lines[patch.where] * (1 - patch.coverage[..., None])
            lines[patch.where] = np.maximum(uncovered, line[..., None])
    return _as_picture(lines * 255)


def depth(scenes: Scenes, resolution: int = 32) -> UInt8[np.ndarray, "n h w 3"]:
    """Depth as grey levels, nearer is lighter, edges antialiased like the picture's.

    The background is farthest, level 0. Of two objects, slot 1, which is drawn over slot 0, is
    nearer whatever their sizes; within a slot, the larger the radius the nearer. So slot 0 has
    levels from 96 to 160 and slot 1 from 176 to 240, linear in the radius over the range that
    scenes have. Raises ``ValueError`` for a resolution below 8 px.
    """
    check_resolution(resolution)
    levels = np.full((len(scenes), resolution, resolution, 1), FARTHEST, np.float32)
    for slot in range(2):
        for patch in patches(scenes, slot, resolution):
            level = np.interp(scenes.radius[patch.rows, slot], _RADII, DEPTH[slot])
            blend(levels, patch, level.astype(np.float32)[:, None, None, None])
    return _as_picture(levels)


def widened(mask: Bool[np.ndarray, "n h w"], margin: float) -> Bool[np.ndarray, "n h w"]:
    """Pixels whose centres are at most ``margin`` px from the centre of one in the mask."""
    rows = np.arange(mask.shape[1], dtype=np.float64)[:, None]
    above = np.maximum.accumulate(np.where(mask, rows, -np.inf), axis=1)
    below = np.minimum.accumulate(np.where(mask, rows, np.inf)[:, ::-1], axis=1)[:, ::-1]
    along = np.minimum(rows - above, below - rows)  # to the nearest of the same column
    wide, width = np.zeros_like(mask), mask.shape[2]
    steps = min(int(margin), width - 1)
    for step in range(-steps, steps + 1):
        near = along <= np.sqrt(margin**2 - step**2)
        wide[:, :, max(0, step) : width + min(0, step)] |= near[
            :, :, max(0, -step) : width - max(0, step)
        ]
    return wide


_RADII = (0.94 * RADIUS[0], 1.06 * RADIUS[1])  # the smallest and the largest that scenes have


def _as_picture(levels: Float32[np.ndarray, "n h w 1"]) -> UInt8[np.ndarray, "n h w 3"]:
    return np.repeat(np.rint(np.clip(levels, 0, 255)).astype(np.uint8), 3, axis=3)
