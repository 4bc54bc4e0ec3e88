"""The table over recipes, from training records and from what was trained."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

from gandiff.common.errors import RequestError
from gandiff.experiments.training.diffusion.recipe import DiffusionRecipe
from gandiff.experiments.training.over_recipes import main, over_recipes
from gandiff.experiments.training.recipes import recipe_of


def write(folder: Path, name: str, changes: dict[str, Any] | None = None, **recipe: Any) -> Path:
    """A training whose recipe is a named one with changes."""
    named = name if name in DiffusionRecipe.named else "default"
    record = {
        "command": f"gandiff train diffusion --out {name}",
        "family": "diffusion",
        "data": "scenes",
        "resolution": 32,
        "batch_size": 32,
        "processes": 2,
        "device": "cpu",
        "budget": {"minutes": 20.0},
        "seconds": 1200.0,
        "images": 100_000,
        "seed": 0,
        "recipe": dataclasses.asdict(recipe_of(DiffusionRecipe, named, **recipe).settled(None)),
        "finished": True,
        # 12 seconds for 1,000 images, and 40 more to measure at 52,000
        "curve": [{"kimg": k, "seconds": 12.0 * k + 40 * (k > 52)} for k in (10, 50, 60, 90)],
        "ticks": [{"kimg": k, "all": k / 100, "score": 0.1} for k in (20.0, 52.0, 100.0)],
    }
    out = folder / name
    out.mkdir()
    text = json.dumps(record | (changes or {}))
    (out / "training.json").write_text(text, encoding="utf-8")
    return out


def test_a_row_says_what_differs_and_what_it_cost(tmp_path: Path) -> None:
    plain = write(tmp_path, "plain", lr=1e-3, channels=(32, 64))
    table = over_recipes([write(tmp_path, "default"), write(tmp_path, "flow"), plain])
    assert table["recipe"].iloc[0] == "default"
    flow = "prediction=flow schedule=straight timesteps=logit-normal"
    assert table["recipe"].iloc[1] == flow
    assert table["recipe"].iloc[2] == "channels=32,64 lr=0.001 lr_end=2e-05"
    assert table["minutes"].tolist() == [40.0] * 3  # of two processes
    assert table["ms_per_image"].tolist() == [24.0] * 3  # by 2 processes
    assert table["all"].tolist() == [1.0] * 3
    assert table["all_half_way"].tolist() == [0.52] * 3


@pytest.mark.parametrize(
    ("at", "half"),
    [
        ((100.0,), None),
        ((30.0, 100.0), None),
        ((30.0, 70.0, 100.0), None),
        ((40.0, 70.0, 100.0), 0.4),
        ((40.0, 64.0, 100.0), 0.4),
    ],
)
def test_only_a_tick_near_half_of_the_training_is_half_way(
    tmp_path: Path, at: tuple[float, ...], half: float | None
) -> None:
    ticks = [{"kimg": k, "all": k / 100, "score": 0.1} for k in at]
    (found,) = over_recipes([write(tmp_path, "default", {"ticks": ticks})])["all_half_way"]
    assert found == half or (half is None and math.isnan(found))


def test_what_an_autoencoder_took_is_no_cost_of_a_denoiser_s_image(tmp_path: Path) -> None:
    before = {"seconds": 200.0, "images": 20_000, "steps": 625, "curve": []}
    latent = write(tmp_path, "latent", {"autoencoder": before, "steps": 3125})
    pixel = write(tmp_path, "pixel", {"autoencoder": {}, "steps": 3125})
    table = over_recipes([latent, pixel])
    assert table["minutes"].tolist() == [40.0, 40.0]
    assert table["autoencoder_minutes"].tolist() == [6.7, 0.0]
    assert table["kimg"].tolist() == [80.0, 100.0]
    assert table["ms_per_image"].tolist() == [24.0, 24.0]


def test_what_follows_from_another_number_is_no_difference_and_what_was_set_is(
    tmp_path: Path,
) -> None:
    adamw, frozen = write(tmp_path, "adamw"), write(tmp_path, "frozen", train_text=0.0)
    wide = write(tmp_path, "wide", {"threads": 2, "processes": 1})
    table = over_recipes([adamw, frozen, wide])
    assert "optimizer=adamw" in table["recipe"].iloc[0]
    assert "train_text" not in table["recipe"].iloc[0]
    assert table["recipe"].iloc[1] == "train_text=0.0"
    assert table["minutes"].tolist() == [40.0] * 3  # one process of two threads costs two cores


def test_another_budget_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [
        write(tmp_path, "default"),
        write(tmp_path, "flow", {"budget": {"minutes": 30.0}}),
    ]
    with pytest.raises(RequestError, match=r"budget is .*20.* and .*30.*; recipes are compared by"):
        over_recipes(folders)
    assert main([str(folder) for folder in folders]) == 2
    assert capsys.readouterr().err.startswith("error: budget is")
    assert main([str(tmp_path)]) == 2
    assert "has no training.json" in capsys.readouterr().err
