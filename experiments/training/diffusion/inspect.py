"""What is looked at once a denoiser is trained: how it does in other steps and guidance."""

from __future__ import annotations

import time
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from gandiff.common.grids import tile
from gandiff.experiments.training.diffusion.recipe import DiffusionRecipe
from gandiff.experiments.training.monitors.base import SEED, Monitor

GUIDANCE = (1.0, 1.5, 2.0, 3.0, 5.0)
STEPS = (2, 5, 10, 20, 50)
_FEWEST = 8  # prompts
_SHARE = 0.05  # of the time that the training took


@runtime_checkable
class Sample(Protocol):
    """Pictures of captions, in so many steps and with such a guidance scale."""

    def __call__(
        self, captions: list[str], seed: int, steps: int | None, guidance: float | None
    ) -> UInt8[np.ndarray, "n h w 3"]:
        """One picture for each caption; None is what the recipe says."""


def operating_points(
    sample: Sample, monitor: Monitor, recipe: DiffusionRecipe, seconds: float
) -> list[dict[str, Any]]:
    """What the monitor measures at other guidance in the recipe's steps, and in other steps.

    ``seconds`` is how long was trained: on as many of the prompts as take a twentieth of that, or
    on 8; ``pictures`` in each row says how many were sampled.
    """
    own = (recipe.sampling_steps, recipe.guidance)
    points = sorted({own, *((own[0], g) for g in GUIDANCE), *((n, own[1]) for n in STEPS)})
    start = time.perf_counter()
    sample(monitor.prompts[:_FEWEST], SEED, *own)
    a_prompt = (time.perf_counter() - start) / _FEWEST * monitor.per_prompt
    passes = sum(map(_passes, points)) / _passes(own)
    few = monitor.first(max(_FEWEST, round(_SHARE * seconds / (a_prompt * passes))))
    rows = []
    for steps, guidance in points:
        score, measured = few.measure(sample(few.captions, SEED, steps, guidance))
        row = {"num_inference_steps": steps, "guidance_scale": guidance, "score": score}
        row |= {"pictures": len(few.captions), **measured}
        rows.append({name: round(value, 4) for name, value in row.items()})
    return rows


def _passes(point: tuple[int, float]) -> int:
    """How often the U-Net is called for a picture."""
    steps, guidance = point
    return steps * (2 if guidance > 1 else 1)


def guidance_grid(sample: Sample, prompts: list[str]) -> UInt8[np.ndarray, "h w 3"]:
    """Rows are prompts, columns guidance from 1 to 5, with one noise."""
    columns = [sample(prompts, SEED, None, scale) for scale in GUIDANCE]
    pictures = np.stack(columns, 1).reshape(-1, *columns[0].shape[1:])
    return tile(pictures, len(GUIDANCE))
