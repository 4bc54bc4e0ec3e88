"""The text-conditioned GAN: a style-based generator and a discriminator with two logits.

The style vector is w = [f(z), t]: a mapping network's view of the noise beside the caption's
feature, so that truncation pulls f(z) to its mean and leaves the text alone (the layout of
StyleGAN-T, Sauer et al. 2023, section 3.1). Convolutions are modulated and demodulated in
scale-activation form (Karras et al. 2020, equations 1 and 3): the same product as modulating the
weights, without grouped convolutions. Learning rates are equalised (Karras et al. 2018, section
4.1).
"""

from __future__ import annotations

import dataclasses
import itertools
import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

GAIN = math.sqrt(2.0)  # keeps the variance through a leaky ReLU of slope 0.2, nearly


@dataclasses.dataclass(frozen=True, kw_only=True)
class GanConfig:
    """What the networks are; saved as ``config.json``. Widths are channels, from 4 px upwards."""

    resolution: int = 32  # px, a power of two
    text_width: int = 96
    z_width: int = 64
    g_widths: tuple[int, ...] = (96, 64, 48, 24)
    d_widths: tuple[int, ...] = (96, 64, 48)  # starts at half the resolution

    def __post_init__(self) -> None:
        """Check that the widths reach the resolution."""
        object.__setattr__(self, "g_widths", tuple(self.g_widths))
        object.__setattr__(self, "d_widths", tuple(self.d_widths))
        levels = round(math.log2(self.resolution)) - 1 if self.resolution > 0 else 0
        if self.resolution < 8 or 2 ** (levels + 1) != self.resolution:
            raise ValueError(f"resolution must be a power of two from 8 up, got {self.resolution}")
        for name, needed in (("g_widths", levels), ("d_widths", levels - 1)):
            if len(getattr(self, name)) != needed:
                raise ValueError(
                    f"{name} needs {needed} numbers for {self.resolution} px (4 px up), "
                    f"got {getattr(self, name)}"
                )


