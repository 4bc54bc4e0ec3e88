"""The numbers of a diffusion model's training: which go together, what they are made into."""

from __future__ import annotations

import itertools
import re
from typing import Any

import diffusers
import pytest
import torch

from gandiff.common.errors import RequestError, SettingError
from gandiff.experiments.training.diffusion.denoiser import unet_shape
from gandiff.experiments.training.diffusion.noise import STEPS, Noising, build_scheduler
from gandiff.experiments.training.diffusion.recipe import (
    RECIPES,
    DiffusionRecipe,
    Space,
    fits,
)
from gandiff.experiments.training.recipes import changed, read_numbers, recipe_of
from gandiff.experiments.training.sweep import read_sweep
from gandiff.models.diffusion.networks import build_unet
from gandiff.models.text import parameter_count

PREDICTIONS = ("epsilon", "v", "flow")
SCHEDULES = ("linear", "scaled_linear", "cosine", "zero_terminal", "straight")
SOLVERS = ("ddim", "euler", "dpmsolver++", "unipc")


def possible() -> list[dict[str, Any]]:
    """Every prediction with every schedule and solver that goes with it."""
    made = []
    for prediction, schedule, solver in itertools.product(PREDICTIONS, SCHEDULES, SOLVERS):
        asked = {"prediction": prediction, "schedule": schedule, "solver": solver}
        try:
            DiffusionRecipe(**asked)  # type: ignore[arg-type]
        except SettingError:
            continue
        made.append(asked)
    return made


POSSIBLE = possible()


def test_what_goes_together() -> None:
    pairs = {(one["prediction"], one["schedule"]) for one in POSSIBLE}
    assert pairs == {
        *itertools.product(["epsilon"], ["linear", "scaled_linear"]),
        *itertools.product(["v"], ["linear", "scaled_linear", "cosine", "zero_terminal"]),
        ("flow", "straight"),
    }
    assert {one["solver"] for one in POSSIBLE if one["prediction"] == "flow"} == set(SOLVERS[2:])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"prediction": "epsilon", "schedule": "zero_terminal"}, "epsilon does not go with"),
        ({"prediction": "epsilon"}, "epsilon does not go with schedule=cosine"),
        ({"prediction": "flow"}, "flow does not go with schedule=cosine"),
        ({"schedule": "straight"}, "v does not go with schedule=straight"),
        ({**RECIPES["flow"], "solver": "ddim"}, "solver=ddim does not go with prediction=flow"),
        ({"log_noise_mean": 100.0}, "log_noise_mean: must be between -3 and 3, got 100.0"),
        ({"log_noise_std": 1e-4}, "log_noise_std: must be between 0.25 and 4, got 0.0001"),
        ({"factor": 3}, "factor must be a power of two, got 3"),
        ({"factor": 0}, "factor: must be at least 1, got 0"),
        ({"channels": (8, 12)}, "channels must be multiples of 8, got 8,12"),
        ({"channels": ()}, "channels must name one level at least"),
        ({"schedule": "sigmoid"}, "schedule: must be one of linear, scaled_linear, cosine"),
        ({"autoencoder_share": 1.0}, "autoencoder_share: must be above 0 and below 1, got 1"),
    ],
)
def test_what_does_not_go_together_is_said_in_a_line(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingError) as refused:
        DiffusionRecipe(**changes)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


IDLE = [
    ("flow", {"log_noise_mean": 1.25}, "log_noise_mean does nothing with timesteps=logit-normal"),
    ("default", {"timesteps": "uniform", "log_noise_std": 2.0}, "nothing with timesteps=uniform"),
    ("epsilon", {"log_noise_std": 1.1}, "log_noise_std does nothing with timesteps=uniform"),
    *(
        ("pixel", {name: value}, f"{name} does nothing with space=pixel, which has no autoencoder")
        for name, value in {
            "factor": 4,
            "latent_channels": 9,
            "autoencoder_share": 0.5,
            "autoencoder_optimizer": "adamw",
            "autoencoder_lr": 1.0,
            "autoencoder_lr_end": 0.1,
            "kl": 1.0,
            "absolute": 0.1,
        }.items()
    ),
    ("default", {"space": "pixel", "kl": 1.0}, "kl does nothing with space=pixel"),
]


