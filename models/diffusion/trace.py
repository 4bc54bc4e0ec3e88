"""The way from noise to image: x_t and the model's estimate of x_0 at every step, for any solver.

The hook is ``scheduler.step``: many pipelines have no callback, and every solver has a step. The
wrapper keeps the signature, since pipelines look at it to decide whether to pass the generators on;
without it stochastic solvers would silently draw from the global random state.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from gandiff.models.diffusion.counting import components
from gandiff.models.diffusion.patching import replaced

_LARGE = 2**20  # bytes; larger tensors wait in the memory of the CPU


class Step(NamedTuple):
    """What a solver was given in one step: x_t as the network sees it, and the x_0 estimate."""

    timestep: float
    noisy: torch.Tensor
    estimate: torch.Tensor | None


@dataclasses.dataclass
class Stage:
    """Successive steps of one scheduler with tensors of one shape."""

    scheduler: Any
    shape: torch.Size
    steps: list[Step] = dataclasses.field(default_factory=list)
    end: torch.Tensor | None = None  # what the last step gave


class StepRecorder:
    """Keeps the steps that a pipeline makes for one image while it is entered, stage by stage.

    What the pipeline computes is bit for bit what it computes without a recorder.
    """

    def __init__(self, pipe: Any) -> None:
        self.stages: list[Stage] = []
        self.calls = 0
        self._schedulers = schedulers(pipe)
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> StepRecorder:
        for scheduler in self._schedulers:
            step = wrapped_step(scheduler, functools.partial(self._record, scheduler))
            self._stack.enter_context(replaced(scheduler, "step", step))
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def _record(self, scheduler: Any, step: Any, given: Mapping[str, Any]) -> Any:
        sample, timestep = given["sample"], given["timestep"]
        seen = _as_seen(scheduler, sample, timestep)
        result = step()
        estimate = estimated_x0(scheduler, result, given["model_output"], timestep, seen)
        stage = self.stages[-1] if self.stages else None
        if stage is None or stage.scheduler is not scheduler or stage.shape != sample.shape:
            stage = Stage(scheduler, sample.shape)
            self.stages.append(stage)
        time = float(torch.as_tensor(timestep).flatten()[0])
        stage.steps.append(Step(time, _kept(seen), None if estimate is None else _kept(estimate)))
        stage.end = _kept(result[0])
        self.calls += 1
        return result


def schedulers(pipe: Any) -> list[Any]:
    """The schedulers of a pipeline and of those that it is made of, each once."""
    kept: list[Any] = []
    for _, component in components(pipe):
        steps = not isinstance(component, torch.nn.Module) and hasattr(component, "step")
        if steps and not any(component is other for other in kept):
            kept.append(component)
    return kept


def wrapped_step(scheduler: Any, around: Any) -> Any:
    """``scheduler.step`` as ``around(step, given)`` makes it, with the same signature.

    ``step`` takes no more arguments; ``given`` are those of the call by name.
    """
    original = scheduler.step
    signature = inspect.signature(original)

    @functools.wraps(original)
    def step(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        return around(functools.partial(original, *args, **kwargs), given)

    return step


def estimated_x0(
    scheduler: Any, result: Any, model_output: torch.Tensor, timestep: Any, seen: torch.Tensor
) -> torch.Tensor | None:
    """The x_0 that a step stands for: what the solver says, else computed; None if unknown.

    ``seen`` is x_t as the network was given it. Call it after the step.
    """
    if _says_x0(scheduler.__class__):
        second = result[1] if len(result) > 1 else None
        if isinstance(second, torch.Tensor):
            return second
    if model_output.shape[0] == seen.shape[0] and model_output.shape[1:2] != seen.shape[1:2]:
        model_output = model_output[:, : seen.shape[1]]  # the rest is a variance
    if model_output.shape != seen.shape:
        return None
    sigma = _sigma(scheduler)
    if _is_flow(scheduler):
        if sigma is None:
            return None
        end = 1.0 if scheduler.config.get("invert_sigmas") else 0.0  # where x_0 is
        return seen + (end - sigma) * model_output
    level = _level(scheduler, timestep, sigma)
    kind = str(scheduler.config.get("prediction_type", "epsilon"))
    return None if level is None else predicted_x0(kind, model_output, seen, *level)


def predicted_x0(
    prediction: str, model_output: torch.Tensor, x_t: torch.Tensor, alpha: float, sigma: float
) -> torch.Tensor | None:
    """Return x_0 from what the network predicts at x_t = alpha x_0 + sigma noise; None if unknown.

    Noise: Ho et al. 2020, eq. 15; at alpha = 0 it says nothing of x_0. Velocity v = alpha noise -
    sigma x_0: Salimans and Ho 2022, appendix D. Flow = noise - x_0 with alpha = 1 - sigma: Esser et
    al. 2024, section 2.
    """
    if prediction == "epsilon":
        return (x_t - sigma * model_output) / alpha if alpha > 1e-4 else None
    if prediction == "v_prediction":
        return alpha * x_t - sigma * model_output
    if prediction == "flow_prediction":
        return x_t - sigma * model_output
    return model_output if prediction == "sample" else None


@functools.cache
def _says_x0(cls: Any) -> bool:
    """Whether the second thing that a scheduler's step gives is x_0; TCD's is a noised sample."""
    outputs = vars(sys.modules[cls.__module__]).values()
    names = (vars(one).get("__annotations__", {}) for one in outputs if isinstance(one, type))
    return any({"pred_original_sample", "denoised"} & set(fields) for fields in names)


def _is_flow(scheduler: Any) -> bool:
    flows = type(scheduler).__name__.startswith("FlowMatch")
    return flows or scheduler.config.get("prediction_type") == "flow_prediction"


def _sigma(scheduler: Any) -> float | None:
    """The noise level of the step that was just made, where the scheduler has a list of them."""
    if getattr(scheduler, "sigmas", None) is None or scheduler.step_index is None:
        return None
    return float(scheduler.sigmas[scheduler.step_index - 1])  # step() has counted on


def _level(scheduler: Any, timestep: Any, sigma: float | None) -> tuple[float, float] | None:
    """Return (alpha, sigma) of x_t = alpha x_0 + sigma noise at the step that was just made."""
    if sigma is not None:
        alpha = (1.0 + sigma**2) ** -0.5
        return alpha, sigma * alpha
    if hasattr(scheduler, "alphas_cumprod"):
        product = float(scheduler.alphas_cumprod[int(timestep)])
    elif hasattr(scheduler, "_alpha_cumprod"):  # of Wuerstchen, whose time is a ratio
        time = torch.as_tensor(timestep).flatten()[:1]
        product = float(scheduler._alpha_cumprod(time, time.device))
    else:
        return None
    return product**0.5, (1.0 - product) ** 0.5


def _as_seen(scheduler: Any, sample: torch.Tensor, timestep: Any) -> torch.Tensor:
    """Scale x_t as the network sees it: some solvers let it grow to the size of sigma."""
    if hasattr(scheduler, "scale_model_input"):
        return torch.as_tensor(scheduler.scale_model_input(sample, timestep))
    return sample


def _kept(tensor: torch.Tensor) -> torch.Tensor:
    """A copy that later steps cannot change."""
    copy = tensor.detach().clone()
    return copy.cpu() if copy.nbytes > _LARGE else copy
