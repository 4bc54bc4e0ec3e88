"""Trainings of both families, for what must hold for each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import diffusion_helpers
import gan_helpers
import numpy as np
import pytest
import torch
from jaxtyping import UInt8

from gandiff.experiments.training.diffusion.trainer import DiffusionTrainer
from gandiff.experiments.training.gan.trainer import GanTrainer
from gandiff.experiments.training.generators.trainer import GeneratorTrainer
from gandiff.experiments.training.monitors.base import Monitor
from gandiff.experiments.training.ranks import Ranks


class Sorted(Monitor):
    """Gets better from tick to tick; ``facts`` are what it found beside the score."""

    def __init__(
        self,
        facts: Callable[[float], dict[str, float]] = lambda _: {
            "fd": 12.345,
            "recall": 0.5,
            "precision": 0.7,
        },
    ) -> None:
        self.captions, self.per_prompt, self.score = ["a star", "a ring"], 1, 0.0
        self.facts = facts

    def measure(self, pictures: UInt8[np.ndarray, "n h w 3"]) -> tuple[float, dict[str, float]]:
        self.score += 1
        return self.score, self.facts(self.score)


class Family(NamedTuple):
    """How a small training of one family is made, what it holds, and by which name it goes."""

    trainer: Callable[..., Any]
    states: Callable[[Any], dict[str, Any]]
    kind: type[Any]
    label: str
    in_bar: str  # what the progress bar shows of a step
    loss: str


FAMILIES = {
    "gan": Family(
        gan_helpers.trainer, gan_helpers.states, GanTrainer, "GAN", "p_real_above_fake", "d_loss"
    ),
    "diffusion": Family(
        diffusion_helpers.trainer,
        diffusion_helpers.states,
        DiffusionTrainer,
        "denoiser",
        "mse",
        "loss",
    ),
}


@pytest.fixture(params=FAMILIES)
def each_family(request: pytest.FixtureRequest) -> Family:
    return FAMILIES[request.param]


def weights(one: GeneratorTrainer) -> dict[str, torch.Tensor]:
    """All parameters and averages of a training, by name."""
    states = FAMILIES[one.recipe.family].states(one)
    return {
        f"{part}/{name}": value.clone()
        for part, state in states.items()
        for name, value in state.items()
        if isinstance(value, torch.Tensor)
    }


def train_small(asked: Any, ranks: Ranks, family: str) -> None:
    """What the children run: a small training, without ticks."""
    torch.set_num_threads(1)
    changes = {"kimg": asked.kimg, "processes": asked.processes, "resume": asked.resume}
    one = FAMILIES[family].trainer(Path(asked.out), ranks=ranks, **changes)
    one.loop.run(one.step)
