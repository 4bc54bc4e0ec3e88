"""What the two networks minimise: weights of the terms, and which captions count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import toys
from gan_helpers import CONFIG, RECIPE, SMALL_LR, encoder, run, states, trainer
from training_helpers import request

from gandiff.experiments.data.captioned import FileImages
from gandiff.experiments.training.averaging import noise_at
from gandiff.experiments.training.gan.batch import Part
from gandiff.experiments.training.gan.recipe import GanRecipe, recipe_of
from gandiff.experiments.training.gan.trainer import GanTrainer


def prepared(out: Path, recipe: GanRecipe = RECIPE) -> tuple[GanTrainer, Part, torch.Tensor]:
    """A trainer, a batch with no empty caption, and fakes for it."""
    one = trainer(out, recipe)
    (part,) = one.draw(0, caption_dropout=0.0)[1]
    return one, part, one._generate(part).detach()


@pytest.mark.parametrize("name", ["relativistic", "non-saturating"])
def test_penalties_are_scaled_up_by_how_seldom_they_are_taken(tmp_path: Path, name: str) -> None:
    recipe = recipe_of(name, penalty_interval=4, minibatch_std=False, **SMALL_LR)
    one, part, made = prepared(tmp_path, recipe)
    fake = made[: len(part.real)]
    plain, _, _ = one.losses.discriminator(part, fake, 4, None)
    with_them, _, logged = one.losses.discriminator(part, fake, 4, 0.5)
    assert min(logged["r1"], logged["r2"]) > 0
    # The older loss penalises real pictures alone (Mescheder et al. 2018, section 4.1).
    total = logged["r1"] + (logged["r2"] if name == "relativistic" else 0.0)
    assert float((with_them - plain).detach()) == pytest.approx(0.5 * 4 * total, rel=1e-3)


def test_the_generator_gains_what_the_discriminator_loses(tmp_path: Path) -> None:
    """Moved along the gradient that lowers its loss, fakes are judged more real."""
    one, part, made = prepared(tmp_path, recipe_of(energy=0.0, g_warmup=0.0, matching=0.0))
    m = len(part.real)
    fake = made[:m].requires_grad_()
    real = one.losses.view.score(
        one.losses.view.features(part.real, part.draws[0]), part
    ).logits.detach()
    loss, _ = one.losses.generator(part, fake, real, m, 0.0)
    (slope,) = torch.autograd.grad(loss, fake)
    moved = fake.detach() - 1e-2 * slope / slope.norm()
    judged = [
        one.losses.view.score(one.losses.view.features(x, part.draws[1]), part).logits
        for x in (moved, fake)
    ]
    assert judged[0].mean() > judged[1].mean()
    against = [one.losses.discriminator(part, x.detach(), m, None)[0] for x in (moved, fake)]
    assert against[0] > against[1]


def test_the_generator_keeps_away_from_captions_that_contradict_its_own(tmp_path: Path) -> None:
    """Not from those that only the real picture does not fit: a star may stand beside a ring."""
    one, part, made = prepared(tmp_path)
    real = torch.zeros(len(part.real))
    nothing, everything = torch.zeros_like(part.contradicts), torch.ones_like(part.contradicts)

    def match(part: Part) -> float:
        return one.losses.generator(part, made, real, 4, 1.0)[1]["match_loss_fake"]

    assert part.is_mismatch.any()
    assert match(part._replace(contradicts=nothing)) == 0
    few = match(part._replace(contradicts=everything))
    assert few > 0.5
    assert match(part._replace(contradicts=everything, is_mismatch=~part.is_mismatch)) == few
    # The discriminator learns what fits a real picture.
    read = [one.losses.d_warmup(p, 4)[0] for p in (part, part._replace(contradicts=nothing))]
    assert read[0] == read[1] > 0


def test_of_folders_it_keeps_away_from_captions_of_other_pictures(tmp_path: Path) -> None:
    one = of_a_folder(tmp_path)
    (part,) = one.draw(0, caption_dropout=0.0)[1]
    assert not part.contradicts.any()
    _, logged = one.losses.generator(part, one._generate(part).detach(), torch.zeros(4), 4, 1.0)
    assert logged["match_loss_fake"] > 0.5


def of_a_folder(folder: Path, name: str = "run", *, resume: bool = False) -> GanTrainer:
    pictures = folder / "photos"
    if not pictures.is_dir():
        names = [f"{i:02d}.png" for i in range(40)]
        toys.save_toy_images(pictures, names)
        for i, one in enumerate(names):
            caption = f"{'small ' * (i % 5)}star number {i}"
            (pictures / one).with_suffix(".txt").write_text(caption, encoding="utf-8")
    asked = request(
        folder / name, data=str(pictures), resolution=16, kimg=0.1, dtype="float32", resume=resume
    )
    return GanTrainer(asked, RECIPE, CONFIG, encoder(), FileImages(pictures, 16))


def test_a_training_on_a_folder_goes_on_exactly(tmp_path: Path) -> None:
    """Captions are encoded in other company after a start in the middle."""
    whole, half = of_a_folder(tmp_path, "whole"), of_a_folder(tmp_path, "half")
    run(whole, 16)
    run(half, 13)  # more than a pass of 40 pictures
    again = of_a_folder(tmp_path, "half", resume=True)
    run(again, 3)
    for part, state in states(whole).items():
        for key, value in state.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, states(again)[part][key]), f"{part}/{key}"


def test_an_energy_score_may_come_in_later(tmp_path: Path) -> None:
    late = recipe_of(energy=0.0, energy_end=1.0, d_warmup=0.0, g_warmup=0.0, **SMALL_LR)
    one = trainer(tmp_path, late)
    usual, weights = one.losses.generator, []

    def noted(part: Part, *rest: Any) -> Any:
        weights.append(rest[-1])
        return usual(part, *rest)

    one.losses.generator = noted  # type: ignore[method-assign]
    assert all("energy_score" in row for row in run(one, 8))
    assert weights[0] == 0
    assert weights == sorted(weights)
    assert weights[-1] > 0.9


def test_the_energy_score_counts_by_its_weight(tmp_path: Path) -> None:
    one, part, made = prepared(tmp_path)
    real = torch.zeros(len(part.real))
    (none, logged), (three, _) = (one.losses.generator(part, made, real, 4, w) for w in (0.0, 3.0))
    assert float((three - none).detach()) == pytest.approx(3 * logged["energy_score"], rel=1e-3)


def test_noise_differs_from_seed_to_seed_and_from_place_to_place(tmp_path: Path) -> None:
    """Torch's generator on the CPU would take seeds that differ above 32 bits for the same."""
    first = {
        float(torch.rand(1, generator=noise_at(seed, at)))
        for seed in (0, 1, 2, 1 << 31, (1 << 32) - 1)
        for at in (0, 1, 1 << 20, 1 << 41)
    }
    assert len(first) == 20
    drawn = [
        trainer(tmp_path / str(seed), seed=seed).draw(0, caption_dropout=0.5) for seed in (1, 2)
    ]
    assert not torch.equal(drawn[0][0], drawn[1][0])
    assert not torch.equal(drawn[0][1][0].draws, drawn[1][1][0].draws)
