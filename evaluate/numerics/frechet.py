"""Fréchet distance of images to a reference, at their number and extrapolated to infinitely many.

Two quantities, both with the reference fixed. E[FD_N] is what the distance is at N images on
average: it is biased upwards by about a/N, so only equal N compare. FD-infinity is its limit
(Chong and Forsyth 2020, arXiv 1911.07023): the line through E[FD_n] against 1/n, read off at 0.

Both come from one delete-group jackknife over parts of whole prompts. Leaving out each part once
gives the distance at a little less than N without noise of the first order (every image is left
out equally often), so the line through these two points is steadier than one through random
subsets: Quenouille 1956, eq. 3.1, for groups. No bootstrap: a resample holds duplicates, which
shrinks its covariance and moves the distance by more than its spread.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int

from gandiff.evaluate.numerics.gaussian import (
    GaussianStats,
    Moments,
    distance_from_gram,
    frechet_distance,
    row_blocks,
)
from gandiff.evaluate.numerics.rows import Rows
from gandiff.evaluate.numerics.statistics import MIN_GROUPS, Replicates, partition_groups
from gandiff.evaluate.result import Interval

_PARTS = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrechetReplicates(Replicates):
    """E[FD_N]: the distance of all ``count`` images, and without each part of them.

    ``counts`` are the images that were left.
    """

    count: int
    counts: Int[np.ndarray, " g"]

    def at_this_number(self) -> Interval:
        """E[FD_N] with its interval."""
        found = self.interval
        return found if found.low is None else dataclasses.replace(found, low=max(0.0, found.low))

    def at_infinity(self) -> Interval:
        """FD-infinity with its interval; unbiased estimates of small distances may be below 0.

        Raises ``ValueError`` where there are too few prompts for an extrapolation.
        """
        return self.extrapolated().interval

    def extrapolated(self) -> FrechetReplicates:
        """FD-infinity, of which the spread is that of E[FD_N].

        Raises ``ValueError`` where there are too few prompts for an extrapolation.
        """
        if not len(self.without):
            raise ValueError("there are too few prompts to extrapolate from")
        fewer = float(np.mean(1 / self.counts)) - 1 / self.count
        slope = (float(self.without.mean()) - self.value) / fewer
        return dataclasses.replace(self, value=self.value - slope / self.count)


def frechet_replicates(
    features: Rows, reference: GaussianStats, groups: Sequence[str], seed: int
) -> FrechetReplicates:
    """Distances to a fixed reference of at least two rows, whole and without each of 20 parts of
    whole prompts.

    Memory holds the rows where they are at most as many as dimensions, else 20 d x d matrices.
    """
    count, width = features.shape
    labels = partition_groups(groups, _PARTS, seed)
    sizes = np.bincount(labels)
    if len(sizes) < MIN_GROUPS or count - sizes.max() < 2:
        none = np.empty(0)
        value = frechet_distance(GaussianStats.of(features), reference)
        return FrechetReplicates(value=value, count=count, without=none, counts=none.astype(int))
    found = list((_few_rows if count <= width else _many_rows)(features, reference, labels))
    return FrechetReplicates(
        value=found[0],
        count=count,
        without=np.array(found[1:]),
        counts=count - sizes,
        part_of=dict(zip(groups, labels.tolist(), strict=True)),
    )


def _many_rows(
    features: Rows, reference: GaussianStats, labels: Int[np.ndarray, " n"]
) -> Iterator[float]:
    """The distance, then those without each part, by subtracting its moments from the whole's."""
    parts = _moments_of_parts(features, labels)
    total = parts[0]
    for part in parts[1:]:
        total = total.merge(part)
    for rest in (total, *(total.without(part) for part in parts)):
        gram = reference.root @ rest.covariance @ reference.root.T
        shift = rest.mean - reference.mean
        yield distance_from_gram(shift, float(np.trace(rest.covariance)), reference.trace, gram)


def _moments_of_parts(features: Rows, labels: Int[np.ndarray, " n"]) -> list[Moments]:
    found: dict[int, Moments] = {}
    start = 0
    for block in row_blocks(features):
        here = labels[start : start + len(block)]
        start += len(block)
        for part in np.unique(here).tolist():
            moments = Moments.of(block[here == part])
            found[part] = found[part].merge(moments) if part in found else moments
    return [found[part] for part in sorted(found)]


def _few_rows(
    features: Rows, reference: GaussianStats, labels: Int[np.ndarray, " n"]
) -> Iterator[float]:
    """The same where n <= d: one n x n Gram matrix of the projected rows, re-centred without
    each part.
    """
    rows = features[:].astype(np.float64)
    projected = (rows - rows.mean(axis=0)) @ reference.root.T
    kernel = projected @ projected.T
    for part in range(-1, int(labels.max()) + 1):
        kept = np.flatnonzero(labels != part)  # all of them at first
        rest = rows[kept]
        mean = rest.mean(axis=0)
        gram = kernel[np.ix_(kept, kept)]
        gram = gram - gram.mean(axis=0) - gram.mean(axis=1)[:, None] + gram.mean()
        trace = float(np.sum((rest - mean) ** 2)) / (len(kept) - 1)
        shift = mean - reference.mean
        yield distance_from_gram(shift, trace, reference.trace, gram / (len(kept) - 1))