def gan_config(resolution: int, text_width: int) -> GanConfig:
    """The default networks: wide where pictures are small, half as wide with each doubling."""
    levels = max(2, round(math.log2(max(resolution, 8))) - 1)
    narrow = [max(16, 48 * 2 ** (levels - 2) // 2**i) for i in range(levels)]
    widths = (96, 64, 48, 24) if levels == 4 else tuple(min(128, w) for w in narrow)
    return GanConfig(
        resolution=resolution, text_width=text_width, g_widths=widths, d_widths=widths[:-1]
    )


def unit_variance(x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Scale each row to a mean square of one."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


class Linear(nn.Module):
    """A linear layer with equalised learning rate."""

    def __init__(self, inputs: int, outputs: int, bias: float = 0.0, lr_mult: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_mult)
        self.bias = nn.Parameter(torch.full((outputs,), bias / lr_mult))
        self.scale, self.lr_mult = lr_mult / math.sqrt(inputs), lr_mult

    def forward(self, x: Float[Tensor, "n i"]) -> Float[Tensor, "n o"]:
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
        return F.leaky_relu(y, 0.2)


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
        y = F.conv2d(x * style[:, :, None, None], weight, padding=self.padding)
        if not self.demodulate:
            return y, None
        # Equation 3: one over the expected deviation of each output, given the style.
        power = style.square() @ weight.square().sum((2, 3)).T
        return y, torch.rsqrt(power + 1e-8)[:, :, None, None]


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
            y = F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)
        # Demodulation, gain and bias in one pass over the pixels.
        bias = (self.bias * GAIN)[None, :, None, None]
        return F.leaky_relu(torch.addcmul(bias, y, factor * GAIN), 0.2)


class Generator(nn.Module):
    """Noise and a caption's feature to a picture in [-1, 1] (not clamped)."""

    f_mean: Tensor

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        self.config = config
        z, style, widths = config.z_width, config.z_width + config.text_width, config.g_widths
        self.mapping = nn.ModuleList([Linear(z, z, lr_mult=0.1), Linear(z, z, lr_mult=0.1)])
        self.start = Linear(style, widths[0] * 16)
        self.layers, self.to_rgb = nn.ModuleList(), nn.ModuleList()
        before = widths[0]
        for level, width in enumerate(widths):
            self.layers.append(
                nn.ModuleList(
                    [
                        StyledLayer(before, width, style, up=level > 0),
                        StyledLayer(width, width, style),
                    ]
                )
            )
            self.to_rgb.append(ModulatedConv(width, 3, style, kernel=1, demodulate=False))
            before = width
        self.register_buffer("f_mean", torch.zeros(z))

    def map(self, z: Float[Tensor, "n z"]) -> Float[Tensor, "n z"]:
        """f(z): what truncation acts on."""
        x = unit_variance(z)
        for layer in self.mapping:
            x = F.leaky_relu(layer(x), 0.2) * GAIN
        return x

    def style(
        self, z: Float[Tensor, "n z"], text: Float[Tensor, "n t"], truncation_psi: float = 1.0
    ) -> Float[Tensor, "n s"]:
        """w = [f_mean + psi (f(z) - f_mean), text]."""
        f = self.map(z)
        if truncation_psi != 1.0:
            f = torch.lerp(self.f_mean.to(f).expand_as(f), f, truncation_psi)
        return torch.cat([f, unit_variance(text)], 1)

    def synthesise(self, w: Float[Tensor, "n s"]) -> Float[Tensor, "n 3 h w"]:
        """A style to a picture: features grow level by level, and each adds its share to it."""
        x = F.leaky_relu(self.start(w), 0.2).view(len(w), -1, 4, 4) * GAIN
        picture: Tensor | None = None
        for pair, to_rgb in zip(self.layers, self.to_rgb, strict=True):
            for layer in pair:  # type: ignore[attr-defined]
                x = layer(x, w)
            rgb, _ = to_rgb(x, w)
            if picture is not None:
                rgb = rgb + F.interpolate(
                    picture, scale_factor=2, mode="bilinear", align_corners=False
                )
            picture = rgb
        assert picture is not None
        return picture

    def forward(
        self, z: Float[Tensor, "n z"], text: Float[Tensor, "n t"], truncation_psi: float = 1.0
    ) -> Float[Tensor, "n 3 h w"]:
        """Pictures for noise and captions."""
        return self.synthesise(self.style(z, text, truncation_psi))

    @torch.no_grad()
    def track_mean(self, f: Float[Tensor, "n z"], decay: float = 0.995) -> None:
        """Keep the mean of f(z) that truncation needs."""
        self.f_mean.lerp_(f.mean(0), 1 - decay)


class Judgement(nn.Module):
    """A picture's features, judged with any caption: cheap to repeat with a wrong one."""

    def __init__(self, features: int, text: int, width: int = 96) -> None:
        super().__init__()
        self.real = Linear(features, 1)
        self.image = Linear(features, width)
        self.text = nn.ModuleList([Linear(text, width), Linear(width, width)])
        self.embed_image, self.embed_text = Linear(features, width), Linear(text, width)

    def forward(self, h: Float[Tensor, "n f"], text: Float[Tensor, "n t"]) -> Float[Tensor, " n"]:
        """Unconditional logit plus projection (Miyato & Koyama 2018, equation 3)."""
        t = F.leaky_relu(self.text[0](unit_variance(text)), 0.2) * GAIN
        t = self.text[1](t)
        out: Tensor = self.real(h)[:, 0] + (self.image(h) * t).sum(1) / math.sqrt(t.shape[1])
        return out

    def similarity(
        self, h: Float[Tensor, "n f"], text: Float[Tensor, "m t"]
    ) -> Float[Tensor, "n m"]:
        """Cosine of every picture with every caption."""
        a = F.normalize(self.embed_image(h), dim=1)
        b = F.normalize(self.embed_text(unit_variance(text)), dim=1)
        return a @ b.T


class Discriminator(nn.Module):
    """Pictures to features (``features``), and features with captions to logits (``judge``)."""

    def __init__(self, config: GanConfig, features: int = 128) -> None:
        super().__init__()
        widths = config.d_widths[::-1]
        self.from_rgb = Conv(3, widths[0], kernel=4, stride=2)
        self.blocks, self.skips = nn.ModuleList(), nn.ModuleList()
        for before, after in itertools.pairwise(widths):
            self.blocks.append(nn.Sequential(Conv(before, before), Conv(before, after, stride=2)))
            self.skips.append(nn.Conv2d(before, after, 2, stride=2, bias=False))
        self.last = Conv(widths[-1], widths[-1])
        self.dense = Linear(widths[-1] * 16, features)
        self.judge = Judgement(features, config.text_width)

    def features(self, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n f"]:
        """What the discriminator sees in pictures."""
        x = self.from_rgb(x)
        for block, skip in zip(self.blocks, self.skips, strict=True):
            x = (block(x) + skip(x)) * math.sqrt(0.5)
        x = self.last(x).flatten(1)
        return F.leaky_relu(self.dense(x), 0.2) * GAIN

    def forward(
        self, x: Float[Tensor, "n 3 h w"], text: Float[Tensor, "n t"]
    ) -> Float[Tensor, " n"]:
        """Logits of pictures with their captions."""
        out: Tensor = self.judge(self.features(x), text)
        return out
