"""The energy score in several views: what it looks at, and what it is lowest for."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gandiff.experiments.training.gan.losses import EnergyScore


def described(n: int, backgrounds: Tensor, seen: int = 16) -> Tensor:
    """Plain pictures with some noise, and as many random features."""
    images = backgrounds[:, :, None, None] + 0.1 * torch.randn(n, 3, 8, 8)
    return EnergyScore.describe(images, torch.randn(n, seen))


def backgrounds(n: int, values: int) -> Tensor:
    """Each picture's colour is one of so many."""
    levels = torch.linspace(-1, 1, 4)[torch.randint(0, values, (n,))]
    return levels[:, None].expand(n, 3)


def test_views_cover_features_and_shrunk_pictures() -> None:
    found = EnergyScore(20).views
    columns = [columns for columns, _ in found]
    assert columns[:3] == [slice(0, 8), slice(8, 16), slice(16, 20)]
    bands = [slice(20, 23), slice(23, 35), slice(35, 83), slice(83, 275)]
    assert columns[3:] == [slice(0, 20), *bands]
    assert math.isclose(sum(weight for _, weight in found[:3]), 1.0)
    assert EnergyScore.describe(torch.zeros(2, 3, 32, 32), torch.zeros(2, 20)).shape == (2, 275)
    assert EnergyScore.describe(torch.zeros(2, 3, 8, 8), torch.zeros(2, 20)).shape == (2, 275)


def test_its_unit_is_the_distance_of_two_real_pictures() -> None:
    torch.manual_seed(0)
    real = described(4000, backgrounds(4000, 4))
    scores = []
    for scale in (1.0, 50.0):
        energy = EnergyScore(16)
        energy.set_unit(energy.moments(real * scale), len(real))
        first, second = (real * scale).split(2000)
        scores.append(float(energy(first, second, second.roll(1, 0), 2000)))
    assert scores[1] == pytest.approx(scores[0], rel=1e-4)
    # E|X - Y| - E|Y - Y'| / 2 of equal distributions is half of E|X - Y|, which is at most the root
    # of E|X - Y|^2, the unit, and near it in many dimensions. The views weigh 6 in all.
    assert 2.7 < scores[0] < 3.0


def test_parts_of_a_batch_have_the_unit_of_the_whole() -> None:
    torch.manual_seed(0)
    real = described(12, backgrounds(12, 4))
    whole, parts = EnergyScore(16), EnergyScore(16)
    whole.set_unit(whole.moments(real), 12)
    parts.set_unit(parts.moments(real[:5]) + parts.moments(real[5:]), 12)
    made = torch.randn_like(real)
    torch.testing.assert_close(
        whole(real, made, made.flip(0), 12), parts(real, made, made.flip(0), 12)
    )


def test_pictures_that_all_have_one_background_score_worse() -> None:
    torch.manual_seed(0)
    n = 4000
    real = described(n, backgrounds(n, 4))
    energy = EnergyScore(16)
    energy.set_unit(energy.moments(real), n)

    def score(values: int) -> float:
        made, sibling = (described(n, backgrounds(n, values)) for _ in range(2))
        return float(energy(real, made, sibling, n))

    assert score(4) < score(3) < score(2) < score(1)


def test_bands_add_up_to_the_picture() -> None:
    """Each holds what the one before lacks, so a plain picture fills the first alone."""
    images = torch.randn(2, 3, 8, 8)
    bands = EnergyScore.describe(images, torch.zeros(2, 0))
    total = torch.zeros(2, 3, 8, 8)
    for (columns, _), side in zip(EnergyScore(0).views[-4:], (1, 2, 4, 8), strict=True):
        band = bands[:, columns].view(2, 3, side, side)
        total += band.repeat_interleave(8 // side, 2).repeat_interleave(8 // side, 3)
    torch.testing.assert_close(total, images)
    plain = EnergyScore.describe(images[..., :1, :1].expand(2, 3, 8, 8), torch.zeros(2, 0))
    torch.testing.assert_close(plain[:, 3:], torch.zeros(2, 252))


def test_pictures_with_one_layout_score_worse() -> None:
    """Objects that could change places and never do, on backgrounds that vary far more."""
    torch.manual_seed(0)
    n = 4000
    energy = EnergyScore(4)

    def pictures(swapped: float) -> Tensor:
        sign = torch.where(torch.rand(n) < swapped, -1.0, 1.0)[:, None, None, None]
        images = 2 * torch.randn(n, 3, 1, 1) + 0.05 * torch.randn(n, 3, 8, 8)
        images[..., 2:4, 1:3] += 0.5 * sign
        images[..., 2:4, 5:7] -= 0.5 * sign
        return EnergyScore.describe(images, torch.zeros(n, 4))

    real = pictures(0.5)
    energy.set_unit(energy.moments(real), n)

    def score(swapped: float) -> float:
        return float(energy(real, pictures(swapped), pictures(swapped), n))

    assert score(0.5) < score(0.25) - 0.01
    assert score(0.25) < score(0.0) - 0.05


def test_it_moves_pictures_of_one_background_towards_the_others() -> None:
    """Where the network's features say nothing, the shrunk picture still does."""
    torch.manual_seed(0)
    n = 64
    energy = EnergyScore(4)
    levels = torch.linspace(-1, 1, 4).repeat(n // 4)
    real = EnergyScore.describe(levels[:, None, None, None].expand(n, 3, 8, 8), torch.zeros(n, 4))
    energy.set_unit(energy.moments(real), n)
    images = torch.full((n, 3, 8, 8), -1.0, requires_grad=True)
    made = EnergyScore.describe(images, torch.zeros(n, 4))
    torch.autograd.backward(energy(real, made, made.detach(), n))
    assert images.grad is not None
    assert float(images.grad.sum()) < 0  # a step against the gradient makes them brighter
