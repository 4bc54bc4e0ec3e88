"""The solvers that may replace a pipeline's own, by name and kind of model; nothing heavy.

diffusers' own list of compatible solvers is not used: it contains ``EDMEuler``, which runs on any
network and draws garbage unless that was trained with EDM's preconditioning, and ``DPMSolverSDE``,
whose noise is drawn for the whole batch at once and ignores the generators of the single images. It
leaves out LCM and TCD, which do work. LMS is not taken either: it needs SciPy, and the multistep
solvers are younger and better.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from gandiff.common.errors import GeneratorError, SettingError
from gandiff.common.names import did_you_mean
from gandiff.common.validation import check_values
from gandiff.models.diffusion.class_source import built_with

Kind = Literal["noise", "flow", "edm"]
CLIPPING = ("clip_sample", "thresholding")


@dataclasses.dataclass(frozen=True)
class Solver:
    """The scheduler classes of diffusers that make a solver, and the options that they need."""

    cls: str
    """For models that were trained on discrete steps of variance-preserving noise."""
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    flow: str | None = None
    """For flow matching, None where no class can."""
    edm: str | None = None
    """For EDM's preconditioning (Karras et al. 2022), None where no class can."""

    def named(self, kind: Kind) -> str | None:
        """Return the name of the class for one kind of model."""
        return {"noise": self.cls, "flow": self.flow, "edm": self.edm}[kind]


SOLVERS: Mapping[str, Solver] = {
    "ddim": Solver("DDIMScheduler"),
    "ddpm": Solver("DDPMScheduler"),
    # Without skip_prk_steps the first three steps cost four evaluations each (Runge-Kutta warm-up).
    "pndm": Solver("PNDMScheduler", {"skip_prk_steps": True}),
    "euler": Solver(
        "EulerDiscreteScheduler", flow="FlowMatchEulerDiscreteScheduler", edm="EDMEulerScheduler"
    ),
    "euler_ancestral": Solver("EulerAncestralDiscreteScheduler"),
    "heun": Solver("HeunDiscreteScheduler", flow="FlowMatchHeunDiscreteScheduler"),
    "kdpm2": Solver("KDPM2DiscreteScheduler"),
    "kdpm2_ancestral": Solver("KDPM2AncestralDiscreteScheduler"),
    "dpmsolver++": Solver(
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "dpmsolver++"},
        flow="DPMSolverMultistepScheduler",
        edm="EDMDPMSolverMultistepScheduler",
    ),
    # No flow form: pipelines of flow matching do not pass the generators of the images on.
    "sde-dpmsolver++": Solver(
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "sde-dpmsolver++"},
        edm="EDMDPMSolverMultistepScheduler",
    ),
    "dpmsolver++_singlestep": Solver(
        "DPMSolverSinglestepScheduler",
        {"algorithm_type": "dpmsolver++", "lower_order_final": True},
        flow="DPMSolverSinglestepScheduler",
    ),
    # A last step of high order to a noise level of 0 would be infinite.
    "unipc": Solver(
        "UniPCMultistepScheduler", {"lower_order_final": True}, flow="UniPCMultistepScheduler"
    ),
    # No flow form: its last step would end at the noise level of the one before.
    "deis": Solver("DEISMultistepScheduler", {"algorithm_type": "deis"}),
    "lcm": Solver("LCMScheduler"),
    "tcd": Solver("TCDScheduler"),
}

_NOISE = (
    *("DDIM", "DDIMParallel", "DDPM", "DDPMParallel", "PNDM", "LCM", "TCD", "SASolver"),
    *("EulerDiscrete", "EulerAncestralDiscrete", "HeunDiscrete", "LMSDiscrete", "DPMSolverSDE"),
    *("KDPM2Discrete", "KDPM2AncestralDiscrete", "DPMSolverMultistep", "DPMSolverSinglestep"),
    *("DEISMultistep", "UniPCMultistep", "CogVideoXDDIM", "CogVideoXDPM"),
)
_FLOW = ("FlowMatchEulerDiscrete", "FlowMatchHeunDiscrete", "FlowMatchLCM")
_EDM = ("EDMEuler", "EDMDPMSolverMultistep")


def kind_of(cls: str, config: Mapping[str, Any]) -> Kind | None:
    """Return which kind of model a scheduler of this class and configuration belongs to.

    None where no solver of the table can replace it: diffusion over tokens, consistency models with
    a schedule of their own, Wuerstchen's, and networks that are given the logarithm of sigma.
    """
    name = cls.removesuffix("Scheduler")
    if name in _FLOW:
        return "flow"
    if name in _EDM:
        return "edm"
    if name not in _NOISE or config.get("timestep_type") == "continuous":
        return None
    by_flow = config.get("prediction_type") == "flow_prediction" or config.get("use_flow_sigmas")
    return "flow" if by_flow else "noise"


def solver_class(name: str, cls: str, config: Mapping[str, Any]) -> str:
    """Return the class that makes the solver ``name`` of a pipeline whose scheduler has this class.

    Raises ``GeneratorError`` where there is none that can drive the model.
    """
    kind = kind_of(cls, config)
    if kind is None:
        raise GeneratorError(
            f"the scheduler {name!r} cannot replace the {cls} that the pipeline came with: its "
            "network was trained for that one; leave scheduler out"
        )
    named = SOLVERS[name].named(kind)
    if named is None:
        model = {"flow": "a flow-matching pipeline", "edm": "a pipeline of EDM's kind"}[kind]
        able = ", ".join(key for key, solver in SOLVERS.items() if solver.named(kind))
        raise GeneratorError(
            f"the scheduler {name!r} cannot drive {model} (it came with {cls}); use one of {able}"
        )
    return named


def check_scheduler_name(name: str) -> str:
    """Return the name; raises ``ValueError`` with the nearest one if no solver is called so."""
    if name not in SOLVERS:
        near = did_you_mean(name, SOLVERS)
        raise ValueError(f"there is no scheduler named {name!r}{near}")
    return name


def check_options(cls: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options to build the scheduler class of this name with.

    Clipping may be switched off for a class that could not do it: that gives up what the
    pipeline's own class does. Raises ``GeneratorError`` with the nearest name for an option that
    the class does not have, and for a value of a type that it does not take.
    """
    known = built_with(cls) or {}
    kept = {k: v for k, v in options.items() if k in known or k not in CLIPPING or v is not False}
    for key in kept:
        if key not in known:
            raise GeneratorError(f"{cls} has no option {key!r}{did_you_mean(key, known)}")
    try:
        check_values({key: known[key].hint for key in kept}, kept)
    except SettingError as error:
        raise GeneratorError(f"scheduler_options.{error} (of {cls})") from None
    return kept
