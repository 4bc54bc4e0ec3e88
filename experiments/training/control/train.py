"""Training of a ControlNet: what is refused, what is trained, what is written."""

from __future__ import annotations

from pathlib import Path

from gandiff.common.errors import RequestError
from gandiff.experiments.data.captioned import SceneImages
from gandiff.experiments.training.averaging import keep_freed_memory
from gandiff.experiments.training.checkpoints import CHECKPOINT
from gandiff.experiments.training.checks import check_request, judged
from gandiff.experiments.training.claim import claim
from gandiff.experiments.training.control.base import open_base
from gandiff.experiments.training.control.conditions import Targets
from gandiff.experiments.training.control.monitor import ControlMonitor
from gandiff.experiments.training.control.recipe import ControlRecipe
from gandiff.experiments.training.control.trainer import ControlTrainer
from gandiff.experiments.training.diffusion.finished import BaseRecord, find_base
from gandiff.experiments.training.generators.ticks import train_with_ticks
from gandiff.experiments.training.ranks import Ranks, launch
from gandiff.experiments.training.request import TrainingRequest

PROMPTS = 128  # that are measured on


def train(request: TrainingRequest, recipe: ControlRecipe | None = None) -> Path:
    """Train a ControlNet for a small diffusion model into ``request.out``.

    Raises ``RequestError`` before anything is written if the request cannot work.
    """
    recipe = recipe or ControlRecipe()
    check_request(request, CHECKPOINT)
    if request.data != "scenes":
        raise RequestError(
            "a ControlNet is trained on scenes, whose outlines and depth are known; leave out "
            "--data"
        )
    base = find_base(recipe.pipeline)
    if request.resolution != base.resolution:
        raise RequestError(
            f"--resolution {request.resolution}: the pipeline {base.name} makes images of "
            f"{base.resolution} px; give --resolution {base.resolution}"
        )
    SceneImages(request.resolution, request.seed)  # for its checks
    with claim(request.out, overwrite=True):
        launch(train_network, request, recipe, base)
    return request.out


def train_network(
    request: TrainingRequest, ranks: Ranks, recipe: ControlRecipe, record: BaseRecord
) -> None:
    """Train it in this process, one of ``ranks.count``; the first one writes."""
    keep_freed_memory()
    base, data = (
        open_base(record, request.device),
        SceneImages(request.resolution, request.seed),
    )
    trainer = ControlTrainer(request, recipe, base, data, ranks)
    if not ranks.first:
        train_with_ticks(trainer, None)
        return
    trainer.targets = Targets.of_suite(recipe.condition, request.resolution, PROMPTS)
    monitor = ControlMonitor(trainer.targets, judged=judged(request))
    train_with_ticks(trainer, monitor)
    trainer.finish(monitor)
