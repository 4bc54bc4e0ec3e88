"""Kernel distance: squared maximum mean discrepancy of two sets of features; with Inception
features, KID.

Binkowski et al. 2018 (arXiv 1801.01401), section 4: cubic kernel k(x, y) = (x.y / d + 1)^3; the
unbiased U-statistic of Gretton et al. 2012, eq. 3. It is unbiased at any N, so it may be negative.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from gandiff.evaluate.checks import (
    feature_matrix,
    reference_of,
    refuse_unknown,
    remarks,
    set_sha256,
    spec_of,
    whole_number,
)
from gandiff.evaluate.features import check_encoder
from gandiff.evaluate.metric import Metric, MetricInput, MetricOutput
from gandiff.evaluate.result import MetricError, MetricResult, Value
from gandiff.evaluate.statistics import (
    MIN_GROUPS,
    Interval,
    jackknife_interval,
    partition_groups,
)

_BLOCK = 2048  # rows of a kernel block
_PARTS = 20
_SUBSETS = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class SubsetDistance:
    """Mean and standard deviation over random subsets; the deviation is no error bar of the
    mean.
    """

    mean: float
    deviation: float


def cubic_kernel(
    x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"]
) -> Float[np.ndarray, "n m"]:
    """(x.y / d + 1)^3 in float64."""
    base = x.astype(np.float64) @ y.astype(np.float64).T / x.shape[1] + 1
    found: Float[np.ndarray, "n m"] = base * base * base  # far faster than base**3
    return found


def squared_mmd(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"]) -> float:
    """Unbiased squared discrepancy of two sets of at least two rows each; memory does not grow
    with n * m.
    """
    return kernel_interval(x, y, [""] * len(x), 0).value


def kernel_interval(
    x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"], groups: Sequence[str], seed: int
) -> Interval:
    """Distance of x to a fixed reference y, with its delete-group jackknife interval over whole
    prompts.
    """
    if min(len(x), len(y)) < 2:
        raise ValueError(f"found {len(x)} and {len(y)} rows, but each set needs at least 2")
    labels = partition_groups(groups, _PARTS, seed)
    parts = int(labels.max()) + 1
    within, diagonal, across = _group_sums(x, y, labels, parts)
    reference = _mean_off_diagonal(y)
    sizes = np.bincount(labels, minlength=parts)

    def distance(kept: Int[np.ndarray, " k"]) -> float:
        n = int(sizes[kept].sum())
        own = within[np.ix_(kept, kept)].sum() - diagonal[kept].sum()
        return float(own / (n * (n - 1)) + reference - 2 * across[kept].sum() / (n * len(y)))

    every = np.arange(parts)
    value = distance(every)
    if parts < MIN_GROUPS or len(x) - sizes.max() < 2:
        return Interval(value=value)
    replicates = np.array([distance(every[every != part]) for part in range(parts)])
    return jackknife_interval(value, replicates)


def subset_mmd(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, "m d"],
    subset_size: int,
    subsets: int = _SUBSETS,
    seed: int = 0,
) -> SubsetDistance:
    """The convention of torch-fidelity: distances of random subsets, drawn in its order from its
    generator.
    """
    rng = np.random.RandomState(seed)
    found = [
        squared_mmd(
            x[rng.choice(len(x), subset_size, replace=False)],
            y[rng.choice(len(y), subset_size, replace=False)],
        )
        for _ in range(subsets)
    ]
    return SubsetDistance(mean=float(np.mean(found)), deviation=float(np.std(found)))


class KernelDistance(Metric):
    """``kid(encoder=...)``: over all images, or with ``subset_size`` over random subsets as
    others report it.
    """

    needs_reference = True

    def __init__(
        self,
        *,
        encoder: Value = "scenes",
        subset_size: Value | None = None,
        subsets: Value | None = None,
        **unknown: Value,
    ) -> None:
        refuse_unknown("kid", unknown, ["encoder", "subset_size", "subsets"])
        self._encoder = check_encoder(encoder)
        self.encoders = (self._encoder,)
        self._size: int | None = None
        if subset_size is not None:
            self._size = whole_number("kid", "subset_size", subset_size, 2)
        self._subsets = _SUBSETS if subsets is None else whole_number("kid", "subsets", subsets, 1)
        if subsets is not None and subset_size is None:
            raise MetricError("the parameter 'subsets' of the metric kid needs 'subset_size', too")
        others = {"subset_size": (self._size, None), "subsets": (subsets, _SUBSETS)}
        self.spec = spec_of("kid", {"encoder": encoder}, others)

    def measure(self, data: MetricInput) -> MetricOutput:
        """One row; the value may be slightly negative where the two sets are alike."""
        name = str(self.spec)
        reference = reference_of(name, data)
        features = feature_matrix(name, data, self._encoder, data.images, "images")
        real = feature_matrix(name, data, self._encoder, reference, "reference images")
        notes = remarks(data.images, reference, features)
        interval, estimator = self._estimate(data, features, real, notes)
        result = MetricResult(
            metric=name,
            value=interval.value,
            low=interval.low,
            high=interval.high,
            direction="lower",
            images=len(features),
            references=len(real),
            protocol={
                **data.features.protocol(self._encoder),
                "kernel": "(x.y/d + 1)^3",
                "estimator": estimator,
                "reference_sha256": set_sha256(reference),
                "interval": "reference fixed, delete-group jackknife over prompts",
            },
            note="; ".join(notes) or None,
        )
        return MetricOutput(results=[result])

    def _estimate(
        self,
        data: MetricInput,
        features: Float[np.ndarray, "n d"],
        real: Float[np.ndarray, "m d"],
        notes: list[str],
    ) -> tuple[Interval, str]:
        if self._size is None:
            groups = [image.group for image in data.images]
            return kernel_interval(features, real, groups, data.seed), "unbiased, all pairs"
        if self._size > min(len(features), len(real)):
            raise MetricError(
                f"{self.spec} draws subsets of {self._size}, but there are {len(features)} images "
                f"and {len(real)} reference images; give a smaller subset_size"
            )
        found = subset_mmd(features, real, self._size, self._subsets, data.seed)
        notes.append(f"sd over subsets {found.deviation:.3g}, no error bar of the mean")
        return Interval(value=found.mean), f"unbiased, mean of {self._subsets} random subsets"


def _group_sums(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, "m d"],
    labels: Int[np.ndarray, " n"],
    parts: int,
) -> tuple[Float[np.ndarray, "g g"], Float[np.ndarray, " g"], Float[np.ndarray, " g"]]:
    """Sums of the kernel by part: within x (part against part), its diagonal, and against all of
    y.
    """
    within = np.zeros((parts, parts))
    diagonal, across = np.zeros(parts), np.zeros(parts)
    member = np.eye(parts)[labels]
    for start in range(0, len(x), _BLOCK):
        rows, here = x[start : start + _BLOCK], member[start : start + _BLOCK]
        diagonal += here.T @ _self_kernel(rows)
        for other in range(0, len(x), _BLOCK):
            block = cubic_kernel(rows, x[other : other + _BLOCK])
            within += here.T @ block @ member[other : other + _BLOCK]
        for other in range(0, len(y), _BLOCK):
            across += here.T @ cubic_kernel(rows, y[other : other + _BLOCK]).sum(axis=1)
    return within, diagonal, across


def _mean_off_diagonal(y: Float[np.ndarray, "m d"]) -> float:
    total = 0.0
    for start in range(0, len(y), _BLOCK):
        rows = y[start : start + _BLOCK]
        total -= float(_self_kernel(rows).sum())
        for other in range(0, len(y), _BLOCK):
            total += float(cubic_kernel(rows, y[other : other + _BLOCK]).sum())
    return total / (len(y) * (len(y) - 1))


def _self_kernel(rows: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    wide = rows.astype(np.float64)
    found: Float[np.ndarray, " n"] = ((wide**2).sum(axis=1) / rows.shape[1] + 1) ** 3
    return found
