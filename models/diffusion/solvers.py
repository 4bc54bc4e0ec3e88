"""The solver that calls of a pipeline are made with: chosen, tried, put in place, observed."""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gandiff.common.errors import GeneratorError
from gandiff.common.files import read_json
from gandiff.common.words import counted
from gandiff.models.diffusion.class_source import built_with
from gandiff.models.diffusion.conversion import build_scheduler, with_options
from gandiff.models.diffusion.patching import replaced
from gandiff.models.diffusion.schedulers import check_options, kind_of, solver_class
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.diffusion.solver_remarks import changed_solver, low_start

# What diffusers raises where a pipeline and a scheduler do not fit each other.
_MISFITS = (TypeError, ValueError, AssertionError, AttributeError, KeyError, IndexError)


class ChosenSolver:
    """The scheduler of one generator for a pipeline that others may share, and what it did.

    ``scheduler`` is None where the pipeline has no single one.
    """

    def __init__(
        self, pipe: Any, scheduler: Any, replaced: bool, remarks: Sequence[str] = ()
    ) -> None:
        self.scheduler = scheduler
        self.remarks = tuple(remarks)
        self._replaced = replaced
        self._holders = holders(pipe)
        self._counts = {"step": 0, "scale_model_input": 0}

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Have the pipeline use this scheduler, and count its steps, until the end of the block.

        A pipeline that combines others holds its scheduler twice; the inner one denoises.
        """
        if self.scheduler is None:
            yield
            return
        with contextlib.ExitStack() as places:
            for name in ("step", "scale_model_input"):
                if hasattr(self.scheduler, name):
                    places.enter_context(replaced(self.scheduler, name, self._counted(name)))
            for holder in self._holders:
                places.enter_context(replaced(holder, "scheduler", self.scheduler))
            try:
                yield
                self._check_scaled()
            except _MISFITS as error:
                if self._replaced and (reason := _misfit(error, self.scheduler)):
                    cls, pipe = type(self.scheduler), type(self._holders[-1])
                    raise GeneratorError(
                        f"{cls.__name__} cannot drive {pipe.__name__} ({reason}); use another "
                        "scheduler, or leave scheduler and scheduler_options out"
                    ) from error
                raise

    def _counted(self, name: str) -> Callable[..., Any]:
        method = getattr(self.scheduler, name)

        @functools.wraps(method)  # pipelines look at its signature
        def counted(*args: Any, **kwargs: Any) -> Any:
            self._counts[name] += 1
            return method(*args, **kwargs)

        return counted

    def _check_scaled(self) -> None:
        """Refuse a solver that lets x_t grow with the noise where the pipeline's code, written for
        its own solver, gives that to the network as it is.
        """
        grows = float(getattr(self.scheduler, "init_noise_sigma", 1.0)) > 1
        used = self._counts["step"] > 0
        if self._replaced and grows and used and not self._counts["scale_model_input"]:
            cls, pipe = type(self.scheduler), type(self._holders[-1])
            raise GeneratorError(
                f"{cls.__name__} cannot drive {pipe.__name__}, whose code does not scale what the "
                "network is given; use ddim, ddpm or dpmsolver++, or leave scheduler out"
            )

    def used(self) -> dict[str, Any]:
        """Return what the calls so far have used: the class and how many timesteps it made.

        Empty before the first call. Raises ``GeneratorError`` where a call never asked the solver
        that was put in place.
        """
        if self.scheduler is None:
            return {}
        if not self._counts["step"]:
            if self._replaced:
                raise GeneratorError(
                    f"the pipeline never called the {type(self.scheduler).__name__} that was put "
                    "in the place of its own scheduler; leave scheduler and scheduler_options out"
                )
            return {}
        return {
            "scheduler_class": type(self.scheduler).__name__,
            "solver_steps": len(self.scheduler.timesteps),
            "first_timestep": round(float(self.scheduler.timesteps[0]), 3),
        }


def choose_solver(pipe: Any, settings: DiffusersSettings) -> ChosenSolver:
    """Choose the scheduler that calls of a pipeline are made with; the pipeline stays as loaded.

    Raises ``GeneratorError`` where the pipeline has no scheduler to replace, and for a solver that
    cannot be built, cannot make the steps or cannot do what the pipeline needs.
    """
    name, options = settings.scheduler, settings.scheduler_options
    original = getattr(pipe, "scheduler", None)
    replaced = name is not None or bool(options)
    if original is None:
        if replaced:
            raise GeneratorError(
                f"{type(pipe).__name__} has no single scheduler that could be replaced; "
                "leave scheduler and scheduler_options out"
            )
        return ChosenSolver(pipe, None, replaced)
    if name is not None:
        chosen = build_scheduler(name, original, options)
    else:
        chosen = with_options(original, options) if options else copy.deepcopy(original)
    steps = settings.num_inference_steps
    trial = copy.deepcopy(chosen)
    remarks = []
    if settings.extra.get("eta") and "eta" not in inspect.signature(chosen.step).parameters:
        raise GeneratorError(
            f"extra.eta has no effect with {type(chosen).__name__}: DDIM alone takes it; leave it "
            "out, or set scheduler: ddim"
        )
    if _try(trial, steps, settings.extra, drive=name is not None):
        remarks = low_start(trial)
        if name is not None:
            remarks = changed_solver(name, trial, original) or remarks
    return ChosenSolver(pipe, chosen, replaced, remarks)


def check_solver(settings: DiffusersSettings, cls: str, directory: Path | None) -> None:
    """Check the solver and its options against the class of the scheduler that a pipeline is saved
    with, and against its configuration where the pipeline is a directory.

    What can be known without building it; ``choose_solver`` checks the rest.
    """
    name, options = settings.scheduler, settings.scheduler_options
    path = None if directory is None else directory / "scheduler" / "scheduler_config.json"
    config = read_json(path, GeneratorError) if path is not None and path.is_file() else None
    if name is not None:
        if not cls or (config is None and kind_of(cls, {}) == "noise"):
            return  # that class may drive several kinds of models
        cls = solver_class(name, cls, config or {})
    if options and built_with(cls) is not None:
        check_options(cls, options)


def holders(pipe: Any) -> list[Any]:
    """Return the pipeline and those inside it that hold the same scheduler."""
    from diffusers import DiffusionPipeline

    own = getattr(pipe, "scheduler", None)
    inner = [value for value in vars(pipe).values() if isinstance(value, DiffusionPipeline)]
    return [one for one in (pipe, *inner) if getattr(one, "scheduler", None) is own]


def _misfit(error: Exception, scheduler: Any) -> str | None:
    """Say why a scheduler does not fit a pipeline, in one line; None where an error came from
    something else.
    """
    frame = traceback.extract_tb(error.__traceback__)[-1]
    asked = getattr(error, "obj", None) in (scheduler, scheduler.config)
    inside = f"{os.sep}schedulers{os.sep}" in frame.filename
    if not inside and not asked and frame.name not in ("retrieve_timesteps", "counted"):
        return None
    if "custom sigmas" in str(error) or "custom timestep" in str(error):
        return "it takes no sigmas or timesteps from the pipeline, which gives its own"
    return " ".join(str(error).split()) or frame.line or type(error).__name__


def _try(scheduler: Any, steps: int | None, extra: Mapping[str, Any], drive: bool) -> bool:
    """Find out now, not at the first image, whether the solver can make the steps; False where only
    a call can tell.

    What a call hands on to ``set_timesteps`` counts: ``timesteps`` or ``sigmas`` of one's own go
    before the number of steps.
    """
    cls = type(scheduler).__name__
    taken = inspect.signature(scheduler.set_timesteps).parameters
    custom = [key for key in ("timesteps", "sigmas") if extra.get(key) is not None]
    for key in custom:
        if key not in taken:
            raise GeneratorError(f"{cls} takes no {key} of one's own; leave extra.{key} out")
    if (custom and not drive) or (not custom and steps is None):
        return False
    given = {key: value for key, value in extra.items() if key in taken}
    what = f"the {' and '.join(custom)} of extra" if custom else counted(steps or 0, "step")
    if not custom:
        given["num_inference_steps"] = steps
    if scheduler.config.get("use_dynamic_shifting"):
        given["mu"] = 1.0  # which the pipeline computes from the size of the image
    try:
        scheduler.set_timesteps(**given)
        finite = not drive or _drive(scheduler)
    except Exception as error:  # each solver checks its options in a way of its own
        reason = " ".join(str(error).split()) or type(error).__name__
        if "intermediate_timesteps" in taken:
            reason += " Set extra: {intermediate_timesteps: null}"
        raise GeneratorError(f"{cls} cannot make {what}: {reason}") from error
    if not finite:
        raise GeneratorError(
            f"{cls} makes numbers that are not finite with the noise schedule and the prediction "
            f"({scheduler.config.get('prediction_type')}) of this pipeline; use another scheduler"
        )
    return True


def _drive(scheduler: Any) -> bool:
    """Make all steps of a small image with a network that always answers the same, and say whether
    the image is finite.
    """
    import torch

    random = torch.Generator().manual_seed(0)
    noise = torch.randn(1, 3, 8, 8, generator=random)
    learned = scheduler.config.get("variance_type") in ("learned", "learned_range")
    answer = torch.cat([noise, noise * 0], dim=1) if learned else noise
    more = (
        {"generator": random} if "generator" in inspect.signature(scheduler.step).parameters else {}
    )
    x = noise * float(getattr(scheduler, "init_noise_sigma", 1.0))
    for timestep in scheduler.timesteps:
        if hasattr(scheduler, "scale_model_input"):
            scheduler.scale_model_input(x, timestep)
        x = scheduler.step(answer, timestep, x, return_dict=False, **more)[0]
    return bool(torch.isfinite(x).all())
