"""Gaussians fitted to features, and the Fréchet distance between two of them.

Dowson and Landau 1982, eq. 4; Heusel et al. 2017 (arXiv 1706.08500), eq. 6: d^2 = |m1 - m2|^2 +
tr(S1 + S2 - 2 (S1^1/2 S2 S1^1/2)^1/2), with S unbiased (divided by n - 1).

With any R such that S = R^T R the last trace is the sum of the singular values of R1 R2^T, so a set
of fewer images than dimensions needs no d x d matrix: its centred rows serve as R. Nothing here
needs a matrix square root of a non-symmetric matrix.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from gandiff.evaluate.numerics.rows import Rows

_ROUNDING = 1e-4  # of the variances; float32 in 2048 dimensions makes 3e-6
_BLOCK = 4096  # rows turned to float64 at once


@dataclasses.dataclass(frozen=True, kw_only=True)
class Moments:
    """Count, mean and scatter matrix of rows, in float64; merges and splits exactly.

    Chan, Golub and LeVeque 1979, eq. 2.1: no sum of squares is kept, so nothing cancels.
    """

    count: int
    mean: Float[np.ndarray, " d"]
    scatter: Float[np.ndarray, "d d"]

    @classmethod
    def of(cls, features: Rows) -> Moments:
        """Moments of at least one row; memory does not grow with their number."""
        total: Moments | None = None
        for block in row_blocks(features):
            part = _block_moments(block)
            total = part if total is None else total.merge(part)
        if total is None:
            raise ValueError("there are no rows to take moments of")
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
    def of(cls, features: Rows) -> GaussianStats:
        """Statistics of at least two rows, by the Gram route where there are fewer rows than
        dimensions.
        """
        count, width = features.shape
        if count < 2:
            raise ValueError(f"found {count} rows, but a covariance needs at least 2")
        if count > width:
            return cls.of_moments(Moments.of(features))
        rows = features[:].astype(np.float64)
        mean = rows.mean(axis=0)
        return cls(count=count, mean=mean, root=(rows - mean) / np.sqrt(count - 1))

    @classmethod
    def of_moments(cls, moments: Moments) -> GaussianStats:
        """Statistics from mean and covariance of the rows."""
        return cls.of_covariance(moments.mean, moments.covariance, moments.count)

    @classmethod
    def of_covariance(
        cls, mean: Float[np.ndarray, " d"], covariance: Float[np.ndarray, "d d"], count: int
    ) -> GaussianStats:
        """The root is Cholesky's; for a singular covariance, eigenvectors with negative rounding
        set to 0.
        """
        covariance = covariance.astype(np.float64)
        try:
            root = np.linalg.cholesky(covariance).T
        except np.linalg.LinAlgError:
            values, vectors = np.linalg.eigh(covariance)
            root = np.sqrt(np.clip(values, 0, None))[:, None] * vectors.T
        return cls(count=count, mean=mean.astype(np.float64), root=root)

    @property
    def trace(self) -> float:
        """Trace of the covariance."""
        return float(np.sum(self.root**2))


def not_covariance(matrix: Float[np.ndarray, "d d"]) -> str | None:
    """Why a finite matrix cannot be a covariance, beyond what rounding to float32 explains; None
    if it can: it is symmetric, and no direction has a negative variance.
    """
    variances = np.diagonal(matrix)
    largest = float(variances.max(initial=0.0))
    if float(variances.min(initial=0.0)) < -_ROUNDING * largest or (not largest and matrix.any()):
        return "it has negative variances on its diagonal"
    if not largest:
        return None  # all images are the same
    # As correlations, so that features of small variance are judged on their own scale.
    deviations = np.sqrt(np.maximum(variances, largest * 1e-24))
    scaled = matrix / deviations / deviations[:, None]
    uneven = float(np.abs(scaled - scaled.T).max(initial=0.0))
    if uneven > _ROUNDING:
        return f"it is not symmetric (by up to {uneven:.3g} of the variances)"
    try:  # a tenth of the time that eigenvalues take
        np.linalg.cholesky(scaled + _ROUNDING * np.eye(len(matrix)))
    except np.linalg.LinAlgError:
        return "it has negative eigenvalues"
    return None


def frechet_distance(a: GaussianStats, b: GaussianStats) -> float:
    """Squared Fréchet distance of two Gaussians, at least 0."""
    product = a.root @ b.root.T
    gram = product @ product.T if len(product) <= product.shape[1] else product.T @ product
    return distance_from_gram(a.mean - b.mean, a.trace, b.trace, gram)


def distance_from_gram(
    shift: Float[np.ndarray, " d"], trace_a: float, trace_b: float, gram: Float[np.ndarray, "r r"]
) -> float:
    """The distance where ``gram`` has the squared singular values of R1 R2^T as its eigenvalues."""
    singular = np.sqrt(np.clip(np.linalg.eigvalsh(gram), 0, None))
    return max(0.0, float(shift @ shift + trace_a + trace_b - 2 * singular.sum()))


def row_blocks(features: Rows) -> Iterator[Float[np.ndarray, "m d"]]:
    """The rows in order, in float64, some thousands at a time."""
    for start in range(0, features.shape[0], _BLOCK):
        yield features[start : start + _BLOCK].astype(np.float64)


def _block_moments(rows: Float[np.ndarray, "n d"]) -> Moments:
    mean = rows.mean(axis=0)
    centred = rows - mean
    return Moments(count=len(rows), mean=mean, scatter=centred.T @ centred)
