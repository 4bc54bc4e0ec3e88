"""The way from noise to image: x_t and the model's estimate of x_0 at chosen steps, for any solver.

The hook is ``scheduler.step``: many pipelines have no callback, and every solver has a step. The
wrapper keeps the signature, since pipelines look at it to decide whether to pass the generators on;
without it stochastic solvers would silently draw from the global random state.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8

from gandiff.models.generator import TraceFrame
from gandiff.models.pixels import to_uint8

Latents = Float[torch.Tensor, "1 c rows columns"]
# Their second output is x_0; TCD's is a noised sample, and the multistep solvers return no second
# one.
_TELLS_X0 = ("DDIM", "DDPM", "Euler", "Heun", "KDPM2", "LCM")


class StepRecorder:
    """Keeps x_t and the x_0 estimate of some steps of one image while it is entered.

    ``steps`` are indices of ``scheduler.step`` calls; negative ones count from the end. Latents
    stay on their device until they are decoded, after the pipeline has finished. What the pipeline
    computes is bit for bit what it computes without a recorder.
    """

    def __init__(self, scheduler: Any, steps: Sequence[int]) -> None:
        self.rows: list[tuple[int, float, torch.Tensor, torch.Tensor | None]] = []
        self._scheduler = scheduler
        self._steps = list(steps)
        self._wanted: set[int] = set()
        self._calls = 0
        self._before: Any = None

    def __enter__(self) -> StepRecorder:
        step = self._scheduler.step
        self._before = vars(self._scheduler).get("step")  # set where somebody else has wrapped it

        @functools.wraps(step)
        def recorded(
            model_output: Any, timestep: Any, sample: Any, *args: Any, **kwargs: Any
        ) -> Any:
            wanted = self._is_wanted()
            shown = self._as_seen(sample, timestep) if wanted else None
            result = step(model_output, timestep, sample, *args, **kwargs)
            if shown is not None:
                estimate = self._estimate(result, model_output, timestep, shown)
                self.rows.append((self._calls, float(timestep), shown.clone(), estimate))
            self._calls += 1
            return result

        self._scheduler.step = recorded
        return self

    def __exit__(self, *exception: object) -> None:
        if self._before is None:
            del self._scheduler.step  # the method of the class shows again
        else:
            self._scheduler.step = self._before

    def _is_wanted(self) -> bool:
        if self._calls == 0:
            self._wanted = resolve_steps(self._steps, len(self._scheduler.timesteps))
        return self._calls in self._wanted

    def _as_seen(self, sample: torch.Tensor, timestep: Any) -> torch.Tensor:
        """Scale x_t as the network sees it: some solvers let it grow to the size of sigma."""
        if hasattr(self._scheduler, "scale_model_input"):
            return torch.as_tensor(self._scheduler.scale_model_input(sample, timestep))
        return sample

    def _estimate(
        self, result: Any, model_output: torch.Tensor, timestep: Any, seen: torch.Tensor
    ) -> torch.Tensor | None:
        name = type(self._scheduler).__name__
        if name.startswith(_TELLS_X0):
            second = result[1] if len(result) > 1 else None
            return second.detach().clone() if isinstance(second, torch.Tensor) else None
        level = self._level(timestep)
        if level is None or model_output.shape != seen.shape:
            return None
        return predicted_x0(self._prediction(), model_output, seen, *level)

    def _prediction(self) -> str:
        if type(self._scheduler).__name__.startswith("FlowMatch"):
            return "flow_prediction"
        return str(self._scheduler.config.get("prediction_type", "epsilon"))

    def _level(self, timestep: Any) -> tuple[float, float] | None:
        """Return (alpha, sigma) of x_t = alpha x_0 + sigma noise at the step that was just made."""
        scheduler = self._scheduler
        if hasattr(scheduler, "sigmas"):
            if scheduler.step_index is None:
                return None
            sigma = float(scheduler.sigmas[scheduler.step_index - 1])  # step() has counted on
            if self._prediction() == "flow_prediction":
                return 1.0 - sigma, sigma
            alpha = (1.0 + sigma**2) ** -0.5
            return alpha, sigma * alpha
        if hasattr(scheduler, "alphas_cumprod"):
            product = float(scheduler.alphas_cumprod[int(timestep)])
            return product**0.5, (1.0 - product) ** 0.5
        return None


def resolve_steps(steps: Sequence[int], total: int) -> set[int]:
    """Turn indices, negative ones from the end, into 0..total-1; ``ValueError`` outside."""
    for step in steps:
        if not -total <= step < total:
            raise ValueError(f"step {step} was asked for, but there are {total}: 0 to {total - 1}")
    return {step % total for step in steps}


def predicted_x0(
    prediction: str, model_output: torch.Tensor, x_t: torch.Tensor, alpha: float, sigma: float
) -> torch.Tensor | None:
    """Return x_0 from what the network predicts at x_t = alpha x_0 + sigma noise; None if unknown.

    Noise: Ho et al. 2020, eq. 15. Velocity v = alpha noise - sigma x_0: Salimans and Ho 2022,
    appendix D. Flow = noise - x_0 with alpha = 1 - sigma: Esser et al. 2024, section 2.
    """
    if prediction == "epsilon":
        return (x_t - sigma * model_output) / alpha
    if prediction == "v_prediction":
        return alpha * x_t - sigma * model_output
    if prediction == "flow_prediction":
        return x_t - sigma * model_output
    return model_output.clone() if prediction == "sample" else None


def can_trace(pipe: Any) -> bool:
    """Say whether the steps of a pipeline can be recorded and decoded here."""
    if not hasattr(getattr(pipe, "scheduler", None), "step") or hasattr(pipe, "_unpack_latents"):
        return False
    vae = getattr(pipe, "vae", None)
    return vae is not None and hasattr(getattr(vae, "config", {}), "scaling_factor")


def frames(pipe: Any, recorder: StepRecorder) -> list[TraceFrame]:
    """Decode what a recorder kept, in the order of the steps."""
    return [
        TraceFrame(
            step=step,
            timestep=timestep,
            noisy=decode(pipe, noisy),
            estimate=None if estimate is None else decode(pipe, estimate),
        )
        for step, timestep, noisy, estimate in recorder.rows
    ]


@torch.no_grad()
def decode(pipe: Any, latents: Latents) -> UInt8[np.ndarray, "h w 3"]:
    """Decode the latents of one image to pixels with the pipeline's autoencoder."""
    vae = pipe.vae
    upcast = vae.dtype == torch.float16 and bool(getattr(vae.config, "force_upcast", False))
    if upcast:
        vae.to(dtype=torch.float32)  # SDXL's decoder overflows in half precision
    z = latents.to(device=vae.device, dtype=vae.dtype)
    mean, std = (getattr(vae.config, name, None) for name in ("latents_mean", "latents_std"))
    if mean is not None and std is not None:
        z = z * torch.tensor(std).view(1, -1, 1, 1).to(z)
        z = z / vae.config.scaling_factor + torch.tensor(mean).view(1, -1, 1, 1).to(z)
    else:
        z = z / vae.config.scaling_factor + (getattr(vae.config, "shift_factor", None) or 0.0)
    pixels = vae.decode(z, return_dict=False)[0]
    if upcast:
        vae.to(dtype=torch.float16)
    return to_uint8(pixels[0].permute(1, 2, 0).float().cpu().numpy(), -1.0, 1.0)
