"""The networks and losses of the GAN, against what their papers write."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gandiff.models.gan.losses import contrast, mismatch, relativistic, zero_centred_penalty
from gandiff.models.gan.networks import (
    GAIN,
    Discriminator,
    GanConfig,
    Generator,
    ModulatedConv,
    StyledLayer,
    gan_config,
    unit_variance,
)

SMALL = GanConfig(resolution=16, text_width=6, z_width=8, g_widths=(12, 8, 8), d_widths=(12, 8))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def generator() -> Generator:
    made = Generator(SMALL)
    made.f_mean.normal_()
    return made.requires_grad_(False)


@pytest.mark.parametrize("resolution", [8, 32, 64, 128])
def test_networks_have_their_shapes(resolution: int) -> None:
    config = gan_config(resolution, text_width=6)
    g, d = Generator(config).requires_grad_(False), Discriminator(config).requires_grad_(False)
    z, text = torch.randn(2, config.z_width), torch.randn(2, 6)
    picture = g(z, text)
    assert picture.shape == (2, 3, resolution, resolution)
    assert picture.isfinite().all()
    h = d.features(picture)
    assert h.shape == (2, 128)
    assert d.judge.similarity(h, torch.randn(5, 6)).shape == (2, 5)
    assert torch.equal(d(picture, text), d.judge(h, text))


@pytest.mark.parametrize("resolution", [0, -32, 4, 33, 48, 100])
def test_a_resolution_that_is_no_power_of_two_is_refused(resolution: int) -> None:
    with pytest.raises(ValueError, match=f"power of two from 8 up, got {resolution}"):
        GanConfig(resolution=resolution)
    with pytest.raises(ValueError, match="power of two from 8 up"):
        gan_config(resolution, 6)


def test_widths_must_reach_the_resolution() -> None:
    with pytest.raises(ValueError, match=r"g_widths needs 4 numbers for 32 px .* got \(8, 8\)"):
        GanConfig(g_widths=(8, 8))
    with pytest.raises(ValueError, match=r"d_widths needs 3 numbers for 32 px"):
        GanConfig(d_widths=(8, 8, 8, 8))


def test_truncation_0_forgets_the_noise_and_keeps_the_text(generator: Generator) -> None:
    z, text = torch.randn(4, 8), torch.randn(4, 6)
    w = generator.style(z, text[:1].expand(4, -1), 0.0)
    assert (w == w[:1]).all()
    torch.testing.assert_close(w[0, :8], generator.f_mean)
    other = generator.style(z[:1].expand(4, -1), text, 0.0)
    assert torch.equal(other[:, :8], w[:, :8])
    assert len({tuple(row.tolist()) for row in other[:, 8:]}) == 4


def test_truncation_pulls_in_a_straight_line_and_leaves_the_text(generator: Generator) -> None:
    z, text = torch.randn(4, 8), torch.randn(4, 6)
    none, half, full = (generator.style(z, text, psi) for psi in (0.0, 0.5, 1.0))
    torch.testing.assert_close(half[:, :8], (none + full)[:, :8] / 2)
    torch.testing.assert_close(full[:, :8], generator.map(z))
    assert torch.equal(half[:, 8:], full[:, 8:])
    torch.testing.assert_close(full[:, 8:], unit_variance(text))


def test_noise_and_text_enter_with_unit_variance(generator: Generator) -> None:
    z, text = torch.randn(3, 8), torch.randn(3, 6)
    torch.testing.assert_close(unit_variance(5 * z).square().mean(1), torch.ones(3))
    torch.testing.assert_close(generator(3 * z, 7 * text), generator(z, text))
    assert unit_variance(torch.zeros(1, 4)).isfinite().all()


def test_the_tracked_mean_is_that_of_the_mapped_noise(generator: Generator) -> None:
    f = generator.map(torch.randn(64, 8))
    for _ in range(80):
        generator.track_mean(f, decay=0.8)
    torch.testing.assert_close(generator.f_mean, f.mean(0))


def random_style(conv: ModulatedConv, n: int) -> Tensor:
    """Styles that differ much between inputs: what demodulation has to undo."""
    conv.affine.bias.data.uniform_(0.2, 4.0)
    return torch.randn(n, conv.affine.weight.shape[1])


def test_demodulation_keeps_unit_variance() -> None:
    conv = ModulatedConv(24, 12, style=6).requires_grad_(False)
    w = random_style(conv, 4)
    y, factor = conv(torch.randn(4, 24, 66, 66), w)
    assert factor is not None
    inner = slice(1, -1)
    std = (y * factor)[:, :, inner, inner].std((2, 3))
    # 4,096 pixels tell a deviation to about a hundredth, neighbours being correlated.
    torch.testing.assert_close(std, torch.ones_like(std), rtol=0, atol=0.1)
    assert y[:, :, inner, inner].std((2, 3)).mean() > 1.5


def test_it_is_the_convolution_with_modulated_weights() -> None:
    """Karras et al. 2020, equations 1 and 3, with a kernel for each sample."""
    conv = ModulatedConv(5, 7, style=6).requires_grad_(False)
    w, x = random_style(conv, 3), torch.randn(3, 5, 8, 8)
    y, factor = conv(x, w)
    for i in range(3):
        style = conv.affine(w[i : i + 1])[0]
        modulated = conv.weight * conv.scale * style[None, :, None, None]
        length = torch.sqrt(modulated.square().sum((1, 2, 3), keepdim=True) + 1e-8)
        wanted = F.conv2d(x[i : i + 1], modulated / length, padding=1)
        torch.testing.assert_close((y * factor)[i : i + 1], wanted, rtol=1e-4, atol=1e-5)


def test_without_demodulation_the_style_scales() -> None:
    conv = ModulatedConv(5, 3, style=6, kernel=1, demodulate=False).requires_grad_(False)
    w, x = random_style(conv, 2), torch.randn(2, 5, 4, 4)
    y, factor = conv(x, w)
    assert factor is None
    style = conv.affine(w)
    weight = conv.weight[:, :, 0, 0] * conv.scale
    torch.testing.assert_close(y, torch.einsum("oi,ni,nihw->nohw", weight, style, x))


def test_a_styled_layer_activates_and_may_double() -> None:
    w, x = torch.randn(2, 6), torch.randn(2, 5, 4, 4)
    for up in (False, True):
        layer = StyledLayer(5, 3, style=6, up=up).requires_grad_(False)
        layer.bias.normal_()
        y, factor = layer.conv(x, w)
        y = y * factor
        if up:
            y = F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)
        wanted = F.leaky_relu(y + layer.bias[None, :, None, None], 0.2) * GAIN
        torch.testing.assert_close(layer(x, w), wanted)


def test_pictures_depend_on_their_own_noise_and_text(generator: Generator) -> None:
    z, text = torch.randn(5, 8), torch.randn(5, 6)
    together = generator(z, text)
    torch.testing.assert_close(generator(z[2:3], text[2:3])[0], together[2], rtol=0, atol=1e-5)
    assert not torch.allclose(generator(z, text.flip(0)), together)
    assert not torch.allclose(generator(z.flip(0), text), together)


def test_similarity_is_a_cosine_of_every_pair() -> None:
    judge = Discriminator(SMALL).judge.requires_grad_(False)
    h, text = torch.randn(3, 128), torch.randn(4, 6)
    similarity = judge.similarity(h, text)
    assert (similarity.abs() <= 1 + 1e-6).all()
    torch.testing.assert_close(judge.similarity(h[1:2], text[2:3])[0, 0], similarity[1, 2])


def test_relativistic_loss() -> None:
    logits = torch.randn(6)
    assert relativistic(logits, logits).item() == pytest.approx(math.log(2))
    better, worse = torch.randn(6), torch.randn(6)
    found = relativistic(better, worse)
    wanted = sum(math.log1p(math.exp(b - a)) for a, b in zip(better, worse, strict=True)) / 6
    assert found.item() == pytest.approx(wanted, rel=1e-5)
    torch.testing.assert_close(relativistic(better + 9, worse + 9), found)
    assert relativistic(better + 1, worse) < found


def test_mismatch_counts_what_is_certainly_wrong() -> None:
    right, wrong = torch.randn(6), torch.randn(6)
    certain = torch.tensor([True, False, True, True, False, True])
    torch.testing.assert_close(
        mismatch(right, wrong, certain), relativistic(right[certain], wrong[certain])
    )
    right.requires_grad_()
    nothing = mismatch(right, wrong, torch.zeros(6, dtype=torch.bool))
    assert nothing.item() == 0
    (gradient,) = torch.autograd.grad(nothing, right)
    assert (gradient == 0).all()


def test_contrast_ignores_captions_that_also_fit() -> None:
    similarity = torch.rand(4, 4) * 2 - 1
    fit = torch.eye(4, dtype=torch.bool)
    fit[0, 2] = fit[3, 1] = True
    wanted = 0.0
    for i in range(4):
        rivals = [j for j in range(4) if j == i or not fit[i, j]]
        scores = [math.exp(similarity[i, j].item() / 0.1) for j in rivals]
        wanted -= math.log(math.exp(similarity[i, i].item() / 0.1) / sum(scores)) / 4
    found = contrast(similarity, fit)
    assert found.item() == pytest.approx(wanted, rel=1e-4)
    other = similarity.clone()
    other[0, 2], other[3, 1] = 1.0, -1.0
    torch.testing.assert_close(contrast(other, fit), found)
    assert contrast(similarity, torch.ones(4, 4, dtype=torch.bool)).item() == 0
    assert contrast(similarity, torch.eye(4, dtype=torch.bool)) > found


def test_penalty_of_a_linear_function_is_its_slope() -> None:
    slope = torch.randn(3, 4, 4)
    images = torch.randn(5, 3, 4, 4, requires_grad=True)
    penalty = zero_centred_penalty((images * slope).sum((1, 2, 3)), images)
    torch.testing.assert_close(penalty, 0.5 * slope.square().sum())


def test_penalty_trains_and_is_finite_without_a_slope() -> None:
    images = torch.randn(5, 3, 4, 4, requires_grad=True)
    weight = torch.zeros((), requires_grad=True)
    penalty = zero_centred_penalty(weight * images.sum((1, 2, 3)), images)
    (gradient,) = torch.autograd.grad(penalty, weight)
    assert penalty.item() == 0
    assert gradient.item() == 0
    steep = torch.tensor(2.0, requires_grad=True)
    penalty = zero_centred_penalty(steep * images.sum((1, 2, 3)), images)
    (gradient,) = torch.autograd.grad(penalty, steep)
    # d/da of a^2 / 2 per pixel, of which there are 48.
    assert (penalty.item(), gradient.item()) == (pytest.approx(96), pytest.approx(96))
