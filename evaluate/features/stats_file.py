"""Reference statistics in a file: features, mean and covariance with the protocol they depend on.

The keys ``mu`` and ``sigma`` are those of pytorch-fid and clean-fid, whose files are read and who
read ours; what they do not know is beside them under other keys.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from gandiff.common.errors import MetricError
from gandiff.common.files import file_sha256
from gandiff.evaluate.metric import ReferenceStatistics
from gandiff.evaluate.numerics.gaussian import Moments, not_covariance
from gandiff.evaluate.numerics.rows import Rows

SUFFIX = ".npz"
_VERSION, _MARK = 1, "gandiff_statistics"


def write_statistics(
    path: Path,
    encoder: str,
    features: Rows,
    *,
    protocol: Mapping[str, Any],
    images_sha256: str,
    keep_features: bool = True,
) -> None:
    """Write the statistics of at least two rows of features; the file is whole or absent.

    Raises ``MetricError`` for fewer rows, ``OSError`` if it cannot be written.
    """
    count = features.shape[0]
    if count < 2:
        raise MetricError(f"statistics need at least 2 images and found {count}")
    moments = Moments.of(features)
    arrays: dict[str, Any] = {
        "mu": moments.mean,
        "sigma": moments.covariance,
        "count": np.int64(count),
        "encoder": encoder,
        "protocol": json.dumps(dict(protocol), sort_keys=True),
        "images_sha256": images_sha256,
        _MARK: np.int64(_VERSION),
    }
    if keep_features:
        arrays["features"] = features[:].astype(np.float32, copy=False)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}{SUFFIX}")
    try:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def is_our_statistics(path: Path) -> bool:
    """Whether ``write_statistics`` wrote a file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return f"{_MARK}.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def read_statistics(path: Path) -> ReferenceStatistics:
    """Read a file of ours, or one with ``mu`` and ``sigma`` only.

    Raises ``MetricError`` if there is none, it is damaged, the numbers do not fit together, or
    sigma is not a covariance.
    """
    arrays = _arrays(path)
    ours = "gandiff_statistics" in arrays
    for key in (
        "mu",
        "sigma",
        *(("count", "encoder", "protocol", "images_sha256") if ours else ()),
    ):
        if key not in arrays:
            raise MetricError(
                f"{path} has no {key!r}, only {', '.join(sorted(arrays)) or 'nothing'}; it must "
                "have mean and covariance as pytorch-fid and gandiff stats write them"
            )
    features = arrays.get("features") if ours else None
    for key, array in {"mu": arrays["mu"], "sigma": arrays["sigma"], "features": features}.items():
        if array is not None and array.dtype.kind not in "fiu":
            raise MetricError(f"{path}: {key} must hold real numbers, got {array.dtype}")
        if array is not None and not np.isfinite(array).all():
            raise MetricError(f"{path} holds NaN or infinite numbers ({key})")
    mean = np.asarray(arrays["mu"], dtype=np.float64).reshape(-1)
    covariance = np.asarray(arrays["sigma"], dtype=np.float64)
    if covariance.shape != (len(mean), len(mean)):
        raise MetricError(f"{path}: mu has {len(mean)} entries and sigma is {covariance.shape}")
    if problem := not_covariance(covariance):
        raise MetricError(
            f"{path}: sigma is not a covariance: {problem}; write the statistics again"
        )
    if ours:
        _check_ours(path, arrays, mean)
    return ReferenceStatistics(
        source=str(path),
        encoder=str(arrays["encoder"]) if ours else None,
        mean=mean,
        covariance=covariance,
        count=int(arrays["count"]) if ours else None,
        features=None if features is None else np.asarray(features, dtype=np.float32),
        protocol=json.loads(str(arrays["protocol"])) if ours else None,
        sha256=str(arrays["images_sha256"]) if ours else file_sha256(path),
    )


def _check_ours(path: Path, arrays: Mapping[str, Any], mean: Float[np.ndarray, " d"]) -> None:
    """Check what stands beside mean and covariance, and that the features are those they are of."""
    count, features = arrays["count"], arrays.get("features")
    if count.dtype.kind not in "iu" or count.size != 1 or int(count) < 2:
        raise MetricError(f"{path}: count must be one whole number of at least 2")
    try:
        if not isinstance(json.loads(str(arrays["protocol"])), dict):
            raise ValueError("not a mapping")
    except ValueError as error:
        raise MetricError(f"{path}: protocol cannot be read ({error})") from error
    if features is None:
        return
    if features.shape != (int(count), len(mean)):
        raise MetricError(
            f"{path}: features are {features.shape}, must be {(int(count), len(mean))} by count "
            "and mu"
        )
    spread = float(features.std()) + 1e-12
    if np.abs(features.mean(axis=0, dtype=np.float64) - mean).max() > 1e-3 * spread:
        raise MetricError(f"{path}: mu is not the mean of the features beside it")


def _arrays(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise MetricError(f"there is no file of statistics {path}")
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (
        OSError,
        ValueError,
        EOFError,
        KeyError,
        AttributeError,
        TypeError,
        zipfile.BadZipFile,
    ) as error:
        raise MetricError(
            f"{path} is no file of statistics that can be read ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:120]})"
        ) from error
