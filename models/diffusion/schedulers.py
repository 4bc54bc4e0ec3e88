"""The solvers that may replace a pipeline's own, by name; imports nothing heavy.

diffusers' own list of compatible solvers is not used: it contains ``EDMEuler``, which runs on any
network and draws garbage unless that was trained with EDM's preconditioning, and ``DPMSolverSDE``,
whose noise is drawn for the whole batch at once and ignores the generators of the single images. It
leaves out LCM and TCD, which do work. LMS is not taken either: it needs SciPy, and the multistep
solvers are younger and better.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

from gandiff.common.errors import GeneratorError, SettingError
from gandiff.common.names import did_you_mean
from gandiff.common.validation import check_values


@dataclasses.dataclass(frozen=True)
class Solver:
    """A scheduler class of diffusers and the options that make it the solver meant."""

    cls: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    flow: str | None = None  # the class for flow-matching pipelines, None where there is none


SOLVERS: Mapping[str, Solver] = {
    "ddim": Solver("DDIMScheduler"),
    "ddpm": Solver("DDPMScheduler"),
    # Without skip_prk_steps the first three steps cost four evaluations each (Runge-Kutta warm-up).
    "pndm": Solver("PNDMScheduler", {"skip_prk_steps": True}),
    "euler": Solver("EulerDiscreteScheduler", flow="FlowMatchEulerDiscreteScheduler"),
    "euler_ancestral": Solver("EulerAncestralDiscreteScheduler"),
    "heun": Solver("HeunDiscreteScheduler", flow="FlowMatchHeunDiscreteScheduler"),
    "kdpm2": Solver("KDPM2DiscreteScheduler"),
    "kdpm2_ancestral": Solver("KDPM2AncestralDiscreteScheduler"),
    "dpmsolver++": Solver(
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "dpmsolver++"},
        flow="DPMSolverMultistepScheduler",
    ),
    "sde-dpmsolver++": Solver("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "dpmsolver++_singlestep": Solver(
        "DPMSolverSinglestepScheduler", {"algorithm_type": "dpmsolver++"}
    ),
    "unipc": Solver("UniPCMultistepScheduler", flow="UniPCMultistepScheduler"),
    # No flow form: its last step would end at the noise level of the one before.
    "deis": Solver("DEISMultistepScheduler", {"algorithm_type": "deis"}),
    "lcm": Solver("LCMScheduler"),
    "tcd": Solver("TCDScheduler"),
}


def check_scheduler_name(name: str) -> str:
    """Return the name; raises ``ValueError`` with the nearest one if no solver is called so."""
    if name not in SOLVERS:
        near = did_you_mean(name, SOLVERS)
        raise ValueError(f"there is no scheduler named {name!r}{near}")
    return name


def build_scheduler(name: str, original: Any, options: Mapping[str, Any]) -> Any:
    """Build the solver ``name`` from the scheduler that the pipeline came with.

    It takes over the original configuration, so noise schedule, prediction type, time-step spacing
    and zero-SNR rescaling stay those of the training; ``options`` come on top. Pass the scheduler
    as it was loaded: converting one that is already a conversion would lose what the first one does
    not know. Raises ``GeneratorError`` for options that the class does not have, and for a solver
    that cannot drive a flow-matching pipeline.
    """
    import diffusers

    solver = SOLVERS[name]
    flow = is_flow(original)
    if flow and solver.flow is None:
        able = ", ".join(key for key, value in SOLVERS.items() if value.flow is not None)
        raise GeneratorError(
            f"the scheduler {name!r} cannot drive a flow-matching pipeline "
            f"(it came with {type(original).__name__}); use one of {able}"
        )
    cls = getattr(diffusers, solver.flow if flow and solver.flow else solver.cls)
    check_options(cls, options)
    preset = {**solver.options, **_flow_options(cls, original)} if flow else solver.options
    return _built(cls, original, {**preset, **options})


def with_options(original: Any, options: Mapping[str, Any]) -> Any:
    """Return the pipeline's own solver with some options changed."""
    check_options(type(original), options)
    return _built(type(original), original, options)


def check_options(cls: type, options: Mapping[str, Any]) -> None:
    """Raise ``GeneratorError`` with the nearest name for an option that ``cls`` does not have, and
    for a value of a type that it does not take.
    """
    known = [key for key in inspect.signature(cls).parameters if key not in ("args", "kwargs")]
    for key in options:
        if key not in known:
            raise GeneratorError(f"{cls.__name__} has no option {key!r}{did_you_mean(key, known)}")
    try:
        check_values(cls, options)
    except SettingError as error:
        raise GeneratorError(f"scheduler_options.{error} (of {cls.__name__})") from None


def named_class(name: str | None, own: str) -> str:
    """The class that drives a pipeline which came with the scheduler class ``own``."""
    if name is None:
        return own
    return (own.startswith("FlowMatch") and SOLVERS[name].flow) or SOLVERS[name].cls


def _built(cls: Any, original: Any, options: Mapping[str, Any]) -> Any:
    try:
        return cls.from_config(dict(original.config), **options)
    except Exception as error:  # each solver checks its options in a way of its own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise GeneratorError(
            f"{cls.__name__} cannot be built with these options: {reason}"
        ) from error


def is_flow(scheduler: Any) -> bool:
    """Say whether a scheduler belongs to a flow-matching model."""
    config = scheduler.config
    return (
        type(scheduler).__name__.startswith("FlowMatch")
        or config.get("prediction_type") == "flow_prediction"
        or bool(config.get("use_flow_sigmas"))
    )


def _flow_options(cls: type, original: Any) -> dict[str, Any]:
    """Give a multistep solver the flow settings that ``FlowMatch*`` schedulers have built in."""
    if cls.__name__.startswith("FlowMatch"):
        return {}
    shift = original.config.get("flow_shift", original.config.get("shift", 1.0))
    wanted = {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": shift}
    return {k: v for k, v in wanted.items() if k in inspect.signature(cls).parameters}
