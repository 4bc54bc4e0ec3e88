"""Nearest neighbours among features: distances in blocks, the radius that reaches the k-th, and
how two sets lie in each other's balls of such radii.

Distances are Euclidean, worked out in float64 about a common centre and rounded to float32 before
and after the root, as scikit-learn does for float32 features; so ties fall as they do in ``prdc``.
Features nearer than float32 can tell apart have distance 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

_CELLS = 1 << 22  # distances held at once
_COLUMNS = 4096  # rows of the second set turned to float64 at once
_SAME = 1e-13  # of the squared lengths: what float64 leaves of x.x + y.y - 2 x.y for equal x and y
_SPARE = 4  # times k: neighbours looked at before the search without a part starts again


@dataclasses.dataclass(frozen=True, kw_only=True)
class Radii:
    """Distance of each row to its k-th nearest other row; ``without[:, p]`` when part p is left
    out (of no meaning for rows of part p).
    """

    all: Float[np.ndarray, " n"]
    without: Float[np.ndarray, "n p"]


def distance_blocks(
    x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"], centre: Float[np.ndarray, " d"]
) -> Iterator[tuple[int, Float[np.ndarray, "b m"]]]:
    """Distances of some rows of x to all of y, with the number of the first such row; memory does
    not grow with n * m.

    Any ``centre`` gives the same distances; near the rows' mean they are most exact.
    """
    step = max(1, _CELLS // len(y))
    for start in range(0, len(x), step):
        rows = x[start : start + step].astype(np.float64) - centre
        own = np.einsum("ij,ij->i", rows, rows)[:, None]
        squares = np.empty((len(rows), len(y)), np.float32)
        for left in range(0, len(y), _COLUMNS):
            columns = y[left : left + _COLUMNS].astype(np.float64) - centre
            lengths = own + np.einsum("ij,ij->i", columns, columns)
            found = rows @ columns.T
            found *= -2
            found += lengths
            lengths *= _SAME
            found[found <= lengths] = 0
            squares[:, left : left + _COLUMNS] = found
        yield start, np.sqrt(squares, out=squares)


def other_distances(
    x: Float[np.ndarray, "n d"], centre: Float[np.ndarray, " d"]
) -> Iterator[tuple[int, Float[np.ndarray, "b n"]]]:
    """As ``distance_blocks`` within one set, with infinity from each row to itself."""
    for start, block in distance_blocks(x, x, centre):
        here = np.arange(len(block))
        block[here, start + here] = np.inf
        yield start, block


def neighbour_radii(
    x: Float[np.ndarray, "n d"],
    centre: Float[np.ndarray, " d"],
    nearest_k: int,
    labels: Int[np.ndarray, " n"],
    parts: int,
) -> Radii:
    """Radii of the rows, and when each of the ``parts`` is left out (0: of no interest).

    There must be more than ``nearest_k`` rows, whichever part is left out.
    """
    every, without = [], []
    for _, block in other_distances(x, centre):
        every.append(_kth(block, nearest_k))
        without.append(_kth_without(block, nearest_k, labels, parts))
    return Radii(all=np.concatenate(every), without=np.concatenate(without))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Overlap:
    """How two sets lie in each other's balls.

    ``counts``: reference balls around each image. ``recalled``, ``covered``: share of reference
    images in some image's ball, and of those with an image in theirs; ``..._without[p]`` the same
    when part p of the images is left out. ``empty``: reference images with the radius 0.
    """

    counts: Int[np.ndarray, " n"]
    recalled: float
    covered: float
    recalled_without: Float[np.ndarray, " p"]
    covered_without: Float[np.ndarray, " p"]
    empty: int


def overlap_of(
    made: Float[np.ndarray, "n d"],
    real: Float[np.ndarray, "m d"],
    nearest_k: int,
    *,
    strict: bool = True,
    labels: Int[np.ndarray, " n"] | None = None,
) -> Overlap:
    """Compare two sets of more than ``nearest_k`` rows each; memory does not grow with n * m.

    ``labels`` deal the rows of ``made`` into parts 0, 1, ... of which each is left out once (None:
    none is); what is left must be more than ``nearest_k`` rows, too.
    """
    parts = 0 if labels is None else int(labels.max()) + 1
    dealt = np.zeros(len(made), np.int64) if labels is None else labels
    order = np.argsort(dealt, kind="stable")  # so that each part is one run of columns
    made, dealt = made[order], dealt[order]
    centre = real.mean(axis=0, dtype=np.float64)
    reach = neighbour_radii(real, centre, nearest_k, np.zeros(len(real), np.int64), 0).all
    own = neighbour_radii(made, centre, nearest_k, dealt, parts)
    inside: Callable[..., Any] = np.less if strict else np.less_equal
    counts, recalled, covered = np.zeros(len(made), np.int64), 0, 0
    recalled_without, covered_without = np.zeros(parts), np.zeros(parts)
    for start, block in distance_blocks(real, made, centre):
        held = inside(block, reach[start : start + len(block), None])
        holding = inside(block, own.all)
        counts[order] += held.sum(axis=0)
        covered += int(held.any(axis=1).sum())
        recalled += int(holding.any(axis=1).sum())
        covered_without += _any_other(held, dealt, parts).sum(axis=0)
        sure = _any_other(holding, dealt, parts)
        recalled_without += _recalled_without(block, sure, own.without, dealt, inside)
    return Overlap(
        counts=counts,
        recalled=recalled / len(real),
        covered=covered / len(real),
        recalled_without=recalled_without / len(real),
        covered_without=covered_without / len(real),
        empty=int((reach == 0).sum()),
    )


def _kth(block: Float[np.ndarray, "b m"], nearest_k: int) -> Float[np.ndarray, " b"]:
    return np.partition(block, nearest_k - 1, axis=1)[:, nearest_k - 1]


def _kth_without(
    block: Float[np.ndarray, "b m"], nearest_k: int, labels: Int[np.ndarray, " m"], parts: int
) -> Float[np.ndarray, "b p"]:
    """The k-th smallest of each row without the columns of each part, mostly from the few nearest
    columns.
    """
    found = np.empty((len(block), parts), np.float32)
    if parts == 0:
        return found
    few = min(block.shape[1], _SPARE * nearest_k + 16)
    columns = np.argpartition(block, few - 1, axis=1)[:, :few]
    near = np.take_along_axis(block, columns, axis=1)
    order = np.argsort(near, axis=1)
    near = np.take_along_axis(near, order, axis=1)
    part_of = labels[np.take_along_axis(columns, order, axis=1)]
    for part in range(parts):
        rank = np.cumsum(part_of != part, axis=1)
        place = np.argmax(rank >= nearest_k, axis=1)
        found[:, part] = near[np.arange(len(near)), place]
        short = np.flatnonzero(rank[:, -1] < nearest_k)  # too many of the nearest are of this part
        if len(short):
            found[short, part] = _kth(block[np.ix_(short, labels != part)], nearest_k)
    return found


def _any_other(
    inside: Bool[np.ndarray, "b n"], labels: Int[np.ndarray, " n"], parts: int
) -> Bool[np.ndarray, "b p"]:
    """Whether a column of any other part is true, for each part; the columns lie part by part."""
    starts = np.searchsorted(labels, np.arange(parts))
    found = np.logical_or.reduceat(inside, starts, axis=1)
    others: Bool[np.ndarray, "b p"] = found.sum(axis=1, keepdims=True) > found
    return others


def _recalled_without(
    block: Float[np.ndarray, "b n"],
    sure: Bool[np.ndarray, "b p"],
    radii: Float[np.ndarray, "n p"],
    labels: Int[np.ndarray, " n"],
    inside: Callable[..., Any],
) -> Int[np.ndarray, " p"]:
    """How many rows lie in a ball without each part. Radii only grow when images are left out, so
    what another part's ball held before, it holds still (``sure``).
    """
    found: Int[np.ndarray, " p"] = sure.sum(axis=0)
    for part in range(sure.shape[1]):
        open_rows = np.flatnonzero(~sure[:, part])
        kept = labels != part
        if len(open_rows):
            held = inside(block[np.ix_(open_rows, kept)], radii[kept, part]).any(axis=1)
            found[part] += int(held.sum())
    return found
