"""The generator network: noise and a caption in, a picture out.

f(z) comes from a mapping network; the caption's feature joins it behind that, w = join([f(z), t]),
so that truncation pulls f(z) to its mean and leaves the text alone (the layout of StyleGAN-T, Sauer
et al. 2023, section 3.1). The join is a small network rather than a concatenation: "the noise
decides the colour, unless the caption names one" is a gate, which no affine map of both can be.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gandiff.models.gan.config import GanConfig
from gandiff.models.gan.layers import (
    GAIN,
    SLOPE,
    CrossAttention,
    Linear,
    ModulatedConv,
    StyledLayer,
    activate,
    double,
    unit_variance,
)
from gandiff.models.text import TextFeatures

# From a level, 0 at 4 px, and its features (n, c, h, w) to what they shall be.
Change = Callable[[int, Tensor], Tensor]


class Level(nn.Module):
    """One size of the pyramid: two styled layers, attention on the tokens, its share of the RGB."""

    def __init__(self, config: GanConfig, size: int, before: int, width: int) -> None:
        super().__init__()
        style = config.style_width
        self.first = StyledLayer(before, width, style, up=size > 4)
        reads = size in config.attention
        self.read = CrossAttention(width, config.text_width, config.heads) if reads else None
        self.second = StyledLayer(width, width, style)
        self.to_rgb = ModulatedConv(width, 3, style, kernel=1, demodulate=False)

    def forward(
        self,
        x: Float[Tensor, "n i h w"],
        w: Float[Tensor, "n s"],
        text: TextFeatures,
        change: Callable[[Tensor], Tensor] | None = None,
    ) -> tuple[Float[Tensor, "n o h2 w2"], Float[Tensor, "n 3 h2 w2"]]:
        """Features of this size, changed if asked, and the RGB that they make."""
        x = self.first(x, w)
        if self.read is not None:
            x = self.read(x, text.tokens, text.mask)
        x = self.second(x, w)
        if change is not None:
            x = change(x)
        rgb, _ = self.to_rgb(x, w)
        return x, rgb.float()


class GeneratorNetwork(nn.Module):
    """Noise and a caption's features to a picture in [-1, 1] (not clamped)."""

    f_mean: Tensor

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        self.config = config
        z, style = config.z_width, config.style_width
        self.mapping = nn.ModuleList([Linear(z, z, lr_mult=0.1) for _ in range(2)])
        self.join = nn.ModuleList([Linear(z + config.text_width, style), Linear(style, style)])
        self.start = Linear(style, config.g_widths[0] * 16)
        before = (config.g_widths[0], *config.g_widths)
        self.levels = nn.ModuleList(
            [Level(config, 4 * 2**i, before[i], width) for i, width in enumerate(config.g_widths)]
        )
        self.register_buffer("f_mean", torch.zeros(z))
        self.to(memory_format=torch.channels_last)

    def map(self, z: Float[Tensor, "n z"]) -> Float[Tensor, "n z"]:
        """f(z): what truncation acts on."""
        x = unit_variance(z)
        for layer in self.mapping:
            x = activate(layer(x))
        return x

    def truncate(
        self, f: Float[Tensor, "n z"], psi: float | Float[Tensor, " n"]
    ) -> Float[Tensor, "n z"]:
        """f_mean + psi (f - f_mean); psi may differ from row to row."""
        if isinstance(psi, float | int):
            if psi == 1.0:
                return f
            psi = torch.full((len(f),), float(psi))
        mean = self.f_mean.to(f).expand_as(f)
        return torch.lerp(mean, f, psi.to(f)[:, None])

    def style(self, f: Float[Tensor, "n z"], pooled: Float[Tensor, "n t"]) -> Float[Tensor, "n s"]:
        """w of mapped noise and a caption."""
        w = torch.cat([f, unit_variance(pooled).to(f.dtype)], 1)
        for layer in self.join:
            w = activate(layer(w))
        return w

    def begin(self, w: Float[Tensor, "n s"]) -> Float[Tensor, "n c 4 4"]:
        """The 4 px map that the first level reads."""
        x = F.leaky_relu(self.start(w), SLOPE) * GAIN
        # Channels last by construction: no copy to get there.
        return x.view(len(x), 4, 4, -1).permute(0, 3, 1, 2)

    def synthesise(
        self,
        w: Float[Tensor, "n s"] | list[Float[Tensor, "n s"]],
        text: TextFeatures | list[TextFeatures],
        change: Change | None = None,
    ) -> Float[Tensor, "n 3 h w"]:
        """A style and a text, or one of each for every level from 4 px up, to a picture.

        Features grow level by level, and each adds its share to the picture. ``change`` may replace
        the features of any level on the way.
        """
        styles = w if isinstance(w, list) else [w] * len(self.levels)
        texts = text if isinstance(text, list) else [text] * len(self.levels)
        if not len(styles) == len(texts) == len(self.levels):
            raise ValueError(
                f"{len(styles)} styles and {len(texts)} texts for {len(self.levels)} levels"
            )
        x = self.begin(styles[0])
        picture: Tensor | None = None
        for i, (level, style, said) in enumerate(zip(self.levels, styles, texts, strict=True)):
            x, rgb = level(x, style, said, functools.partial(change, i) if change else None)
            picture = rgb if picture is None else rgb + double(picture)
        assert picture is not None
        return picture

    def forward(
        self,
        z: Float[Tensor, "n z"],
        text: TextFeatures,
        truncation_psi: float | Float[Tensor, " n"] = 1.0,
    ) -> Float[Tensor, "n 3 h w"]:
        """Pictures for noise and captions."""
        f = self.truncate(self.map(z), truncation_psi)
        return self.synthesise(self.style(f, text.pooled), text)

    @torch.no_grad()
    def track_mean(self, f: Float[Tensor, "n z"], decay: float = 0.995) -> None:
        """Keep the mean of f(z) that truncation needs."""
        self.f_mean.lerp_(f.float().mean(0), 1 - decay)
