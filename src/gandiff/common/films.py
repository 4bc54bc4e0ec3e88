"""The way from noise to image as one picture and as an animation."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from gandiff.common.files import write_atomically

Pixels = UInt8[np.ndarray, "_ _ 3"]
Moment = tuple[Pixels, Pixels | None]  # x_t, and what x_0 was taken to be

_SMALLEST, _LARGEST, _GAP = 128, 256, 4  # px, of a picture's longer side and between pictures
_MOMENT, _END = 350, 2000  # ms, of each picture and of the last one
_TAG_SOFTWARE = 305  # of EXIF
_NAME = "gandiff"


def strip(stages: Sequence[Sequence[Moment]]) -> Pixels:
    """Lay the moments of each stage out from left to right, the estimates below what they were made
    of, and the stages from top to bottom.
    """
    side = _side([moment for stage in stages for moment in stage])
    rows = [
        np.concatenate([_column(moment, side, across=False) for moment in stage], axis=1)
        for stage in stages
    ]
    width = max(row.shape[1] for row in rows)
    padded = [
        np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255)  # white
        for row in rows
    ]
    return np.concatenate(padded)


def write_animation(path: Path, moments: Sequence[Moment]) -> None:
    """Write moments as an animated WebP that starts again and again: x_t on the left, the estimate
    on the right.
    """
    from PIL import Image

    side = _side(moments)
    first, *others = (Image.fromarray(_column(m, side, across=True)) for m in moments)
    exif = Image.Exif()
    exif[_TAG_SOFTWARE] = _NAME
    buffer = io.BytesIO()
    first.save(
        buffer,
        "WEBP",
        save_all=True,
        append_images=others,
        duration=[_MOMENT] * len(others) + [_END],
        loop=0,
        quality=80,
        exif=exif,
    )
    write_atomically(path, buffer.getbuffer())


def is_our_animation(path: Path) -> bool:
    """Whether ``write_animation`` wrote a file."""
    from PIL import Image

    try:
        with Image.open(path, formats=["WEBP"]) as picture:
            return bool(picture.getexif().get(_TAG_SOFTWARE) == _NAME)
    except (OSError, SyntaxError, ValueError):  # no picture, or a broken one
        return False


def _side(moments: Sequence[Moment]) -> int:
    longest = max(int(max(noisy.shape[:2])) for noisy, _ in moments)
    return min(max(longest, _SMALLEST // longest * longest), _LARGEST)


def _column(moment: Moment, side: int, *, across: bool) -> Pixels:
    """The pictures of a moment beside or below each other, on white."""
    tiles = [_tile(picture, side) for picture in moment if picture is not None]
    tiles += [np.full_like(tiles[0], 255)] * (2 - len(tiles))
    column = np.concatenate(tiles, axis=1 if across else 0)
    return np.ascontiguousarray(column)


def _tile(picture: Pixels, side: int) -> Pixels:
    """A picture in the middle of a square; pixels stay what they are where it is enlarged."""
    from PIL import Image, ImageOps

    image = Image.fromarray(picture)
    if factor := side // max(image.size):
        image = ImageOps.scale(image, factor, Image.Resampling.NEAREST)
    else:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
    page = Image.new("RGB", (side + _GAP, side + _GAP), "white")
    page.paste(image, ((page.width - image.width) // 2, (page.height - image.height) // 2))
    return np.asarray(page)
