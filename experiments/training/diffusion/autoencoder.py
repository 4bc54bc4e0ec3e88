"""The first phase of a latent diffusion model: the autoencoder whose latents are denoised later."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from gandiff.experiments.data.captioned import CaptionedImages
from gandiff.experiments.training.averaging import Ema, anneal, noise_at, to_tensor
from gandiff.experiments.training.checks import judged
from gandiff.experiments.training.diffusion.recipe import DiffusionRecipe
from gandiff.experiments.training.diffusion.weights import parts_of, update
from gandiff.experiments.training.loop import Loop
from gandiff.experiments.training.muon import Together, muon_and_adamw
from gandiff.experiments.training.precision import autocast_context, resolve_precision
from gandiff.experiments.training.ranks import Ranks
from gandiff.experiments.training.request import TrainingRequest
from gandiff.experiments.training.text.record import captions_digest
from gandiff.models.diffusion.networks import build_vae

LABEL = "autoencoder"
_BATCH, _HALFLIFE = 16, 4000.0  # pictures; larger batches take fewer steps, which is what counts
_CHECKED, _AT_ONCE = 512, 64  # pictures


def trained(recipe: DiffusionRecipe) -> dict[str, Any]:
    """What a checkpoint of the autoencoder must be of: its network, and whose states it holds."""
    names = ("factor", "latent_channels", "autoencoder_optimizer")
    return {name: getattr(recipe, name) for name in names}


class AutoencoderTrainer:
    """Squared error and L1 loss of reconstructions, and a small KL divergence of the latents."""

    def __init__(
        self, request: TrainingRequest, recipe: DiffusionRecipe, data: CaptionedImages, ranks: Ranks
    ) -> None:
        torch.manual_seed(request.seed)
        self.request, self.recipe, self.data, self.ranks = request, recipe, data, ranks
        vae = build_vae(request.resolution, recipe.factor, recipe.latent_channels)
        self.vae = vae.to(request.device, memory_format=torch.channels_last).train()
        self.ema = Ema(self.vae, _HALFLIFE)
        self.parameters = list(self.vae.parameters())
        self.precision = resolve_precision(request.dtype, request.device)
        self.optimizer = self._optimizer()
        self.size = min(request.batch_size, max(_BATCH, ranks.count))  # each process has a picture
        self.loop = Loop(
            request,
            LABEL,
            {"vae": self.vae, "ema": self.ema.module, "optimizer": self.optimizer},
            ranks,
            networks=trained(recipe),
            recipe=dataclasses.asdict(recipe),
            size=self.size,
            captions_sha256=captions_digest(data),
            share=recipe.autoencoder_share,
        )

    def _optimizer(self) -> torch.optim.Optimizer | Together:
        if self.recipe.autoencoder_optimizer == "adamw":
            return torch.optim.AdamW(self.parameters, fused=True)
        dtype = torch.bfloat16 if self.precision == "bfloat16" else torch.float32
        return muon_and_adamw(self.vae, dtype=dtype)

    def step(self) -> tuple[int, dict[str, float]]:
        """One update: images shown over all processes, and what was measured."""
        recipe, progress, n = self.recipe, self.loop.progress, self.size
        start, end = recipe.autoencoder_lr, recipe.autoencoder_lr_end
        for group in self.optimizer.param_groups:
            group.update(betas=recipe.betas, weight_decay=0.0)
        anneal(self.optimizer, self.loop.fraction, progress.steps, start=start, end=end)
        rows = self.ranks.shard(n)
        batch = self.data.batch(progress.position, n, rows=rows)
        pictures = to_tensor(batch.images, self.request.device)
        side = self.request.resolution // recipe.factor
        draw = noise_at(self.request.seed, progress.position)
        noise = torch.randn(n, recipe.latent_channels, side, side, generator=draw)
        sums = torch.zeros(2, device=self.request.device)
        self.optimizer.zero_grad(set_to_none=True)
        for part in parts_of(self.request, rows):
            x = pictures[part.start - rows.start : part.stop - rows.start]
            loss, squared = self._loss(x, noise[part].to(x.device))
            torch.autograd.backward(loss / n)
            sums += torch.stack([loss.detach(), squared.detach()]) / n
        update(self.optimizer, self.parameters, self.ranks, LABEL)
        self.ema.update(self.vae, n, progress.images + n)
        self.ranks.all_reduce([sums])
        # PSNR for pictures that span 2: 10 log10(4 / mse).
        psnr = 10 * math.log10(4 / max(float(sums[1]), 1e-12))
        return n, {"loss": float(sums[0]), "psnr_db": psnr}

    def _loss(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and squared error, each the sum over pictures of a mean over pixels."""
        with autocast_context(self.precision, self.request.device):
            posterior = self.vae.encode(x.contiguous(memory_format=torch.channels_last)).latent_dist
            y = self.vae.decode(posterior.mean + posterior.std * noise).sample
        apart = (y.float() - x).flatten(1)
        squared = apart.square().mean(1).sum()
        absolute = apart.abs().mean(1).sum()
        divergence = posterior.kl().sum()
        return squared + self.recipe.absolute * absolute + self.recipe.kl * divergence, squared


