"""How an image comes to 299 x 299 for Inception: four ways in use, whose FIDs do not compare.

Parmar et al. 2022 (arXiv 2104.11222) measured what the filter alone does to FID.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from gandiff.evaluate.features.encoders import RESIZES

SIDE = 299
Picture = UInt8[np.ndarray, "_ _ 3"]
Resized = Float[np.ndarray, "299 299 3"]


def to_inception(image: Picture, resize: str) -> Resized:
    """Resize by a named protocol and scale as its own implementations do, to about [-1, 1].

    TensorFlow's graph takes (x - 128) / 128 and so do all but ``legacy_pytorch``, whose users
    scale by 2 x / 255 - 1.
    """
    resized = _RESIZERS[resize](image)
    if resize == "legacy_pytorch":
        return resized * np.float32(2 / 255) - np.float32(1)
    return (resized - np.float32(128)) / np.float32(128)


def _legacy_tensorflow(image: Picture) -> Resized:
    """TensorFlow 1's bilinear filter: source = target * scale, no half-pixel shift and no
    antialiasing (its ``resize_bilinear`` kernel with ``align_corners=False``).
    """
    rows = image.astype(np.float32)
    low, high, share = _corners(image.shape[0])
    rows = rows[low] + (rows[high] - rows[low]) * share[:, None, None]
    low, high, share = _corners(image.shape[1])
    resized: Resized = rows[:, low] + (rows[:, high] - rows[:, low]) * share[None, :, None]
    return resized


def _corners(
    size: int,
) -> tuple[np.ndarray, np.ndarray, Float[np.ndarray, " 299"]]:
    places = np.arange(SIDE, dtype=np.float32) * np.float32(size / SIDE)
    low = places.astype(np.int64)
    return low, np.minimum(low + 1, size - 1), places - low.astype(np.float32)


def _clean(image: Picture) -> Resized:
    """Bicubic with antialiasing in PIL, each channel in float and clipped, as clean-fid."""
    channels = [
        Image.fromarray(image[:, :, c].astype(np.float32)).resize(
            (SIDE, SIDE), Image.Resampling.BICUBIC
        )
        for c in range(3)
    ]
    return np.stack([np.asarray(channel) for channel in channels], axis=2).clip(0, 255)


def _torch_bilinear(image: Picture, *, antialias: bool) -> Resized:
    import torch
    import torch.nn.functional as F

    picture = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None]
    resized = F.interpolate(
        picture, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=antialias
    )
    return np.ascontiguousarray(resized[0].permute(1, 2, 0).numpy())


def _legacy_pytorch(image: Picture) -> Resized:
    """torch's bilinear filter with half-pixel centres and no antialiasing, as pytorch-fid."""
    return _torch_bilinear(image, antialias=False)


def _torchmetrics_antialias(image: Picture) -> Resized:
    """torch's bilinear filter with antialiasing, as torchmetrics from 1.8 on."""
    return _torch_bilinear(image, antialias=True)


_RESIZERS: dict[str, Callable[[Picture], Resized]] = dict(
    zip(
        RESIZES,
        (_legacy_tensorflow, _legacy_pytorch, _clean, _torchmetrics_antialias),
        strict=True,
    )
)
