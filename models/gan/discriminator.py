"""The discriminator: pictures to features, features with captions to logits."""

from __future__ import annotations

import itertools
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gandiff.models.gan.config import GanConfig
from gandiff.models.gan.layers import (
    Conv,
    Halving,
    Linear,
    activate,
    minibatch_deviation,
    unit_variance,
)

_MATCH_WIDTH = 128


class Projection(nn.Module):
    """How well pictures fit captions: inner products (Miyato & Koyama 2018, equation 3)."""

    def __init__(self, features: int, text: int, width: int = _MATCH_WIDTH) -> None:
        super().__init__()
        self.width = width
        self.image = Linear(features, width)
        self.text = nn.ModuleList([Linear(text, width), Linear(width, width)])

    def direction(self, pooled: Float[Tensor, "*n t"]) -> Float[Tensor, "*n d"]:
        """The direction in which pictures of a caption lie."""
        out: Tensor = self.text[1](activate(self.text[0](unit_variance(pooled))))
        return out / math.sqrt(out.shape[-1])

    def forward(
        self, h: Float[Tensor, "n f"], pooled: Float[Tensor, "n k t"]
    ) -> Float[Tensor, "n k"]:
        """Picture i with each of its k captions."""
        return torch.einsum("nd,nkd->nk", self.image(h), self.direction(pooled))


class Judgement(nn.Module):
    """The adversarial logit of a picture's features: unconditional plus projection."""

    def __init__(self, features: int, text: int) -> None:
        super().__init__()
        self.real = Linear(features, 1)
        self.project = Projection(features, text)

    def forward(self, h: Float[Tensor, "n f"], pooled: Float[Tensor, "n t"]) -> Float[Tensor, " n"]:
        """Logits of pictures with their captions."""
        out: Tensor = self.real(h)[:, 0] + self.project(h, pooled[:, None])[:, 0]
        return out


class Discriminator(nn.Module):
    """A residual network that halves the size at each level, and two heads on its features.

    ``judge`` tells real from generated and is kept smooth by the penalties; ``match`` tells which
    caption fits and must stay sharp, which the penalties would not let it.
    """

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.d_widths[::-1]
        self.from_rgb = Conv(3, widths[0], kernel=4, stride=2)
        self.blocks, self.skips = nn.ModuleList(), nn.ModuleList()
        for before, after in itertools.pairwise(widths):
            self.blocks.append(nn.Sequential(Conv(before, before), Conv(before, after, stride=2)))
            self.skips.append(Halving(before, after))
        self.last = Conv(widths[-1] + config.minibatch_std, widths[-1])
        self.dense = Linear(widths[-1] * 16, config.d_features)
        self.judge = Judgement(config.d_features, config.text_width)
        self.match = Projection(config.d_features, config.text_width)
        self.to(memory_format=torch.channels_last)

    def features(self, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n f"]:
        """What the discriminator sees in pictures; float32, whatever it was computed in."""
        x = self.from_rgb(x)
        for block, skip in zip(self.blocks, self.skips, strict=True):
            x = (block(x) + skip(x)) * math.sqrt(0.5)
        if self.config.minibatch_std:
            x = minibatch_deviation(x)
        x = self.last(x).permute(0, 2, 3, 1).flatten(1)
        return activate(self.dense(x)).float()

    def forward(
        self, x: Float[Tensor, "n 3 h w"], pooled: Float[Tensor, "n t"]
    ) -> Float[Tensor, " n"]:
        """Logits of pictures with their captions, in float32."""
        h = self.features(x)
        with torch.autocast(x.device.type, enabled=False):
            out: Tensor = self.judge(h, pooled.float())
        return out
