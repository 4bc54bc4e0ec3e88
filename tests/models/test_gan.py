"""The networks of the GAN, against what their papers write."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gandiff.experiments.benchmarks.gan_speed import (
    products_of,
    the_usual_way,
    toy_text,
    zero_insertion,
)
from gandiff.models.gan.config import GanConfig, gan_config
from gandiff.models.gan.discriminator import Discriminator
from gandiff.models.gan.layers import (
    GAIN,
    CrossAttention,
    Halving,
    Linear,
    ModulatedConv,
    StyledLayer,
    double,
    minibatch_deviation,
    unit_variance,
)
from gandiff.models.gan.synthesis import GeneratorNetwork
from gandiff.models.text import TextFeatures

SMALL = GanConfig(
    resolution=16,
    text_width=6,
    z_width=8,
    style_width=12,
    g_widths=(12, 8, 6),
    d_widths=(12, 8),
    attention=(8,),
    heads=2,
    d_features=20,
)


def text_of(n: int, width: int = 6, length: int = 5) -> TextFeatures:
    mask = torch.arange(length)[None] < torch.randint(1, length + 1, (n, 1))
    return TextFeatures(torch.randn(n, length, width), torch.randn(n, width), mask, [0] * n)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def generator() -> GeneratorNetwork:
    """A small one, in which attention has begun to work."""
    made = GeneratorNetwork(SMALL)
    made.f_mean.normal_()
    torch.nn.init.normal_(made.levels[1].read.out.weight)
    return made.requires_grad_(False)


@pytest.mark.parametrize("resolution", [8, 32, 64, 128, 256])
def test_networks_have_their_shapes(resolution: int) -> None:
    config = gan_config(resolution, text_width=6)
    g = GeneratorNetwork(config).requires_grad_(False)
    d = Discriminator(config).requires_grad_(False)
    z, text = torch.randn(2, config.z_width), text_of(2)
    picture = g(z, text)
    assert picture.shape == (2, 3, resolution, resolution)
    assert picture.isfinite().all()
    h = d.features(picture)
    assert h.shape == (2, config.d_features)
    assert d.match(h, torch.randn(2, 5, 6)).shape == (2, 5)
    assert torch.equal(d(picture, text.pooled), d.judge(h, text.pooled))


def test_small_pictures_need_no_attention_and_large_ones_have_it() -> None:
    assert gan_config(16, 6).attention == ()
    assert gan_config(32, 6).attention == (8,)
    assert gan_config(64, 6).attention == gan_config(256, 6).attention == (8, 16)


@pytest.mark.parametrize("resolution", [0, -32, 4, 33, 48, 100, 2048])
def test_a_resolution_that_is_no_power_of_two_is_refused(resolution: int) -> None:
    with pytest.raises(ValueError, match=f"power of two from 8 to 1024 px, got {resolution}; the"):
        GanConfig(resolution=resolution)
    with pytest.raises(ValueError, match="power of two from 8 to 1024 px"):
        gan_config(resolution, 6)


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(ValueError, match=r"g_widths needs 4 numbers for 32 px .* got \(8, 8\)"):
        GanConfig(g_widths=(8, 8))
    with pytest.raises(ValueError, match=r"d_widths needs 3 numbers for 32 px"):
        GanConfig(d_widths=(8, 8, 8, 8))
    with pytest.raises(ValueError, match=r"attention at 64 px: the sizes are \[4, 8, 16, 32\]"):
        GanConfig(attention=(64,))
    with pytest.raises(ValueError, match=r"its 64 channels do not divide into 5 heads"):
        GanConfig(attention=(16,), heads=5)
    with pytest.raises(ValueError, match="z_width must be at least 1, got 0"):
        GanConfig(z_width=0)


def test_truncation_0_forgets_the_noise_and_keeps_the_text(generator: GeneratorNetwork) -> None:
    z, text = torch.randn(4, 8), text_of(1)
    same = TextFeatures(*(torch.cat([part] * 4) for part in text[:3]), [0] * 4)
    made = generator(z, same, 0.0)
    torch.testing.assert_close(made, made[:1].expand_as(made))
    torch.testing.assert_close(generator.truncate(z, 0.0), generator.f_mean.expand(4, -1))
    other = generator(z, text_of(4), 0.0)
    assert len({tuple(row.flatten().tolist()) for row in other}) == 4


def test_truncation_pulls_in_a_straight_line(generator: GeneratorNetwork) -> None:
    f = generator.map(torch.randn(4, 8))
    none, half, full = (generator.truncate(f, psi) for psi in (0.0, 0.5, 1.0))
    torch.testing.assert_close(half, (none + full) / 2)
    torch.testing.assert_close(full, f)
    psis = torch.tensor([0.0, 0.5, 1.0, 0.5])
    rows = torch.stack([none[0], half[1], full[2], half[3]])
    torch.testing.assert_close(generator.truncate(f, psis), rows)


def test_noise_and_text_enter_with_unit_variance(generator: GeneratorNetwork) -> None:
    z, text = torch.randn(3, 8), text_of(3)
    torch.testing.assert_close(unit_variance(5 * z).square().mean(1), torch.ones(3))
    louder = text._replace(tokens=7 * text.tokens, pooled=7 * text.pooled)
    torch.testing.assert_close(generator(3 * z, louder), generator(z, text), rtol=1e-3, atol=1e-4)
    assert unit_variance(torch.zeros(1, 4)).isfinite().all()


def test_the_tracked_mean_is_that_of_the_mapped_noise(generator: GeneratorNetwork) -> None:
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


def test_pictures_depend_on_their_own_noise_and_text(generator: GeneratorNetwork) -> None:
    z, text = torch.randn(5, 8), text_of(5)
    together = generator(z, text)
    alone = generator(z[2:3], text.at([2]))[0]
    torch.testing.assert_close(alone, together[2], rtol=0, atol=1e-4)
    flipped = TextFeatures(*(part.flip(0) for part in text[:3]), [0] * 5)
    assert not torch.allclose(generator(z, flipped), together)
    assert not torch.allclose(generator(z.flip(0), text), together)


def test_tensors_are_kept_channels_last(generator: GeneratorNetwork) -> None:
    w, text = generator.style(generator.map(torch.randn(2, 8)), torch.randn(2, 6)), text_of(2)
    x = torch.randn(2, 12, 4, 4).contiguous(memory_format=torch.channels_last)
    for level in generator.levels:
        x, _ = level(x, w, text)
        assert x.is_contiguous(memory_format=torch.channels_last)


def test_levels_may_have_styles_and_texts_of_their_own(generator: GeneratorNetwork) -> None:
    z, text = torch.randn(2, 8), text_of(2)
    w = generator.style(generator.map(z), text.pooled)
    torch.testing.assert_close(generator.synthesise([w] * 3, [text] * 3), generator(z, text))
    assert not torch.allclose(generator.synthesise([w, w, w.flip(0)], text), generator(z, text))
    with pytest.raises(ValueError, match="1 styles and 3 texts for 3 levels"):
        generator.synthesise([w], text)


def test_every_weight_of_the_discriminator_learns_at_the_same_relative_rate() -> None:
    """Drawn from a unit Gaussian and scaled where it is used (Karras et al. 2018, section 4.1)."""
    torch.manual_seed(0)
    weights = {k: p for k, p in Discriminator(gan_config(32, 96)).named_parameters() if p.ndim > 1}
    assert any(name.startswith("skips") for name in weights)
    for name, weight in weights.items():
        assert weight.std().item() == pytest.approx(1.0, abs=0.2), name


def test_a_halving_keeps_the_variance() -> None:
    torch.manual_seed(0)
    x = torch.randn(64, 32, 8, 8)
    y = Halving(32, 48)(x)
    assert y.shape == (64, 48, 4, 4)
    assert y.std().item() == pytest.approx(1.0, abs=0.1)


def test_attention_begins_as_nothing_and_reads_allowed_tokens() -> None:
    layer = CrossAttention(8, 6, heads=2).requires_grad_(False)
    x, text = torch.randn(2, 8, 4, 4), text_of(2)
    torch.testing.assert_close(layer(x, text.tokens, text.mask), x)
    torch.nn.init.normal_(layer.out.weight)
    found = layer(x, text.tokens, text.mask)
    hidden = torch.where(text.mask[:, :, None], text.tokens, torch.randn(2, 5, 6))
    torch.testing.assert_close(layer(x, hidden, text.mask), found)
    assert not torch.allclose(found, x)
    torch.testing.assert_close(layer(x, text.tokens, text.mask.float()), found)


def test_attention_is_the_library_s() -> None:
    layer = CrossAttention(8, 6, heads=2).requires_grad_(False)
    torch.nn.init.normal_(layer.out.weight)
    x, text = torch.randn(3, 8, 4, 4), text_of(3)
    places, tokens = x.flatten(2).transpose(1, 2), unit_variance(text.tokens)
    q, k, v = (
        part.unflatten(-1, (2, 4)).transpose(1, 2)
        for part in (layer.query(unit_variance(places)), layer.key(tokens), layer.value(tokens))
    )
    read = F.scaled_dot_product_attention(q, k, v, attn_mask=text.mask[:, None, None, :])
    out = layer.out(read.transpose(1, 2).flatten(2)).transpose(1, 2).view_as(x)
    torch.testing.assert_close(layer(x, text.tokens, text.mask), x + out, rtol=1e-4, atol=1e-5)


def test_the_usual_way_gives_the_same_pictures(generator: GeneratorNetwork) -> None:
    """But for the border, where inserted zeros meet the edge: the mean is that of the inside."""
    x = torch.randn(2, 3, 6, 6)
    inside = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    torch.testing.assert_close(zero_insertion(x)[inside], double(x)[inside])
    layer = StyledLayer(5, 3, style=6).requires_grad_(False)
    w, x = torch.randn(2, 6), torch.randn(2, 5, 4, 4)
    ours = layer(x, w)
    with the_usual_way():
        torch.testing.assert_close(layer(x, w), ours, rtol=1e-4, atol=1e-5)


def test_minibatch_deviation_sees_whether_pictures_differ() -> None:
    same = torch.randn(1, 3, 4, 4).expand(8, -1, -1, -1)
    assert minibatch_deviation(same).shape == (8, 4, 4, 4)
    assert minibatch_deviation(same)[:, 3].max() < 2e-4
    assert minibatch_deviation(torch.randn(8, 3, 4, 4))[:, 3].min() > 0.5
    assert minibatch_deviation(torch.randn(7, 3, 4, 4)).shape == (7, 4, 4, 4)
    x = torch.randn(4, 3, 4, 4)
    wanted = x.std(0, correction=0).mean()
    torch.testing.assert_close(minibatch_deviation(x)[:, 3], wanted.expand(4, 4, 4))


def test_a_batch_in_parts_has_the_groups_of_the_whole() -> None:
    x = torch.randn(16, 3, 4, 4)
    parts = torch.cat([minibatch_deviation(part) for part in x.split(8)])
    torch.testing.assert_close(parts, minibatch_deviation(x))


def test_a_match_depends_on_picture_and_caption_alone() -> None:
    d = Discriminator(SMALL).requires_grad_(False)
    h, captions = torch.randn(3, 20), torch.randn(3, 4, 6)
    match = d.match(h, captions)
    torch.testing.assert_close(d.match(h[1:2], captions[1:2, 2:3])[0, 0], match[1, 2])
    logits = d.judge(h, captions[:, 0])
    projected = d.judge.project(h, captions)[:, 0]
    torch.testing.assert_close(logits, d.judge.real(h)[:, 0] + projected)


def test_bf16_is_near_and_finite() -> None:
    config = gan_config(32, text_width=6)
    g, d = GeneratorNetwork(config), Discriminator(config)
    z, text = torch.randn(4, 64), text_of(4)
    exact = g(z, text)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        near = g(z, text)
    assert near.dtype == torch.float32
    assert (near - exact).abs().mean() < 0.05 * exact.abs().mean()
    images = near.detach().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = d(images, text.pooled)
    assert logits.dtype == torch.float32
    (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    torch.autograd.backward(slope.square().sum())
    assert all(p.grad.isfinite().all() for p in d.parameters() if p.grad is not None)


def test_the_bare_products_of_a_generator_are_all_found() -> None:
    """Each convolution and each matrix product of one call, so that a sum of them can be timed."""
    config = gan_config(16, 96)
    net = GeneratorNetwork(config).eval().requires_grad_(False)
    found = products_of(net, torch.randn(2, config.z_width), toy_text(2))
    for product in found:
        product()
    names = [str(product.func) for product in found]  # type: ignore[attr-defined]
    convolutions = sum(isinstance(m, ModulatedConv) for m in net.modules())
    linear = sum(isinstance(m, torch.nn.Linear | Linear) for m in net.modules())
    assert sum("convolution" in name for name in names) >= convolutions > 4
    assert sum("mm" in name for name in names) >= linear > 4
