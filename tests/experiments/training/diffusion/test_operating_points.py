"""Which points of a finished diffusion model are measured, and on how many prompts."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest

from gandiff.experiments.training.diffusion import inspect
from gandiff.experiments.training.diffusion.inspect import (
    GUIDANCE,
    STEPS,
    operating_points,
    points_of,
)
from gandiff.experiments.training.diffusion.recipe import (
    RECIPES,
    DiffusionRecipe,
    Solver,
    solvers_of,
)
from gandiff.experiments.training.diffusion.sampling import Point
from gandiff.experiments.training.monitors.base import Monitor


class Counts(Monitor):
    """Measures how bright pictures are."""

    per_prompt = 2
    dimensions, references = 8, 200

    def __init__(self) -> None:
        self.captions = [f"caption {i // 2}" for i in range(200)]

    def measure(self, pictures: np.ndarray) -> tuple[float, dict[str, float]]:
        """The mean, and how many there were."""
        return float(pictures.mean()), {"all": float(pictures.mean()), "seen": len(pictures)}

    def real_against_real(self) -> dict[str, Any]:
        """Brighter than any."""
        return self.at_setting(np.full((len(self.captions), 2, 2, 3), 255, dtype=np.uint8))


def sample(captions: list[str], seed: int, point: Point) -> np.ndarray:
    """Pictures as bright as there are steps."""
    return np.full((len(captions), 2, 2, 3), point.steps, dtype=np.uint8)


@pytest.mark.parametrize(
    ("recipe", "solvers"),
    [
        (DiffusionRecipe(), set(get_args(Solver))),
        (DiffusionRecipe(**RECIPES["flow"]), {"dpmsolver++", "unipc"}),
    ],
)
def test_every_solver_in_all_steps_and_the_recipe_s_with_all_guidance(
    recipe: DiffusionRecipe, solvers: set[str]
) -> None:
    fields = operating_points(sample, Counts(), recipe, seconds=1e6)
    rows = fields["operating_points"]
    found = {(r["solver"], r["num_inference_steps"], r["guidance_scale"]) for r in rows}
    assert len(found) == len(rows)
    assert {(name, n, recipe.guidance) for name in solvers for n in STEPS} <= found
    assert {(recipe.solver, recipe.sampling_steps, g) for g in GUIDANCE} <= found
    assert {solver for solver, _, _ in found} == solvers
    assert all(r["all"] == r["num_inference_steps"] for r in rows)
    assert {r["pictures"] for r in [*rows, fields["real_against_real"]]} == {200}
    assert {(r["references"], r["dimensions"]) for r in rows} == {(200, 8)}
    assert fields["real_against_real"]["all"] == 255


def test_a_short_trial_looks_at_its_own_solver_on_few_prompts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter(range(10**6))
    monkeypatch.setattr(inspect.time, "perf_counter", lambda: float(next(clock)))
    fields = operating_points(sample, Counts(), DiffusionRecipe(), seconds=1.0)
    rows = fields["operating_points"]
    assert {r["solver"] for r in rows} == {DiffusionRecipe().solver}
    real = fields["real_against_real"]
    assert {r["pictures"] for r in [*rows, real]} == {16}  # 8 prompts


@pytest.mark.parametrize(("name", "has_ddim"), [("default", True), ("flow", False)])
def test_a_finished_model_is_also_looked_at_by_ddim_over_guidance(
    name: str, has_ddim: bool
) -> None:
    recipe = DiffusionRecipe(**RECIPES[name])
    trained = set(points_of(recipe, solvers_of(recipe)))
    again = set(points_of(recipe, solvers_of(recipe), with_plain=True))
    ddim = {Point("ddim", 20, scale) for scale in (*GUIDANCE, recipe.guidance)}
    assert again - trained == (ddim - trained if has_ddim else set())
