"""How good a GAN is while it trains: measured at every tick on captions and pictures kept apart.

What is chosen by these numbers (the best checkpoint, a sweep's winner) is chosen on validation
captions; test captions are for reports.
"""

from __future__ import annotations

import abc
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from scipy.spatial.distance import pdist
from torch import Tensor

from gandiff.common.grids import tile
from gandiff.experiments.training.averaging import to_tensor
from gandiff.experiments.training.gan.trainer import GanTrainer, Phase
from gandiff.models.gan.layers import GROUP
from gandiff.models.gan.model import to_pixels
from gandiff.models.text import TextFeatures

_SEED = 20_000  # of the noise
_CHUNK = 124  # pictures generated at once, at most; whole groups of minibatch deviation
_LIGHTER = 4  # times as many as a training step works on: nothing is kept for gradients
_SCORED, FEW = 256, GROUP  # pictures of each kind that the discriminator scores, at most; least


class Monitor(abc.ABC):
    """Measures the averaged generator; its score says which of two moments is better."""

    captions: list[str]  # one for each picture; those of one prompt stand together
    per_prompt: int

    @property
    def prompts(self) -> list[str]:
        """Each prompt once."""
        return self.captions[:: self.per_prompt]

    @abc.abstractmethod
    def measure(
        self, trainer: GanTrainer, pictures: UInt8[np.ndarray, "n h w 3"]
    ) -> tuple[float, dict[str, float]]:
        """A score, higher is better, and what it was computed from."""

    def __call__(self, trainer: GanTrainer) -> tuple[float, dict[str, float]]:
        """Generate pictures and measure them, and the discriminator with them."""
        score, measured = self.measure(trainer, sample(trainer, self.captions))
        if trainer.phase.now == Phase.ADVERSARIAL:  # before, its logits mean nothing
            measured |= discriminator_facts(trainer)
        return score, {"score": score, **measured}


def sample(
    trainer: GanTrainer, captions: list[str], seed: int = _SEED, psi: float = 1.0
) -> UInt8[np.ndarray, "n h w 3"]:
    """Pictures of the averaged generator; picture i has noise i of the seed."""
    net: Any = trainer.ema.module
    draw = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(captions), net.config.z_width, generator=draw)
    return _samples(trainer, captions, noise, psi)


@torch.inference_mode()
def _samples(
    trainer: GanTrainer, captions: list[str], noise: Float[Tensor, "n z"], psi: float = 1.0
) -> UInt8[np.ndarray, "n h w 3"]:
    parts = []
    for chosen in chunks(trainer, len(captions)):
        z, text = noise[chosen].to(trainer.request.device), encode(trainer, captions[chosen])
        parts.append(to_pixels(trainer.ema.module(z, text, psi)))
    return np.concatenate(parts)


def chunks(trainer: GanTrainer, n: int) -> list[slice]:
    """Rows to work on together, as many as fit where a training step does."""
    request = trainer.request
    step = request.batch_size // (request.accumulate * request.processes)
    size = min(_CHUNK, _LIGHTER * step)
    return [slice(start, start + size) for start in range(0, n, size)]


def encode(trainer: GanTrainer, captions: list[str]) -> TextFeatures:
    """Features of captions, each distinct one encoded once: pictures of a prompt share them."""
    place = {caption: i for i, caption in enumerate(dict.fromkeys(captions))}
    features: TextFeatures = trainer.encoder.encode(list(place))
    return features.at([place[caption] for caption in captions])


@torch.no_grad()
def discriminator_facts(trainer: GanTrainer) -> dict[str, float]:
    """r_v: how much of the gap between seen pictures and fakes is lost for unseen ones.

    (E D(train) - E D(held out)) / (E D(train) - E D(fake)), Karras et al. 2020b, equation 1: 0
    where both are judged alike, 1 where unseen pictures are taken for fakes. A relativistic loss
    leaves a constant open for every caption, so each picture is compared with a fake of its own
    caption: with gaps g = E (D(picture) - D(fake)) it is 1 - g(held out) / g(train).
    """
    n = len(trainer.data.held_out(_SCORED).images) // GROUP * GROUP
    if n < FEW:
        return {}
    unseen = trainer.data.held_out(n)
    seen = trainer.data.batch(max(0, trainer.loop.progress.position - n), n)
    seen_gap, unseen_gap = (
        _logits(trainer, some.images, some.captions)
        - _logits(trainer, sample(trainer, some.captions, _SEED + 1), some.captions)
        for some in (seen, unseen)
    )
    gap = float(seen_gap.mean())
    r_v = 1 - float(unseen_gap.mean()) / gap if abs(gap) > 1e-6 else 0.0
    return {"r_v": r_v, "p_held_out_above_fake": float((unseen_gap > 0).float().mean())}


def _logits(
    trainer: GanTrainer, images: UInt8[np.ndarray, "n h w 3"], captions: list[str]
) -> Float[Tensor, " n"]:
    parts = []
    for chosen in chunks(trainer, len(captions)):
        with trainer.autocast():
            h = trainer.d.features(to_tensor(images[chosen], trainer.request.device))
        parts.append(trainer.d.judge(h, encode(trainer, captions[chosen]).pooled))
    return torch.cat(parts)


def grid(trainer: GanTrainer, prompts: list[str], columns: int = 8) -> UInt8[np.ndarray, "h w 3"]:
    """A grid of images: each row one prompt, each column one noise."""
    net: Any = trainer.ema.module
    draw = torch.Generator().manual_seed(_SEED + 2)
    noise = torch.randn(columns, net.config.z_width, generator=draw)
    texts = [prompt for prompt in prompts for _ in range(columns)]
    return tile(_samples(trainer, texts, noise.repeat(len(prompts), 1)), columns)


def spread(features: Float[np.ndarray, "n d"], per_prompt: int) -> float:
    """Mean distance between two pictures of one prompt; those of a prompt stand together."""
    groups = features.reshape(-1, per_prompt, features.shape[1])
    total = sum(float(pdist(group).sum()) for group in groups)
    return 2 * total / (len(groups) * per_prompt * max(1, per_prompt - 1))
