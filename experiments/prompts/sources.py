"""The pictures that prompts bring along: init images, masks, control images, ground truth."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import UInt8

from gandiff.common.errors import RequestError, show
from gandiff.common.files import expanded
from gandiff.common.images import decode_image
from gandiff.common.names import did_you_mean
from gandiff.common.rows import is_blank
from gandiff.common.run_record import SOURCES
from gandiff.models.tasks import Picture

Pixels = UInt8[np.ndarray, "h w 3"] | UInt8[np.ndarray, "h w"]  # a mask has the second form
# What metrics see and no generator: a right result, and where a result may differ from the init
# image (a mask, for tasks whose request has none).
Truth = Literal["target", "region"]
TRUTHS: tuple[Truth, ...] = get_args(Truth)
Field = Picture | Truth
_MASKS = ("mask", "region")
_NAME = 20  # hex digits of the hash that name a file
_RECENT = 32  # pictures that stay decoded: the samples of a prompt follow each other


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One picture of a prompt.

    ``sha256`` is that of its pixels (``pixels_sha256``), None before they were read; ``origin`` is
    what the prompts call its file. It is read from ``pixels`` where a program made it, else from
    ``copy``, which the run folder keeps, else from ``file``. ``size`` is its width and height in
    px, known once it was read.
    """

    field: Field
    sha256: str | None = None
    origin: str | None = None
    pixels: Pixels | None = dataclasses.field(default=None, compare=False, repr=False)
    copy: Path | None = dataclasses.field(default=None, compare=False)
    file: Path | None = dataclasses.field(default=None, compare=False)
    size: tuple[int, int] | None = dataclasses.field(default=None, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """What ``prompts.jsonl`` says of it; ``path`` is relative to the run folder."""
        path = copy_name(self.sha256) if self.sha256 else None
        facts = {"path": path, "sha256": self.sha256, "origin": self.origin}
        return {key: value for key, value in facts.items() if value is not None}

    def read(self) -> Pixels:
        """A copy of its pixels, uint8 of shape (h, w, 3), or (h, w) of a mask.

        Raises ``RequestError`` where no place has them as they were.
        """
        if self.pixels is not None:
            return self.pixels.copy()
        return _intact(self.field, self.sha256, self.copy, self.file).copy()


def source_of(field: Field, value: Any, base: Path = Path()) -> Source | None:
    """A picture as rows of prompts give it; None where a row says nothing.

    ``value`` is an array in memory (uint8; a mask may be boolean), a path from ``base``, or what
    ``Source.to_dict`` wrote in the run folder ``base``. Raises ``RequestError`` for anything else.
    """
    if value is None or isinstance(value, Source):
        return value
    if isinstance(value, np.ndarray):
        pixels = _checked(field, value)
        return Source(field=field, sha256=pixels_sha256(pixels), pixels=pixels)
    if isinstance(value, Mapping) and value.keys() >= {"path", "sha256"}:
        place = base / str(value["path"])
        known = {key: value.get(key) for key in ("sha256", "origin")}
        return Source(field=field, copy=place, **known)
    if is_blank(value):
        return None
    if not isinstance(value, str | Path):
        raise RequestError(f"{field} must be the path of a picture, got {show(value)}")
    text = str(value).strip()
    return Source(field=field, origin=text, file=base / expanded(text))


def pixels_sha256(pixels: Pixels) -> str:
    """Sha256 of the shape, as ``32x32x3``, a zero byte, and the bytes in C order."""
    shape = "x".join(map(str, pixels.shape))
    return hashlib.sha256(f"{shape}\0".encode() + pixels.tobytes()).hexdigest()


def copy_name(sha256: str) -> str:
    """Where a run keeps a picture, relative to its folder."""
    return f"{SOURCES}/{sha256[:_NAME]}.png"


def decode(field: Field, data: bytes) -> Pixels:
    """The pixels of a file by the rule for all images; ``ValueError`` says what is wrong with them.

    A control image is laid over white where it is transparent, and must not be of one colour then.
    An init image or a target must be opaque: what is below would come back in the result. A mask
    has one channel.
    """
    decoded = decode_image(data)
    odd = decoded.oddities
    if field in _MASKS:
        if "grey" not in odd or odd & {"alpha", "animated"}:
            wrong = sorted(odd & {"alpha", "animated", "palette"}) or ["colours"]
            raise ValueError(
                "must be one grey picture of 0 (keep) and 255 (change), and has "
                f"{_HAS.get(wrong[0], wrong[0])}; save it as greyscale"
            )
        return np.ascontiguousarray(decoded.pixels[..., 0])
    if field != "control_image" and "alpha" in odd:
        what = "an init image" if field == "init_image" else "a target"
        raise ValueError(
            f"has an alpha channel or a transparent colour, and {what} must be opaque; lay it over "
            "a background first"
        )
    if "alpha" in odd and (decoded.pixels == decoded.pixels[0, 0]).all():
        raise ValueError(
            "is transparent: laid over white it is of one colour, so that there is nothing to "
            "follow; lay it over black"
        )
    return decoded.pixels


_HAS = {"alpha": "an alpha channel", "animated": "several frames", "palette": "a palette"}


def read_file(source: Source) -> Pixels:
    """The pixels of the file of a source, or of the run's copy where no file is known; raises
    ``ValueError`` that says what is wrong with it.
    """
    path = source.copy if source.file is None else source.file
    assert path is not None  # what has no pixels has a file
    name = source.origin if path == source.file else None
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        siblings = [p.name for p in path.parent.glob("*")] if path.parent.is_dir() else []
        near = did_you_mean(path.name, siblings) if siblings else ""
        raise ValueError(f"there is no file {path}{near if 'mean' in near else ''}") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
    try:
        return decode(source.field, data)
    except ValueError as error:
        raise ValueError(f"{name or path} {_sentence(str(error))}") from None


def _checked(field: Field, array: np.ndarray) -> Pixels:
    is_mask = field in _MASKS
    shape = "(height, width)" if is_mask else "(height, width, 3)"
    if is_mask and array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    fits = array.ndim == 2 if is_mask else array.ndim == 3 and array.shape[2] == 3
    if array.dtype != np.uint8 or not fits or 0 in array.shape:
        got = f"{array.dtype} of {array.shape}"
        raise RequestError(f"{field} must be a uint8 array of shape {shape}, got {got}")
    return np.ascontiguousarray(array)


@functools.lru_cache(maxsize=_RECENT)
def _intact(field: Field, sha256: str | None, *places: Path | None) -> Pixels:
    for place in filter(None, places):
        try:
            pixels = decode(field, place.read_bytes())
        except (OSError, ValueError):
            continue
        if sha256 in (None, pixels_sha256(pixels)):
            return pixels
    named = next(filter(None, places), None)
    raise RequestError(
        f"{named}: the {field} is gone or no longer what it was; the comparison file, run again, "
        "restores it"
    )


def _sentence(problem: str) -> str:
    """What is wrong, behind the name of a file."""
    verb = problem.split(" ", 1)[0]
    return problem if verb in ("has", "is", "must") else f"cannot be read: {problem}"
