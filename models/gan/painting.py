"""Painting in a region of the features: units that are switched there, or a style of its own."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from gandiff.models.gan.inversion import Fit
from gandiff.models.gan.layers import double
from gandiff.models.gan.synthesis import Change, GeneratorNetwork
from gandiff.models.gan.units import GRID, Switch


def switched(switch: Switch, region: Float[Tensor, "1 1 h w"], share: float = 1.0) -> Change:
    """What sets the units of a switch inside the region, which is 1 in it and 0 elsewhere, by
    ``share`` of the way.
    """
    return functools.partial(_switched, switch, region, share)


def _switched(switch: Switch, region: Tensor, share: float, level: int, x: Tensor) -> Tensor:
    size = 4 * 2**level
    if size not in switch.units.sizes:
        return x
    which = switch.units.of_level(size)
    target = torch.from_numpy(switch.target[which]).to(x)[None]
    chosen = torch.from_numpy(switch.chosen[which]).to(x)[None, :, None, None]
    inside = F.adaptive_avg_pool2d(region, size).to(x)
    return torch.lerp(x, _pasted(target, box_of(region)[0], size), share * inside * chosen)


def painted(
    net: GeneratorNetwork, outside: Fit, inside: Fit, share: Float[Tensor, "1 1 h w"]
) -> Float[Tensor, "1 3 h w"]:
    """A picture whose style and text vary in space: ``share`` of a place is inside.

    Every level runs with both on the same features, and what they give is mixed.
    """
    mixes = [F.adaptive_avg_pool2d(share, 4 * 2**level) for level in range(len(net.levels))]
    x = torch.lerp(net.begin(outside.styles[0]), net.begin(inside.styles[0]), mixes[0])
    picture: Tensor | None = None
    for i, (level, mix) in enumerate(zip(net.levels, mixes, strict=True)):
        x_out, rgb_out = level(x, outside.styles[i], outside.text)
        x_in, rgb_in = level(x, inside.styles[i], inside.text)
        x, rgb = torch.lerp(x_out, x_in, mix), torch.lerp(rgb_out, rgb_in, mix)
        picture = rgb if picture is None else rgb + double(picture)
    assert picture is not None
    return picture


def box_of(masks: Float[Tensor, "n 1 h w"], margin: float = 0.0) -> Float[Tensor, "n 4"]:
    """Left, top, right and bottom edge of what is at least half covered, as shares of the sides.

    ``margin`` widens it on every side. Each mask must have such pixels.
    """
    edges = []
    for along, across in ((3, 2), (2, 3)):
        line = (masks >= 0.5).any(across)[:, 0]
        places = torch.arange(line.shape[1], device=masks.device)
        first = torch.where(line, places, line.shape[1]).amin(1)
        last = torch.where(line, places + 1, 0).amax(1)
        edges.append(torch.stack([first, last], 1).float() / masks.shape[along])
    (left, right), (top, bottom) = (edge.unbind(1) for edge in edges)
    return torch.stack([left - margin, top - margin, right + margin, bottom + margin], 1)


def in_box(
    features: Float[Tensor, "n c s s"], boxes: Float[Tensor, "n 4"]
) -> Float[Tensor, "n c g g"]:
    """Features at the places of a grid in a box each."""
    steps = (torch.arange(GRID, device=features.device) + 0.5) / GRID
    x, y = (boxes[:, i, None] + steps * (boxes[:, i + 2] - boxes[:, i])[:, None] for i in range(2))
    return _sampled(features, x, y)


def _pasted(
    target: Float[Tensor, "1 c g g"], box: Float[Tensor, " 4"], size: int
) -> Float[Tensor, "1 c s s"]:
    """Levels by place in a box, at the places of a feature map."""
    places = (torch.arange(size, device=target.device) + 0.5) / size
    x, y = (((places - box[i]) / (box[i + 2] - box[i]))[None] for i in range(2))
    return _sampled(target, x, y)


def _sampled(
    maps: Float[Tensor, "n c a a"], x: Float[Tensor, "n i"], y: Float[Tensor, "n j"]
) -> Float[Tensor, "n c j i"]:
    """Values at x and y, shares of the sides; beyond the border those at the border."""
    xs = x[:, None, :].expand(-1, y.shape[1], -1)
    ys = y[:, :, None].expand(-1, -1, x.shape[1])
    grid = torch.stack([xs, ys], -1).to(maps) * 2 - 1
    return F.grid_sample(maps, grid, padding_mode="border", align_corners=False)
