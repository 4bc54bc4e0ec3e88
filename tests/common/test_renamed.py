"""Records of trainings made before names changed: what they become, and that they still lead on."""

from __future__ import annotations

import dataclasses
import json
from typing import get_args

import pytest

from gandiff.common.measurements import (
    MEASUREMENTS,
    WEAK_AUTOENCODER,
    bound,
    in_panel,
    shown_in,
)
from gandiff.common.renamed import (
    ABILITIES,
    ALARMS,
    RECIPE_FIELDS,
    current_facts,
    current_names,
    current_networks,
)
from gandiff.common.renamed import MEASUREMENTS as RENAMED
from gandiff.experiments.training.diffusion.alarms import _CHECKS as _DIFFUSION
from gandiff.experiments.training.gan.alarms import _CHECKS
from gandiff.experiments.training.gan.recipe import GanRecipe
from gandiff.models.generator import Ability

OLD = {
    "recipe": {"reading": 0.05, "lazy": 8, "energy": 3.0},
    "commands": [{"command": "gandiff train gan", "recipe": {"silent": 0.2}}, {"images": 3}],
    "curve": [{"seconds": 1.0, "p_caption": 0.5, "energy": 2.0}],
    "ticks": [{"kimg": 1.0, "fd": 3.0}],
    "events": [{"kimg": 1.0, "text": "deaf discriminator: a right caption"}, {"text": "went back"}],
}


def test_an_old_record_gets_the_names_of_now() -> None:
    new = current_names(OLD)
    assert new["recipe"] == {"d_warmup": 0.05, "penalty_interval": 8, "energy": 3.0}
    assert new["commands"][0]["recipe"] == {"caption_dropout": 0.2}
    assert new["curve"] == [{"seconds": 1.0, "caption_accuracy": 0.5, "energy_score": 2.0}]
    assert new["events"][0] == {"kimg": 1.0, "text": "captions ignored: a right caption"}
    assert (new["ticks"], new["commands"][1]) == (OLD["ticks"], {"images": 3})
    assert current_names(new) == new
    assert json.dumps(OLD).count("reading") == 1  # it is not changed in place


def test_abilities_are_tasks_now() -> None:
    facts = {"name": "sd", "abilities": ["img2img", "inpaint", "text", "trace"]}
    now = ["image_to_image", "inpaint", "text_to_image", "trace"]
    assert current_facts(facts) == {"name": "sd", "abilities": now}
    assert current_facts(current_facts(facts)) == current_facts(facts)
    assert current_facts({"name": "sd"}) == {"name": "sd"}
    assert set(ABILITIES.values()) < set(get_args(Ability))


@pytest.mark.parametrize("odd", [{}, {"recipe": None}, {"curve": ["x"], "events": [None, 3]}])
def test_a_record_of_another_form_stays_as_it_is(odd: dict[str, object]) -> None:
    assert current_names(odd) == odd


def test_what_older_checkpoints_left_out_of_their_networks_is_filled_in() -> None:
    now = current_networks("denoiser", {"depth": 4, "optimizer": "muon"})
    assert now == {"depth": 4, "optimizer": "muon", "attention_layers": 1}
    assert current_networks("denoiser", {})["optimizer"] == "adamw"
    assert current_networks("GAN", {"z_width": 8}) == {"z_width": 8}


def test_every_new_name_is_one_that_is_used() -> None:
    assert set(RECIPE_FIELDS.values()) < {field.name for field in dataclasses.fields(GanRecipe)}
    assert not set(RECIPE_FIELDS) & {field.name for field in dataclasses.fields(GanRecipe)}
    assert set(RENAMED.values()) < set(MEASUREMENTS)
    assert set(ALARMS.values()) < set(_CHECKS)


def test_every_alarm_belongs_to_a_measurement_with_a_bound() -> None:
    named = {alarm for one in MEASUREMENTS.values() for alarm in one.alarms}
    assert named == {*_CHECKS, *_DIFFUSION, WEAK_AUTOENCODER}
    for name, one in MEASUREMENTS.items():
        assert bool(one.alarms) != (one.low is one.high is None), name
        assert one.meaning
    assert bound("r_v", "high") == 0.5


def test_places_and_panels_show_what_is_known() -> None:
    places = ("bar", "tick", "card", "sweep", "truncation", "curve", "once")
    assert {p for one in MEASUREMENTS.values() for p in one.places.split()} == set(places)
    assert all(shown_in(place) for place in places)
    assert list(in_panel("its own")) == ["caption_gain", "fd", "reverse_kl"]
