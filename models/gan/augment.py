"""Differentiable augmentation of what a discriminator sees (Zhao et al. 2020), for small data.

Colour, translation and cutout, each drawn for a picture from seven uniform numbers, so that the
same numbers give the same change on any device. All of it can be differentiated twice, as the
gradient penalties need.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

SHIFT, CUTOUT = 1 / 8, 0.5  # of the side; the second as in the paper's section 4


def augment(
    images: Float[Tensor, "n 3 h w"], draws: Float[Tensor, "n 8"]
) -> Float[Tensor, "n 3 h w"]:
    """Change each picture by its own numbers in [0, 1), of which the last one is not used."""
    images = _colour(images, draws[:, 0:3])
    images = _shift(images, draws[:, 3:5])
    return _cut_out(images, draws[:, 5:7])


def _colour(x: Tensor, u: Tensor) -> Tensor:
    brightness, saturation, contrast = (v.view(-1, 1, 1, 1) for v in u.unbind(1))
    x = x + (brightness - 0.5)
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * (saturation * 2)
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * (contrast + 0.5)


def _shift(x: Tensor, u: Tensor) -> Tensor:
    """Move by whole pixels; what comes in is zero, the middle of the range."""
    n, _, h, w = x.shape
    most = torch.tensor([h, w], device=x.device) * SHIFT
    by = ((u * 2 - 1) * most).round().long()  # n 2
    rows = torch.arange(h, device=x.device) - by[:, :1]
    columns = torch.arange(w, device=x.device) - by[:, 1:]
    inside = ((rows >= 0) & (rows < h))[:, :, None] & ((columns >= 0) & (columns < w))[:, None, :]
    which = torch.arange(n, device=x.device)[:, None, None]
    moved = x.permute(0, 2, 3, 1)[
        which, rows.clamp(0, h - 1)[:, :, None], columns.clamp(0, w - 1)[:, None, :]
    ]
    return moved.permute(0, 3, 1, 2) * inside[:, None]


def _cut_out(x: Tensor, u: Tensor) -> Tensor:
    """Blank a square of half the side, whose centre is anywhere."""
    h, w = x.shape[2:]
    centre = u * torch.tensor([h, w], device=x.device)  # n 2
    rows, columns = torch.arange(h, device=x.device), torch.arange(w, device=x.device)
    near_row = (rows + 0.5 - centre[:, :1]).abs() < h * CUTOUT / 2
    near_column = (columns + 0.5 - centre[:, 1:]).abs() < w * CUTOUT / 2
    return x * ~(near_row[:, None, :, None] & near_column[:, None, None, :])
