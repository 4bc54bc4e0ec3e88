"""Squared maximum mean discrepancy of two sets under a kernel, with its interval.

Gretton et al. 2012 (JMLR 13): the unbiased U-statistic, eq. 3, which may be negative, and the
biased V-statistic, the square of eq. 5, which may not. All that is kept of the kernel are its sums
by group of images, so memory does not grow with n * m and leaving out a group costs nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from gandiff.evaluate.numerics.statistics import (
    MIN_GROUPS,
    Replicates,
    partition_groups,
)

Estimator = Literal["biased", "unbiased"]
_BLOCK = 2048  # rows of a kernel block
_PARTS = 20
SIGMA = 10.0  # of the Gaussian kernel: Jayasumana et al. 2024


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kernel:
    """A kernel up to a constant, which cancels in a discrepancy: ``between`` all rows of two sets,
    ``within`` a row and itself. Both in float64.
    """

    between: Callable[
        [Float[np.ndarray, "n d"], Float[np.ndarray, "m d"]], Float[np.ndarray, "n m"]
    ]
    within: Callable[[Float[np.ndarray, "n d"]], Float[np.ndarray, " n"]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class KernelSums:
    """Sums of a kernel by part of x: part against part, a row and itself, part against all of y."""

    within: Float[np.ndarray, "g g"]
    diagonal: Float[np.ndarray, " g"]
    across: Float[np.ndarray, " g"]


def cubic_kernel(
    x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"]
) -> Float[np.ndarray, "n m"]:
    """(x.y / d + 1)^3 in float64 (Binkowski et al. 2018, arXiv 1801.01401, section 4)."""
    base = x.astype(np.float64) @ y.astype(np.float64).T / x.shape[1] + 1
    found: Float[np.ndarray, "n m"] = base * base * base  # far faster than base**3
    return found


def gaussian_kernel_less_one(
    x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"]
) -> Float[np.ndarray, "n m"]:
    """exp(-|x - y|^2 / (2 * 10^2)) - 1 of rows brought to length 1, in float64.

    The kernel is nearly 1 everywhere, so less one it keeps more digits.
    """
    cosines = unit_length(x) @ unit_length(y).T
    found: Float[np.ndarray, "n m"] = np.expm1((cosines - 1) / SIGMA**2)  # |x - y|^2 = 2 - 2 x.y
    return found


def unit_length(rows: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Rows divided by their length, in float64; ``ValueError`` for a row of length 0."""
    wide = rows.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    if not lengths.all():
        raise ValueError("a feature vector of length 0 has no direction")
    found: Float[np.ndarray, "n d"] = wide / lengths
    return found


def _cubic_self(rows: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    wide = rows.astype(np.float64)
    found: Float[np.ndarray, " n"] = ((wide**2).sum(axis=1) / rows.shape[1] + 1) ** 3
    return found


def _no_distance(rows: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    return np.zeros(len(rows))


CUBIC = Kernel(between=cubic_kernel, within=_cubic_self)
GAUSSIAN = Kernel(between=gaussian_kernel_less_one, within=_no_distance)


def squared_mmd(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, "m d"],
    kernel: Kernel = CUBIC,
    estimator: Estimator = "unbiased",
) -> float:
    """Squared discrepancy of two sets of at least two rows each."""
    return kernel_replicates(x, y, [""] * len(x), 0, kernel, estimator).value


def kernel_replicates(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, "m d"],
    groups: Sequence[str],
    seed: int,
    kernel: Kernel = CUBIC,
    estimator: Estimator = "unbiased",
) -> Replicates:
    """Discrepancy of x from a fixed reference y, and without each of 20 parts of whole prompts."""
    if min(len(x), len(y)) < 2:
        raise ValueError(f"found {len(x)} and {len(y)} rows, but each set needs at least 2")
    labels = partition_groups(groups, _PARTS, seed)
    parts = int(labels.max()) + 1
    sums = _sums_by_part(x, y, labels, parts, kernel)
    own = estimator == "biased"  # whether a row's kernel with itself counts
    reference = _mean_within(y, kernel, own)
    sizes = np.bincount(labels, minlength=parts)

    def discrepancy(kept: Int[np.ndarray, " k"]) -> float:
        n = int(sizes[kept].sum())
        total = sums.within[np.ix_(kept, kept)].sum()
        mean = total / n**2 if own else (total - sums.diagonal[kept].sum()) / (n * (n - 1))
        return float(mean + reference - 2 * sums.across[kept].sum() / (n * len(y)))

    every = np.arange(parts)
    few = parts < MIN_GROUPS or len(x) - sizes.max() < 2
    left_out = [] if few else [discrepancy(every[every != part]) for part in range(parts)]
    return Replicates(
        value=discrepancy(every),
        without=np.array(left_out),
        part_of=dict(zip(groups, labels.tolist(), strict=True)),
    )


def _sums_by_part(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, "m d"],
    labels: Int[np.ndarray, " n"],
    parts: int,
    kernel: Kernel,
) -> KernelSums:
    within = np.zeros((parts, parts))
    diagonal, across = np.zeros(parts), np.zeros(parts)
    member = np.eye(parts)[labels]
    for start in range(0, len(x), _BLOCK):
        rows, here = x[start : start + _BLOCK], member[start : start + _BLOCK]
        diagonal += here.T @ kernel.within(rows)
        for other in range(0, len(x), _BLOCK):
            block = kernel.between(rows, x[other : other + _BLOCK])
            within += here.T @ block @ member[other : other + _BLOCK]
        for other in range(0, len(y), _BLOCK):
            across += here.T @ kernel.between(rows, y[other : other + _BLOCK]).sum(axis=1)
    return KernelSums(within=within, diagonal=diagonal, across=across)


def _mean_within(y: Float[np.ndarray, "m d"], kernel: Kernel, own: bool) -> float:
    """Mean over pairs of rows, those of a row and itself included or not."""
    total = 0.0
    for start in range(0, len(y), _BLOCK):
        rows = y[start : start + _BLOCK]
        if not own:
            total -= float(kernel.within(rows).sum())
        for other in range(0, len(y), _BLOCK):
            total += float(kernel.between(rows, y[other : other + _BLOCK]).sum())
    return total / (len(y) ** 2 if own else len(y) * (len(y) - 1))
