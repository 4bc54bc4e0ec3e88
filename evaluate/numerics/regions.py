"""Pictures beside masks, outlines and depth maps: what was kept, seams, what was drawn where."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

# A squared difference below that of rounding to levels (Var[U(-1/2, 1/2)]) is taken to be that, so
# that equal pictures have a finite PSNR.
ROUNDING = 1 / 12
EQUAL_DB = float(10 * np.log10(255**2 / ROUNDING))  # 58.9: the PSNR of equal pictures
FAR = 32.0  # from the background's colour in RGB: twice the widest jitter of scenes' backgrounds
_FLAT = 5  # of nine pixels, itself included, that have the level of one within a flat object
_SOLID = 0.5  # share of what the objects of a depth map enclose that they cover, at least
_THIN = 0.1  # share of what lines enclose that lies between them, more than that
_LINES = 0.5  # share of a picture that lines cover, at most
_ALIKE = 0.2  # areas that differ by less, relative to the larger, are in no order
_TOUCH = 2.0  # px: how near the places of two objects are where one may be in front

Picture = UInt8[np.ndarray, "h w 3"]
Region = Bool[np.ndarray, "h w"]


def psnr(
    one: UInt8[np.ndarray, "h w 3"], two: UInt8[np.ndarray, "h w 3"], where: Bool[np.ndarray, "h w"]
) -> float:
    """Peak signal-to-noise ratio over some of the pixels, 10 log10(255^2 / MSE), in dB.

    At most ``EQUAL_DB``. NaN where there are no such pixels.
    """
    if not where.any():
        return float("nan")
    error = float(np.mean((one[where].astype(np.float64) - two[where]) ** 2))
    return float(10 * np.log10(255**2 / max(error, ROUNDING)))


def border_step(image: UInt8[np.ndarray, "h w 3"], region: Bool[np.ndarray, "h w"]) -> float:
    """Mean absolute difference, in levels, of neighbours (beside and below each other) of which one
    lies in a region and the other does not; NaN where there are none.
    """
    levels = image.astype(np.float64)
    across = [
        np.abs(np.diff(levels, axis=axis)).mean(axis=2)[np.diff(region, axis=axis)]
        for axis in (0, 1)
    ]
    steps = np.concatenate(across)
    return float(steps.mean()) if len(steps) else float("nan")


def foreground(image: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"]:
    """Where a picture is farther than ``FAR`` (Euclidean, RGB) from its background's colour, which
    is the median of its outermost pixels.
    """
    levels = image.astype(np.float64)
    frame = np.concatenate([levels[0], levels[-1], levels[:, 0], levels[:, -1]])
    apart = levels - np.median(frame, axis=0)
    return np.asarray(np.sqrt((apart**2).sum(axis=2)) > FAR)


def filled(region: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """A region with its holes."""
    from scipy import ndimage

    return np.asarray(ndimage.binary_fill_holes(region))


def filled_outline(outline: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"] | None:
    """What light lines on a dark ground enclose, holes included; None where they enclose nothing,
    or next to nothing beside their own width, as in a depth map, and where they cover more than
    half of the picture: then it shows dark lines on a light ground.

    The lines are those of 128 levels or more. A line runs along an edge, so its pixels belong to
    the side that is nearer.
    """
    from scipy import ndimage

    line = outline.mean(axis=2) >= 128
    if line.mean() > _LINES:
        return None
    enclosed = filled(line)
    inside = enclosed & ~line
    if inside.sum() <= _THIN * enclosed.sum():
        return None
    to_outside = ndimage.distance_transform_edt(enclosed)
    to_inside = ndimage.distance_transform_edt(~inside)
    return np.asarray(inside | (line & (to_inside <= to_outside)))


def overlap(one: Bool[np.ndarray, "h w"], two: Bool[np.ndarray, "h w"]) -> float:
    """Intersection over union; NaN where both are empty."""
    union = int((one | two).sum())
    return int((one & two).sum()) / union if union else float("nan")


class Planes(NamedTuple):
    """A depth map as objects before a background: where they are, and which is nearer.

    ``objects`` are the regions from the farthest to the nearest, one or two.
    """

    objects: tuple[np.ndarray, ...]  # boolean, (h, w) each

    @property
    def covered(self) -> np.ndarray:
        """Where an object is, boolean (h, w)."""
        return np.asarray(np.any(self.objects, axis=0))


def planes(depth: UInt8[np.ndarray, "h w 3"]) -> Planes | None:
    """Read a depth map (nearer is lighter, the background is 0) of one or two flat objects.

    A soft edge belongs to the object from half of its level on. None for a map that shows no flat
    object, or more than two.
    """
    from scipy import ndimage

    levels = np.rint(depth.mean(axis=2)).astype(np.int64)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(levels, 1), (3, 3))
    alike = (around == levels[..., None, None]).sum(axis=(2, 3))
    is_flat = (levels > 0) & (alike >= _FLAT)
    flat = np.unique(levels[is_flat])
    if not 1 <= len(flat) <= 2:
        return None
    # The soft edge of one object passes through the level of the other: it belongs to what is flat
    # beside it.
    _, (y, x) = ndimage.distance_transform_edt(~is_flat, return_indices=True)
    nearest = levels[y, x]
    objects = tuple((levels >= level / 2) & (nearest == level) for level in flat)
    found = Planes(objects)
    is_solid = found.covered.sum() >= _SOLID * filled(found.covered).sum()  # and no outlines
    return found if is_solid and all(one.any() for one in objects) else None


def sizes_in_order(drawn: Bool[np.ndarray, "h w"], given: Planes) -> float:
    """1 where the larger of two given objects is the larger one drawn, 0 where it is not.

    A drawn pixel belongs to the given object that is nearer to it. NaN for one object, and where
    the given areas differ by less than a fifth.
    """
    from scipy import ndimage

    if len(given.objects) != 2:
        return float("nan")
    areas = [int(one.sum()) for one in given.objects]
    if abs(areas[0] - areas[1]) < _ALIKE * max(areas):
        return float("nan")
    apart = [ndimage.distance_transform_edt(~one) for one in given.objects]
    first = drawn & (apart[0] <= apart[1])
    second = drawn & (apart[0] > apart[1])
    if not first.any() or not second.any():
        return 0.0
    return float((first.sum() > second.sum()) == (areas[0] > areas[1]))


def nearer_in_front(image: UInt8[np.ndarray, "h w 3"], given: Planes) -> float:
    """1 where two given objects touch and the nearer one's colour is on its side of that border, 0
    where the other's is; NaN where they do not touch.
    """
    from scipy import ndimage

    if len(given.objects) != 2:
        return float("nan")
    far, near = given.objects
    border = near & (ndimage.distance_transform_edt(~far) <= _TOUCH)
    if not border.any():
        return float("nan")
    levels = image.astype(np.float64)
    colours: list[Float[np.ndarray, " 3"]] = [
        np.median(levels[one & ~border], axis=0) if (one & ~border).any() else levels[one].mean(0)
        for one in (far, near)
    ]
    to_far, to_near = (np.linalg.norm(levels[border] - colour, axis=1) for colour in colours)
    return float(np.mean(to_near < to_far) >= 0.5)
