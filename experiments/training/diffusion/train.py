"""Training of the small latent diffusion model: text encoder, autoencoder, U-Net among latents."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from gandiff.common.errors import RequestError
from gandiff.experiments.data.captioned import CaptionedImages
from gandiff.experiments.training.averaging import Ema, anneal, descend, noise_at, to_tensor
from gandiff.experiments.training.checkpoints import CHECKPOINT, clear_training
from gandiff.experiments.training.checks import check_request, open_checked
from gandiff.experiments.training.claim import claim
from gandiff.experiments.training.diffusion.noise import Noising, build_scheduler
from gandiff.experiments.training.diffusion.recipe import DiffusionRecipe, fits
from gandiff.experiments.training.loop import Loop
from gandiff.experiments.training.records import RECORD, write_json
from gandiff.experiments.training.request import TrainingRequest
from gandiff.experiments.training.text import train as text
from gandiff.experiments.training.text.record import captions_digest, text_summary
from gandiff.models.diffusion.networks import (
    build_pipeline,
    build_unet,
    build_vae,
    centre_latents,
    save_pipeline,
)
from gandiff.models.text import TextEncoder, parameter_count

VAE_SHARE = 0.25  # of the budget
CAPTION_DROPOUT = 0.1  # for classifier-free guidance (Ho & Salimans 2022)
CACHED = 60_000  # pictures whose latents are kept; 61 MB at 32 px
_RECIPE = DiffusionRecipe()
_WORK = "state"  # checkpoints of the phases, not part of the model
_PHASES = ("vae", "unet")


def train(request: TrainingRequest) -> Path:
    """Train a latent diffusion model into ``request.out``, phase by phase.

    Resumed, a finished phase is not repeated. Raises ``RequestError`` before anything is written if
    the request cannot work.
    """
    check_request(request, *(f"{_WORK}/{phase}/{CHECKPOINT}" for phase in _PHASES), CHECKPOINT)
    try:
        fits(_RECIPE, request.resolution)
    except ValueError as error:
        raise RequestError(f"--resolution {request.resolution}: {error}") from error
    with claim(request.out, overwrite=True):
        _train_phases(request)
    return request.out


def _train_phases(request: TrainingRequest) -> None:
    data = open_checked(request)
    encoder = text.ensure(request, data).to(request.device, torch.float32)
    if not request.resume:
        clear_training(request.out)
        for phase in _PHASES:  # the second would be taken for that of this training, too
            clear_training(request.out / _WORK / phase)
    vae, vae_record = train_vae(request, data)
    unet, unet_record = train_unet(request, data, encoder, vae)
    save_pipeline(request.out, build_pipeline(vae, unet, encoder, build_scheduler(_RECIPE)))
    unet_record |= data.facts()
    _save_records(request, encoder, vae, unet, vae_record, unet_record)


def _phase(request: TrainingRequest, name: str, share: float) -> TrainingRequest:
    out = request.out / _WORK / name
    resume = request.resume and (out / CHECKPOINT).is_file()
    return dataclasses.replace(request, out=out, minutes=request.minutes * share, resume=resume)


def train_vae(request: TrainingRequest, data: CaptionedImages) -> tuple[Any, dict[str, Any]]:
    """Autoencoder with squared and absolute error and a faint pull to the unit Gaussian."""
    part = _phase(request, "vae", VAE_SHARE)
    torch.manual_seed(request.seed)
    vae = build_vae(request.resolution).to(request.device)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=1e-3, weight_decay=0.0)
    ema = Ema(vae, 4000.0)
    size = min(request.batch_size, 32)
    state = {"vae": vae, "ema": ema.module, "optimizer": optimizer}
    known = captions_digest(data)
    loop = Loop(part, "autoencoder", state, size=size, captions_sha256=known)

    def step() -> tuple[int, dict[str, float]]:
        anneal(optimizer, loop.fraction, loop.progress.steps, start=2e-3, end=5e-5)
        batch = data.batch(loop.progress.position, size)
        x = to_tensor(batch.images, request.device)
        posterior = vae.encode(x).latent_dist
        y = vae.decode(posterior.sample(noise_at(request.seed, loop.progress.position))).sample
        squared = F.mse_loss(y, x)
        loss = squared + 0.5 * F.l1_loss(y, x) + 1e-5 * posterior.kl().mean()
        descend(optimizer, loss, clip=vae.parameters())
        ema.update(vae, size, loop.progress.images + size)
        # PSNR for pictures that span 2: 10 log10(4 / mse).
        psnr = 10 * math.log10(4 / max(float(squared.detach()), 1e-12))
        return size, {"loss": float(loss.detach()), "psnr_db": psnr}

    vae.train()
    denoiser = request.out / _WORK / "unet" / CHECKPOINT
    if not (part.resume and denoiser.is_file()):  # its latents must stay what they were
        loop.run(step)
    return ema.module, loop.record(reconstruction=check_vae(ema.module, data, request))


@torch.inference_mode()
def check_vae(
    vae: Any, data: CaptionedImages, request: TrainingRequest, n: int = 512
) -> dict[str, float]:
    """PSNR of reconstructions after rounding, on pictures far from the training stretch."""
    n = n if data.count is None else min(n, data.count)
    errors = []
    for start in range(0, n, 32):
        size = min(32, n - start)
        images = data.batch((1 << 27) + start, size).images
        x = to_tensor(images, request.device)
        y = vae.decode(vae.encode(x).latent_dist.mode()).sample.clamp(-1, 1)
        errors.append(((y - x) / 2).square().flatten(1).mean(1))
    psnr = -10 * torch.log10(torch.cat(errors).clamp(min=1e-12))
    return {"psnr_db": float(psnr.mean()), "psnr_db_worst": float(psnr.min()), "images": float(n)}


class Latents(NamedTuple):
    """Cached latents, already scaled, with the captions of their pictures."""

    values: Tensor  # n 4 h w
    captions: list[str]


@torch.inference_mode()
def cache_latents(vae: Any, data: CaptionedImages, request: TrainingRequest, n: int) -> Latents:
    """Encode n pictures once; also centres the autoencoder's latents and notes their scale."""
    from tqdm import tqdm

    size = min(request.batch_size, 64)
    parts, captions = [], []
    for start in tqdm(range(0, n, size), desc="encoding", disable=request.quiet, unit="batch"):
        batch = data.batch(start, size)
        parts.append(vae.encode(to_tensor(batch.images, request.device)).latent_dist.mode())
        captions += batch.captions
    values = torch.cat(parts)
    mean = values.mean((0, 2, 3))
    values = values - mean[None, :, None, None]
    std = float(values.std())
    centre_latents(vae, mean, std)
    return Latents(values / std, captions)


