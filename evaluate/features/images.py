"""Image files as arrays: decoding as the field does it, and saying what is odd about a file."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from gandiff.common.errors import MetricError
from gandiff.evaluate.metric import ImageRecord

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".gif")
# Kept in this order: a cached image stores its oddities as bits.
ODDITIES = {
    "alpha": "have an alpha channel, which was dropped",
    "grey": "are grey; the one channel was repeated",
    "cmyk": "are CMYK and were converted to RGB",
    "palette": "have a colour palette and were converted to RGB",
    "16-bit": "have 16 bits a channel, reduced to 8",
    "animated": "are animated; the first frame was taken",
    "jpeg": "are JPEG files; against lossless files that moves distribution metrics",
}


class UnreadableImageError(ValueError):
    """The bytes are no image that can be decoded."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecodedImage:
    """The pixels, and which of ``ODDITIES`` the file had."""

    pixels: UInt8[np.ndarray, "h w 3"]
    oddities: frozenset[str]


def decode_image(data: bytes) -> DecodedImage:
    """Decode to RGB with 8 bits a channel; raises ``UnreadableImageError``.

    Alpha is dropped, not blended, as PIL's ``convert("RGB")`` does and with it every FID
    implementation.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            oddities = _oddities(image, data)
            image.load()
            pixels = np.asarray(_eight_bits(image).convert("RGB"), dtype=np.uint8)
    except UnidentifiedImageError as error:  # its own message shows an address in memory
        raise UnreadableImageError("it is no image of a known format") from error
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise UnreadableImageError(str(error) or type(error).__name__) from error
    return DecodedImage(pixels=pixels, oddities=oddities)


def read_image(record: ImageRecord) -> DecodedImage:
    """Decode a record's file; raises ``UnreadableImageError``, also where the file is gone or
    has changed.
    """
    try:
        data = record.path.read_bytes()
    except OSError as error:
        raise UnreadableImageError(error.strerror or str(error)) from error
    if hashlib.sha256(data).hexdigest() != record.sha256:
        raise UnreadableImageError("the file has changed since it was listed")
    return decode_image(data)


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


def read_pixels(records: Sequence[ImageRecord]) -> list[UInt8[np.ndarray, "_ _ 3"]]:
    """The pixels of a few images; raises ``MetricError`` that names the files it cannot read."""
    found, bad = [], []
    for record in records:
        try:
            found.append(read_image(record).pixels)
        except UnreadableImageError as error:
            bad.append((record, str(error)))
    if bad:
        raise MetricError(describe_unreadable(bad, len(records)))
    return found


def describe_unreadable(bad: Sequence[tuple[ImageRecord, str]], of: int) -> str:
    """One line that counts the unreadable files and names the first three."""
    named = "; ".join(f"{record.path} ({reason})" for record, reason in bad[:3])
    more = f"; and {len(bad) - 3} more" if len(bad) > 3 else ""
    return f"{len(bad)} of {of} image files cannot be read: {named}{more}"


def _oddities(image: Image.Image, data: bytes) -> frozenset[str]:
    found = {
        "alpha": "A" in image.getbands() or "transparency" in image.info,
        "grey": image.getbands()[0] in ("L", "1", "I", "F"),
        "cmyk": image.mode == "CMYK",
        "palette": image.mode in ("P", "PA"),
        "16-bit": image.mode.startswith("I") or _png_depth(data) == 16,
        "animated": getattr(image, "n_frames", 1) > 1,
        "jpeg": image.format == "JPEG",
    }
    return frozenset(name for name, odd in found.items() if odd)


def _png_depth(data: bytes) -> int:
    # PIL reads 16-bit RGB as 8-bit without a word; the depth is byte 24 of the header (PNG,
    # 11.2.1).
    return data[24] if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) > 24 else 8


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown range")
    if not image.mode.startswith("I"):
        return image
    # convert("RGB") would clip these at 255 rather than scale them.
    wide = np.asarray(image, dtype=np.float64)
    return Image.fromarray(np.rint(np.clip(wide / 257, 0, 255)).astype(np.uint8))
