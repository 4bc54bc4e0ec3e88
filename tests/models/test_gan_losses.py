"""Losses and augmentation of the GAN, against what their papers write."""

from __future__ import annotations

import math

import pytest
import torch

from gandiff.models.gan.augment import augment
from gandiff.models.gan.losses import (
    angular_distance,
    energy_score,
    matching,
    non_saturating,
    relativistic,
    zero_centred_penalties,
)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def test_relativistic_loss() -> None:
    logits = torch.randn(6)
    assert relativistic(logits, logits, 6).item() == pytest.approx(math.log(2))
    better, worse = torch.randn(6), torch.randn(6)
    found = relativistic(better, worse, 6)
    wanted = sum(math.log1p(math.exp(b - a)) for a, b in zip(better, worse, strict=True)) / 6
    assert found.item() == pytest.approx(wanted, rel=1e-5)
    torch.testing.assert_close(relativistic(better + 9, worse + 9, 6), found)
    assert relativistic(better + 1, worse, 6) < found


def test_non_saturating_loss() -> None:
    high, low = torch.randn(5), torch.randn(5)
    both = non_saturating(high, low, 5)
    wanted = sum(
        math.log1p(math.exp(-a)) + math.log1p(math.exp(b)) for a, b in zip(high, low, strict=True)
    )
    assert both.item() == pytest.approx(wanted / 5, rel=1e-5)
    parts = non_saturating(high, None, 5) + non_saturating(None, low, 5)
    torch.testing.assert_close(parts, both)


def test_parts_of_a_batch_add_up() -> None:
    a, b, c = torch.randn(6), torch.randn(6), torch.randn(6, 3)
    no = torch.rand(6, 3) < 0.7
    cut = (slice(0, 2), slice(2, 6))
    for whole, parts in (
        (relativistic(a, b, 6), [relativistic(a[i], b[i], 6) for i in cut]),
        (non_saturating(a, b, 6), [non_saturating(a[i], b[i], 6) for i in cut]),
        (matching(a, c, no, 6), [matching(a[i], c[i], no[i], 6) for i in cut]),
    ):
        torch.testing.assert_close(sum(parts), whole)


def test_matching_counts_captions_that_do_not_fit() -> None:
    right, wrong = torch.randn(4), torch.randn(4, 5)
    mismatch = torch.rand(4, 5) < 0.6
    mismatch[3] = False
    wanted = 0.0
    for i in range(4):
        rivals = [math.exp(wrong[i, j]) for j in range(5) if mismatch[i, j]]
        own = math.exp(right[i])
        wanted -= math.log(own / (own + sum(rivals))) / 4
    found = matching(right, wrong, mismatch, 4)
    assert found.item() == pytest.approx(wanted, rel=1e-5)
    changed = torch.where(mismatch, wrong, torch.randn(4, 5))
    torch.testing.assert_close(matching(right, changed, mismatch, 4), found)


def test_matching_without_a_mismatch_is_nothing() -> None:
    right = torch.randn(3, requires_grad=True)
    nothing = matching(right, torch.randn(3, 2), torch.zeros(3, 2, dtype=torch.bool), 3)
    assert nothing.item() == 0
    (gradient,) = torch.autograd.grad(nothing, right)
    assert (gradient == 0).all()


def test_energy_score_is_lowest_for_the_true_distribution() -> None:
    """Of generators with too little, right and too much variation, and of one that is off."""
    n = 20_000
    real = torch.randn(n, 3)

    def score(spread: float, shift: float = 0.0) -> float:
        made, sibling = (spread * torch.randn(2, n, 3) + shift).unbind(0)
        return energy_score(real, made, sibling, n).item()

    right = score(1.0)
    assert right < score(0.0)
    assert right < score(0.5)
    assert right < score(1.5)
    assert right < score(1.0, shift=0.5)
    # E|X - Y| of two Gaussians in three dimensions is 4 / sqrt(pi).
    assert right == pytest.approx(0.5 * 4 / math.sqrt(math.pi), rel=0.02)


