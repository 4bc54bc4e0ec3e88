"""Training of the text-conditioned GAN: what is refused, what is trained, what is written."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from gandiff.common.errors import RequestError
from gandiff.experiments.training.averaging import keep_freed_memory
from gandiff.experiments.training.checkpoints import CHECKPOINT
from gandiff.experiments.training.checks import (
    check_data,
    check_monitor,
    check_request,
    open_checked,
    rank_zero_first,
)
from gandiff.experiments.training.claim import claim
from gandiff.experiments.training.gan.guidance import check_guidance
from gandiff.experiments.training.gan.recipe import GanRecipe
from gandiff.experiments.training.gan.trainer import GanTrainer
from gandiff.experiments.training.generators.ticks import train_with_ticks
from gandiff.experiments.training.monitors.choice import open_monitor
from gandiff.experiments.training.ranks import Ranks, launch
from gandiff.experiments.training.request import TrainingRequest
from gandiff.experiments.training.text import train as text
from gandiff.models.gan.config import gan_config


def train(request: TrainingRequest, recipe: GanRecipe | None = None) -> Path:
    """Train a GAN into ``request.out``: the text encoder if it is not there, then both networks.

    Raises ``RequestError`` before anything is written if the request cannot work.
    """
    recipe = recipe or GanRecipe()
    check_training(request, recipe)
    if request.processes > 1:
        check_data(request)
    with claim(request.out, overwrite=True):
        launch(train_networks, request, recipe)
    return request.out


def check_training(request: TrainingRequest, recipe: GanRecipe) -> None:
    """Raise ``RequestError`` for what cannot work, without a look at the data."""
    check_request(request, CHECKPOINT)
    try:
        gan_config(request.resolution, 1)
    except ValueError as error:
        raise RequestError(f"--resolution {request.resolution}: {error}") from error
    check_monitor(request)
    if recipe.guidance:
        check_guidance(recipe.guidance)


def train_networks(request: TrainingRequest, ranks: Ranks, recipe: GanRecipe) -> None:
    """Train both networks in this process, one of ``ranks.count``; the first one writes."""
    keep_freed_memory()
    data = open_checked(request, ranks)
    # Before the text encoder is trained: what cannot measure is refused before anything is written.
    monitor = rank_zero_first(ranks, lambda: open_monitor(request, data))
    encoder = text.ensure(request, data, ranks)
    # Resumed while the text encoder trained, there is no state of the GAN yet. The first process
    # looks before it writes one.
    (there,) = ranks.broadcast(float((request.out / CHECKPOINT).is_file()))
    request = dataclasses.replace(request, resume=request.resume and bool(there))
    config = gan_config(request.resolution, encoder.width)
    config = dataclasses.replace(config, minibatch_std=recipe.minibatch_std)
    trainer = GanTrainer(request, recipe, config, encoder, data, ranks)
    train_with_ticks(trainer, monitor)
    if monitor is not None:
        trainer.finish(monitor)
