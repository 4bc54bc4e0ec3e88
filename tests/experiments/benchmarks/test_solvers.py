"""Every solver from every scheduler that pipelines are saved with, where the answer is known."""

from __future__ import annotations

import pytest

from gandiff.common.errors import GeneratorError
from gandiff.experiments.benchmarks.solvers import STOCHASTIC, error, originals, spread
from gandiff.models.diffusion.schedulers import SOLVERS

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning"),
]
ORIGINALS = originals()
DETERMINISTIC = [name for name in SOLVERS if name not in STOCHASTIC]
# Of first order, and what starts so; where the schedule is steep they need more than 100 steps.
FIRST_ORDER = ("ddim", "euler", "pndm")
CLIPPED = {"ddim", "heun", "dpmsolver++", "dpmsolver++_singlestep", "unipc", "deis"}
FLOW = {"euler", "heun", "dpmsolver++", "dpmsolver++_singlestep", "unipc"}
SHORT = (
    *("DDIM, zero SNR", "DDPM, pixels", "DPMSolverSinglestep, latents", "CogVideoXDDIM, latents"),
    *("FlowMatchEulerDiscrete, dynamic linear", "FlowMatchEulerDiscrete, shift 3", "EDMEuler"),
)


def able(label: str) -> set[str]:
    """The deterministic solvers that can do what the pipeline of this row needs."""
    if label.startswith(("SCM", "UnCLIP", "DDPMWuerstchen")):
        return set()
    if label.startswith("EDM"):
        return {"euler", "dpmsolver++"}
    if "dynamic" in label:
        return FLOW - {"heun"} if "exponential" in label else {"euler", "unipc"}
    if label.startswith("FlowMatch") or "flow" in label:
        return FLOW
    if "thresholding" in label:
        return CLIPPED - {"heun"}
    clips = label.startswith(("DDIM", "DDPM", "CogVideoXDDIM"))  # where nothing else is said
    return CLIPPED if clips and "pixels" in label else set(DETERMINISTIC)


@pytest.mark.parametrize(
    "label",
    [pytest.param(label, marks=() if label in SHORT else pytest.mark.slow) for label in ORIGINALS],
)
def test_deterministic_solvers_lead_to_the_known_image_or_are_refused(label: str) -> None:
    refused = {}
    for name in DETERMINISTIC:
        try:
            off = error(name, ORIGINALS[label], steps=100, count=4)
        except GeneratorError as refusal:
            refused[name] = str(refusal)
            continue
        if off >= 1 and name in FIRST_ORDER:
            assert off < 1.7, name
            off = error(name, ORIGINALS[label], steps=500, count=4)
        assert off < 1, name
    assert set(DETERMINISTIC) - set(refused) == able(label)
    assert all(f"'{name}'" in said and "\n" not in said for name, said in refused.items())


@pytest.mark.parametrize(
    ("name", "label"),
    [
        pytest.param(name, label, marks=() if label == "DDIM, zero SNR" else pytest.mark.slow)
        for name in ("ddpm", "euler_ancestral", "kdpm2_ancestral", "sde-dpmsolver++")
        for label in ORIGINALS
        if able(label) == set(DETERMINISTIC) or (label.startswith("EDM") and name[:3] == "sde")
    ],
)
def test_stochastic_solvers_draw_from_the_known_distribution(name: str, label: str) -> None:
    ratio, off = spread(name, ORIGINALS[label], steps=100, count=200)
    assert 0.9 < ratio < 1.1
    assert off < 0.1  # of a mean of 200 images 0.06 is to be expected


@pytest.mark.parametrize(("name", "low", "high"), [("lcm", 0.6, 0.8), ("tcd", 0.88, 0.97)])
def test_solvers_of_consistency_models_draw_too_little_spread_from_others(
    name: str, low: float, high: float
) -> None:
    ratio, off = spread(name, ORIGINALS["PNDM, latents"], steps=100, count=200)
    assert low < ratio < high
    assert off < 0.1
