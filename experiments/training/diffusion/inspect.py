"""What is looked at once a denoiser is trained: other solvers, steps and guidance."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from gandiff.common.grids import tile
from gandiff.experiments.training.diffusion.recipe import DiffusionRecipe, Solver, solvers_of
from gandiff.experiments.training.monitors.base import SEED, Monitor

GUIDANCE = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)
STEPS = (1, 2, 5, 10, 20, 50)
_FEWEST = 8  # prompts
_SHARE = 0.05  # of the time that the training took


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


def operating_points(
    sample: Sample, monitor: Monitor, recipe: DiffusionRecipe, seconds: float
) -> list[dict[str, Any]]:
    """What the monitor measures at other guidance by the recipe's solver in its steps, and in other
    steps by every solver that goes with the recipe.

    ``seconds`` is how long was trained: on as many of the prompts as take a twentieth of that;
    ``pictures`` in each row says how many were sampled. After a trial that is too short for 8 of
    them only the recipe's own solver is looked at, on 8.
    """
    own = Point.of(recipe)
    start = time.perf_counter()
    sample(monitor.prompts[:_FEWEST], SEED, own)
    a_pass = (time.perf_counter() - start) / _FEWEST * monitor.per_prompt / own.passes
    points = _points(recipe, solvers_of(recipe))
    prompts = round(_SHARE * seconds / (a_pass * sum(point.passes for point in points)))
    if prompts < _FEWEST:
        points = _points(recipe, (recipe.solver,))
    few, rows = monitor.first(max(_FEWEST, prompts)), []
    for point in points:
        score, measured = few.measure(sample(few.captions, SEED, point))
        numbers = {"num_inference_steps": point.steps, "guidance_scale": point.guidance}
        numbers |= {"score": score, "pictures": len(few.captions), **measured}
        rounded = {name: round(value, 4) for name, value in numbers.items()}
        rows.append({"solver": point.solver, **rounded})
    return rows


def _points(recipe: DiffusionRecipe, solvers: Sequence[Solver]) -> list[Point]:
    own = Point.of(recipe)
    return sorted(
        {
            *(own._replace(guidance=scale) for scale in (*GUIDANCE, own.guidance)),
            *(own._replace(solver=one, steps=n) for one in solvers for n in STEPS),
        }
    )


def guidance_grid(
    sample: Sample, recipe: DiffusionRecipe, prompts: list[str]
) -> UInt8[np.ndarray, "h w 3"]:
    """Rows are prompts, columns ``GUIDANCE``, with one noise."""
    own = Point.of(recipe)
    columns = [sample(prompts, SEED, own._replace(guidance=scale)) for scale in GUIDANCE]
    pictures = np.stack(columns, 1).reshape(-1, *columns[0].shape[1:])
    return tile(pictures, len(GUIDANCE))
