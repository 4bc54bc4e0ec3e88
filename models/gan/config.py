"""What the networks of the GAN are: saved as ``config.json``, checked before anything is built."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

from gandiff.common.errors import GeneratorError
from gandiff.common.files import read_json

MODEL, CONFIG, WEIGHTS = "gandiff.gan", "config.json", "model.safetensors"

SMALLEST, LARGEST = 8, 1024  # px
_G_WIDTHS = (128, 128, 64, 16)  # channels of the generator from 4 to 32 px, for pictures of 32 px
_D_WIDTHS = (128, 96, 64)  # of the discriminator, to 16 px


@dataclasses.dataclass(frozen=True, kw_only=True)
class GanConfig:
    """What both networks are. Widths are channels, from 4 px up.

    The generator's go up to the resolution, with few channels there; the discriminator's to half of
    it, since its first layer reads patches of pixels. ``attention`` lists the sizes, in px, at
    which the generator reads the caption's tokens. Raises ``ValueError`` for what does not fit
    together.
    """

    resolution: int = 32  # px, a power of two
    text_width: int = 96
    z_width: int = 64
    style_width: int = 192
    g_widths: tuple[int, ...] = _G_WIDTHS
    d_widths: tuple[int, ...] = _D_WIDTHS
    attention: tuple[int, ...] = (8,)
    heads: int = 4
    d_features: int = 256
    minibatch_std: bool = False

    def __post_init__(self) -> None:
        """Check that everything fits."""
        for name in ("g_widths", "d_widths", "attention"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        halved = levels_of(self.resolution)
        for name, levels in (("g_widths", halved + 1), ("d_widths", halved)):
            if len(getattr(self, name)) != levels:
                raise ValueError(
                    f"{name} needs {levels} numbers for {self.resolution} px (from 4 px to "
                    f"{2 ** (levels + 1)} px), got {getattr(self, name)}"
                )
        for name in ("text_width", "z_width", "style_width", "heads", "d_features"):
            if not getattr(self, name) >= 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        sizes = [4 * 2**level for level in range(halved + 1)]
        for size in self.attention:
            if size not in sizes:
                raise ValueError(f"attention at {size} px: the sizes are {sizes}")
            width = self.g_widths[sizes.index(size)]
            if width % self.heads:
                raise ValueError(
                    f"attention at {size} px: its {width} channels do not divide into "
                    f"{self.heads} heads"
                )


def levels_of(resolution: int) -> int:
    """How many sizes there are from 4 px up to half the resolution."""
    levels = round(math.log2(resolution)) - 2 if resolution > 0 else 0
    if not SMALLEST <= resolution <= LARGEST or 2 ** (levels + 2) != resolution:
        powers = [2**k for k in range(3, 11)]
        near = min(powers, key=lambda power: abs(power - resolution))
        raise ValueError(
            f"resolution must be a power of two from {SMALLEST} to {LARGEST} px, got {resolution}; "
            f"the nearest is {near}"
        )
    return levels


def replaced_levels(strength: float, resolution: int) -> int:
    """How many of the generator's levels, the coarsest first, a strength leaves to the prompt."""
    return round(strength * (levels_of(resolution) + 1))


def least_strength(resolution: int) -> float:
    """The least strength, in hundredths, that leaves it a level."""
    return next(n / 100 for n in range(1, 101) if replaced_levels(n / 100, resolution))


def gan_config(resolution: int, text_width: int) -> GanConfig:
    """The default networks: above 32 px, wider where pictures are small, by one definition."""
    levels = levels_of(resolution)
    extra = levels - len(_D_WIDTHS)
    # Each doubling of the resolution adds a level at the coarse end, up to 256 channels there.
    g = (*([min(256, _G_WIDTHS[0] * 2)] * max(0, extra)), *_G_WIDTHS)[-levels - 1 :]
    d = (*([min(256, _D_WIDTHS[0] * 2)] * max(0, extra)), *_D_WIDTHS)[-levels:]
    attention = tuple(size for size in (8, 16) if 4 * size <= resolution)
    return GanConfig(
        resolution=resolution,
        text_width=text_width,
        g_widths=g,
        d_widths=d,
        attention=attention,
    )


def read_config(folder: Path) -> dict[str, Any]:
    """The fields of ``GanConfig``; raises ``GeneratorError`` if the folder holds no GAN of ours."""
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            unfinished = (folder / "best" / name).is_file()
            way = f"its training is not finished; {folder / 'best'} is its best model so far"
            raise GeneratorError(
                f"{folder} has no {name}; "
                + (way if unfinished else "a GAN is a folder that 'gandiff train gan' wrote")
            )
    config = read_json(folder / CONFIG, GeneratorError)
    model = config.pop("model", None)
    if model != MODEL:
        raise GeneratorError(
            f"{folder / CONFIG} says model {model!r}, must be {MODEL!r}; "
            "for a diffusers pipeline use type: diffusers"
        )
    for field in ("resolution", "text_width"):
        if not isinstance(config.get(field), int):
            raise GeneratorError(f"{folder / CONFIG} is missing the number {field!r}")
    # JSON has no tuples.
    return {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
