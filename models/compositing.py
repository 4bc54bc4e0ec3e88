"""Putting known pixels back into what an edit within a mask made, alike for all families."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, UInt8

_PARTS = 32  # of the shorter side, over one of which the edit rises to the whole of a pixel


def feather(mask: UInt8[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """How much of each pixel is the edit's, 0 to 1, for a mask of 0 and 255.

    It rises from the border of the mask inwards over a 32nd of the shorter side (at least a pixel),
    by the share of a square around the pixel that lies in the mask; outside it is 0. In a mask that
    is thinner than that it rises faster, so that it is 1 somewhere.
    """
    from scipy import ndimage

    inside = (mask == 255).astype(np.int64)
    deepest = int(ndimage.distance_transform_cdt(inside, metric="chessboard").max())
    width = max(0, min(max(1, min(mask.shape) // _PARTS), deepest - 1))
    window = np.ones(2 * width + 1, np.int64)
    covered = inside  # counted in whole numbers, so that it is 1 where all of a square is inside
    for axis in (0, 1):
        covered = ndimage.convolve1d(covered, window, axis=axis, mode="nearest")
    return np.asarray((inside * covered).astype(np.float32) / np.float32(len(window) ** 2))


def composited(
    made: UInt8[np.ndarray, "h w 3"],
    known: UInt8[np.ndarray, "h w 3"],
    mask: UInt8[np.ndarray, "h w"],
) -> UInt8[np.ndarray, "h w 3"]:
    """What was made inside a mask, feathered, and the known pixels bit for bit where it is 0."""
    before = known.astype(np.float32)
    mixed = before + feather(mask)[..., None] * (made.astype(np.float32) - before)
    return np.asarray(np.rint(mixed).astype(np.uint8))
