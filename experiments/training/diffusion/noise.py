"""How signal turns into noise in a recipe: what is added, what is predicted, what counts how much.

Noise levels are the steps t = 0 .. T - 1 that the U-Net is given. A noisy picture is
signal(t) x + noise(t) e. For ``flow`` signal = 1 - noise and noise(t) = (t + 1/2) / T: diffusers'
solvers work at levels in between and round them down for the U-Net.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gandiff.experiments.training.diffusion.recipe import DiffusionRecipe

STEPS = 1000  # T
_KINDS = {"epsilon": "epsilon", "v": "v_prediction", "flow": "flow_prediction"}
_BETAS: dict[str, dict[str, Any]] = {
    "linear": {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02},
    "scaled_linear": {
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
    },
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
    "straight": {},
}
_BETAS["zero_terminal"] = {**_BETAS["scaled_linear"], "rescale_betas_zero_snr": True}
_SOLVERS = {
    "ddim": "DDIMScheduler",
    "euler": "EulerDiscreteScheduler",
    "dpmsolver++": "DPMSolverMultistepScheduler",
    "unipc": "UniPCMultistepScheduler",
}
# Solvers in log(signal / noise) begin here where schedules end in next to nothing of the signal
# (diffusers' documentation of ``lambda_min_clipped``).
_LEAST = -5.1
_COARSE = (4.0, 0.7)  # mean and deviation of log(noise / signal): where no more than blurs are seen
_FAINTEST = 1e-4  # of the signal, where a schedule ends in none: log(noise / signal) stays finite
# Of signal to noise, as a weight: about the last of Stable Diffusion's schedule. Schedules that end
# in no signal would never learn the level at which solvers begin.
_LEAST_RATIO = 0.004
_EVERYWHERE = 0.1  # of what a log-normal density draws is uniform


def _diffusers() -> Any:
    """The library, imported when it is needed; its classes carry no types."""
    import diffusers

    return diffusers


class Noising:
    """The forward process of a recipe, as tables over its steps."""

    def __init__(self, recipe: DiffusionRecipe, device: str = "cpu") -> None:
        self.prediction, self.device = recipe.prediction, device
        if recipe.prediction == "flow":
            noise = (torch.arange(STEPS, dtype=torch.float64) + 0.5) / STEPS
            signal = 1 - noise
        else:
            kept = _diffusers().DDPMScheduler(STEPS, **_BETAS[recipe.schedule]).alphas_cumprod
            signal, noise = kept.double().sqrt(), (1 - kept.double()).sqrt()
        chances = density(recipe, signal, noise)
        weights = importance(recipe, signal, noise)
        self.density: Float[Tensor, " t"] = chances
        # Scaled so that an error that is the same at all steps is the loss.
        self.weights = (weights / (weights * chances).sum()).float().to(device)
        self.signal, self.noise = (table.float().to(device) for table in (signal, noise))
        self._cumulated = chances.cumsum(0)
        self._coarse = _log_normal(signal, noise, *_COARSE).cumsum(0)

    def draw(self, n: int, generator: torch.Generator, coarse: float = 0.0) -> Int[Tensor, " n"]:
        """A step for each row of a batch, by the density; each n-th of it gets one, in order.

        A share of ``coarse`` is of the steps that hold next to nothing but noise.
        """
        cumulated = torch.lerp(self._cumulated, self._coarse, coarse)
        within = torch.rand(1, generator=generator, dtype=torch.float64)
        places = (torch.arange(n, dtype=torch.float64) + within) / n
        steps = torch.searchsorted(cumulated, places, right=True)
        return steps.clamp(max=STEPS - 1).to(self.device)

    def add(self, x: Tensor, e: Tensor, t: Int[Tensor, " n"]) -> Tensor:
        """Pictures with noise e."""
        signal, noise = self._at(t)
        return signal * x + noise * e

    def target(self, x: Tensor, e: Tensor, t: Int[Tensor, " n"]) -> Tensor:
        """What the network is to predict of pictures x with noise e."""
        if self.prediction == "epsilon":
            return e
        signal, noise = self._at(t)
        return e - x if self.prediction == "flow" else signal * e - noise * x

    def picture(self, noisy: Tensor, predicted: Tensor, t: Int[Tensor, " n"]) -> Tensor:
        """The picture that follows from a prediction."""
        signal, noise = self._at(t)
        if self.prediction == "epsilon":
            return (noisy - noise * predicted) / signal
        return noisy * (1 if self.prediction == "flow" else signal) - noise * predicted

    def _at(self, t: Int[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        return self.signal[t][:, None, None, None], self.noise[t][:, None, None, None]


def density(
    recipe: DiffusionRecipe, signal: Float[Tensor, " t"], noise: Float[Tensor, " t"]
) -> Float[Tensor, " t"]:
    """How often each step is trained; they add up to 1."""
    if recipe.timesteps == "uniform":
        chances = torch.ones_like(noise)
    elif recipe.timesteps == "log-normal":
        chances = _log_normal(signal, noise, recipe.log_noise_mean, recipe.log_noise_std)
        chances = _EVERYWHERE / STEPS + (1 - _EVERYWHERE) * chances
    else:  # the logit of a place between picture (0) and noise (1) is standard normal
        place = (torch.arange(STEPS, dtype=noise.dtype) + 0.5) / STEPS
        chances = torch.exp(-0.5 * torch.logit(place).square()) / (place * (1 - place))
    return chances / chances.sum()


def _log_normal(
    signal: Float[Tensor, " t"], noise: Float[Tensor, " t"], mean: float, deviation: float
) -> Float[Tensor, " t"]:
    level = torch.log(noise / signal.clamp(min=_FAINTEST))
    apart = (level - mean) / deviation
    chances = torch.exp(-0.5 * apart.square()) * torch.gradient(level)[0]
    return chances / chances.sum()


def importance(
    recipe: DiffusionRecipe, signal: Float[Tensor, " t"], noise: Float[Tensor, " t"]
) -> Float[Tensor, " t"]:
    """How much the squared error of a prediction counts at each step."""
    if not recipe.min_snr:
        return torch.ones_like(noise)
    ratio = (signal / noise).square()
    # What the squared error of the picture is, in squared errors of the prediction.
    if recipe.prediction == "epsilon":
        return ratio.clamp(max=recipe.min_snr) / ratio
    return ratio.clamp(_LEAST_RATIO, max(_LEAST_RATIO, recipe.min_snr)) * noise.square()


def build_scheduler(recipe: DiffusionRecipe) -> Any:
    """Diffusers' solver of the recipe, as it is saved with the pipeline."""
    betas = dict(_BETAS[recipe.schedule])
    kind = getattr(_diffusers(), _SOLVERS[recipe.solver])
    own: dict[str, Any] = {}
    if recipe.solver == "ddim":
        own = {"clip_sample": False, "set_alpha_to_one": True}
    elif recipe.prediction == "flow":
        own = {"use_flow_sigmas": True}
    elif recipe.solver == "dpmsolver++" and recipe.schedule in ("cosine", "zero_terminal"):
        own = {"lambda_min_clipped": _LEAST}
    return kind(
        num_train_timesteps=STEPS,
        prediction_type=_KINDS[recipe.prediction],
        timestep_spacing="trailing",  # solvers begin where nothing but noise is left
        steps_offset=1,
        **betas,
        **own,
    )
