"""Pictures of a pipeline in training or trained, by any solver, in any steps, with any guidance."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import UInt8

from gandiff.experiments.training.diffusion.noise import build_scheduler
from gandiff.experiments.training.diffusion.recipe import DiffusionRecipe, Solver


class Point(NamedTuple):
    """How a denoiser is sampled."""

    solver: Solver
    steps: int
    guidance: float

    @classmethod
    def of(cls, recipe: DiffusionRecipe) -> Point:
        """Where a recipe measures."""
        return cls(recipe.solver, recipe.sampling_steps, recipe.guidance)

    @property
    def passes(self) -> int:
        """How often the U-Net is called for a picture."""
        return self.steps * (2 if self.guidance > 1 else 1)


@runtime_checkable
class Sample(Protocol):
    """Pictures of captions at an operating point."""

    def __call__(
        self, captions: list[str], seed: int, point: Point
    ) -> UInt8[np.ndarray, "n h w 3"]:
        """One picture for each caption."""


def sample_at(
    pipe: Any,
    recipe: DiffusionRecipe,
    captions: list[str],
    seed: int,
    point: Point,
    parts: Iterable[slice],
) -> UInt8[np.ndarray, "n h w 3"]:
    """Pictures of a ``StableDiffusionPipeline`` that a recipe trained; picture i has noise i of the
    seed, however they are worked on in ``parts``. The pipeline is left with the point's solver.
    """
    pipe.scheduler = build_scheduler(dataclasses.replace(recipe, solver=point.solver))
    network = pipe.unet.config
    shape = (network.in_channels, network.sample_size, network.sample_size)
    draw = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(captions), *shape, generator=draw).to(pipe.unet.device)
    made = [
        pipe(
            captions[chosen],
            latents=noise[chosen],
            num_inference_steps=point.steps,
            guidance_scale=point.guidance,
            output_type="np",
        ).images
        for chosen in parts
    ]
    return (np.concatenate(made) * 255).round().astype(np.uint8)
