"""Layers of the GAN, written from the maths; tensors are kept channels-last, which CPUs like best.

Learning rates are equalised (Karras et al. 2018, section 4.1): weights are drawn from a unit
Gaussian and scaled when they are used, so Adam moves each of them at the same relative speed.
Convolutions are modulated and demodulated in scale-activation form (Karras et al. 2020, equations 1
and 3): conv(x * s) * d is the same product as modulating the weights, without grouped convolutions.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

GAIN = math.sqrt(2.0)  # keeps the variance through a leaky ReLU of slope 0.2, nearly
SLOPE = 0.2
GROUP = 4  # pictures that minibatch deviation compares


def unit_variance(x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    """Scale each row to a mean square of one, so that text and noise weigh alike in a style."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-8)


def activate(x: Float[Tensor, ...]) -> Float[Tensor, ...]:
    """Leaky ReLU that keeps the variance."""
    return F.leaky_relu(x, SLOPE) * GAIN


def double(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h2 w2"]:
    """Twice the size, bilinear: the [1, 3, 3, 1] filter of StyleGAN2 but for the border."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class Linear(nn.Module):
    """A linear layer with equalised learning rate, ``lr_mult`` times the common one."""

    def __init__(self, inputs: int, outputs: int, bias: float = 0.0, lr_mult: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_mult)
        self.bias = nn.Parameter(torch.full((outputs,), bias / lr_mult))
        self.scale, self.lr_mult = lr_mult / math.sqrt(inputs), lr_mult

    def forward(self, x: Float[Tensor, "*n i"]) -> Float[Tensor, "*n o"]:
        """Apply."""
        return F.linear(x, self.weight * self.scale, self.bias * self.lr_mult)


class Conv(nn.Module):
    """A convolution with equalised learning rate, bias and leaky ReLU; ``stride`` 2 halves."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        # The gain after the activation is folded in: leaky ReLU commutes with positive factors.
        self.scale = GAIN / math.sqrt(inputs * kernel * kernel)
        self.stride, self.padding = stride, (kernel - 1) // 2

    def forward(self, x: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h2 w2"]:
        """Apply."""
        weight, bias = self.weight * self.scale, self.bias * GAIN
        y = F.conv2d(x, weight, bias, stride=self.stride, padding=self.padding)
        return F.leaky_relu(y, SLOPE)


class Halving(nn.Module):
    """A linear convolution that halves the size, with equalised learning rate, without bias."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 2, 2))
        self.scale = 1 / math.sqrt(inputs * 4)

    def forward(self, x: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h2 w2"]:
        """Apply."""
        return F.conv2d(x, self.weight * self.scale, stride=2)


class ModulatedConv(nn.Module):
    """conv(x * s) * d, with s from the style and d undoing its effect on the variance."""

    def __init__(
        self, inputs: int, outputs: int, style: int, kernel: int = 3, demodulate: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.affine = Linear(style, inputs, bias=1.0)
        self.scale = 1 / math.sqrt(inputs * kernel * kernel)
        self.padding, self.demodulate = kernel // 2, demodulate

    def forward(
        self, x: Float[Tensor, "n i h w"], w: Float[Tensor, "n s"]
    ) -> tuple[Float[Tensor, "n o h w"], Float[Tensor, "n o 1 1"] | None]:
        """The convolution with each row's own style, and the factor that would demodulate it."""
        style, weight = self.affine(w), self.weight * self.scale
        y = F.conv2d(x * style.to(x.dtype)[:, :, None, None], weight, padding=self.padding)
        if not self.demodulate:
            return y, None
        # Equation 3: one over the expected deviation of each output, given the style; in float32,
        # where bf16 would lose the small differences between channels.
        with torch.autocast(x.device.type, enabled=False):
            power = style.float().square() @ weight.float().square().sum((2, 3)).T
            factor = torch.rsqrt(power + 1e-8)
        return y, factor.to(y.dtype)[:, :, None, None]


class StyledLayer(nn.Module):
    """Modulated convolution, bias, leaky ReLU; ``up`` doubles the size after the convolution."""

    def __init__(self, inputs: int, outputs: int, style: int, up: bool = False) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, outputs, style)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.up = up

    def forward(
        self, x: Float[Tensor, "n i h w"], w: Float[Tensor, "n s"]
    ) -> Float[Tensor, "n o h2 w2"]:
        """Apply; convolving before upsampling costs a quarter."""
        y, factor = self.conv(x, w)
        if self.up:
            y = double(y)
        # Demodulation, gain and bias in one pass over the pixels.
        bias = (self.bias * GAIN).to(y.dtype)[None, :, None, None]
        return F.leaky_relu(torch.addcmul(bias, y, factor * GAIN), SLOPE)


class CrossAttention(nn.Module):
    """Each place of a feature map reads the caption's tokens (Kang et al. 2023, section 3.3).

    The output starts at zero, so that the network begins as one without attention.
    """

    def __init__(self, width: int, text: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key = Linear(width, width), Linear(text, width)
        self.value, self.out = Linear(text, width), Linear(width, width)
        nn.init.zeros_(self.out.weight)

    def forward(
        self,
        x: Float[Tensor, "n c h w"],
        tokens: Float[Tensor, "n l t"],
        mask: Bool[Tensor, "n l"] | Float[Tensor, "n l"],
    ) -> Float[Tensor, "n c h w"]:
        """x plus what its places read; ``mask`` is True at tokens that may be read, or their weight
        from 0 to 1.
        """
        n, c, h, w = x.shape
        places = x.permute(0, 2, 3, 1).reshape(n, h * w, c)
        tokens = unit_variance(tokens)
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.query(unit_variance(places)), self.key(tokens), self.value(tokens))
        )
        # Written out: captions are so short that on a CPU the fused kernel's backward pass takes
        # many times as long.
        closeness = (q @ k.transpose(2, 3)).float() / math.sqrt(c // self.heads)
        weight = (closeness + mask.float().log()[:, None, None, :]).softmax(3)
        read = self.out((weight.to(v.dtype) @ v).transpose(1, 2).reshape(n, h * w, c))
        out: Tensor = x + read.to(x.dtype).view(n, h, w, c).permute(0, 3, 1, 2)
        return out


def minibatch_deviation(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c1 h w"]:
    """x with one more channel: how much the pictures of a group differ, on average.

    Karras et al. 2018, section 3. A group is the most neighbours, up to 4, that divide the batch:
    parts of a multiple of 4 have the groups of the whole.
    """
    n, _, h, w = x.shape
    size = next(k for k in range(min(GROUP, n), 0, -1) if n % k == 0)
    grouped = x.float().view(n // size, size, *x.shape[1:])
    spread = (grouped.var(1, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
    channel = spread.repeat_interleave(size).view(n, 1, 1, 1).expand(n, 1, h, w)
    return torch.cat([x, channel.to(x.dtype)], 1)
