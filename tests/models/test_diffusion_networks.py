"""The networks of the diffusion model: their sizes, latents that are centred, pixels as latents."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toys
from diffusers import DDIMScheduler, StableDiffusionPipeline

from gandiff.models.diffusion.networks import (
    build_pipeline,
    build_unet,
    build_vae,
    centre_latents,
    save_pipeline,
)
from gandiff.models.diffusion.pixel import IdentityAutoencoder
from gandiff.models.text import TextEncoder
from gandiff.models.weights import PRETRAINED


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


@pytest.mark.parametrize(("resolution", "factor"), [(8, 1), (24, 2), (24, 4), (32, 8)])
def test_networks_have_their_shapes(resolution: int, factor: int) -> None:
    side = resolution // factor
    vae = build_vae(resolution, factor, latent_channels=5)
    unet = build_unet(side, text_width=16, depth=5, widths=(16, 16, 16))
    with torch.inference_mode():
        encoded = latents(vae, torch.zeros(1, 3, resolution, resolution))
        assert encoded.shape == (1, 5, side, side)
        assert vae.decode(encoded).sample.shape == (1, 3, resolution, resolution)
        text = torch.zeros(1, 5, 16)
        noise = unet(encoded, torch.tensor([10]), encoder_hidden_states=text).sample
    assert noise.shape == encoded.shape
    assert unet.config.sample_size == side


def test_the_denoiser_looks_at_captions_where_it_is_small_enough() -> None:
    unet = build_unet(32, text_width=16, widths=(8, 8, 8, 8), attention=8)
    looks = ["DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"]
    assert list(unet.config.down_block_types) == looks
    assert [kind.replace("Up", "Down") for kind in unet.config.up_block_types] == looks[::-1]


@pytest.mark.parametrize("side", [4, 16, 64, 256])
@pytest.mark.parametrize("widths", [(8,), (8, 8, 8)])
def test_the_last_level_reads_captions_whatever_its_side(
    side: int, widths: tuple[int, ...]
) -> None:
    unet = build_unet(side, text_width=16, widths=widths)
    small = [side >> level <= 8 for level in range(len(widths))]
    down = [kind == "CrossAttnDownBlock2D" for kind in unet.config.down_block_types]
    assert down == [*small[:-1], True]
    assert [kind == "CrossAttnUpBlock2D" for kind in unet.config.up_block_types] == down[::-1]


def test_the_shipped_denoiser_is_built_as_it_was() -> None:
    config = json.loads((PRETRAINED / "diffusion-scenes/unet/config.json").read_text("utf-8"))
    width, layers = config["cross_attention_dim"], config["transformer_layers_per_block"]
    built = build_unet(
        config["sample_size"],
        width,
        widths=config["block_out_channels"],
        attention_layers=layers,
    ).config
    for name in ("down_block_types", "up_block_types", "block_out_channels"):
        assert list(built[name]) == config[name]


@pytest.mark.parametrize("attention", [1, 16])
def test_the_denoiser_reads_the_text(attention: int) -> None:
    torch.manual_seed(0)
    unet = build_unet(4, text_width=16, widths=(8, 16), attention=attention).eval()
    x, t = torch.randn(1, 4, 4, 4), torch.tensor([500])
    with torch.inference_mode():
        one, other = (
            unet(x, t, encoder_hidden_states=torch.randn(1, 5, 16)).sample for _ in range(2)
        )
    assert not torch.allclose(one, other)


def test_a_saved_pipeline_keeps_its_weights(vae: Any, tmp_path: Path) -> None:
    text = TextEncoder(*toys.build_text())
    unet = build_unet(16, text.width)
    centre_latents(vae, torch.ones(4), 2.0)
    save_pipeline(
        tmp_path, build_pipeline(vae, unet, text, DDIMScheduler(clip_sample=False, steps_offset=1))
    )
    assert not list(tmp_path.rglob("*.bin"))
    pipe = StableDiffusionPipeline.from_pretrained(tmp_path)
    assert pipe.vae.config.scaling_factor == 0.5
    assert pipe.vae_scale_factor == 2
    for mine, theirs in ((vae, pipe.vae), (unet, pipe.unet), (text.model, pipe.text_encoder)):
        for name, weight in mine.state_dict().items():
            assert torch.equal(theirs.state_dict()[name], weight), name
    assert pipe.tokenizer("a star")["input_ids"] == text.tokenizer("a star")["input_ids"]


@pytest.fixture
def pixels(tmp_path: Path) -> Path:
    text = TextEncoder(*toys.build_text())
    unet = build_unet(16, text.width, depth=3, widths=(8, 16)).eval()
    save_pipeline(
        tmp_path,
        build_pipeline(
            IdentityAutoencoder(), unet, text, DDIMScheduler(clip_sample=False, steps_offset=1)
        ),
    )
    return tmp_path


def test_a_pipeline_of_pixels_is_a_plain_one(pixels: Path) -> None:
    pipe = StableDiffusionPipeline.from_pretrained(pixels)
    assert type(pipe.vae) is IdentityAutoencoder
    x = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(latents(pipe.vae, x), x)
    pipe.set_progress_bar_config(disable=True)
    call = {"num_inference_steps": 2, "latents": x}
    made = pipe(["a star"] * 2, **call, output_type="np").images
    # Pictures are what was denoised, as every pipeline maps [-1, 1] to [0, 1].
    denoised = pipe(["a star"] * 2, **call, output_type="latent").images
    expected = (denoised / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(made, expected, atol=1e-6)


def test_without_gandiff_it_is_said_what_to_import(pixels: Path) -> None:
    code = (
        "from diffusers import StableDiffusionPipeline\n"
        f"StableDiffusionPipeline.from_pretrained({str(pixels)!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=pixels, check=False
    )
    # Versions that import nothing by a repository's word name the module.
    assert done.returncode == 0 or "gandiff.models.diffusion.pixel" in done.stderr
