"""What the toy of a family shows of how our generator runs its pipelines: for the tables of the
documentation (``python docs/measure.py``) and for the test that holds them to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import toys

from gandiff.common.errors import GandiffError
from gandiff.experiments.plugins.registry import make_generator
from gandiff.models.diffusion.pipeline import DiffusersGenerator
from gandiff.models.diffusion.schedulers import SOLVERS
from gandiff.models.generator import Generator

Settings = dict[str, Any]
# Beside the number of steps, what few or many of them need.
_PRIOR = {"prior_num_inference_steps": 4}
_EXTRA: Mapping[str, Callable[[int], Settings]] = {
    "ideogram4": lambda steps: {"guidance_schedule": [3.0] * steps},
    "kandinsky-2.1": lambda steps: _PRIOR,
    "kandinsky-2.2": lambda steps: _PRIOR,
    "sana-sprint": lambda steps: {"intermediate_timesteps": None},
    "stable-cascade": lambda steps: _PRIOR,
    "stable-unclip": lambda steps: _PRIOR,
    "wuerstchen": lambda steps: _PRIOR,
}
_OWN_STEPS = ("unclip",)  # which has no number of steps but those of its stages


def settings_of(family: Settings, name: str, steps: int, **more: Any) -> Settings:
    """The settings of a toy (see ``families.save``) for a number of steps, and ``more``."""
    extra = _EXTRA.get(name, lambda steps: {})(steps)
    given = {} if name in _OWN_STEPS else {"num_inference_steps": steps}
    return {**family, **given, **({"extra": extra} if extra else {}), **more}


def loaded(settings: Settings) -> Generator:
    """Our generator of these settings, loaded on the CPU."""
    generator = make_generator("toy", "diffusers", settings)
    generator.load("cpu", "float32")
    return generator


def ran(settings: Settings) -> str:
    """The class of the solver that drew an image; nothing where the settings are refused, in one
    line that names the scheduler.
    """
    refusal = ""
    try:
        generator = loaded(settings)
        generator.try_out(toys.requests(2), batch_size=1)
    except GandiffError as refused:
        refusal = str(refused)
    if refusal:
        assert "\n" not in refusal
        assert "scheduler" in refusal.lower(), refusal
        return ""
    made = generator.generate(toys.requests(1))[0]
    assert made.image is not None, made.reason
    assert made.image.std() > 0
    facts = generator.info.settings
    last = facts["stages"][-1] if facts.get("stages") else facts
    assert last["solver_steps"] > 0
    return str(last["scheduler_class"])


def solvers(family: Settings, name: str) -> list[str]:
    """The solvers of our table that draw with this toy; all others are refused."""
    held = loaded(family)  # so that the weights are read once
    drew = []
    for solver, known in SOLVERS.items():
        cls = ran(settings_of(family, name, 4, scheduler=solver))
        assert cls in ("", known.cls, known.flow, known.edm)
        drew += [solver] if cls else []
    held.unload()
    return drew


def native_call(family: Settings) -> Settings:
    """How a toy is run without settings, and what its first image cost: plain data."""
    generator = loaded(family)
    assert isinstance(generator, DiffusersGenerator)
    side = generator.info.resolution  # as planned, before an image shows it
    generator.try_out(toys.requests(2), batch_size=2)
    info = generator.info
    made = generator.generate(toys.requests(1))[0]
    assert made.status == "ok", made.reason
    stages = info.settings.get("stages") or [info.settings]
    assert made.image is not None
    height, width = made.image.shape[:2]
    assert side in (None, height if height == width else None), (side, width, height)
    facts: Settings = {
        "class": " + ".join(stage["pipeline_class"] for stage in stages),
        "family": info.family,
        "steps": [stage["num_inference_steps"] for stage in stages],
        "guidance": [stage["guidance_scale"] for stage in stages],
        "meaning": stages[0]["resolved"]["guidance"],
        "size": None if "height" in family else [width, height],
        "nfe": made.nfe,
        "nfe_by_network": dict(made.nfe_by_network),
        "one_by_one": next((r for r in info.remarks if "call of its own" in r), None),
    }
    generator.unload()
    return facts
