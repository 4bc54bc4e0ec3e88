"""Small denoisers in training: a U-Net of a few thousand weights on scenes of 16 px."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from gan_helpers import encoder
from training_helpers import request

from gandiff.experiments.data.captioned import CaptionedImages, SceneImages
from gandiff.experiments.training.diffusion import latents
from gandiff.experiments.training.diffusion.denoiser import Parts
from gandiff.experiments.training.diffusion.recipe import DiffusionRecipe
from gandiff.experiments.training.diffusion.trainer import DiffusionTrainer
from gandiff.experiments.training.ranks import SINGLE_PROCESS, Ranks
from gandiff.models.diffusion.networks import build_vae

# Steps are small: what rounding leaves of a gradient, Adam makes as large as any other. Next to the
# whole budget is the denoiser's.
RECIPE = DiffusionRecipe(
    channels=(8, 16),
    factor=4,
    cached_images=64,
    sampling_steps=2,
    lr=1e-4,
    lr_end=1e-5,
    autoencoder_share=1e-6,
)


def trainer(
    out: Path,
    recipe: DiffusionRecipe = RECIPE,
    ranks: Ranks = SINGLE_PROCESS,
    data: CaptionedImages | None = None,
    **changes: Any,
) -> DiffusionTrainer:
    """A trainer whose budget is 8 steps of 4 images, among latents of untrained networks."""
    defaults = {"resolution": 16, "seed": 3, "kimg": 0.032, "dtype": "float32", "ticks": 2}
    asked = request(out, **{**defaults, **changes})
    data = data or SceneImages(16, seed=3)
    torch.manual_seed(2)
    vae = build_vae(16, recipe.factor, recipe.latent_channels).eval().requires_grad_(False)
    cached = latents.ensure(vae, recipe, data, asked, SINGLE_PROCESS)
    latents.centre(vae, cached)
    return DiffusionTrainer(asked, recipe, Parts(vae, cached, encoder(), {}), data, ranks)


def states(one: DiffusionTrainer) -> dict[str, Any]:
    parts = {"unet": one.unet, "ema": one.ema.module, "optimizer": one.optimizer}
    return {name: part.state_dict() for name, part in parts.items()}
