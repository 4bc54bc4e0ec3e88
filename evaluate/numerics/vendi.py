"""The Vendi score: the effective number of different items among some."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from gandiff.evaluate.numerics.kernels import unit_length


def vendi_score(kernel: Float[np.ndarray, "n n"], q: float = 1.0) -> float:
    """The effective number of different items, 1..n, from their similarities (diagonal 1).

    Friedman and Dieng 2023 (arXiv 2210.02410), eq. 1; order q: Pasarkar and Dieng 2024 (arXiv
    2310.12952), eq. 2.
    """
    return _effective_number(np.linalg.eigvalsh(kernel.astype(np.float64) / len(kernel)), q)


def vendi_of_features(features: Float[np.ndarray, "n d"], q: float = 1.0) -> float:
    """Vendi score with the cosine kernel; for n > d by the d x d matrix of the same eigenvalues."""
    rows = unit_length(features)
    gram = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
    return _effective_number(np.linalg.eigvalsh(gram / len(rows)), q)


def _effective_number(eigenvalues: Float[np.ndarray, " k"], q: float) -> float:
    shares = eigenvalues[eigenvalues > 1e-12]
    if q == 1:
        return float(np.exp(-np.sum(shares * np.log(shares))))
    if math.isinf(q):
        return float(1 / shares.max())
    return float(np.sum(shares**q) ** (1 / (1 - q)))
