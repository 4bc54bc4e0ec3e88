"""The Vendi score is that of its authors' package."""

import numpy as np
import pytest

from gandiff.evaluate.numerics.vendi import vendi_of_features, vendi_score

vendi = pytest.importorskip("vendi_score.vendi")


def unit(n: int, d: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, d)) + 0.3
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("q", [0.5, 1.0, 2.0, float("inf")])
@pytest.mark.parametrize(("n", "d"), [(20, 50), (60, 12)])
def test_equal_for_a_kernel(n: int, d: int, q: float) -> None:
    kernel = unit(n, d) @ unit(n, d).T
    peer = vendi.score_K(kernel, q="inf" if np.isinf(q) else q)
    assert vendi_score(kernel, q) == pytest.approx(peer, rel=1e-6)


@pytest.mark.parametrize(("n", "d"), [(20, 50), (60, 12)])
def test_equal_for_features(n: int, d: int) -> None:
    rows = unit(n, d)
    assert vendi_of_features(rows) == pytest.approx(vendi.score_dual(rows), rel=1e-6)
    kernel = rows @ rows.T
    assert vendi_of_features(rows) == pytest.approx(vendi.score_K(kernel), rel=1e-6)


def test_the_example_of_the_readme() -> None:
    samples = [0, 0, 10, 10, 20, 20]
    kernel = np.exp(-np.abs(np.subtract.outer(samples, samples)).astype(float))
    peer = vendi.score(samples, lambda a, b: np.exp(-np.abs(a - b)))
    assert vendi_score(kernel) == pytest.approx(peer, rel=1e-6)
