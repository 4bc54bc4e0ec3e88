"""A GAN trains on an accelerator as it does on the processor, in both number formats."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from gan_helpers import RECIPE, SMALL_LR, SMALL_STEPS, run, states, trainer

from gandiff.experiments.training.gan.recipe import GanRecipe, recipe_of
from gandiff.experiments.training.generators import saving
from gandiff.experiments.training.generators.ticks import Ticks
from gandiff.experiments.training.monitors.choice import open_monitor

pytestmark = pytest.mark.gpu

TRIED = {
    "default": GanRecipe(penalty_interval=2, d_warmup=0.2, g_warmup=0.2, **SMALL_STEPS),
    "non-saturating": recipe_of("non-saturating", penalty_interval=2, **SMALL_LR),
    "augmented": GanRecipe(
        penalty_interval=2, d_warmup=0.0, g_warmup=0.2, augment=True, **SMALL_STEPS
    ),
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", TRIED)
def test_it_trains_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, dtype: Any
) -> None:
    monkeypatch.setattr(saving, "text_summary", lambda _: {})
    asked: dict[str, Any] = {"device": "cuda", "dtype": dtype}
    one = trainer(tmp_path, TRIED[name], **asked)
    losses = run(one, 6)
    assert all(math.isfinite(value) for row in losses for value in row.values())
    assert {p.device.type for p in one.g.parameters()} == {"cuda"}
    saved = states(one)
    again = trainer(tmp_path, TRIED[name], resume=True, **asked)
    for part, state in states(again).items():
        for key, value in state.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value.cpu(), saved[part][key].cpu()), key
    again.loop.run(again.step, Ticks(again, open_monitor(again.request, again.data)))
    assert again.loop.record()["ticks"]


def test_its_first_steps_are_those_of_the_processor(tmp_path: Path) -> None:
    here = run(trainer(tmp_path / "cpu", RECIPE), 3)
    there = run(trainer(tmp_path / "cuda", RECIPE, device="cuda"), 3)
    for a, b in zip(here, there, strict=True):
        for key, value in a.items():
            if not key.startswith(
                ("p_", "caption_")
            ):  # shares jump where two logits are nearly equal
                assert b[key] == pytest.approx(value, rel=0.03, abs=0.02), key
