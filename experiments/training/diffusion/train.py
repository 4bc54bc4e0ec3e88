"""Training of the diffusion model: text encoder, autoencoder, then the U-Net in latent space."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import torch

from gandiff.common.errors import RequestError
from gandiff.experiments.data.captioned import CaptionedImages
from gandiff.experiments.training.averaging import keep_freed_memory
from gandiff.experiments.training.checkpoints import (
    CHECKPOINT,
    clear_training,
    read_checkpoint,
    refuse_another,
    refuse_other_networks,
)
from gandiff.experiments.training.checks import (
    check_data,
    check_monitor,
    check_request,
    open_checked,
    rank_zero_first,
)
from gandiff.experiments.training.claim import claim
from gandiff.experiments.training.diffusion import autoencoder, denoiser, latents
from gandiff.experiments.training.diffusion.alarms import weak_autoencoder
from gandiff.experiments.training.diffusion.autoencoder import AutoencoderTrainer, check
from gandiff.experiments.training.diffusion.denoiser import Parts
from gandiff.experiments.training.diffusion.publish import restore_text
from gandiff.experiments.training.diffusion.recipe import (
    AUTOENCODER_FIELDS,
    DiffusionRecipe,
    fits,
)
from gandiff.experiments.training.diffusion.trainer import DiffusionTrainer
from gandiff.experiments.training.generators.ticks import train_with_ticks
from gandiff.experiments.training.identity import data_identity
from gandiff.experiments.training.monitors.choice import open_monitor
from gandiff.experiments.training.ranks import Ranks, launch
from gandiff.experiments.training.records import TEXT_LABEL
from gandiff.experiments.training.request import TrainingRequest
from gandiff.experiments.training.text import train as text
from gandiff.experiments.training.text.record import captions_digest
from gandiff.models.diffusion.pixel import IdentityAutoencoder

WORK = "state"  # what later phases need of earlier ones; no part of the model
AUTOENCODER = f"{WORK}/autoencoder"
_BEFORE = (f"{WORK}/vae", f"{WORK}/unet")  # where earlier versions had their phases


def train(request: TrainingRequest, recipe: DiffusionRecipe | None = None) -> Path:
    """Train a diffusion model into ``request.out``, phase by phase.

    Resumed, a finished phase is not repeated. Raises ``RequestError`` before anything is written if
    the request cannot work.
    """
    recipe = (recipe or DiffusionRecipe()).settled(request.text_encoder)
    check_training(request, recipe)
    if request.processes > 1:
        check_data(request)
    with claim(request.out, overwrite=True):
        launch(train_networks, request, recipe)
    return request.out


def check_training(request: TrainingRequest, recipe: DiffusionRecipe) -> None:
    """Raise ``RequestError`` for what cannot work, without a look at the data."""
    if request.resume:
        _refuse_earlier(request.out)
    check_request(request, f"{AUTOENCODER}/{CHECKPOINT}", CHECKPOINT)
    try:
        fits(recipe, request.resolution)
    except ValueError as error:
        raise RequestError(f"--resolution {request.resolution}: {error}") from error
    if recipe.cached_images < request.batch_size:
        raise RequestError(
            f"cached_images must be at least the batch size, {request.batch_size}, got "
            f"{recipe.cached_images}"
        )
    check_monitor(request)


def _refuse_earlier(out: Path) -> None:
    """Refuse to resume what an earlier version began, whose networks were others."""
    now = (out / CHECKPOINT).is_file() or (out / AUTOENCODER / CHECKPOINT).is_file()
    before = [name for name in _BEFORE if (out / name / CHECKPOINT).is_file()]
    if before and not now:
        raise RequestError(
            f"{out / before[-1]} is of a diffusion model of an earlier gandiff with other "
            "networks, and cannot be continued; start again with --overwrite, or in another --out"
        )


def _refuse_changes(
    request: TrainingRequest, recipe: DiffusionRecipe, data: CaptionedImages
) -> None:
    """Refuse to resume with what the networks that are there cannot continue by.

    Each would say so itself, the denoiser when the latents that it learned from are overwritten.
    """
    asked = data_identity(request, captions_digest(data))
    phases = (
        (AUTOENCODER, autoencoder.LABEL, autoencoder.trained(recipe), ("space",)),
        # The solver that is saved goes by the schedule, and so does every noise level learned; the
        # autoencoder is not trained any more.
        (
            "",
            denoiser.LABEL,
            denoiser.trained(recipe, request.resolution),
            ("space", "schedule", *AUTOENCODER_FIELDS),
        ),
    )
    for folder, label, networks, fixed in phases:
        path = request.out / folder / CHECKPOINT
        saved = read_checkpoint(path) if path.is_file() else None
        if saved is None or saved["label"] == TEXT_LABEL:  # which comes first, in the same place
            continue
        refuse_another(path, saved, label, asked)
        start = (saved["progress"].get("commands") or [{}])[-1]
        before = start.get("recipe", {})
        for name in fixed:
            if name in before and before[name] != getattr(recipe, name):
                raise RequestError(
                    f"{path} is of a training with {name}={before[name]}, not "
                    f"{getattr(recipe, name)}; give what it was started with, or another --out"
                )
        refuse_other_networks(path, saved, networks, partly=True)


def train_networks(request: TrainingRequest, ranks: Ranks, recipe: DiffusionRecipe) -> None:
    """Train all networks in this process, one of ``ranks.count``; the first one writes."""
    keep_freed_memory()
    data = open_checked(request, ranks)
    # Before anything is trained: what cannot measure is refused before anything is written.
    monitor = rank_zero_first(ranks, lambda: open_monitor(request, data))
    if request.resume:
        rank_zero_first(ranks, lambda: _refuse_changes(request, recipe, data))
    elif ranks.first:
        restore_text(request.out)
    latents.check_room(recipe, data, request)
    encoder = text.ensure(request, data, ranks).to(request.device, torch.float32)
    # The first process looks before it writes a checkpoint.
    (there,) = ranks.broadcast(float((request.out / CHECKPOINT).is_file()))
    resume = request.resume and bool(there)
    if ranks.first and not request.resume:
        clear_training(request.out)
        (request.out / WORK / latents.FILE).unlink(missing_ok=True)  # of a smaller budget, maybe
        for phase in (AUTOENCODER, *_BEFORE):  # it would be taken for that of this training, too
            clear_training(request.out / phase)
    vae, facts, earlier = _autoencoder(request, recipe, data, ranks, denoised=resume)
    start = time.perf_counter()
    cached = latents.ensure(vae, recipe, data, request, ranks)
    (spent,) = ranks.broadcast(time.perf_counter() - start)
    latents.centre(vae, cached)
    own = dataclasses.replace(request, resume=resume)
    trainer = DiffusionTrainer(own, recipe, Parts(vae, cached, encoder, facts), data, ranks)
    trainer.loop.progress.seconds += spent  # a part of what is trained, and of its budget
    if not resume:
        trainer.loop.progress.follow(earlier)
        trainer.loop.events[:0] = earlier.get("events", [])
    weak = weak_autoencoder(facts.get("reconstruction", {}), recipe.autoencoder_share)
    if weak is not None and ranks.first and not resume:
        trainer.loop.note(f"{weak.name}: {weak.text}")
    train_with_ticks(trainer, monitor)
    if monitor is not None:
        trainer.finish(monitor)


def _autoencoder(
    request: TrainingRequest,
    recipe: DiffusionRecipe,
    data: CaptionedImages,
    ranks: Ranks,
    *,
    denoised: bool,
) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """The averaged autoencoder, frozen, what its training cost and reached, and its whole record;
    nothing of pixels.

    Once there is a denoiser it is not trained any more: its latents must stay what they were.
    """
    if recipe.space == "pixel":
        return IdentityAutoencoder(request.resolution).to(request.device).eval(), {}, {}
    out = request.out / AUTOENCODER
    (there,) = ranks.broadcast(float((out / CHECKPOINT).is_file()))
    if denoised and not there:
        raise RequestError(
            f"{out / CHECKPOINT} is missing, which holds the autoencoder that the denoiser was "
            "trained with; copy it back, or start in another --out"
        )
    part = dataclasses.replace(
        request,
        out=out,
        resume=request.resume and bool(there),
        quiet=request.quiet or denoised,  # it does not continue
    )
    trainer = AutoencoderTrainer(part, recipe, data, ranks)
    if not denoised:
        trainer.loop.run(trainer.step)
    vae = trainer.ema.module
    record = trainer.loop.record(reconstruction=check(vae, data, request) if ranks.first else {})
    names = ("seconds", "images", "steps", "reconstruction", "curve")
    return vae, {name: record[name] for name in names}, record
