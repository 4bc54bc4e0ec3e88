"""The solver that the settings name, for calls of a pipeline, and whether it can make the steps."""

from __future__ import annotations

import copy
from typing import Any

from gandiff.common.errors import GeneratorError
from gandiff.models.diffusion.schedulers import build_scheduler, with_options
from gandiff.models.diffusion.settings import DiffusersSettings


def choose_solver(pipe: Any, settings: DiffusersSettings) -> Any:
    """The scheduler that calls of a pipeline are made with, which is left as it was loaded; None
    where it has no single one.

    Raises ``GeneratorError`` where the pipeline has no scheduler to replace, and for a solver that
    cannot be built or cannot make the steps.
    """
    name, options = settings.scheduler, settings.scheduler_options
    original = getattr(pipe, "scheduler", None)
    if original is None:
        if name is not None or options:
            raise GeneratorError(
                f"{type(pipe).__name__} has no single scheduler that could be replaced; "
                "leave scheduler and scheduler_options out"
            )
        return None
    if name is not None:
        chosen = build_scheduler(name, original, options)
    else:
        chosen = with_options(original, options) if options else copy.deepcopy(original)
    _try_steps(chosen, settings.num_inference_steps)
    return chosen


def _try_steps(scheduler: Any, steps: int) -> None:
    """Find out now, not at the first image, whether the solver can make that many steps."""
    if scheduler.config.get("use_dynamic_shifting"):
        return  # it needs to know the size of the image first
    try:
        scheduler.set_timesteps(steps)
    except Exception as error:  # each solver checks its options in a way of its own
        cls = type(scheduler).__name__
        raise GeneratorError(f"{cls} cannot make {steps} steps: {error}") from error
