"""One decoder of image files for everything: training data, folders as generators, scoring."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8
    from PIL import Image

Alpha = Literal["white", "drop"]
ALPHAS: tuple[Alpha, ...] = get_args(Alpha)
FRAMES = "first"  # of a file with several; what a protocol says of it
# A cached image stores its oddities as bits in this order; new ones come last.
ODDITIES = {
    "alpha": "have an alpha channel or a transparent colour, laid over white without alpha=drop",
    "grey": "are grey; the one channel was repeated",
    "cmyk": "are CMYK, converted to RGB",
    "palette": "have a colour palette, converted to RGB",
    "16-bit": "have more than 8 bits a channel, reduced to 8",
    "animated": "have several frames or pages; the first was taken",
    "jpeg": "are JPEG; against lossless files that moves distribution metrics",
    "turned": "were turned upright, as the camera recorded",
    "lab": "are in the colour space L*a*b*, converted to RGB",
}
BETWEEN = " / "  # stands between the remarks on one file
# PIL's names of the formats that are read, with their modules. Others are not even tried: some
# start a program (EPS), and what no ending promises is read by none of the ways in.
_FORMATS = {
    **{"PNG": "Png", "JPEG": "Jpeg", "WEBP": "WebP", "AVIF": "Avif"},
    **{"BMP": "Bmp", "GIF": "Gif", "TIFF": "Tiff", "PPM": "Ppm"},
}
_ORIENTATION = 0x0112  # the tag of EXIF 2.3, table 4; 1 is upright
_TIFF_BITS, _TIFF_INTERPRETATION, _WHITE_IS_ZERO = 258, 262, 0  # TIFF 6.0, section 8
# What PIL's code runs into where a file says something of another type or size than it should.
_PIL_ERRORS = (struct.error, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class UnreadableImageError(ValueError):
    """The bytes are not an image that can be decoded."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecodedImage:
    """The pixels, and which of ``ODDITIES`` the file had."""

    pixels: UInt8[np.ndarray, "h w 3"]
    oddities: frozenset[str]

    def remarks(self) -> str | None:
        """What ``ODDITIES`` says of the file, in its order, with ``BETWEEN`` between; or None."""
        said = [words for name, words in ODDITIES.items() if name in self.oddities]
        return BETWEEN.join(said) or None


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
        with Image.open(source, formats=_formats()) as image:
            yield image
    except UnreadableImageError:
        raise
    except UnidentifiedImageError as error:  # its own message shows an address in memory
        raise UnreadableImageError(_unknown(source)) from error
    except (OSError, SyntaxError, EOFError, zlib.error, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UnreadableImageError(reason) from error
    except _PIL_ERRORS as error:
        raise UnreadableImageError(str(error) or type(error).__name__) from error


@functools.cache
def _formats() -> tuple[str, ...]:
    from PIL import Image

    for module in _FORMATS.values():
        with contextlib.suppress(ImportError):  # an older Pillow knows no AVIF
            importlib.import_module(f"PIL.{module}ImagePlugin")
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _unknown(source: Path | io.BytesIO) -> str:
    """Say why PIL does not know what a file is."""
    import PIL
    from PIL import features

    if isinstance(source, io.BytesIO):
        head = source.getvalue()[:12]
    else:
        with source.open("rb") as file:
            head = file.read(12)
    if not head:
        return "the file is empty"
    for name, is_one in (("avif", head[4:10] == b"ftypav"), ("webp", head[8:12] == b"WEBP")):
        if is_one and not features.check(name):
            return (
                f"the installed Pillow {PIL.__version__} reads no {name.upper()}; "
                "install Pillow 11.3 or newer from a wheel"
            )
    return "it is not an image of a known format (PNG, JPEG, WebP, AVIF, BMP, GIF, TIFF, PPM)"


def to_rgb(image: Image.Image, *, alpha: Alpha = "white") -> Image.Image:
    """Convert an image of any mode to RGB with 8 bits a channel, upright.

    What is transparent is laid over white. ``alpha="drop"`` takes the colours below instead, as
    PIL's ``convert("RGB")`` and with it most FID packages do: programs leave anything there.
    Of several frames or pages the first is taken. More than 8 bits are scaled and rounded, L*a*b*
    is converted under its white, D50; the orientation that a camera recorded is applied. Raises
    ``ValueError`` for floating-point pixels and 32-bit integers, whose range is unknown, and for a
    corrupt EXIF block.
    """
    from PIL import Image

    reduce = _reduction(image)
    image = reduce(_upright(image))
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
    except _PIL_ERRORS as error:
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


def _reduction(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """What brings the pixels of a file to 8 bits of RGB or grey; by its tags, which turning drops.

    ``convert("RGB")`` would clip levels at 255 rather than scale them, and be up to 40 levels off
    for L*a*b*.
    """
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown range")
    if image.mode == "LAB":
        return _from_lab
    if not image.mode.startswith("I"):
        return lambda image: image
    if image.mode == "I" and image.format != "PPM":  # of PPM files PIL scales the levels itself
        raise ValueError("its pixels are 32-bit or signed integers of unknown range")
    tags: Any = getattr(image, "tag_v2", {})
    white = (1 << tags.get(_TIFF_BITS, (16,))[0]) - 1
    inverted = tags.get(_TIFF_INTERPRETATION) == _WHITE_IS_ZERO
    return functools.partial(_eight_bits, white=white, inverted=inverted)


def _eight_bits(image: Image.Image, *, white: int, inverted: bool) -> Image.Image:
    import numpy as np
    from PIL import Image

    levels = np.asarray(image, dtype=np.float64)
    shares = np.clip((white - levels if inverted else levels) / white, 0, 1)
    reduced = Image.fromarray(np.rint(255 * shares).astype(np.uint8))
    if "transparency" in image.info:  # one level of all
        opaque = levels != image.info["transparency"]
        reduced.putalpha(Image.fromarray(np.uint8(255) * opaque.astype(np.uint8)))
    return reduced


def _from_lab(image: Image.Image) -> Image.Image:
    """CIE 1976 L*a*b* (D50) to sRGB (IEC 61966-2-1), adapted to D65 by Bradford's matrix."""
    import numpy as np
    from PIL import Image

    stored = np.asarray(image)  # L* from 0 to 255, a* and b* as signed bytes
    a, b = (stored[..., i].view(np.int8).astype(np.float64) for i in (1, 2))
    y = (stored[..., 0] * (100 / 255) + 16) / 116
    roots = np.stack([y + a / 500, y, y - b / 200], axis=-1)
    linear_part = 3 * (6 / 29) ** 2 * (roots - 4 / 29)
    xyz = np.where(roots > 6 / 29, roots**3, linear_part) * (0.96422, 1.0, 0.82521)
    light = np.clip(xyz @ np.linalg.inv(_D50_FROM_SRGB).T, 0, 1)
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return Image.fromarray(np.rint(255 * curve).astype(np.uint8))


# Linear sRGB to XYZ under D50: the primaries of IEC 61966-2-1, adapted by Bradford's matrix.
_D50_FROM_SRGB = (
    (0.4360747, 0.3850649, 0.1430804),
    (0.2225045, 0.7168786, 0.0606169),
    (0.0139322, 0.0971045, 0.7141733),
)


def _oddities(image: Image.Image, data: bytes) -> frozenset[str]:
    has = {
        "alpha": _is_transparent(image),
        "grey": image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I"),
        "cmyk": image.mode == "CMYK",
        "palette": image.mode in ("P", "PA"),
        "16-bit": image.mode.startswith("I") or _depth(image, data) > 8,
        # The further pictures of a phone's MPO file are depth or brightness, not frames.
        "animated": getattr(image, "n_frames", 1) > 1 and image.format != "MPO",
        "jpeg": image.format in ("JPEG", "MPO"),
        "turned": _is_turned(image),
        "lab": image.mode == "LAB",
    }
    return frozenset(name for name, odd in has.items() if odd)


def _depth(image: Image.Image, data: bytes) -> int:
    # PIL reads 16-bit colours as 8-bit silently. Of PNG the depth is byte 24 (11.2.1).
    if image.format == "PNG":
        return data[24]
    return int(max(getattr(image, "tag_v2", {}).get(_TIFF_BITS, (8,))))
