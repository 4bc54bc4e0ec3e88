"""Build one scheduler from another, so that it solves for the same network.

``from_config`` of diffusers passes on what both classes have and what the first one was given by
name. What it leaves out changes images without a word: values that were defaults of the first class
(Heun's noise schedule is another one than DDPM's), clipping that the second class does by default
and the first one never did, a shift that goes by two names. What the network was trained with is
therefore passed on by value here; what the new class cannot do is refused.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from gandiff.common.errors import GeneratorError
from gandiff.models.diffusion.schedulers import (
    CLIPPING,
    SOLVERS,
    check_options,
    kind_of,
    solver_class,
)

_SCHEDULE = ("beta_start", "beta_end", "beta_schedule", "trained_betas", "rescale_betas_zero_snr")
_TRAINED = ("num_train_timesteps", "prediction_type", *_SCHEDULE)
_SPACED = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
# Classes that clip their estimates of the image where the configuration says so. Others may carry
# the field, from a conversion or from a copied signature (CogVideoX's), and do nothing.
_CLIP = ("DDIM", "DDIMParallel", "DDPM", "DDPMParallel", "HeunDiscrete", "LCM")
_THRESHOLD = (
    *("DDIM", "DDIMParallel", "DDPM", "DDPMParallel", "LCM", "DEISMultistep", "UniPCMultistep"),
    *("DPMSolverMultistep", "DPMSolverSinglestep", "SASolver"),
)
# alphas_cumprod at the last step of schedules that end at zero: diffusers' own value where sigma
# must be finite, the smallest number of half precision.
_NEARLY_ZERO = 2.0**-24


def build_scheduler(name: str, original: Any, options: Mapping[str, Any]) -> Any:
    """Build the solver ``name`` from the scheduler that the pipeline came with.

    What the network was trained with stays; ``options`` come on top. Pass the scheduler as it was
    loaded: converting one that is already a conversion would lose what the first one does not know.
    Raises ``GeneratorError`` for options that the class does not have, and for a solver that cannot
    do what the pipeline needs.
    """
    cls = _class(name, original)
    known = set(inspect.signature(cls).parameters)
    waived = {field for field in CLIPPING if options.get(field) is False}
    options = check_options(cls.__name__, options)
    kind = kind_of(type(original).__name__, original.config)
    preset: dict[str, Any] = dict(SOLVERS[name].options)
    if kind == "flow":
        preset |= _flow_fields(name, cls, original, options)
    elif kind == "noise":
        preset |= {key: original.config[key] for key in _TRAINED if key in original.config}
        preset |= _clipping(name, cls, original, waived) | _final_level(original.config)
    given = {**{key: value for key, value in preset.items() if key in known}, **options}
    if kind == "noise":
        changed = bool(set(_SCHEDULE) & set(options))
        scheduler = _with_the_schedule(cls, original, given, changed)
        if not _takes_variance(type(original).__name__, cls.__name__):
            # Pipelines ask for it to know whether to pass on the variance that a network predicts.
            scheduler.register_to_config(variance_type=None)
        return scheduler
    config = dict(original.config)
    config.pop("_use_default_values", None)  # what was a default holds as well
    return _built(cls, config, given)


def with_options(original: Any, options: Mapping[str, Any]) -> Any:
    """Return the pipeline's own solver with some options changed."""
    check_options(type(original).__name__, options)
    return _built(type(original), original.config, options)


def _class(name: str, original: Any) -> Any:
    import diffusers

    return getattr(diffusers, solver_class(name, type(original).__name__, original.config))


def _built(cls: Any, config: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
    try:
        scheduler = cls.from_config(dict(config), **options)
    except Exception as error:  # each solver checks its options in a way of its own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise GeneratorError(
            f"{cls.__name__} cannot be built with these options: {reason}"
        ) from error
    return scheduler


def _with_the_schedule(cls: Any, original: Any, options: dict[str, Any], changed: bool) -> Any:
    """Build a solver whose noise levels are those of the original, by number where its class knows
    no name for them (a zero terminal signal, CogVideoX's shift, a schedule of few classes).
    """
    wanted = original.alphas_cumprod.double().numpy()
    try:
        scheduler = _built(cls, original.config, options)
        if changed or np.allclose(scheduler.alphas_cumprod.numpy(), wanted, rtol=1e-4, atol=1e-6):
            return scheduler
    except GeneratorError:
        if changed:
            raise
    products = np.maximum(wanted, _NEARLY_ZERO)
    betas = 1 - products / np.concatenate([[1.0], products[:-1]])
    return _built(cls, original.config, {**options, "trained_betas": betas.tolist()})


