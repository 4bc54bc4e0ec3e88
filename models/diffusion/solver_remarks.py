"""What a reader of a run should know of the solver that made its images."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

from gandiff.common.errors import GeneratorError
from gandiff.models.diffusion.schedulers import kind_of

_FAR = 0.08  # of the training's steps: where a solver starts or ends too far from the noise's level
_MANY = 0.1  # of them; that few steps are coarse is said of every solver's native point


def low_start(scheduler: Any) -> list[str]:
    """Mind a number of steps that does not divide that of the training: spaced from the beginning,
    the first one is then far below the noise that it is given. Raises ``GeneratorError`` where
    so many steps leave nothing of the way.
    """
    cls, config = type(scheduler).__name__, scheduler.config
    if kind_of(cls, config) != "noise":
        return []
    total, steps = config.num_train_timesteps, scheduler.num_inference_steps
    first = float(scheduler.timesteps[0])
    if steps > total and first < total / 2:
        raise GeneratorError(
            f"{cls} cannot make {steps} steps: the network was trained with {total}"
        )
    if steps < _MANY * total or first >= (1 - _FAR) * total:
        return []
    return [
        f"{cls} starts at timestep {first:.0f} of {total} with {steps} steps, far below the noise "
        f"that it is given; use a number of steps that divides {total}, or scheduler_options: "
        "{timestep_spacing: trailing}"
    ]


def changed_solver(name: str, scheduler: Any, original: Any) -> list[str]:
    """What the reader of a run should know of a solver that took the place of another."""
    config, lines = scheduler.config, list[str]()
    cls, total = type(scheduler).__name__, config.num_train_timesteps
    if kind_of(cls, config) != "noise":
        return lines
    steps, first = scheduler.num_inference_steps, float(scheduler.timesteps[0])
    with contextlib.suppress(Exception):  # the original may not make these steps
        own = copy.deepcopy(original)
        own.set_timesteps(steps)
        if first < float(own.timesteps[0]) - _FAR * total:
            lines.append(
                f"{cls} starts at timestep {first:.0f} of {total} with these steps, the pipeline's "
                f"own scheduler at {float(own.timesteps[0]):.0f}: its images are of another "
                "brightness; scheduler_options: {timestep_spacing: trailing} starts at the end"
            )
    if (
        name in ("ddim", "pndm")
        and config.timestep_spacing != "leading"
        and total - steps * (total // steps) > _FAR * total
    ):
        lines.append(
            f"{cls} steps by {total // steps} of {total} timesteps where {steps} steps are "
            f"{total / steps:.4g} apart, which leaves noise in the images; use a number of steps "
            f"that divides {total}"
        )
    if name in ("lcm", "tcd") and not type(original).__name__.startswith(("LCM", "TCD")):
        lines.append(
            f"{name} is made for models that were distilled for it; of others it draws images that "
            "differ less from each other than the model's own"
        )
    return lines
