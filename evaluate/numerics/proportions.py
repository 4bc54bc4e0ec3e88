"""Intervals of shares near 0 and 1, where those from resampling shrink to nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from jaxtyping import Float

from gandiff.evaluate.numerics.statistics import (
    MIN_GROUPS,
    bootstrap_over_groups,
    group_labels,
    student_t,
)
from gandiff.evaluate.result import Interval

NORMAL = NormalDist().inv_cdf(0.975)  # two-sided 95 % quantile
OVER_PROMPTS = "over prompts: bootstrap, score interval of shares"  # what mean_over_groups does
_MOST = 2  # times the number of images: no share is taken to be known better than from so many


def proportion_interval(
    value: float, variance: float, *, images: int, groups: int, reach: float
) -> Interval:
    """Wilson's score interval (1927) of a share in 0..1 whose variance was estimated.

    The number of trials is that of independent ones with this variance, value (1 - value) /
    variance, as for survey data in Korn and Graubard 1998; at most twice ``images``, the different
    ones, for a variance may come out as 0 by chance. At 0 and at 1, where it always does, each of
    the ``groups`` is one trial. ``reach`` is the quantile, such as 1.96.
    """
    spread = value * (1 - value)
    trials = float(groups)
    if spread > 0:
        trials = max(1.0, spread / max(variance, spread / (_MOST * images)))
    square = reach * reach / trials
    centre = (value + square / 2) / (1 + square)
    half = reach * math.sqrt(spread / trials + square / (4 * trials)) / (1 + square)
    # The value lies within but for rounding.
    low, high = min(value, max(0.0, centre - half)), max(value, min(1.0, centre + half))
    return Interval(value=value, low=low, high=high)


def mean_over_groups(values: Float[np.ndarray, " n"], groups: Sequence[str], seed: int) -> Interval:
    """Mean of values of images and its interval over groups (prompts); NaN values are left out.

    A share, of values that are 0 or 1, gets a score interval: resampling shows no spread where all
    are right. Other values are bootstrapped.
    """
    kept = values[~np.isnan(values)]
    if len(kept) and np.isin(kept, (0.0, 1.0)).all():
        return share_over_groups(values, groups)
    return bootstrap_over_groups(values, groups, seed)


def share_over_groups(
    values: Float[np.ndarray, " n"],
    groups: Sequence[str],
    contents: Sequence[str] | None = None,
    confidence: float = 0.95,
) -> Interval:
    """Mean of values that are 0 or 1 and its interval; samples of a group (prompt) may be alike.

    NaN values are left out. Equal pictures, known by their ``contents``, lie in one group and are
    one image where a number of images bounds what can be known. The variance is that of a ratio of
    sums over groups (Cochran 1977, eq. 2.39).
    """
    kept = ~np.isnan(values)
    if not kept.any():
        raise ValueError("there are no values to take a share of: all are NaN or there are none")
    labels = group_labels([group for group, keep in zip(groups, kept, strict=True) if keep])
    sums = np.bincount(labels, weights=values[kept])
    sizes = np.bincount(labels)
    images, count = int(kept.sum()), len(sizes)
    different = (
        len({c for c, keep in zip(contents, kept, strict=True) if keep}) if contents else images
    )
    value = float(sums.sum() / images)
    if count < MIN_GROUPS:
        return Interval(value=value)
    residuals = sums - value * sizes
    variance = float(residuals @ residuals) * count / (count - 1) / images**2
    reach = student_t(confidence, count - 1)
    return proportion_interval(value, variance, images=different, groups=count, reach=reach)