def train_unet(
    request: TrainingRequest, data: CaptionedImages, encoder: TextEncoder, vae: Any
) -> tuple[Any, dict[str, Any]]:
    """Squared error of the velocity, weighted by min-SNR."""
    part = _phase(request, "unet", 1 - VAE_SHARE)
    # No more pictures than there are, nor than the budget allows.
    count = min(CACHED, round(2000 * request.minutes), data.count or CACHED)
    latents = cache_latents(vae, data, request, max(count, request.batch_size))
    torch.manual_seed(request.seed + 1)
    unet = build_unet(request.resolution // _RECIPE.cell, encoder.width).to(request.device)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=1e-3, weight_decay=1e-3)
    ema = Ema(unet, 8000.0)
    state = {"unet": unet, "ema": ema.module, "optimizer": optimizer}
    loop = Loop(part, "denoiser", state, captions_sha256=captions_digest(data))
    noising = Noising(_RECIPE, request.device)

    def step() -> tuple[int, dict[str, float]]:
        n = request.batch_size
        steps = loop.progress.steps
        anneal(optimizer, loop.fraction, steps, start=1.5e-3, end=3e-5, warmup=100)
        draw = noise_at(request.seed, loop.progress.position)
        chosen = torch.randint(len(latents.captions), (n,), generator=draw)
        x = latents.values[chosen]
        dropped = torch.rand(n, generator=draw) < CAPTION_DROPOUT
        pairs = zip(chosen.tolist(), dropped.tolist(), strict=True)
        captions = ["" if drop else latents.captions[i] for i, drop in pairs]  # for guidance
        noise = torch.randn(x.shape, generator=draw).to(request.device)
        t = noising.draw(n, draw)
        noisy = noising.add(x, noise, t)
        guess = unet(noisy, t, encoder_hidden_states=encoder(captions).tokens).sample
        error = (guess - noising.target(x, noise, t)).square().mean((1, 2, 3))
        loss = (error * noising.weights[t]).mean()
        descend(optimizer, loss, clip=unet.parameters())
        ema.update(unet, n, loop.progress.images + n)
        return n, {"loss": float(loss.detach()), "mse": float(error.detach().mean())}

    unet.train()
    loop.run(step)
    return ema.module, loop.record()


def _save_records(
    request: TrainingRequest,
    encoder: TextEncoder,
    vae: Any,
    unet: Any,
    vae_record: dict[str, Any],
    unet_record: dict[str, Any],
) -> None:
    from gandiff.experiments.training.cards import PIPELINE_USE, generator_card, write_card

    record = dict(unet_record)
    record["seconds"] = round(vae_record["seconds"] + unet_record["seconds"], 1)
    record["images"] = vae_record["images"] + unet_record["images"]
    names = ("seconds", "images", "reconstruction", "curve")
    record["autoencoder"] = {name: vae_record[name] for name in names}
    record["text"] = text_summary(request.out)
    write_json(request.out / RECORD, record)
    psnr = vae_record["reconstruction"]["psnr_db"]
    summary = (
        f"A latent diffusion model at {request.resolution} px, saved as a "
        "`StableDiffusionPipeline` that plain\n"
        f"diffusers loads: {parameter_count(unet):,} parameters in the U-Net, "
        f"{parameter_count(vae):,} in the\n"
        f"autoencoder (mean PSNR of reconstructions {psnr:.1f} dB) and "
        f"{parameter_count(encoder.model):,} in the text encoder.\n"
        "The U-Net predicts the velocity; the loss is its squared error with min-SNR weights."
    )
    card = generator_card(request.out.name, summary, record, PIPELINE_USE)
    write_card(request.out, card)
