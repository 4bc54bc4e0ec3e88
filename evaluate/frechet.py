"""Fréchet distance between two sets of features, each taken for a Gaussian; with Inception
features, FID.

Dowson and Landau 1982, eq. 4; Heusel et al. 2017 (arXiv 1706.08500), eq. 6: d^2 = |m1 - m2|^2 +
tr(S1 + S2 - 2 (S1^1/2 S2 S1^1/2)^1/2), with S unbiased (divided by n - 1).

With any R such that S = R^T R the last trace is the sum of the singular values of R1 R2^T, so a set
of fewer images than dimensions needs no d x d matrix: its centred rows serve as R. Nothing here
needs a matrix square root of a non-symmetric matrix.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int

from gandiff.evaluate.checks import (
    feature_matrix,
    reference_of,
    refuse_unknown,
    remarks,
    set_sha256,
    spec_of,
)
from gandiff.evaluate.features import check_encoder
from gandiff.evaluate.metric import ImageRecord, Metric, MetricInput, MetricOutput
from gandiff.evaluate.result import MetricResult, Value
from gandiff.evaluate.statistics import (
    MIN_GROUPS,
    Interval,
    jackknife_interval,
    partition_groups,
)

_BLOCK = 4096  # rows turned to float64 at once
_PARTS = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Moments:
    """Count, mean and scatter matrix of rows, in float64; merges and splits exactly.

    Chan, Golub and LeVeque 1979, eq. 2.1: no sum of squares is kept, so nothing cancels.
    """

    count: int
    mean: Float[np.ndarray, " d"]
    scatter: Float[np.ndarray, "d d"]

    @classmethod
    def of(cls, features: Float[np.ndarray, "n d"]) -> Moments:
        """Moments of at least one row."""
        blocks = [_block_moments(block) for block in _blocks(features)]
        total = blocks[0]
        for block in blocks[1:]:
            total = total.merge(block)
        return total

    def merge(self, other: Moments) -> Moments:
        """Moments of both sets of rows together."""
        count = self.count + other.count
        shift = other.mean - self.mean
        correction = np.outer(shift, shift) * (self.count * other.count / count)
        return Moments(
            count=count,
            mean=self.mean + shift * (other.count / count),
            scatter=self.scatter + other.scatter + correction,
        )

    def without(self, part: Moments) -> Moments:
        """Moments of the rows that are not in ``part``: the inverse of ``merge``."""
        count = self.count - part.count
        mean = (self.mean * self.count - part.mean * part.count) / count
        shift = part.mean - mean
        correction = np.outer(shift, shift) * (count * part.count / self.count)
        return Moments(count=count, mean=mean, scatter=self.scatter - part.scatter - correction)

    @property
    def covariance(self) -> Float[np.ndarray, "d d"]:
        """The unbiased covariance."""
        return self.scatter / (self.count - 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GaussianStats:
    """A Gaussian as its mean and a ``root`` of its covariance: covariance = root^T root."""

    count: int
    mean: Float[np.ndarray, " d"]
    root: Float[np.ndarray, "r d"]

    @classmethod
    def of(cls, features: Float[np.ndarray, "n d"]) -> GaussianStats:
        """Statistics of at least two rows, by the Gram route where there are fewer rows than
        dimensions.
        """
        count, width = features.shape
        if count < 2:
            raise ValueError(f"found {count} rows, but a covariance needs at least 2")
        if count > width:
            return cls.of_moments(Moments.of(features))
        rows = features.astype(np.float64)
        mean = rows.mean(axis=0)
        return cls(count=count, mean=mean, root=(rows - mean) / np.sqrt(count - 1))

    @classmethod
    def of_moments(cls, moments: Moments) -> GaussianStats:
        """Statistics by the symmetric route: eigenvectors of the covariance, negative rounding
        set to 0.
        """
        values, vectors = np.linalg.eigh(moments.covariance)
        root = np.sqrt(np.clip(values, 0, None))[:, None] * vectors.T
        return cls(count=moments.count, mean=moments.mean, root=root)

    @property
    def trace(self) -> float:
        """Trace of the covariance."""
        return float(np.sum(self.root**2))


def frechet_distance(a: GaussianStats, b: GaussianStats) -> float:
    """Squared Fréchet distance of two Gaussians, at least 0."""
    product = a.root @ b.root.T
    gram = product @ product.T if len(product) <= product.shape[1] else product.T @ product
    return _distance(a.mean - b.mean, a.trace, b.trace, gram)


def frechet_interval(
    features: Float[np.ndarray, "n d"], reference: GaussianStats, groups: Sequence[str], seed: int
) -> Interval:
    """Distance to a fixed reference, with an interval for its expectation at this number of images.

    A delete-group jackknife over 20 parts of whole prompts. No bootstrap: a resample holds
    duplicates, which shrinks its covariance and moves the distance by more than its spread.
    """
    value = frechet_distance(GaussianStats.of(features), reference)
    labels = partition_groups(groups, _PARTS, seed)
    parts = int(labels.max()) + 1
    if parts < MIN_GROUPS or len(features) - np.bincount(labels).max() < 2:
        return Interval(value=value)
    few = len(features) <= features.shape[1]
    replicates = (_few_rows if few else _many_rows)(features, reference, labels)
    found = jackknife_interval(value, np.fromiter(replicates, dtype=np.float64, count=parts))
    assert found.low is not None
    return dataclasses.replace(found, low=max(0.0, found.low))


class FrechetDistance(Metric):
    """``fd(encoder=...)``; ``fid`` is short for ``fd(encoder=inception)``."""

    needs_reference = True

    def __init__(self, *, encoder: Value = "scenes", **unknown: Value) -> None:
        refuse_unknown("fd", unknown, ["encoder"])
        self._encoder = check_encoder(encoder)
        self.encoders = (self._encoder,)
        self.spec = spec_of("fd", {"encoder": encoder}, {})

    def measure(self, data: MetricInput) -> MetricOutput:
        """One row; the value falls with the number of images, so compare equal numbers only."""
        name = str(self.spec)
        reference = reference_of(name, data)
        features = feature_matrix(name, data, self._encoder, data.images, "images")
        real = feature_matrix(name, data, self._encoder, reference, "reference images")
        interval = frechet_interval(
            features, GaussianStats.of(real), [image.group for image in data.images], data.seed
        )
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
                "covariance": "n-1",
                "reference_sha256": set_sha256(reference),
                "interval": "E[FD_N], reference fixed, delete-group jackknife over prompts",
            },
            note=_note(data.images, reference, features, len(real)),
        )
        return MetricOutput(results=[result])


def _note(
    images: Sequence[ImageRecord],
    reference: Sequence[ImageRecord],
    features: Float[np.ndarray, "n d"],
    references: int,
) -> str | None:
    found = remarks(images, reference, features)
    width = features.shape[1]
    if min(len(features), references) <= width:
        which = "images" if len(features) <= width else "reference images"
        count = min(len(features), references)
        found.insert(0, f"N < d: {count} {which} for {width} dimensions; biased upwards")
    return "; ".join(found) or None


def _blocks(features: Float[np.ndarray, "n d"]) -> Iterator[Float[np.ndarray, "m d"]]:
    for start in range(0, len(features), _BLOCK):
        yield features[start : start + _BLOCK].astype(np.float64)


def _block_moments(rows: Float[np.ndarray, "n d"]) -> Moments:
    mean = rows.mean(axis=0)
    centred = rows - mean
    return Moments(count=len(rows), mean=mean, scatter=centred.T @ centred)


def _distance(
    shift: Float[np.ndarray, " d"], trace_a: float, trace_b: float, gram: Float[np.ndarray, "r r"]
) -> float:
    """``gram`` has the squared singular values of R1 R2^T as its eigenvalues."""
    singular = np.sqrt(np.clip(np.linalg.eigvalsh(gram), 0, None))
    return max(0.0, float(shift @ shift + trace_a + trace_b - 2 * singular.sum()))


def _many_rows(
    features: Float[np.ndarray, "n d"], reference: GaussianStats, labels: Int[np.ndarray, " n"]
) -> Iterator[float]:
    """Distances without each part, by subtracting the part's moments from the whole's."""
    total = Moments.of(features)
    for part in range(int(labels.max()) + 1):
        rest = total.without(Moments.of(features[labels == part]))
        gram = reference.root @ rest.covariance @ reference.root.T
        shift = rest.mean - reference.mean
        yield _distance(shift, float(np.trace(rest.covariance)), reference.trace, gram)


def _few_rows(
    features: Float[np.ndarray, "n d"], reference: GaussianStats, labels: Int[np.ndarray, " n"]
) -> Iterator[float]:
    """The same where n <= d: one n x n Gram matrix of the projected rows, re-centred without
    each part.
    """
    rows = features.astype(np.float64)
    projected = (rows - rows.mean(axis=0)) @ reference.root.T
    kernel = projected @ projected.T
    for part in range(int(labels.max()) + 1):
        kept = np.flatnonzero(labels != part)
        rest = rows[kept]
        mean = rest.mean(axis=0)
        gram = kernel[np.ix_(kept, kept)]
        gram = gram - gram.mean(axis=0) - gram.mean(axis=1)[:, None] + gram.mean()
        trace = float(np.sum((rest - mean) ** 2)) / (len(kept) - 1)
        yield _distance(mean - reference.mean, trace, reference.trace, gram / (len(kept) - 1))
