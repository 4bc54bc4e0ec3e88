"""Coordinates as extra input of the U-Net, in the first part of its training.

A U-Net knows the place of a cell only from the padding of its convolutions. That is enough to draw
"left of" and "right of", but not to learn them: for how a colour that the caption puts on the left
changes the left half alone, text and place must act together, and the one is of no use while
nothing reads the other. So the coordinates of the cells are added to its first features (as in
CoordConv, Liu et al. 2018), less and less until they are gone: by then it makes use of places, and
takes them from its padding. The network that is saved is an ordinary one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class PositionHints:
    """Coordinates in the features behind ``conv_in``, fading over a ``share`` of the training."""

    def __init__(self, unet: Any, side: int, share: float, seed: int) -> None:
        self.share = share
        channels, like = unet.conv_in.out_channels, unet.conv_in.weight
        line = torch.linspace(-1.0, 1.0, side) * 3**0.5  # a standard deviation of about 1
        across = line.expand(side, side)
        draw = torch.Generator().manual_seed(seed)
        ways = torch.randn(channels, 2, generator=draw) * 0.5**0.5
        full = torch.einsum("ck,khw->chw", ways, torch.stack([across, across.T]))
        self._full = full.to(like.device)
        now = self._now = torch.zeros_like(self._full)  # one tensor: compiled code holds on to it
        if share:
            unet.conv_in.register_forward_hook(lambda _, __, out: out + now.to(out.dtype))

    def fade(self, fraction: float) -> Tensor:
        """Set and return what is added after this fraction of the training."""
        if self.share:
            torch.mul(self._full, max(0.0, 1 - fraction / self.share), out=self._now)
        return self._now
