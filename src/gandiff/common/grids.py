"""Grids of images."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from gandiff.common.files import write_atomically

_SOFTWARE, _NAME = "Software", "gandiff"  # a text of the PNG (registered keyword of its standard)
_SEEN = 96  # px; smaller pictures are enlarged by whole factors


def tile(pictures: UInt8[np.ndarray, "n h w 3"], columns: int) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Lay pictures out in rows, enlarged until they can be seen, with a thin gap between them."""
    scale = max(1, _SEEN // pictures.shape[1])
    big = pictures.repeat(scale, 1).repeat(scale, 2)
    padded = np.pad(big, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=255)
    n, h, w, _ = padded.shape
    rows = padded.reshape(n // columns, columns, h, w, 3)
    return np.ascontiguousarray(rows.transpose(0, 2, 1, 3, 4).reshape(-1, columns * w, 3))


def write_png(path: Path, image: UInt8[np.ndarray, "h w 3"]) -> None:
    """Write a PNG that says that gandiff wrote it; it is whole or not there."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    buffer, facts = io.BytesIO(), PngInfo()
    facts.add_text(_SOFTWARE, _NAME)
    Image.fromarray(image).save(buffer, "PNG", pnginfo=facts)
    write_atomically(path, buffer.getbuffer())


def is_our_png(path: Path) -> bool:
    """Whether ``write_png`` wrote a file."""
    from PIL import Image

    try:
        with Image.open(path, formats=["PNG"]) as picture:
            return bool(picture.info.get(_SOFTWARE) == _NAME)
    except (OSError, SyntaxError, ValueError):  # no picture, or a broken one
        return False
