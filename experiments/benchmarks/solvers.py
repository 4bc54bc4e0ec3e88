"""Do the solvers converge? Every one of the table, from every scheduler that pipelines come with.

    python -m gandiff.experiments.benchmarks.solvers --steps 100

The network is replaced by one that is perfect: the images are drawn from a mixture of Gaussians, of
which the best estimate at every noise level is known, and so is the image that a noise leads to,
by integrating the probability-flow ODE (Song et al. 2021) in many small steps. A cell says how many
levels of 255 the images of a deterministic solver differ from those on average, and for a
stochastic one which part of the true spread its images have.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import inspect
import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from gandiff.common.errors import GeneratorError
from gandiff.models.diffusion.conversion import build_scheduler
from gandiff.models.diffusion.schedulers import SOLVERS

STOCHASTIC = ("ddpm", "euler_ancestral", "kdpm2_ancestral", "sde-dpmsolver++", "lcm", "tcd")
SIGMA_DATA = 0.5  # of EDM's preconditioning
_SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
_V = {"prediction_type": "v_prediction", "timestep_spacing": "trailing"}
_FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 3.0}
_NOISE = (
    *("DDIM", "DDPM", "PNDM", "EulerDiscrete", "EulerAncestralDiscrete", "HeunDiscrete"),
    *("LMSDiscrete", "DPMSolverMultistep", "DPMSolverSinglestep", "KDPM2Discrete"),
    *("KDPM2AncestralDiscrete", "DEISMultistep", "UniPCMultistep", "SASolver", "LCM", "TCD"),
    *("CogVideoXDDIM", "CogVideoXDPM"),
)


@dataclasses.dataclass(frozen=True)
class Images:
    """A mixture of Gaussians in place of a data set of small images."""

    spread: float  # standard deviation of the means
    width: float  # of each Gaussian
    levels: float  # of 255, for a difference of 1

    @functools.cached_property
    def means(self) -> torch.Tensor:
        """The centres of the four Gaussians."""
        random = torch.Generator().manual_seed(5)
        return self.spread * torch.randn(4, 3, 4, 4, generator=random, dtype=torch.float64)

    @property
    def deviation(self) -> float:
        """Standard deviation of the values over all images, averaged over the places."""
        return float((self.means.var(0, unbiased=False) + self.width**2).sqrt().mean())

    def estimate(self, x: torch.Tensor, alpha: float, sigma: float) -> torch.Tensor:
        """The expectation of the image, given x = alpha image + sigma noise."""
        away = x[:, None] - alpha * self.means
        variance = (alpha * self.width) ** 2 + sigma**2
        weights = torch.softmax(-away.square().flatten(2).sum(-1) / (2 * variance), dim=1)
        centres = self.means + alpha * self.width**2 / variance * away
        return (weights[:, :, None, None, None] * centres).sum(1)

    def answer(self, kind: str, x: torch.Tensor, alpha: float, sigma: float) -> torch.Tensor:
        """What a perfect network that predicts this kind of thing says of x."""
        image = self.estimate(x, alpha, sigma)
        if kind == "sample":
            return image
        if kind == "flow_prediction":
            return (x - image) / sigma
        noise = (x - alpha * image) / max(sigma, 1e-12)
        return noise if kind == "epsilon" else alpha * noise - sigma * image


LATENTS = Images(spread=0.35, width=0.9, levels=64.0)  # of unit variance, as autoencoders have them
PIXELS = Images(spread=0.2, width=0.2, levels=127.5)  # hardly any outside of -1 to 1


@dataclasses.dataclass(frozen=True)
class Original:
    """A scheduler that pipelines are saved with, and the model that it belongs to."""

    cls: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    images: Images = LATENTS

    def load(self) -> Any:
        """Save the scheduler and read it from the file, as that of a pipeline is."""
        import diffusers

        cls = getattr(diffusers, self.cls + "Scheduler")
        known = inspect.signature(cls).parameters
        options = {key: value for key, value in self.options.items() if key in known}
        with tempfile.TemporaryDirectory() as folder:
            cls(**options).save_pretrained(folder)
            return cls.from_pretrained(folder)


def originals() -> dict[str, Original]:
    """Every kind of scheduler that the solvers replace, by a name for the table."""
    rows: dict[str, Original] = {}
    for name in _NOISE:
        rows[f"{name}, latents"] = Original(name, {**_SD, "clip_sample": False})
        rows[f"{name}, v"] = Original(name, {**_SD, **_V, "clip_sample": False})
        rows[f"{name}, pixels"] = Original(name, {"beta_schedule": "squaredcos_cap_v2"}, PIXELS)
    for name in ("DDIM", "EulerDiscrete", "DPMSolverMultistep", "CogVideoXDDIM"):
        zero = {**_SD, **_V, "clip_sample": False, "rescale_betas_zero_snr": True}
        rows[f"{name}, zero SNR"] = Original(name, zero)
    thresholded = {"thresholding": True, "sample_max_value": 1.5, "clip_sample": False}
    rows["DDPM, thresholding"] = Original("DDPM", thresholded, PIXELS)
    for shift in (1.0, 3.0):
        for name in ("Euler", "Heun"):
            name = f"FlowMatch{name}Discrete"
            rows[f"{name}, shift {shift:g}"] = Original(name, {"shift": shift})
    rows["FlowMatchLCM"] = Original("FlowMatchLCM", {"shift": 3.0})
    for key in ("exponential", "linear"):
        dynamic = {"use_dynamic_shifting": True, "time_shift_type": key, "shift_terminal": 0.02}
        rows[f"FlowMatchEulerDiscrete, dynamic {key}"] = Original("FlowMatchEulerDiscrete", dynamic)
    rows["FlowMatchEulerDiscrete, Karras"] = Original(
        "FlowMatchEulerDiscrete", {"use_karras_sigmas": True}
    )
    rows["DPMSolverMultistep, flow"] = Original("DPMSolverMultistep", _FLOW)
    rows["UniPCMultistep, flow"] = Original("UniPCMultistep", _FLOW)
    rows |= {name: Original(name) for name in ("EDMEuler", "EDMDPMSolverMultistep")}
    rows |= {name: Original(name) for name in ("SCM", "DDPMWuerstchen", "UnCLIP")}
    return rows


def levels_of(original: Any) -> Callable[[Any], tuple[float, float]]:
    """Return a function that says which alpha and sigma the network sees at a timestep."""
    name = type(original).__name__
    if name.startswith("EDM"):  # whose timestep is a quarter of the logarithm of sigma
        return lambda t: _normal(float(np.exp(4 * float(t))))
    if name.startswith("FlowMatch") or original.config.get("use_flow_sigmas"):
        return lambda t: (1 - float(t) / 1000, float(t) / 1000)
    product = original.alphas_cumprod.double().numpy()
    angles = np.arctan2(np.sqrt(1 - product), np.sqrt(product))

    def between(t: Any) -> tuple[float, float]:
        angle = np.interp(float(t), np.arange(len(angles)), angles)
        return float(np.cos(angle)), float(np.sin(angle))

    return between


def _normal(sigma: float) -> tuple[float, float]:
    return (1 + sigma**2) ** -0.5, sigma * (1 + sigma**2) ** -0.5


def sample(scheduler: Any, original: Any, images: Images, steps: int, count: int) -> torch.Tensor:
    """Draw images as a pipeline does, with the solver and the perfect network of the model."""
    level = levels_of(original)
    edm = type(original).__name__.startswith("EDM")
    flow = "flow_prediction" if "alphas_cumprod" not in vars(original) else "epsilon"
    kind = original.config.get("prediction_type", flow)
    scheduler.set_timesteps(
        steps, **({"mu": 0.8} if scheduler.config.get("use_dynamic_shifting") else {})
    )
    random = torch.Generator().manual_seed(1)
    draws = "generator" in inspect.signature(scheduler.step).parameters
    x = noise(count).float() * float(getattr(scheduler, "init_noise_sigma", 1.0))
    for t in scheduler.timesteps:
        seen = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        alpha, sigma = level(t)
        if edm:
            answer = _preconditioned(images, seen.double(), alpha, sigma)
        else:
            answer = images.answer(kind, seen.double(), alpha, sigma)
        more = {"generator": random} if draws else {}
        x = scheduler.step(answer.float(), t, x, return_dict=False, **more)[0]
    return x.double()


def _preconditioned(images: Images, seen: torch.Tensor, alpha: float, sigma: float) -> torch.Tensor:
    """The answer F of a network that EDM wraps: image = c_skip x + c_out F(c_in x)."""
    ratio = sigma / alpha
    both: float = (ratio**2 + SIGMA_DATA**2) ** 0.5
    x = seen * both  # seen is c_in x
    image = images.estimate(alpha * x, alpha, sigma)
    return (image - SIGMA_DATA**2 / both**2 * x) * both / (ratio * SIGMA_DATA)


def noise(count: int) -> torch.Tensor:
    """The same noise for every solver."""
    random = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, 4, 4, generator=random, dtype=torch.float64)


@functools.lru_cache
def exact(images: Images, alpha: float, sigma: float, count: int) -> torch.Tensor:
    """Follow the ODE from x = noise at a noise level to the image, in Runge-Kutta steps.

    In the angle of (alpha, sigma) on the unit circle, where its slope is the velocity; flow
    matching walks another way between the same images, scaled by its length.
    """
    x = noise(count)
    angles = np.arctan2(sigma, alpha) * np.linspace(1, 0, 401) ** 1.5
    angles[-1] = 1e-6

    def slope(x: torch.Tensor, angle: float) -> torch.Tensor:
        return images.answer("v_prediction", x, float(np.cos(angle)), float(np.sin(angle)))

    for now, then in itertools.pairwise(angles):
        step = then - now
        a = slope(x, now)
        b = slope(x + step / 2 * a, now + step / 2)
        c = slope(x + step / 2 * b, now + step / 2)
        d = slope(x + step * c, then)
        x = x + step / 6 * (a + 2 * b + 2 * c + d)
    return x


def error(name: str, row: Original, steps: int = 100, count: int = 8) -> float:
    """Return the mean difference from the exact images in levels of 255 (deterministic solvers).

    Raises ``GeneratorError`` where the solver is refused.
    """
    original = row.load()
    scheduler = build_scheduler(name, original, {})
    made = sample(scheduler, original, row.images, steps, count)
    alpha, sigma = levels_of(original)(scheduler.timesteps[0])
    scale = (alpha**2 + sigma**2) ** 0.5
    truth = exact(row.images, round(alpha / scale, 6), round(sigma / scale, 6), count)
    return float((made - truth).abs().mean()) * row.images.levels


def spread(name: str, row: Original, steps: int = 100, count: int = 400) -> tuple[float, float]:
    """Return the spread of a solver's images over that of the data, and how far their mean is off
    in units of it. Raises ``GeneratorError`` where the solver is refused.
    """
    original = row.load()
    more = {"original_inference_steps": steps} if name in ("lcm", "tcd") else {}
    made = sample(build_scheduler(name, original, more), original, row.images, steps, count)
    off = (made.mean(0) - row.images.means.mean(0)).abs().mean()
    return (
        float(made.std(0).mean()) / row.images.deviation,
        float(off) / row.images.deviation,
    )


def table(steps: int) -> Iterator[list[str]]:
    """Give one row an original, with a cell for every solver."""
    yield ["scheduler of the pipeline", *SOLVERS]
    for label, row in originals().items():
        cells = []
        for name in SOLVERS:
            try:
                if name in STOCHASTIC:
                    cells.append(f"{spread(name, row, steps)[0]:.0%}")
                else:
                    cells.append(f"{error(name, row, steps):.2f}")
            except GeneratorError:
                cells.append("refused")
        yield [label, *cells]


def main() -> None:
    """Print the table, a row at a time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100, help="solver steps (default: 100)")
    for number, cells in enumerate(table(parser.parse_args().steps)):
        print("| " + " | ".join(cells) + " |", flush=True)
        if number == 0:
            print("| --- " * len(cells) + "|")


if __name__ == "__main__":
    main()
