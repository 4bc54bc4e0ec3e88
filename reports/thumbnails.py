"""Pictures small enough to live inside a page."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from gandiff.common.images import UnreadableImageError, open_image, to_rgb

LARGEST = 128  # px; larger pictures are reduced to this and to 256 colours
_PNG = b"\x89PNG\r\n\x1a\n"


def thumbnail(path: Path) -> bytes | None:
    """Return a picture as PNG, at most ``LARGEST`` px a side; None if it cannot be read.

    A PNG that is small already is returned as it lies on the disk, byte for byte.
    """
    from PIL import Image

    try:
        data = path.read_bytes()
        with open_image(io.BytesIO(data)) as image:
            image.load()
            if data.startswith(_PNG) and max(image.size) <= LARGEST:
                return data
            small = to_rgb(image)
    except (OSError, UnreadableImageError):
        return None
    small.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.quantize(256, method=Image.Quantize.FASTOCTREE).save(out, format="PNG", optimize=True)
    return out.getvalue()


def data_uri(picture: bytes, kind: str = "png") -> str:
    """Return the bytes of a picture as an address that needs no file."""
    return f"data:image/{kind};base64," + base64.b64encode(picture).decode("ascii")