@pytest.mark.parametrize(("name", "changes", "says"), IDLE)
def test_what_does_nothing_is_refused_where_it_is_set(
    name: str, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(RequestError) as refused:
        recipe_of(DiffusionRecipe, name, **changes)
    assert says in str(refused.value)
    assert str(refused.value).endswith("; leave it out")


def test_none_is_a_value_where_the_tables_of_the_docs_say_so() -> None:
    words = ["channels=none", "train_text=none"]
    numbers = read_numbers(DiffusionRecipe, words)
    assert numbers == {"channels": None, "train_text": None}
    assert recipe_of(DiffusionRecipe, "adamw", **numbers).channels is None
    was = recipe_of(DiffusionRecipe, train_text=0.5)
    assert changed(was, {"train_text": None, "lr": None}) == recipe_of(DiffusionRecipe)
    assert read_sweep(DiffusionRecipe, "train_text=none,0") == ("train_text", ["none", "0"])
    for word, says in (
        ("lr=none", "lr: must be a number, got 'none'"),
        ("betas=none", "betas: must be 2 values with commas between, got 'none'"),
        ("channels=", "channels: must be one or more values with commas between, or none, got ''"),
    ):
        with pytest.raises(SettingError, match=f"^{re.escape(says)}$"):
            read_numbers(DiffusionRecipe, [word])


def test_what_does_nothing_may_stand_in_a_recipe() -> None:
    """Those with a name hold values that others use; and changes may make them idle."""
    for name in RECIPES:
        idle = recipe_of(DiffusionRecipe, name, timesteps="uniform", space="pixel").idle()
        assert {"log_noise_std", "kl"} < idle.keys()
    own = recipe_of(DiffusionRecipe, log_noise_mean=1.7)
    assert changed(own, {"timesteps": "uniform"}).log_noise_mean == 1.7  # a trial of a sweep
    assert recipe_of(DiffusionRecipe, log_noise_mean=1.7, kl=1e-4).idle() == {}


@pytest.mark.parametrize(
    ("changes", "resolution", "says"),
    [
        ({}, 36, "a multiple of 8"),
        ({}, 0, "a multiple of 8"),
        ({"factor": 16}, 40, "factor=16 does not divide it"),
        ({"factor": 4}, 8, "3 levels of channels halve 2 cells a side too often"),
        ({"channels": (8, 8, 8)}, 8, "one cell, so it and the one before must have 16 channels"),
        ({"channels": (8, 16), "factor": 4}, 8, "one cell, so it and the one before must have 16"),
    ],
)
def test_sizes_that_cannot_be_made(changes: dict[str, Any], resolution: int, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        fits(DiffusionRecipe(**changes), resolution)


@pytest.mark.parametrize("channels", [(8,), (16,), (8, 16), (16, 8), (8, 16, 16), (16, 16, 16)])
@pytest.mark.parametrize("factor", [1, 2, 4, 8])
def test_what_fits_can_draw_a_single_picture(channels: tuple[int, ...], factor: int) -> None:
    """Without guidance, which would make two of it."""
    recipe = DiffusionRecipe(channels=channels, factor=factor, attention_layers=1)
    try:
        fits(recipe, 8)
    except ValueError:
        return
    unet = build_unet(text_width=8, **unet_shape(recipe, 8))
    side = 8 // recipe.cell
    x, tokens = torch.zeros(1, recipe.depth, side, side), torch.zeros(1, 3, 8)
    assert unet(x, torch.tensor([5]), encoder_hidden_states=tokens).sample.shape == x.shape


def test_the_autoencoder_of_pixels_divides_every_size() -> None:
    fits(DiffusionRecipe(space="pixel", factor=16), 40)


def network_of(recipe: DiffusionRecipe) -> Any:
    layers = {"attention": recipe.attention, "attention_layers": recipe.attention_layers}
    return build_unet(32 // recipe.cell, 96, depth=recipe.depth, widths=recipe.widths, **layers)


def test_the_networks_of_both_spaces_have_as_many_parameters() -> None:
    spaces: tuple[Space, ...] = ("latent", "pixel")
    counts = {s: parameter_count(network_of(DiffusionRecipe(space=s))) for s in spaces}
    assert counts["pixel"] == pytest.approx(counts["latent"], rel=0.05)


def test_blocks_look_at_captions_as_often_as_asked() -> None:
    for layers in (1, 3):
        unet = network_of(DiffusionRecipe(channels=(16, 16), attention_layers=layers))
        blocks = [m for m in unet.modules() if type(m).__name__ == "Transformer2DModel"]
        assert blocks
        assert {len(block.transformer_blocks) for block in blocks} == {layers}


@pytest.mark.parametrize("asked", POSSIBLE, ids=lambda asked: "-".join(asked.values()))
def test_pictures_follow_from_predictions(asked: dict[str, Any]) -> None:
    noising = Noising(DiffusionRecipe(**asked))
    draw = torch.Generator().manual_seed(0)
    x, e = torch.randn(2, 50, 4, 2, 2, generator=draw)
    t = torch.linspace(0, STEPS - 1, 50).long()
    if asked["schedule"] != "straight":
        t = t[noising.signal[t] > 0.01]  # below, epsilon's rounding is all there is
    x, e = x[: len(t)], e[: len(t)]
    back = noising.picture(noising.add(x, e, t), noising.target(x, e, t), t)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-4)


@pytest.mark.parametrize("schedule", SCHEDULES[:4])
def test_noise_and_targets_are_those_of_diffusers(schedule: str) -> None:
    """By its own class, so that networks trained here are what its solvers take them for."""
    noising = Noising(DiffusionRecipe(schedule=schedule))  # type: ignore[arg-type]
    config = dict(build_scheduler(DiffusionRecipe(schedule=schedule)).config)  # type: ignore[arg-type]
    theirs: Any = diffusers.DDPMScheduler.from_config(config)
    draw = torch.Generator().manual_seed(0)
    x, e = torch.randn(2, 30, 4, 2, 2, generator=draw)
    t = torch.linspace(0, STEPS - 1, 30).long()
    torch.testing.assert_close(noising.add(x, e, t), theirs.add_noise(x, e, t))
    torch.testing.assert_close(noising.target(x, e, t), theirs.get_velocity(x, e, t))


@pytest.mark.parametrize("asked", POSSIBLE, ids=lambda asked: "-".join(asked.values()))
def test_solvers_paint_what_a_perfect_network_knows(asked: dict[str, Any]) -> None:
    """Pictures whose numbers are Gaussian: the best prediction is known, and what comes out is."""
    recipe = DiffusionRecipe(**asked)
    mean, std, n = 0.7, 0.5, 4000
    noising, solver = Noising(recipe), build_scheduler(recipe)
    solver.set_timesteps(200)  # the first order needs many
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(n, 1, 1, 1, generator=draw) * solver.init_noise_sigma
    for step in solver.timesteps:
        noisy, t = solver.scale_model_input(x, step), step.long().expand(n)
        a, b = noising.signal[t][0], noising.noise[t][0]
        picture = mean + a * std**2 / (a**2 * std**2 + b**2) * (noisy - a * mean)
        predicted = noising.target(picture, (noisy - a * picture) / b, t)
        x = solver.step(predicted, step, x).prev_sample
    assert float(x.mean()) == pytest.approx(mean, abs=0.03)  # scaled_linear keeps a rest
    assert float(x.std()) == pytest.approx(std, abs=0.03)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("timesteps", ["uniform", "logit-normal", "log-normal"])
@pytest.mark.parametrize("min_snr", [0.0, 1.0, 5.0])
def test_densities_and_weights_leave_an_even_loss(
    name: str, timesteps: str, min_snr: float
) -> None:
    recipe = DiffusionRecipe(**{**RECIPES[name], "timesteps": timesteps, "min_snr": min_snr})
    noising = Noising(recipe)
    assert float(noising.density.sum()) == pytest.approx(1)
    assert float((noising.density * noising.weights).sum()) == pytest.approx(1, abs=1e-5)
    if not min_snr:
        torch.testing.assert_close(noising.weights, torch.ones(STEPS))


@pytest.mark.parametrize("timesteps", ["uniform", "logit-normal", "log-normal"])
@pytest.mark.parametrize("asked", POSSIBLE, ids=lambda asked: "-".join(asked.values()))
def test_every_schedule_can_be_trained_at_all_its_levels(
    asked: dict[str, Any], timesteps: Any
) -> None:
    """Also one that ends in nothing but noise, where noise / signal is infinite."""
    noising = Noising(DiffusionRecipe(**asked, timesteps=timesteps))
    assert torch.isfinite(noising.density).all()
    assert torch.isfinite(noising.weights).all()
    assert float(noising.density.sum()) == pytest.approx(1)
    for coarse in (0.0, 0.5, 1.0):
        steps = noising.draw(256, torch.Generator().manual_seed(0), coarse)
        assert 0 <= int(steps.min()) < int(steps.max()) < STEPS
        assert len(steps.unique()) > 20


@pytest.mark.parametrize("asked", POSSIBLE, ids=lambda asked: "-".join(asked.values()))
@pytest.mark.parametrize(("mean", "std"), [*itertools.product((-3.0, 3.0), (0.25, 4.0))])
def test_the_narrowest_and_farthest_densities_train_more_than_one_level(
    asked: dict[str, Any], mean: float, std: float
) -> None:
    noising = Noising(DiffusionRecipe(**asked, log_noise_mean=mean, log_noise_std=std))
    normal = (noising.density - 0.1 / STEPS) / 0.9
    assert torch.isfinite(noising.density).all()
    assert float(noising.density.sum()) == pytest.approx(1)
    assert float(normal.max()) < 0.5
    drawn = noising.draw(4096, torch.Generator().manual_seed(0))
    assert len(drawn.unique()) > 100  # a tenth is drawn from all of them


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (1.0, 0.5), (-0.5, 0.7)])
@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "cosine"])
def test_a_log_normal_density_has_its_moments(schedule: str, mean: float, std: float) -> None:
    """Those of ln(noise / signal), beside the tenth that is uniform."""
    recipe = DiffusionRecipe(
        schedule=schedule,  # type: ignore[arg-type]
        timesteps="log-normal",
        log_noise_mean=mean,
        log_noise_std=std,
    )
    noising = Noising(recipe)
    level = (noising.noise / noising.signal).log().double()
    normal = (noising.density - 0.1 / STEPS) / 0.9
    assert float(normal.min()) >= -1e-12
    centre = float((normal * level).sum())
    spread = float((normal * (level - centre).square()).sum().sqrt())
    assert centre == pytest.approx(mean, abs=0.02)
    assert spread == pytest.approx(std, abs=0.03)