def test_energy_score_drives_siblings_apart_even_where_they_coincide() -> None:
    made = torch.zeros(2, 3, requires_grad=True)
    loss = energy_score(torch.ones(2, 3), made, made.detach() + 1e-3, 2)
    (gradient,) = torch.autograd.grad(loss, made)
    assert gradient.isfinite().all()
    alone = energy_score(torch.ones(2, 3), made, made, 2)
    (same,) = torch.autograd.grad(alone, made)
    assert same.isfinite().all()


def test_penalty_of_a_linear_function_is_its_slope() -> None:
    slope = torch.randn(3, 4, 4)
    images = torch.randn(5, 3, 4, 4, requires_grad=True)
    (penalty,) = zero_centred_penalties((images * slope).sum((1, 2, 3)), images, 5)
    torch.testing.assert_close(penalty, 0.5 * slope.square().sum())


def test_penalty_trains_and_is_finite_without_a_slope() -> None:
    images = torch.randn(5, 3, 4, 4, requires_grad=True)
    weight = torch.zeros((), requires_grad=True)
    (penalty,) = zero_centred_penalties(weight * images.sum((1, 2, 3)), images, 5)
    (gradient,) = torch.autograd.grad(penalty, weight)
    assert penalty.item() == 0
    assert gradient.item() == 0
    steep = torch.tensor(2.0, requires_grad=True)
    (penalty,) = zero_centred_penalties(steep * images.sum((1, 2, 3)), images, 5)
    (gradient,) = torch.autograd.grad(penalty, steep)
    # d/da of a^2 / 2 per pixel, of which there are 48.
    assert (penalty.item(), gradient.item()) == (pytest.approx(96), pytest.approx(96))


def test_angular_distance_is_the_angle_and_has_a_gradient_everywhere() -> None:
    a = torch.tensor([[1.0, 0.0], [1.0, 0.0], [3.0, 0.0], [1.0, 0.0]], requires_grad=True)
    b = torch.tensor([[0.0, 2.0], [1.0, 1.0], [1.0, 0.0], [-1.0, 0.0]])
    found = angular_distance(a, b)
    wanted = [(math.pi / 2) ** 2, (math.pi / 4) ** 2, 0.0, math.pi**2]
    assert found.tolist() == pytest.approx(wanted, abs=1e-2)
    (gradient,) = torch.autograd.grad(found.sum(), a)
    assert gradient.isfinite().all()


def test_augmentation_follows_its_numbers() -> None:
    images = torch.rand(6, 3, 16, 16) * 2 - 1
    draws = torch.rand(6, 8)
    found = augment(images, draws)
    assert found.shape == images.shape
    assert torch.equal(augment(images, draws), found)
    torch.testing.assert_close(augment(images[2:3], draws[2:3])[0], found[2])
    assert not torch.allclose(augment(images, torch.rand(6, 8)), found)


def test_augmentation_moves_and_cuts() -> None:
    image = torch.zeros(1, 3, 16, 16)
    image[0, :, 8, 8] = 1.0
    still = torch.tensor([[0.5, 0.5, 0.5, 0.5, 0.5, -9.0, -9.0, 0.0]])  # nothing but identity
    torch.testing.assert_close(augment(image, still), image)
    moved = augment(image, still.clone().index_fill_(1, torch.tensor([3]), 1.0))
    assert moved[0, 0].argmax().item() == (8 + 2) * 16 + 8  # an eighth of 16 px down
    cut = still.clone()
    cut[0, 5:7] = 0.5
    gone = augment(torch.ones(1, 3, 16, 16), cut)
    assert gone[0, 0].sum().item() == 16 * 16 - 8 * 8


def test_augmentation_can_be_differentiated_twice() -> None:
    images = torch.rand(4, 3, 8, 8, requires_grad=True)
    weight = torch.ones((), requires_grad=True)
    logits = (weight * augment(images, torch.rand(4, 8))).square().sum((1, 2, 3))
    (penalty,) = zero_centred_penalties(logits, images, 4)
    (gradient,) = torch.autograd.grad(penalty, weight)
    assert gradient.isfinite()
    assert gradient != 0
