"""Small ControlNets in training: for a pipeline of a few thousand weights at 16 px."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from diffusion_helpers import RECIPE
from gan_helpers import encoder
from training_helpers import request

from gandiff.experiments.data.captioned import SceneImages
from gandiff.experiments.training.control.base import open_base
from gandiff.experiments.training.control.conditions import Targets
from gandiff.experiments.training.control.recipe import ControlRecipe
from gandiff.experiments.training.control.trainer import ControlTrainer
from gandiff.experiments.training.diffusion.finished import find_base
from gandiff.experiments.training.diffusion.noise import build_scheduler
from gandiff.experiments.training.ranks import SINGLE_PROCESS, Ranks
from gandiff.experiments.training.records import write_json
from gandiff.models.diffusion.networks import (
    build_pipeline,
    build_unet,
    build_vae,
    save_pipeline,
)

SIDE = 16


def save_base(folder: Path) -> Path:
    """A pipeline with the record that a training of it would leave."""
    recipe = dataclasses.replace(RECIPE, guidance=1.0, sampling_steps=1)
    torch.manual_seed(4)
    vae = build_vae(SIDE, recipe.factor, recipe.latent_channels)
    unet = build_unet(
        SIDE // recipe.factor, encoder().width, widths=recipe.widths, attention_layers=2
    )
    save_pipeline(folder, build_pipeline(vae, unet, encoder(), build_scheduler(recipe)))
    facts = {"recipe": dataclasses.asdict(recipe), "family": "diffusion", "resolution": SIDE}
    write_json(folder / "training.json", facts)
    return folder


def trainer(
    out: Path, base: Path, ranks: Ranks = SINGLE_PROCESS, lr: float = 1e-3, **changes: Any
) -> ControlTrainer:
    """A trainer whose budget is 8 steps of 4 images."""
    defaults = {"resolution": SIDE, "seed": 3, "kimg": 0.032, "dtype": "float32", "ticks": 2}
    asked = request(out, **{**defaults, **changes})
    recipe = ControlRecipe(pipeline=str(base), lr=lr)
    opened = open_base(find_base(recipe.pipeline), "cpu")
    made = ControlTrainer(asked, recipe, opened, SceneImages(SIDE, seed=3), ranks)
    made.targets = Targets.of_suite(recipe.condition, SIDE, 4)
    return made