def test_min_snr_is_that_of_the_paper() -> None:
    """Relative to each other: min(snr, 5)/snr of the noise, min(snr, 5)/(snr + 1) of v."""
    for prediction, more in (("epsilon", 0.0), ("v", 1.0)):
        asked: dict[str, Any] = {"prediction": prediction, "timesteps": "uniform", "min_snr": 5.0}
        recipe = DiffusionRecipe(schedule="scaled_linear", **asked)
        noising = Noising(recipe)
        snr = (noising.signal / noising.noise).square()
        expected = snr.clamp(max=5) / (snr + more)
        ratio = noising.weights / expected
        torch.testing.assert_close(ratio, ratio[:1].expand(STEPS), rtol=1e-4, atol=0)


@pytest.mark.parametrize("schedule", ["cosine", "zero_terminal"])
def test_min_snr_trains_the_level_at_which_solvers_begin(schedule: Any) -> None:
    """Where there is no signal the weight of the paper is 0, and pictures would begin untrained."""
    noising = Noising(DiffusionRecipe(schedule=schedule, min_snr=5.0, timesteps="uniform"))
    assert float(noising.weights[-1] / noising.weights.max()) > 0.004


@pytest.mark.parametrize("timesteps", ["uniform", "logit-normal", "log-normal"])
def test_steps_are_drawn_by_their_density(timesteps: str) -> None:
    noising = Noising(DiffusionRecipe(timesteps=timesteps))  # type: ignore[arg-type]
    draw = torch.Generator().manual_seed(0)
    drawn = torch.cat([noising.draw(64, draw) for _ in range(2000)])
    parts = noising.density.view(10, -1).sum(1)
    shares = torch.bincount(drawn // (STEPS // 10), minlength=10) / len(drawn)
    torch.testing.assert_close(shares.double(), parts, rtol=0, atol=2e-3)
    # Each batch has its share of every level: ten of 640 equal parts, within one.
    one = torch.bincount(noising.draw(640, draw) // (STEPS // 10), minlength=10)
    assert ((one - 640 * parts).abs() <= 1.01).all()


@pytest.mark.parametrize("name", RECIPES)
def test_coarse_levels_come_first_and_go(name: str) -> None:
    """By the density of a mixture; levels are noisier for each part of the coarse one."""
    noising = Noising(recipe_of(DiffusionRecipe, name))
    level = torch.log(noising.noise / noising.signal)
    means = [
        float(level[noising.draw(4096, torch.Generator().manual_seed(1), coarse)].mean())
        for coarse in (0.0, 0.5, 1.0)
    ]
    assert means[0] < means[1] < means[2]
    assert means[1] == pytest.approx((means[0] + means[2]) / 2, abs=0.02)
    most = float(level.max())
    assert means[2] == pytest.approx(4.0, abs=0.1) or means[2] > most - 1.2


def test_a_text_encoder_that_was_named_stays_as_it_is_unless_asked() -> None:
    assert DiffusionRecipe().settled(None).train_text == 0.05
    assert recipe_of(DiffusionRecipe, "adamw").settled(None).train_text == 0.5
    assert DiffusionRecipe().settled("clip").train_text == 0.0
    for asked, named in itertools.product((0.0, 0.2), (None, "clip")):
        assert DiffusionRecipe(train_text=asked).settled(named).train_text == asked
