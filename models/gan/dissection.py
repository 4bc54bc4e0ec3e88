"""GAN dissection: which units of a GAN agree with which concepts (Bau et al. 2019, arXiv
1811.10597, section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32, UInt8
from torch import Tensor

from gandiff.common.errors import GeneratorError
from gandiff.models.gan.inversion import TOGETHER
from gandiff.models.gan.model import TextToImageGan, to_pixels
from gandiff.models.gan.painting import box_of, in_box
from gandiff.models.gan.units import Units

FINEST = 32  # px of the last level that is looked at; what is finer repeats it
MARGIN = 1 / 16  # of the side, by which boxes are wider than their objects
_COARSEST = 8  # px; at 4 px an object has no parts
# A unit counts as on in its highest values: in this share of all places, whichever agrees best.
_SHARES = (0.01, 0.02, 0.05, 0.1, 0.2)
_SAMPLE = 200_000  # values of a unit, at most, from which its quantiles are taken

_AXES = {"iou": 1, "threshold": 1, "sign": 1, "levels": 1, "off": 0, "high": 0}  # of the units

Masks = Float32[np.ndarray, "n h w"]
Pictures = UInt8[np.ndarray, "n h w 3"]


class Drawn(NamedTuple):
    """Pictures and the features of each level behind them, by size in px."""

    pictures: Pictures
    features: dict[int, Float[Tensor, "n c s s"]]


def dissect(
    gan: TextToImageGan,
    prompts: Sequence[str],
    concepts: Mapping[str, Bool[np.ndarray, " n"]],
    masks_of: Callable[[Pictures], Masks],
    weights_sha256: str,
) -> Units:
    """Draw each prompt with its place as the seed, and compare units with masks.

    ``concepts`` says which prompts are of each; the first holds for all. ``masks_of`` says how much
    of each pixel, 0 to 1, shows the object of its prompt; pictures without one are left out.
    Raises ``GeneratorError`` where that leaves none.
    """
    drawn = draw_with_features(gan, prompts, range(len(prompts)))
    masks = torch.from_numpy(masks_of(drawn.pictures))[:, None]
    there = (masks >= 0.5).flatten(1).any(1)
    if not there.any():
        raise GeneratorError(f"no object is seen in any of {len(prompts)} pictures that it drew")
    masks, boxes = masks[there], box_of(masks[there], MARGIN)
    which = torch.from_numpy(np.stack(list(concepts.values())))[:, there]
    parts = [
        _of_level(features[there], masks, boxes, which) for features in drawn.features.values()
    ]
    joined = {
        name: torch.cat(arrays, axis).float().numpy()
        for (name, axis), arrays in zip(_AXES.items(), zip(*parts, strict=True), strict=True)
    }
    return Units(
        weights_sha256=weights_sha256,
        sizes=tuple(drawn.features),
        widths=tuple(features.shape[1] for features in drawn.features.values()),
        concepts=tuple(concepts),
        **joined,
    )


@torch.inference_mode()
def draw_with_features(gan: TextToImageGan, prompts: Sequence[str], seeds: Sequence[int]) -> Drawn:
    """Pictures of prompts, and the features of their levels from 8 to 32 px on the CPU."""
    pictures: list[Pictures] = []
    kept: dict[int, list[Tensor]] = {}

    def keep(level: int, x: Tensor) -> Tensor:
        if _COARSEST <= 4 * 2**level <= FINEST:
            kept.setdefault(4 * 2**level, []).append(x.float().cpu())
        return x

    for start in range(0, len(prompts), TOGETHER):
        text = gan.encode(prompts[start : start + TOGETHER])
        noise = gan.noise(seeds[start : start + TOGETHER]).to(gan.like)
        style = gan.net.style(gan.net.map(noise), text.pooled)
        pictures.append(to_pixels(gan.net.synthesise(style, text, keep)))
    return Drawn(np.concatenate(pictures), {size: torch.cat(parts) for size, parts in kept.items()})


def _of_level(
    features: Float[Tensor, "n u s s"],
    masks: Float[Tensor, "n 1 h w"],
    boxes: Float[Tensor, "n 4"],
    which: Bool[Tensor, "c n"],
) -> tuple[Tensor, ...]:
    """For the units of a level what ``Units`` says of them, in its order."""
    inside = F.adaptive_avg_pool2d(masks, features.shape[-1]) >= 0.5
    places = inside & which.T[:, :, None, None]  # n c s s
    values = features.transpose(0, 1).flatten(1)  # u, places
    shown = places.transpose(0, 1).flatten(1).float()  # c, places
    iou, threshold, sign = _agreement(values, shown)
    parts = in_box(features, boxes)
    levels = torch.stack([parts[rows].mean(0) if rows.any() else parts.mean(0) for rows in which])
    outside = ~inside.flatten()
    off = values[:, outside].mean(1) if outside.any() else values.mean(1)
    return iou, threshold, sign, levels, off, _quantile(values, 0.99)


def _agreement(
    values: Float[Tensor, "u p"], shown: Float[Tensor, "c p"]
) -> tuple[Float[Tensor, "c u"], Float[Tensor, "c u"], Float[Tensor, "c u"]]:
    """Intersection over union of where a unit is on with where a concept is; the threshold, and
    whether it is on above (1) or below (-1), that agree best.
    """
    count = len(shown), len(values)
    best, threshold, sign = (torch.zeros(count) for _ in range(3))
    covered = shown.sum(1)[:, None]
    for side in (1.0, -1.0):
        for share in _SHARES:
            level = _quantile(values, 1 - share if side > 0 else share)
            is_on = (side * (values - level[:, None]) > 0).float()
            both = shown @ is_on.T
            either = covered + is_on.sum(1) - both
            iou = both / either.clamp(min=1)
            better = iou > best
            best = torch.where(better, iou, best)
            threshold = torch.where(better, level, threshold)
            sign = torch.where(better, side, sign)
    return best, threshold, sign


def _quantile(values: Float[Tensor, "u p"], share: float) -> Float[Tensor, " u"]:
    # Odd, so that it meets all columns of pictures, whose sides are powers of two.
    step = -(-values.shape[1] // _SAMPLE) | 1
    return torch.quantile(values[:, ::step].contiguous(), share, dim=1)


def unit_pictures(
    gan: TextToImageGan, units: Units, prompts: Mapping[str, Sequence[str]]
) -> UInt8[np.ndarray, "rows columns h w 3"]:
    """A row for each concept: its prompts drawn, dark where its best unit is not on."""
    rows = []
    for concept, texts in prompts.items():
        row, unit = units.concepts.index(concept), units.best(concept, 1)[0]
        size, number = (int(part) for part in units.address(unit).split(":"))
        drawn = draw_with_features(gan, texts, range(len(texts)))
        level = drawn.features[size][:, number][:, None]
        wide = F.interpolate(level, drawn.pictures.shape[1:3], mode="bilinear")[:, 0].numpy()
        is_on = units.sign[row, unit] * (wide - units.threshold[row, unit]) > 0
        rows.append(np.where(is_on[..., None], drawn.pictures, drawn.pictures // 4))
    return np.stack(rows)
