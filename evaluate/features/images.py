"""The image files of a record or a folder, as arrays; and which of them cannot be read."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from gandiff.common.errors import MetricError, printable
from gandiff.common.files import file_sha256
from gandiff.common.images import Alpha, DecodedImage, UnreadableImageError, decode_image
from gandiff.common.picture_files import PictureFiles, list_pictures, no_pictures
from gandiff.common.subsets import drawn_order
from gandiff.common.words import agree, counted
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
    return folder_images(folder)[0]


def require_pictures(folder: Path) -> PictureFiles:
    """The names of the image files below a folder; raises ``MetricError`` if there are none."""
    if not folder.is_dir():
        raise MetricError(f"there is no folder {folder}")
    pictures = list_pictures(folder, MetricError)
    if not pictures.names:
        raise MetricError(no_pictures(pictures))
    return pictures


def folder_images(
    folder: Path, at_most: int | None = None, sha256: Callable[[Path], str | None] | None = None
) -> tuple[list[ImageRecord], list[str]]:
    """The same, or ``at_most`` so many of them, and remarks on what was left out.

    ``sha256`` gives the hash of a file, None for one that cannot be read. A part is drawn by the
    contents of the files, whatever their names, with the same share of every class where the images
    lie in folders by class.
    """
    sha256 = sha256 or _sha256
    pictures = require_pictures(folder)
    records = [
        ImageRecord(path=folder / name, sha256=sha256(folder / name) or "", group=name)
        for name in pictures.names
    ]
    remarks = pictures.remarks()
    if at_most is not None and at_most > len(records):
        remarks.append(
            f"{folder} holds {counted(len(records), 'image')}, fewer than the {at_most} asked for"
        )
    elif at_most is not None:
        keys = [record.sha256 for record in records]
        records = drawn_order(records, keys, _classes(pictures.names))[:at_most]
    return records, remarks


def _sha256(path: Path) -> str | None:
    try:
        return file_sha256(path)
    except OSError:  # reading it will say why
        return None


def _classes(names: Sequence[str]) -> list[str]:
    """The folder that each file lies in, below those that all of them share."""
    folders = [posixpath.dirname(name) for name in names]
    shared = posixpath.commonpath(folders)
    return [folder[len(shared) :].lstrip("/").partition("/")[0] for folder in folders]


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


def without_unreadable(
    records: Sequence[ImageRecord], reasons: Mapping[str, str]
) -> tuple[list[ImageRecord], list[str]]:
    """The images that can be read, and a line on the others; ``reasons`` are by sha256.

    Raises ``MetricError`` if none is left.
    """
    bad = [(record, reasons[record.sha256]) for record in records if record.sha256 in reasons]
    if not bad:
        return list(records), []
    said = describe_unreadable(bad, len(records))
    if len(bad) == len(records):
        raise MetricError(said)
    readable = [record for record in records if record.sha256 not in reasons]
    return readable, [f"{said}; the other {len(readable)} {agree(len(readable), 'are measured')}"]


def describe_unreadable(bad: Sequence[tuple[ImageRecord, str]], of: int) -> str:
    """One line that counts the unreadable files and names the first three."""
    named = printable("; ".join(f"{record.path} ({reason})" for record, reason in bad[:3]))
    more = f"; and {len(bad) - 3} more" if len(bad) > 3 else ""
    return f"{len(bad)} of {counted(of, 'image file')} cannot be read: {named}{more}"
