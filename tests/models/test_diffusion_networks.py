"""The networks of the latent diffusion model: their sizes, and latents that are centred."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import toys

from gandiff.models.diffusion.networks import (
    build_noise_schedule,
    build_unet,
    build_vae,
    centre_latents,
    save_pipeline,
)
from gandiff.models.text import TextEncoder


@pytest.fixture
def vae() -> Any:
    torch.manual_seed(0)
    made = build_vae(32).eval().requires_grad_(False)
    made.quant_conv.bias.normal_(std=3.0)
    return made


def latents(vae: Any, x: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(vae.encode(x).latent_dist.mode())


def test_centring_leaves_reconstructions_and_makes_latents_standard(vae: Any) -> None:
    x = torch.rand(8, 3, 32, 32) * 2 - 1
    before = latents(vae, x)
    pictures = vae.decode(before).sample
    mean = before.mean((0, 2, 3))
    std = float((before - mean[None, :, None, None]).std())
    assert (mean.abs() > 0.1).any()
    centre_latents(vae, mean, std)
    after = latents(vae, x)
    torch.testing.assert_close(after.mean((0, 2, 3)), torch.zeros(4), rtol=0, atol=1e-5)
    torch.testing.assert_close(vae.decode(after).sample, pictures, rtol=0, atol=1e-4)
    # What a pipeline denoises: latents times the factor that it later divides by.
    assert float((after * vae.config.scaling_factor).std()) == pytest.approx(1, abs=1e-4)


def test_centring_leaves_the_spread_of_the_posterior(vae: Any) -> None:
    x = torch.rand(2, 3, 32, 32)
    before = vae.encode(x).latent_dist.logvar
    centre_latents(vae, torch.tensor([1.0, -2.0, 0.5, 3.0]), 2.0)
    torch.testing.assert_close(vae.encode(x).latent_dist.logvar, before)


@pytest.mark.parametrize("resolution", [8, 16, 32])
def test_networks_have_their_shapes(resolution: int) -> None:
    vae, unet = build_vae(resolution), build_unet(resolution, text_width=16)
    side = resolution // 4
    with torch.inference_mode():
        encoded = latents(vae, torch.zeros(1, 3, resolution, resolution))
        assert encoded.shape == (1, 4, side, side)
        assert vae.decode(encoded).sample.shape == (1, 3, resolution, resolution)
        text = torch.zeros(1, 5, 16)
        noise = unet(encoded, torch.tensor([10]), encoder_hidden_states=text).sample
    assert noise.shape == encoded.shape
    assert unet.config.sample_size == side


def test_the_denoiser_reads_the_text() -> None:
    torch.manual_seed(0)
    unet = build_unet(16, text_width=16).eval()
    x, t = torch.randn(1, 4, 4, 4), torch.tensor([500])
    with torch.inference_mode():
        one, other = (
            unet(x, t, encoder_hidden_states=torch.randn(1, 5, 16)).sample for _ in range(2)
        )
    assert not torch.allclose(one, other)


def test_the_forward_process_ends_in_noise() -> None:
    alphas = build_noise_schedule().alphas_cumprod
    assert len(alphas) == 1000
    assert (alphas.diff() < 0).all()
    assert alphas[0] > 0.999
    assert alphas[-1] < 0.005


def test_a_saved_pipeline_keeps_its_weights(vae: Any, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline

    text = TextEncoder(*toys.build_text())
    unet = build_unet(32, text.width)
    centre_latents(vae, torch.ones(4), 2.0)
    save_pipeline(tmp_path, vae, unet, text)
    assert not list(tmp_path.rglob("*.bin"))
    pipe = StableDiffusionPipeline.from_pretrained(tmp_path)
    assert pipe.vae.config.scaling_factor == 0.5
    assert pipe.vae_scale_factor == 4
    for mine, theirs in ((vae, pipe.vae), (unet, pipe.unet), (text.model, pipe.text_encoder)):
        for name, weight in mine.state_dict().items():
            assert torch.equal(theirs.state_dict()[name], weight), name
    assert pipe.tokenizer("a star")["input_ids"] == text.tokenizer("a star")["input_ids"]
