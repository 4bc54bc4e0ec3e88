"""Statistics whose numbers cannot be those of images are refused by name; rounding is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from hypothesis import given, settings
from hypothesis import strategies as st

from gandiff.common.errors import MetricError
from gandiff.evaluate.features.stats_file import read_statistics, write_statistics
from gandiff.evaluate.numerics.gaussian import not_covariance
from gandiff.experiments.cli import main

WIDTH = 96  # of the scene judge's features


def covariance(seed: int, rows: int, width: int) -> np.ndarray:
    features = np.random.default_rng(seed).normal(size=(rows, width)) * np.logspace(-3, 2, width)
    return np.atleast_2d(np.cov(features, rowvar=False))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    rows=st.integers(2, 40),
    width=st.integers(1, 30),
    dtype=st.sampled_from([np.float64, np.float32]),
    scale=st.sampled_from([1e-8, 1.0, 1e6]),
)
def test_every_covariance_is_one_after_rounding(
    seed: int, rows: int, width: int, dtype: Any, scale: float
) -> None:
    saved = (covariance(seed, rows, width) * scale).astype(dtype)
    assert not_covariance(saved.astype(np.float64)) is None
    assert not_covariance(np.zeros((width, width))) is None


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    width=st.integers(2, 30),
    how=st.sampled_from(["upper", "negative", "one direction", "entry", "diagonal"]),
)
def test_what_is_not_a_covariance_is_noticed(seed: int, width: int, how: str) -> None:
    matrix = covariance(seed, 60, width)
    values, vectors = np.linalg.eigh(matrix)
    broken = {
        "upper": lambda: np.triu(matrix),
        "negative": lambda: -matrix,
        "one direction": lambda: (vectors * np.append(values[1:], -values[-1] / 5)) @ vectors.T,
        "entry": lambda: matrix + matrix.max() * np.eye(width, k=1),
        "diagonal": lambda: matrix - 2 * matrix.max() * np.diag(np.eye(width)[0]),
    }[how]()
    assert not_covariance(broken) is not None


def good() -> dict[str, Any]:
    return {"mu": np.zeros(WIDTH), "sigma": covariance(0, 200, WIDTH)}


SIGMA = covariance(0, 200, WIDTH)
BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "upper triangle": ({"sigma": np.triu(SIGMA)}, "sigma is not a covariance: it is not symmetric"),
    "negative": ({"sigma": -SIGMA}, "it has negative variances on its diagonal"),
    "a negative direction": (
        {"sigma": SIGMA - np.outer(np.ones(WIDTH), np.ones(WIDTH)) * np.trace(SIGMA)},
        "sigma is not a covariance",
    ),
    "NaN": (
        {"sigma": np.where(np.eye(WIDTH) > 0, np.nan, SIGMA)},
        "NaN or infinite numbers (sigma)",
    ),
    "NaN in the mean": ({"mu": np.full(WIDTH, np.nan)}, "NaN or infinite numbers (mu)"),
    "another shape": ({"sigma": SIGMA[:-1]}, f"mu has {WIDTH} entries and sigma is"),
    "a vector": ({"sigma": np.diagonal(SIGMA)}, f"mu has {WIDTH} entries and sigma is"),
    "text": ({"sigma": np.array("none")}, "sigma must hold real numbers, got <U4"),
    "complex": ({"mu": np.zeros(WIDTH, complex)}, "mu must hold real numbers, got complex128"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_such_files_are_refused_by_the_command(
    case: str, empty_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes, said = BROKEN[case]
    toys.save_toy_images(empty_folder / "a", ["0.png", "1.png", "2.png"])
    np.savez(empty_folder / "good.npz", **good())
    np.savez(empty_folder / "bad.npz", **{**good(), **changes})
    line = ["score", "a", "--metrics", "fd(encoder=scenes)", "--quiet", "--reference"]
    assert main([*line, "good.npz"]) == 0
    capsys.readouterr()
    assert main([*line, "bad.npz"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err
    assert "bad.npz" in shown.err
    assert shown.err.count("\n") == 1


def without(*names: str) -> Any:
    return lambda arrays: {k: v for k, v in arrays.items() if k not in names}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without("count"), "has no 'count'"),
        (without("protocol"), "has no 'protocol'"),
        (lambda a: {**a, "count": np.int64(1)}, "count must be one whole number of at least 2"),
        (lambda a: {**a, "count": np.float64(20)}, "count must be one whole number"),
        (lambda a: {**a, "protocol": "{"}, "protocol cannot be read"),
        (lambda a: {**a, "protocol": "[]"}, "protocol cannot be read"),
        (lambda a: {**a, "features": a["features"][:-1]}, "must be (20, 4) by count and mu"),
        (lambda a: {**a, "features": a["features"] * np.nan}, "NaN or infinite numbers (features)"),
        (lambda a: {**a, "mu": a["mu"] + 1}, "mu is not the mean of the features"),
    ],
)
def test_our_own_files_fit_together(change: Any, said: str, tmp_path: Path) -> None:
    features = np.random.default_rng(0).normal(5, 2, size=(20, 4)).astype(np.float32)
    path = tmp_path / "s.npz"
    write_statistics(path, "scenes", features, protocol={"a": 1}, images_sha256="0")
    whole = read_statistics(path)
    assert (whole.count, whole.encoder, whole.protocol) == (20, "scenes", {"a": 1})
    with np.load(path) as saved:
        arrays = dict(saved)
    np.savez(path, **change(arrays))
    with pytest.raises(MetricError) as refused:
        read_statistics(path)
    assert said in str(refused.value)
    assert str(path) in str(refused.value)
