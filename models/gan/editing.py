"""What can be done in a GAN's latent spaces: truncation, interpolation, style mixing, painting.

Every function gives a grid of pictures, rows by columns, and warns of prompts that are too long to
be read whole. z is the noise, f(z) its mapped form, and w the style that f(z) and a caption make
together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from gandiff.models.gan.model import TextToImageGan, to_pixels
from gandiff.models.gan.painting import switched
from gandiff.models.gan.units import Switch, at_random
from gandiff.models.text import TextFeatures

_CALLER = 4  # frames from a warning to who called one of these, through torch's decorator

Space = Literal["z", "w"]
Grid = UInt8[np.ndarray, "rows columns h w 3"]


@torch.inference_mode()
def truncation(
    gan: TextToImageGan, prompts: Sequence[str], psis: Sequence[float], seed: int = 0
) -> Grid:
    """A row for each prompt, a column for each psi: 0 is the prompt's mean picture, 1 untouched.

    Karras et al. 2019, appendix B, on f(z) alone.
    """
    gan.warn_of_cut(prompts, _CALLER)
    noise = gan.noise([seed]).expand(len(prompts), -1)
    text = gan.encode(prompts)
    columns = [to_pixels(gan.sample(noise, text, float(psi))) for psi in psis]
    return np.stack(columns, 1)


@torch.inference_mode()
def interpolate_noise(
    gan: TextToImageGan,
    prompts: Sequence[str],
    seeds: tuple[int, int],
    steps: int = 8,
    space: Space = "z",
) -> Grid:
    """A row for each prompt, columns on the way from one seed to the other.

    In z along the great circle (the noise is Gaussian, so its length hardly varies; Shoemake 1985),
    in w along a straight line.
    """
    gan.warn_of_cut(prompts, _CALLER)
    a, b = (gan.noise([seed]).expand(len(prompts), -1).to(gan.like) for seed in seeds)
    text = gan.encode(prompts)
    columns = []
    for t in _ways(steps):
        if space == "z":
            w = _style(gan, slerp(a, b, t), text)
        else:
            w = torch.lerp(_style(gan, a, text), _style(gan, b, text), t)
        columns.append(to_pixels(gan.net.synthesise(w, text)))
    return np.stack(columns, 1)


@torch.inference_mode()
def interpolate_prompts(
    gan: TextToImageGan, first: str, last: str, seeds: Sequence[int], steps: int = 8
) -> Grid:
    """A row for each seed, columns on the way from one prompt to the other.

    The pooled feature moves along a straight line; attention reads both prompts' tokens, with
    weights that move from the one to the other.
    """
    gan.warn_of_cut([first, last], _CALLER)
    noise = gan.noise(seeds).to(gan.like)
    a, b = (gan.encode([prompt] * len(seeds)) for prompt in (first, last))
    columns = []
    for t in _ways(steps):
        text = blend(a, b, t)
        columns.append(to_pixels(gan.net.synthesise(_style(gan, noise, text), text)))
    return np.stack(columns, 1)


@torch.inference_mode()
def mix_styles(
    gan: TextToImageGan,
    coarse: Sequence[tuple[str, int]],
    fine: Sequence[tuple[str, int]],
    crossover: int = 1,
) -> Grid:
    """Rows take (prompt, seed) up to level ``crossover`` (from 4 px up), columns from there on.

    Karras et al. 2019, section 3.1; text and noise are mixed alike. Raises ``ValueError`` for
    another level.
    """
    levels = len(gan.net.levels)
    if not 0 < crossover < levels:
        raise ValueError(f"crossover must be from 1 to {levels - 1}, got {crossover}")
    gan.warn_of_cut(list(dict.fromkeys(prompt for prompt, _ in (*coarse, *fine))), _CALLER)
    fine_style, fine_text = _read(gan, fine)
    count = levels - crossover
    rows = []
    for one in coarse:
        style, text = _read(gan, [one] * len(fine))
        styles = [style] * crossover + [fine_style] * count
        texts = [text] * crossover + [fine_text] * count
        rows.append(to_pixels(gan.net.synthesise(styles, texts)))
    return np.stack(rows)


@torch.inference_mode()
def paint_units(
    gan: TextToImageGan,
    prompts: Sequence[str],
    switch: Switch,
    region: tuple[int, int, int, int],
    seed: int = 0,
) -> Grid:
    """A row for each prompt: the picture, the same with units switched in the region (left, top,
    right and bottom edge in px), and with as many random units in their place.

    Raises ``ValueError`` for a region that is empty or not inside the picture.
    """
    left, top, right, bottom = region
    side = gan.config.resolution
    if not (0 <= left < right <= side and 0 <= top < bottom <= side):
        raise ValueError(
            f"must lie inside the picture, 0 to {side} px, the left and top edge first"
        )
    gan.warn_of_cut(prompts, _CALLER)
    mask = torch.zeros(1, 1, side, side).to(gan.like)
    mask[..., top:bottom, left:right] = 1
    text = gan.encode(prompts)
    style = _style(gan, gan.noise([seed]).expand(len(prompts), -1).to(gan.like), text)
    changes = (None, switched(switch, mask), switched(at_random(switch, seed), mask))
    columns = [to_pixels(gan.net.synthesise(style, text, change)) for change in changes]
    return np.stack(columns, 1)


def slerp(a: Float[Tensor, "n z"], b: Float[Tensor, "n z"], t: float) -> Float[Tensor, "n z"]:
    """Between two noises along the great circle; straight where they nearly coincide."""
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=1).clamp(-1, 1)[:, None]
    angle = torch.acos(cosine)
    sine = torch.sin(angle)
    near = sine < 1e-4
    safe = torch.where(near, torch.ones_like(sine), sine)
    round_ = (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / safe
    return torch.where(near, torch.lerp(a, b, t), round_)


def blend(a: TextFeatures, b: TextFeatures, t: float) -> TextFeatures:
    """Features on the way between two texts; at 0 and 1 those of the texts themselves."""
    return TextFeatures(
        torch.cat([a.tokens, b.tokens], 1),
        torch.lerp(a.pooled, b.pooled, t),
        torch.cat([a.mask.float() * (1 - t), b.mask.float() * t], 1),
        [0] * len(a.pooled),
    )


def _ways(steps: int) -> list[float]:
    if steps < 2:
        raise ValueError(f"an interpolation needs at least 2 steps, got {steps}")
    return [i / (steps - 1) for i in range(steps)]


def _style(
    gan: TextToImageGan, z: Float[Tensor, "n z"], text: TextFeatures
) -> Float[Tensor, "n s"]:
    return gan.net.style(gan.net.map(z), text.pooled)


def _read(
    gan: TextToImageGan, places: Sequence[tuple[str, int]]
) -> tuple[Float[Tensor, "n s"], TextFeatures]:
    prompts, seeds = zip(*places, strict=True)
    text = gan.encode(prompts)
    return _style(gan, gan.noise(seeds).to(gan.like), text), text
