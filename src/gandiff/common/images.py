"""One decoder of image files for everything: training data, folders as generators, scoring."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8
    from PIL import Image

Alpha = Literal["white", "drop"]
ALPHAS: tuple[Alpha, ...] = get_args(Alpha)
# Kept in this order: a cached image stores its oddities as bits.
ODDITIES = {
    "alpha": "have transparency, which was laid over white unless alpha=drop was asked for",
    "grey": "are grey; the one channel was repeated",
    "cmyk": "are CMYK and were converted to RGB",
    "palette": "have a colour palette and were converted to RGB",
    "16-bit": "have 16 bits a channel, reduced to 8",
    "animated": "are animated; the first frame was taken",
    "jpeg": "are JPEG files; against lossless files that moves distribution metrics",
    "turned": "were turned upright, as the camera recorded",
}
_ORIENTATION = 0x0112  # the tag of EXIF 2.3, table 4; 1 is upright
# What PIL's code runs into where a value in the EXIF block is of another type than it should be.
_EXIF_ERRORS = (struct.error, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class UnreadableImageError(ValueError):
    """The bytes are not an image that can be decoded."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecodedImage:
    """The pixels, and which of ``ODDITIES`` the file had."""

    pixels: UInt8[np.ndarray, "h w 3"]
    oddities: frozenset[str]


def decode_image(data: bytes, *, alpha: Alpha = "white") -> DecodedImage:
    """Decode the bytes of a file as ``to_rgb`` does; raises ``UnreadableImageError``."""
    import numpy as np

    with open_image(io.BytesIO(data)) as image:
        oddities = _oddities(image, data)
        return DecodedImage(pixels=np.asarray(to_rgb(image, alpha=alpha)), oddities=oddities)


@contextlib.contextmanager
def open_image(source: Path | io.BytesIO) -> Iterator[Image.Image]:
    """Open a file; whatever is wrong with it inside the block is an ``UnreadableImageError``."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(source) as image:
            yield image
    except UnreadableImageError:
        raise
    except UnidentifiedImageError as error:  # its own message shows an address in memory
        raise UnreadableImageError("it is not an image of a known format") from error
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UnreadableImageError(reason) from error


def to_rgb(image: Image.Image, *, alpha: Alpha = "white") -> Image.Image:
    """Convert an image of any mode to RGB with 8 bits a channel, upright.

    What is transparent is laid over white. ``alpha="drop"`` takes the colours below instead, as
    PIL's ``convert("RGB")`` and with it most FID packages do: programs leave anything there.
    16 bits are scaled and rounded; the orientation that a camera recorded is applied. Raises
    ``ValueError`` for floating-point pixels, whose range is unknown, and a corrupt EXIF block.
    """
    from PIL import Image

    image = _eight_bits(_upright(image))
    if _is_transparent(image) and alpha == "white":
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    elif "transparency" in image.info:
        image = image.copy()
        del image.info["transparency"]  # PIL warns of what it drops
    return image.convert("RGB")


def image_size(path: Path) -> tuple[int, int] | None:
    """Width and height in px from a file's header; None if it cannot be read."""
    try:
        with open_image(path) as image:
            return image.size
    except UnreadableImageError:
        return None


def _upright(image: Image.Image) -> Image.Image:
    from PIL import ImageOps

    image.load()  # before the EXIF block is judged: a broken file is not a broken block
    try:
        return ImageOps.exif_transpose(image) if _is_turned(image) else image
    except _EXIF_ERRORS as error:
        raise UnreadableImageError(f"its EXIF block is corrupt ({error})") from error


def _is_turned(image: Image.Image) -> bool:
    return image.getexif().get(_ORIENTATION) in range(2, 9)


def _is_transparent(image: Image.Image) -> bool:
    palette = getattr(image.palette, "mode", "")
    return (
        image.mode in ("RGBA", "RGBa", "LA", "La", "PA")
        or "transparency" in image.info
        or (image.mode == "P" and palette.endswith("A"))
    )


def _eight_bits(image: Image.Image) -> Image.Image:
    import numpy as np
    from PIL import Image

    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown range")
    if not image.mode.startswith("I"):
        return image
    # convert("RGB") would clip these at 255 rather than scale them; 65535 is white.
    levels = np.asarray(image, dtype=np.float64)
    reduced = Image.fromarray(np.rint(np.clip(levels / 257, 0, 255)).astype(np.uint8))
    if "transparency" in image.info:  # one level of all
        opaque = levels != image.info["transparency"]
        reduced.putalpha(Image.fromarray(np.uint8(255) * opaque.astype(np.uint8)))
    return reduced


def _oddities(image: Image.Image, data: bytes) -> frozenset[str]:
    has = {
        "alpha": _is_transparent(image),
        "grey": image.getbands()[0] in ("L", "1", "I", "F"),
        "cmyk": image.mode == "CMYK",
        "palette": image.mode in ("P", "PA"),
        "16-bit": image.mode.startswith("I") or _png_depth(data) == 16,
        "animated": getattr(image, "n_frames", 1) > 1,
        "jpeg": image.format == "JPEG",
        "turned": _is_turned(image),
    }
    return frozenset(name for name, odd in has.items() if odd)


def _png_depth(data: bytes) -> int:
    # PIL reads 16-bit RGB as 8-bit silently; the depth is byte 24 of the header (PNG, 11.2.1).
    return data[24] if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) > 24 else 8
