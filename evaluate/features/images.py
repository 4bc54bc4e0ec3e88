"""The image files of a record or a folder, as arrays; and which of them cannot be read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from gandiff.common.errors import MetricError
from gandiff.common.images import (
    SUFFIXES,
    Alpha,
    DecodedImage,
    UnreadableImageError,
    decode_image,
)
from gandiff.evaluate.metric import ImageRecord


def read_image(record: ImageRecord, *, alpha: Alpha = "white") -> DecodedImage:
    """Decode a record's file; raises ``UnreadableImageError``, also where the file is gone or
    has changed.
    """
    try:
        data = record.path.read_bytes()
    except OSError as error:
        raise UnreadableImageError(error.strerror or str(error)) from error
    if hashlib.sha256(data).hexdigest() != record.sha256:
        raise UnreadableImageError("the file has changed since it was listed")
    return decode_image(data, alpha=alpha)


def image_records(folder: Path) -> list[ImageRecord]:
    """All image files below a folder, sorted by path, each its own group; raises ``MetricError``
    if none.
    """
    if not folder.is_dir():
        raise MetricError(f"there is no folder {folder}")
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not paths:
        raise MetricError(f"the folder {folder} holds no image files ({', '.join(SUFFIXES)})")
    return [
        ImageRecord(
            path=path,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            group=path.relative_to(folder).as_posix(),
        )
        for path in paths
    ]


def read_pixels(
    records: Sequence[ImageRecord], *, alpha: Alpha = "white"
) -> list[UInt8[np.ndarray, "_ _ 3"]]:
    """The pixels of a few images; raises ``MetricError`` that names the files it cannot read."""
    pixels, bad = [], []
    for record in records:
        try:
            pixels.append(read_image(record, alpha=alpha).pixels)
        except UnreadableImageError as error:
            bad.append((record, str(error)))
    if bad:
        raise MetricError(describe_unreadable(bad, len(records)))
    return pixels


def describe_unreadable(bad: Sequence[tuple[ImageRecord, str]], of: int) -> str:
    """One line that counts the unreadable files and names the first three."""
    named = "; ".join(f"{record.path} ({reason})" for record, reason in bad[:3])
    more = f"; and {len(bad) - 3} more" if len(bad) > 3 else ""
    return f"{len(bad)} of {of} image files cannot be read: {named}{more}"