def _takes_variance(own: str, new: str) -> bool:
    """Whether the new class takes a predicted variance as the original does. Those of DPM-Solver
    count on images of three channels, latents have more.
    """
    return new == "DDPMScheduler" or (own.startswith("DPMSolver") and new.startswith("DPMSolver"))


def _clipping(name: str, cls: type, original: Any, waived: set[str]) -> dict[str, Any]:
    """Say how the solver clips its estimates of the image: as the original does, or not at all."""
    config, own = original.config, type(original).__name__
    asked = {
        "thresholding": _short(own) in _THRESHOLD and bool(config.get("thresholding")),
        "clip_sample": _short(own) in _CLIP and bool(config.get("clip_sample")),
    }
    asked["clip_sample"] &= not asked["thresholding"]  # which goes first, and alone
    field = next((key for key, on in asked.items() if on and key not in waived), None)
    if field is None:
        return {"clip_sample": False, "thresholding": False}
    fields = _clips_alike(cls.__name__, field, config)
    if fields is None:
        able = [key for key, solver in SOLVERS.items() if _clips_alike(solver.cls, field, config)]
        raise GeneratorError(
            f"the scheduler {name!r} cannot clip the estimate of the image at every step, which "
            f"the pipeline's own {own} does ({field}: true); use one of {', '.join(able)}, or "
            f"switch it off with scheduler_options: {{{field}: false}}"
        )
    return fields


def _clips_alike(cls: str, field: str, config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the fields with which a class clips as the configuration says, None if it cannot.

    A threshold of at most 1 is the same as clipping to -1 to 1.
    """
    if field == "thresholding" and _short(cls) in _THRESHOLD:
        keys = ("thresholding", "dynamic_thresholding_ratio", "sample_max_value")
        return {"clip_sample": False, **{key: config[key] for key in keys if key in config}}
    limit = config.get("clip_sample_range", 1.0)
    if field == "clip_sample" and _short(cls) in _CLIP:
        return {"clip_sample": True, "clip_sample_range": limit, "thresholding": False}
    if field == "clip_sample" and _short(cls) in _THRESHOLD and limit == 1.0:
        return {"thresholding": True, "sample_max_value": 1.0}
    return None


def _final_level(config: Mapping[str, Any]) -> dict[str, Any]:
    """Whether the last step ends at the image or at the lowest noise level of the training."""
    if "set_alpha_to_one" in config or "final_sigmas_type" not in config:
        return {}
    return {"set_alpha_to_one": config["final_sigmas_type"] == "zero"}


def _flow_fields(name: str, cls: type, original: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a solver needs to know of a flow-matching model.

    The shift goes by another name in the multistep classes, whose other spacings are for models of
    discrete noise and would end at the wrong noise level.
    """
    config, own = original.config, type(original).__name__
    lacking = _lacking(cls, config)
    if lacking is not None:
        able = [
            key for key in SOLVERS if SOLVERS[key].flow and not _lacking(_flow_class(key), config)
        ]
        raise GeneratorError(
            f"the scheduler {name!r} ({cls.__name__}) has no {lacking}, which this pipeline needs "
            f"(it came with {own}); use one of {', '.join(able)}"
        )
    shift = config.get("shift" if own.startswith("FlowMatch") else "flow_shift", 1.0)
    fields = {"shift": shift, "flow_shift": shift}
    if cls.__name__.startswith("FlowMatch"):
        return fields
    spaced = next((key for key in _SPACED if options.get(key)), None)
    if spaced is not None:
        raise GeneratorError(
            f"scheduler_options.{spaced}: {cls.__name__} has no such spacing for flow matching; "
            "leave it out"
        )
    fields |= dict.fromkeys(_SPACED, False)
    fields |= {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
    return {**fields, "final_sigmas_type": "zero"}


def _lacking(cls: type, config: Mapping[str, Any]) -> str | None:
    """Name what a flow-matching pipeline needs of its scheduler and the class does not have."""
    known = inspect.signature(cls).parameters
    for field in ("use_dynamic_shifting", "invert_sigmas", "scale_factors"):
        if config.get(field) and field not in known:
            return field
    by_line = config.get("use_dynamic_shifting") and config.get("time_shift_type") == "linear"
    return "linear time shift" if by_line and cls.__name__.startswith("DPM") else None


def _flow_class(name: str) -> type:
    import diffusers

    cls: type = getattr(diffusers, str(SOLVERS[name].flow))
    return cls


def _short(cls: str) -> str:
    return cls.removesuffix("Scheduler")
