"""Small GANs in training: networks of a few thousand weights on scenes of 8 px."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import torch
from training_helpers import request

from gandiff.experiments.data.captioned import CaptionedImages, SceneImages
from gandiff.experiments.training.gan.recipe import GanRecipe
from gandiff.experiments.training.gan.trainer import GanTrainer
from gandiff.experiments.training.generators.trainer import GeneratorTrainer
from gandiff.experiments.training.ranks import SINGLE_PROCESS, Ranks
from gandiff.models.gan.config import GanConfig
from gandiff.models.text import TextEncoder, build_text_encoder
from gandiff.models.tokenizer import build_tokenizer

WORDS = ["a red star left of a blue ring", "a small heart on white"] * 2
CONFIG = GanConfig(
    resolution=16,
    text_width=16,
    z_width=8,
    style_width=16,
    g_widths=(16, 8, 4),
    d_widths=(16, 8),
    attention=(8,),
    heads=2,
    d_features=16,
)
# Steps are small: what rounding leaves of a gradient, Adam makes as large as any other.
SMALL_LR = {"lr": 1e-4, "lr_end": 1e-5}  # all that there is without a warm-up
SMALL_STEPS = {**SMALL_LR, "d_warmup_lr": 1e-4, "d_warmup_lr_end": 1e-4}
RECIPE = GanRecipe(penalty_interval=2, d_warmup=0.0, g_warmup=0.0, num_mismatched=2, **SMALL_STEPS)


def encoder() -> TextEncoder:
    tokenizer = build_tokenizer(WORDS)
    torch.manual_seed(1)
    return TextEncoder(build_text_encoder(tokenizer, 16, 1, 2), tokenizer)


def trainer(
    out: Path,
    recipe: GanRecipe = RECIPE,
    ranks: Ranks = SINGLE_PROCESS,
    images: CaptionedImages | None = None,
    **changes: Any,
) -> GanTrainer:
    """A trainer whose budget is 8 steps of 4 images."""
    defaults = {"resolution": 16, "seed": 3, "kimg": 0.032, "dtype": "float32", "ticks": 2}
    asked = request(out, **{**defaults, **changes})
    config = dataclasses.replace(CONFIG, minibatch_std=recipe.minibatch_std)
    images = images or SceneImages(16, seed=3)
    return GanTrainer(asked, recipe, config, encoder(), images, ranks)


def run(one: GeneratorTrainer, steps: int) -> list[dict[str, float]]:
    """So many steps of the loop, and what each returned."""
    found: list[dict[str, float]] = []

    def step() -> tuple[int, dict[str, float]]:
        shown, losses = one.step()
        found.append(losses)
        if len(found) == steps:
            one.loop._asked = True
        return shown, losses

    try:
        one.loop.run(step)
    except KeyboardInterrupt:
        assert len(found) == steps
    return found


def states(one: GanTrainer) -> dict[str, Any]:
    parts = {"g": one.g, "d": one.d, "ema": one.ema.module, "g_opt": one.g_opt, "d_opt": one.d_opt}
    return {name: part.state_dict() for name, part in parts.items()}


def refusing(asked: Any, ranks: Ranks, kind: type[Exception]) -> None:
    if ranks.rank == 1:
        raise kind("the second process has no data")
    time.sleep(60)
