"""Numbers of the recipe that move together, and values that are refused wherever they come from."""

from __future__ import annotations

import dataclasses

import pytest

from gandiff.experiments.errors import RequestError
from gandiff.experiments.training.gan_recipe import ENDS, RECIPES, GanRecipe, changed, recipe_of


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", ["gamma", "lr", "reading_lr", "energy"])
def test_the_end_of_a_schedule_moves_with_its_start(name: str, recipe: str) -> None:
    named, end = RECIPES[recipe], f"{name}_end"
    for factor in (0.25, 3.0):
        start = factor * (getattr(named, name) or 1.0)
        found = recipe_of(recipe, **{name: start})
        assert getattr(found, name) == start
        if getattr(named, name):
            assert getattr(found, end) == pytest.approx(factor * getattr(named, end))
        else:
            assert getattr(found, end) == start
        others = {key: getattr(named, key) for key in vars(named).keys() - {name, end}}
        assert {key: getattr(found, key) for key in others} == others
    both = recipe_of(recipe, **{name: 0.5, end: 0.125})
    assert (getattr(both, name), getattr(both, end)) == (0.5, 0.125)
    assert recipe_of(recipe, **{name: getattr(named, name)}) == named


def test_an_end_that_is_given_or_fixed_stays() -> None:
    assert recipe_of("default", gamma_end=0.5) == GanRecipe(gamma_end=0.5)
    assert changed(GanRecipe(), {"gamma": 4.0}, fixed={"gamma_end"}) == GanRecipe(gamma=4.0)
    ramp = GanRecipe(energy=0.0, energy_end=2.0, sketching=0.0)
    assert changed(ramp, {"energy": 1.0}).energy_end == 2.0


def test_every_schedule_moves_its_end() -> None:
    fields = {field.name for field in dataclasses.fields(GanRecipe)}
    assert {name for name in fields if f"{name}_end" in fields} == set(ENDS)


def test_without_energy_it_ends_without() -> None:
    assert recipe_of("default", energy=0.0, sketching=0.0).energy_end == 0.0


def test_a_loss_that_there_is_not_is_refused_by_the_recipe_itself() -> None:
    recipe = GanRecipe()
    object.__setattr__(recipe, "loss", "hinge")  # the tests' type checks are in the constructor
    with pytest.raises(RequestError, match=r"loss must be one of .*, non-saturating, got hinge"):
        recipe.__post_init__()