@torch.inference_mode()
def check(vae: Any, data: CaptionedImages, request: TrainingRequest, n: int = _CHECKED) -> Any:
    """How much of pictures survives the autoencoder, which no denoiser in its latent space exceeds.

    PSNR in dB of held-out pictures, rounded as they are shown, or of training ones where there are
    none. Of scenes also, by their judge: ``all`` and the others are the shares of stated facts that
    are right in reconstructions of scenes of the validation prompts, ``same`` is how many are seen
    exactly as the scene itself.
    """
    if judged(request):
        return _check_scenes(vae, request, n)
    held = data.held_out(n).images
    pictures = held if len(held) else data.batch(0, min(n, data.count or n)).images
    return _psnr(pictures, reconstructed(vae, pictures, request.device))


def _check_scenes(vae: Any, request: TrainingRequest, n: int) -> dict[str, float]:
    from gandiff.evaluate.extractors.scenes import load_classifier
    from gandiff.experiments.scenes.captions import matching_scenes
    from gandiff.experiments.scenes.render import render
    from gandiff.experiments.scenes.suite import scene_suite
    from gandiff.experiments.training.monitors.scenes import accuracy

    expected = [one["expected"] for one in scene_suite("validation", n)]
    drawn = [
        render(matching_scenes(one, 1, i), request.resolution) for i, one in enumerate(expected)
    ]
    pictures = np.concatenate(drawn)
    again = reconstructed(vae, pictures, request.device)
    judge = load_classifier("a")
    seen, seen_again = judge.predict(pictures), judge.predict(again)
    same = float(np.mean([a == b for a, b in zip(seen, seen_again, strict=True)]))
    return _psnr(pictures, again) | {"same": same, **accuracy(expected, seen_again, 1)}


def reconstructed(
    vae: Any, pictures: UInt8[np.ndarray, "n h w 3"], device: str
) -> UInt8[np.ndarray, "n h w 3"]:
    """Pictures there and back again."""
    parts = []
    for start in range(0, len(pictures), _AT_ONCE):
        x = to_tensor(pictures[start : start + _AT_ONCE], device)
        y = vae.decode(vae.encode(x).latent_dist.mode()).sample
        levels = (y.clamp(-1, 1) / 2 + 0.5).mul(255).round().byte()
        parts.append(levels.permute(0, 2, 3, 1).cpu().numpy())
    return np.concatenate(parts)


def _psnr(
    real: UInt8[np.ndarray, "n h w 3"], made: UInt8[np.ndarray, "n h w 3"]
) -> dict[str, float]:
    squared = ((real.astype(np.float64) - made) / 255) ** 2
    psnr = -10 * np.log10(np.maximum(squared.mean((1, 2, 3)), 1e-12))
    return {"psnr_db": float(psnr.mean()), "psnr_db_worst": float(psnr.min()), "images": len(real)}
