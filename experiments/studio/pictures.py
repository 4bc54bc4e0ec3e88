"""Pictures that people bring or paint on, as the models take them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageOps

from gandiff.common.errors import RequestError
from gandiff.common.files import write_atomically
from gandiff.experiments.prompts.sources import Pixels, pixels_sha256, read_file, source_of
from gandiff.experiments.runs.store import png
from gandiff.experiments.studio.fields import Region
from gandiff.models.tasks import Picture, check_control

CANVAS = 512  # px, the side of the square that a mask is drawn on
_NAME = 12  # hex digits of the hash that names a file

Rgb = UInt8[np.ndarray, "h w 3"]
Square = UInt8[np.ndarray, "s s 3"]


def read_picture(field: Picture, file: Path | str) -> Rgb:
    """The pixels of a file that somebody brought; raises ``RequestError`` where there are none, and
    for a control image that says nothing.
    """
    name = Path(file).name
    try:
        source = source_of(field, file)
        assert source is not None  # a name is there
        pixels = read_file(source)
    except ValueError as error:
        raise RequestError(str(error).replace(str(file), name)) from None
    try:
        if field == "control_image":
            check_control(pixels)
    except ValueError as error:
        raise RequestError(f"{name} {error}") from None
    return pixels


def fitted(pixels: Rgb, side: int) -> Square:
    """The square in the middle of a picture, ``side`` px wide.

    Pixels stay what they are where it has this size or is enlarged by a whole factor.
    """
    image = Image.fromarray(pixels)
    shortest = min(image.size)
    kind = Image.Resampling.LANCZOS if side % shortest else Image.Resampling.NEAREST
    return np.asarray(ImageOps.fit(image, (side, side), kind))


def masked(
    strokes: Sequence[UInt8[np.ndarray, "c c 4"]], region: Region | None, side: int
) -> UInt8[np.ndarray, "s s"]:
    """The mask of strokes on a canvas and of a region in px of a picture ``side`` px wide: 255
    where half of a pixel or more is covered, 0 elsewhere.
    """
    covered: Bool[np.ndarray, "s s"] = np.zeros((side, side), bool)
    for layer in strokes:
        alpha = Image.fromarray(np.ascontiguousarray(layer[..., 3]))
        covered |= np.asarray(alpha.resize((side, side), Image.Resampling.BOX)) >= 128
    if region is not None:
        left, top, width, height = region
        covered[top : top + height, left : left + width] = True
    return covered.astype(np.uint8) * np.uint8(255)


def kept(field: Picture, pixels: Pixels, folder: Path) -> Path:
    """A file with these pixels, named by them, so that what is there need not be written again."""
    path = folder / f"{field}-{pixels_sha256(pixels)[:_NAME]}.png"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, png(pixels))
    return path
