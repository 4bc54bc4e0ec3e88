"""Numbers of the recipe: how they are read, which move together, which are refused."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

import pytest
from typer.testing import CliRunner

from gandiff.common.errors import RequestError
from gandiff.experiments.cli.app import app
from gandiff.experiments.training.gan.recipe import (
    ENDS,
    RECIPES,
    GanRecipe,
    read_numbers,
    recipe_of,
)
from gandiff.experiments.training.recipes import changed


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", ["gamma", "lr", "d_warmup_lr", "energy"])
def test_the_end_of_a_schedule_moves_with_its_start(name: str, recipe: str) -> None:
    needed = {"d_warmup": 0.05} if name == "d_warmup_lr" else {}  # or it does nothing
    named, end = recipe_of(recipe, **needed), f"{name}_end"
    for factor in (0.25, 3.0):
        start = factor * (getattr(named, name) or 1.0)
        found = recipe_of(recipe, **{name: start, **needed})
        assert getattr(found, name) == start
        if getattr(named, name):
            assert getattr(found, end) == pytest.approx(factor * getattr(named, end))
        else:
            assert getattr(found, end) == start
        others = {key: getattr(named, key) for key in vars(named).keys() - {name, end}}
        assert {key: getattr(found, key) for key in others} == others
    both = recipe_of(recipe, **{name: 0.5, end: 0.125, **needed})
    assert (getattr(both, name), getattr(both, end)) == (0.5, 0.125)
    assert recipe_of(recipe, **{name: getattr(named, name), **needed}) == named


def test_an_end_that_is_given_or_fixed_stays() -> None:
    assert recipe_of("default", gamma_end=0.5) == GanRecipe(gamma_end=0.5)
    assert changed(GanRecipe(), {"gamma": 4.0}, fixed={"gamma_end"}) == GanRecipe(gamma=4.0)
    ramp = GanRecipe(energy=0.0, energy_end=2.0, g_warmup=0.0)
    assert changed(ramp, {"energy": 1.0}).energy_end == 2.0


def test_every_schedule_moves_its_end() -> None:
    fields = {field.name for field in dataclasses.fields(GanRecipe)}
    assert {name for name in fields if f"{name}_end" in fields} == set(ENDS)


def test_without_energy_it_ends_without() -> None:
    assert recipe_of("default", energy=0.0, g_warmup=0.0).energy_end == 0.0


def test_a_loss_that_there_is_not_is_refused_by_the_recipe_itself() -> None:
    loss: Any = "hinge"
    with pytest.raises(RequestError, match=r"loss: must be one of .*, non-saturating, got 'hinge'"):
        GanRecipe(loss=loss)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"gamma": 0.0}, "gamma: must be above 0, got 0.0"),
        ({"gamma": -1.0}, "gamma: must be above 0, got -1.0"),
        ({"lr": 0.0}, "lr: must be above 0"),
        ({"lr": math.inf}, "lr: must be a finite number, got inf"),
        ({"gamma": math.nan}, "gamma: must be a finite number, got nan"),
        ({"energy": math.nan}, "energy: must be a finite number, got nan"),
        ({"penalty_interval": 0}, "penalty_interval: must be at least 1, got 0"),
        ({"d_warmup": 1.0}, "d_warmup: must be at least 0 and below 1"),
        ({"d_warmup": 0.5, "g_warmup": 0.5}, "d_warmup and g_warmup must leave a part"),
        ({"energy": 0.0}, "g_warmup needs energy above 0; with energy=0 set g_warmup=0"),
        ({"caption_dropout": 1.0}, "caption_dropout: must be at least 0 and below 1"),
        ({"num_mismatched": -1}, "num_mismatched: must be at least 0"),
        ({"betas": (0.0, 1.0)}, "betas.1: must be at least 0 and below 1"),
        ({"loss": "hinge"}, "loss: must be one of relativistic, non-saturating, got 'hinge'"),
        ({"gama": 1.0}, "a recipe has no field 'gama'; did you mean 'gamma'?"),
        ({"guidance_weight": 0.4}, "guidance_weight does nothing without guidance; leave it out"),
        (
            {"d_warmup": 0.0, "d_warmup_lr_end": 1e-3},
            "d_warmup_lr_end does nothing with d_warmup=0",
        ),
        ({"reading": 0.1}, "reading is now d_warmup"),
        ({"silent": 0.0}, "silent is now caption_dropout"),
    ],
)
def test_recipes_that_cannot_work_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(RequestError) as refused:
        recipe_of("default", **changes)
    assert says in str(refused.value)


def test_numbers_are_read_by_their_kind() -> None:
    found = read_numbers(
        ["gamma=0.5", "penalty_interval=4", "augment=true", "betas=0,0.9", "loss=non-saturating"]
    )
    assert found == {
        "gamma": 0.5,
        "penalty_interval": 4,
        "augment": True,
        "betas": (0.0, 0.9),
        "loss": "non-saturating",
    }
    assert read_numbers(["guidance=none"]) == {"guidance": None}
    for bad, says in (
        ("gamma", "'gamma' must be NAME=VALUE, such as "),
        ("gama=1", "did you mean 'gamma'"),
        ("penalty_interval=2.5", "penalty_interval: must be a whole number, got '2.5'"),
        ("lazy=4", "lazy is now penalty_interval"),
        ("augment=maybe", "augment: must be true or false, got 'maybe'"),
    ):
        with pytest.raises(RequestError) as refused:
            read_numbers([bad])
        assert says in str(refused.value)


def test_help_names_what_can_be_set() -> None:
    done = CliRunner().invoke(app, ["train", "gan", "--help"])
    said = " ".join(done.stdout.split())
    listed = set(re.findall(r"\w+", said.split("Numbers: ")[1].split("--sweep")[0]))
    own = {"augment", "guidance"}  # which have options of their own
    assert {f.name for f in dataclasses.fields(GanRecipe)} - own - set(ENDS.values()) == listed


def test_named_recipes_are_known() -> None:
    assert recipe_of() == GanRecipe()
    assert recipe_of("relativistic").penalty_interval == 1
    assert recipe_of("non-saturating", gamma=None).minibatch_std
    with pytest.raises(RequestError, match="unknown recipe 'relativist'; did you mean"):
        recipe_of("relativist")
