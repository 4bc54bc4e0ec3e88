"""From what a generator computed to the uint8 picture, or to the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, UInt8

from gandiff.models.generator import Generation

NOT_FINITE = "are NaN or infinite"


def to_uint8(
    values: Float[np.ndarray, "*shape"], low: float = 0.0, high: float = 1.0
) -> UInt8[np.ndarray, "*shape"]:
    """Map [low, high] to 0..255, rounded to the nearest level and clipped; NaN becomes 0.

    Rounding, not truncation: truncation darkens every image by half a level, which distribution
    metrics see.
    """
    scaled = (np.asarray(values, dtype=np.float32) - low) * (255.0 / (high - low))
    # fmax and fmin take the number where the other is NaN.
    return np.asarray(np.fmin(np.fmax(np.rint(scaled), 0), 255).astype(np.uint8))


def fault(image: npt.NDArray[Any], size: tuple[int, int] | None = None) -> str | None:
    """Say why an image cannot be used, or return None for a good one.

    ``image`` is float or uint8; ``size`` is the expected (height, width) in px. Not usable are
    another shape or size and values that are not finite.
    """
    if image.ndim != 3 or image.shape[2] != 3:
        return f"wrong shape {image.shape}, expected (height, width, 3)"
    if size is not None and image.shape[:2] != size:
        height, width = image.shape[:2]
        return f"wrong size {width}x{height} px, expected {size[1]}x{size[0]} px"
    if image.size == 0:
        return "empty image, no pixels"
    if not np.isfinite(image).all():
        bad = image.size - np.isfinite(image).sum()
        return f"{bad} of {image.size} pixel values {NOT_FINITE}"
    return None


def finish(
    image: npt.NDArray[Any],
    *,
    size: tuple[int, int] | None = None,
    nfe: int = 1,
    nfe_by_network: Mapping[str, int] | None = None,
    truncated_tokens: Mapping[str, int] | None = None,
    note: str | None = None,
    blanked: bool = False,
) -> Generation:
    """Turn one computed image, float in [0, 1] or uint8, into a ``Generation``.

    An unusable image becomes a failed generation with its reason: what ``fault`` says, or that it
    has a single colour. Safety checkers and overflows in half precision leave such images, and they
    would be scored as if the model had drawn them. ``note`` is kept as the reason of a good image:
    something that the reader of the run should know, such as a setting without effect. ``blanked``
    says that a safety checker has taken offence: a single colour then is a filtered generation.
    """
    counts: dict[str, Any] = {
        "nfe": nfe,
        "nfe_by_network": dict(nfe_by_network or {}),
        "truncated_tokens": dict(truncated_tokens or {}),
    }
    reason = fault(image, size)
    if reason is None:
        pixels = image if image.dtype == np.uint8 else to_uint8(image)
        if (pixels != pixels[0, 0]).any():
            return Generation(image=np.ascontiguousarray(pixels), reason=note, **counts)
        colour = ", ".join(str(level) for level in pixels[0, 0])
        reason = f"black or constant image, every pixel is ({colour})"
        if blanked:
            reason = "the pipeline's safety checker blanked the image"
            return Generation(image=None, status="filtered", reason=reason, **counts)
    return Generation(image=None, status="failed", reason=reason, **counts)
