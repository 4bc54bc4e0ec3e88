"""Deterministic solvers lead to the same image on the toys of a dozen families.

Which solvers draw at all with which toy is measured (families/measure.py) and held to in
tests/docs/test_measured.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import toys
from families.measure import loaded, ran, settings_of

from gandiff.models.generator import Generator

Settings = dict[str, Any]
Toys = Callable[[str], Settings]
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning"),
]


def image(generator: Generator) -> np.ndarray:
    made = generator.generate(toys.requests(1))[0]
    assert made.image is not None, made.reason
    return made.image.astype(float)


CONVERGING = ("ddim", "euler", "heun", "dpmsolver++", "unipc")
# With diffusers' ``leading`` spacing these start below the end of the schedule (docs/solvers.md).
STARTING_LOW = {
    *(("sd", "dpmsolver++"), ("sd", "unipc"), ("sd-v", "dpmsolver++"), ("sd-v", "unipc")),
}
# Noise without guidance, which would magnify differences.
OFF: Settings = {"guidance_scale": 1.0}
NOISE = ("sd", "sd-v", "sd-zero-snr", "sdxl", "pixart-alpha", "cogview3")
FLOW = ("sd3", "flux-schnell", "lumina2", "aura-flow", "z-image", "qwen-image")
KINDS: Mapping[str, Settings] = {
    **{name: OFF for name in NOISE},
    **{name: {} for name in FLOW},
}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", KINDS)
def test_many_steps_of_any_solver_lead_to_the_same_image(toy_family: Toys, name: str) -> None:
    """Within one level of 255 in the mean."""
    family, kind = toy_family(name), KINDS[name]
    held = loaded(family)  # so that the weights are read once
    expected = image(loaded(settings_of(family, name, 100, **kind)))
    drawn = []
    for solver in CONVERGING:
        settings = settings_of(family, name, 100, **{**kind, "scheduler": solver})
        if not ran(settings_of(family, name, 4, scheduler=solver)):
            continue
        generator = loaded(settings)
        apart = float(np.abs(image(generator) - expected).mean())
        print(f"{name} {solver}: {apart:.3f}")
        if (name, solver) in STARTING_LOW:
            assert any("starts at timestep" in remark for remark in generator.info.remarks)
        else:
            assert apart < 1.1  # the own solver may be of first order
        drawn.append(solver)
    held.unload()
    assert "euler" in drawn
