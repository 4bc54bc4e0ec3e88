"""Inversion of the GAN: what counts as near, and that it finds its own pictures again."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import toys

from gandiff.models.gan.edits import Editor
from gandiff.models.gan.inversion import Freedom, Wanted, draw_starts, invert
from gandiff.models.gan.model import TextToImageGan, to_pixels
from gandiff.models.text import TextFeatures


@pytest.fixture(scope="module")
def gan(toy_gan: Path) -> TextToImageGan:
    """A toy whose pictures lie in [-1, 1], and which reads its prompts."""
    made: TextToImageGan = TextToImageGan.from_pretrained(str(toy_gan))
    torch.manual_seed(0)
    for level in made.net.levels:
        level.to_rgb.weight.mul_(0.2)
        if level.read is not None:
            torch.nn.init.normal_(level.read.out.weight)
    return made


def features(gan: TextToImageGan, prompt: str) -> TextFeatures:
    return TextFeatures(*gan.text([prompt]))


def wanted(picture: torch.Tensor, known: torch.Tensor | None = None) -> Wanted:
    return Wanted(
        picture=picture, known=torch.ones_like(picture[:, :1]) if known is None else known
    )


def test_distance_counts_known_pixels_at_every_scale() -> None:
    picture = torch.zeros(1, 3, 32, 32)
    half = torch.ones(1, 1, 32, 32)
    half[..., 16:] = 0
    made = torch.stack([torch.zeros(3, 32, 32), torch.full((3, 32, 32), 0.5)])
    # A constant difference of 0.5 is 0.25 squared at each of the 4 scales.
    torch.testing.assert_close(wanted(picture).distance(made), torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(wanted(picture, half).distance(made), torch.tensor([0.0, 1.0]))
    unknown = made.clone()
    unknown[..., 16:] = 7.0
    same = wanted(picture, half).distance(unknown)
    torch.testing.assert_close(same, torch.tensor([0.0, 1.0]))
    # Geman-McClure: e / (1 + e / t^2), of e = 0.25 and t = 0.1.
    tolerant = dataclasses.replace(wanted(picture), tolerance=0.1)
    torch.testing.assert_close(tolerant.distance(made)[1], torch.tensor(4 * 0.25 / 26))


def test_distance_of_a_picture_does_not_depend_on_its_neighbours() -> None:
    random = torch.Generator().manual_seed(0)
    picture, *made = torch.rand(5, 1, 3, 32, 32, generator=random)
    together = wanted(picture).distance(torch.cat(made))
    alone = torch.cat([wanted(picture).distance(one) for one in made])
    torch.testing.assert_close(together, alone)


def test_own_pictures_are_found_again(gan: TextToImageGan) -> None:
    text = features(gan, toys.PROMPTS[0])
    f, pictures = draw_starts(gan, text, gan.noise(range(40)))
    target = wanted(pictures[7:8].clamp(-1, 1))
    fit = invert(gan, target, text, (f, pictures), 20)
    assert fit.psnr(target) > 40
    assert fit.evaluations == 16 * 4 + 4 * 7 + 1 * 12  # each round looks once more
    others = torch.cat([f[:7], f[8:]]), torch.cat([pictures[:7], pictures[8:]])
    nearest = others[1][target.distance(others[1].clamp(-1, 1)).argmin()][None]
    before = float(10 * torch.log10(4 / (nearest.clamp(-1, 1) - target.picture).square().mean()))
    assert invert(gan, target, text, others, 40).psnr(target) > before + 1


def test_tied_levels_keep_what_noise_and_text_make_of_them(gan: TextToImageGan) -> None:
    text = features(gan, toys.PROMPTS[1])
    starts = draw_starts(gan, text, gan.noise(range(20)))
    target = wanted(torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1)
    fit = invert(gan, target, text, starts, 10, Freedom(first_free=3))
    first, second, third, last = fit.styles
    assert torch.equal(first, second)
    assert torch.equal(first, third)
    assert not torch.equal(first, last)
    assert torch.equal(fit.text.tokens, text.tokens)
    free = invert(gan, target, text, starts, 10, Freedom(words=True))
    assert not torch.equal(free.text.tokens, text.tokens)
    assert free.psnr(target) > fit.psnr(target)


def test_no_weight_gets_a_gradient_and_no_global_number_is_drawn(gan: TextToImageGan) -> None:
    state = torch.get_rng_state()
    with torch.inference_mode():
        Editor(gan, steps=2, candidates=4).invert(np.asarray(toys.toy_image(0)))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(weight.grad is None for weight in gan.net.parameters())


def test_the_shipped_gan_inverts_scenes_without_their_captions() -> None:
    from gandiff.experiments.scenes.facts import sample_scenes, scene_seeds
    from gandiff.experiments.scenes.render import render

    shipped: TextToImageGan = TextToImageGan.from_pretrained("gan-scenes")
    editor = Editor(shipped, steps=60, candidates=1)
    pictures = render(sample_scenes(scene_seeds("test", 0, 3)))
    errors = [
        ((to_pixels(editor.invert(one).picture)[0].astype(float) - one) ** 2).mean()
        for one in pictures
    ]
    assert 10 * np.log10(255**2 / np.mean(errors)) > 22
