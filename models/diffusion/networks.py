"""The networks of the small latent diffusion model, built from diffusers' own classes.

Together they make a genuine ``StableDiffusionPipeline``: a KL autoencoder that halves the picture
twice, a CLIP text encoder with a small vocabulary and a U-Net with cross-attention (Rombach et al.
2022, sections 3.1 to 3.3).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gandiff.models.text import TextEncoder, rename_weights

LATENT_CHANNELS = 4
FACTOR = 4  # px to a latent cell


def _diffusers() -> Any:
    """The library, imported when it is needed; its classes carry no types."""
    import diffusers

    return diffusers


def build_vae(resolution: int = 32) -> Any:
    """A fresh autoencoder: 3 x r x r to 4 x r/4 x r/4."""
    return _diffusers().AutoencoderKL(
        in_channels=3,
        out_channels=3,
        sample_size=resolution,
        latent_channels=LATENT_CHANNELS,
        layers_per_block=1,
        block_out_channels=(16, 24, 32),
        norm_num_groups=8,
        mid_block_add_attention=False,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
    )


def build_unet(resolution: int, text_width: int) -> Any:
    """A fresh denoiser of latents, with cross-attention to the caption's tokens at both sizes."""
    return _diffusers().UNet2DConditionModel(
        sample_size=resolution // FACTOR,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        layers_per_block=1,
        norm_num_groups=8,
        block_out_channels=(48, 64),
        cross_attention_dim=text_width,
        attention_head_dim=4,  # diffusers reads this as the number of heads
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    )


def build_noise_schedule() -> Any:
    """The forward process of Stable Diffusion: 1,000 steps, betas linear in their square root."""
    return _diffusers().DDPMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        steps_offset=1,
        prediction_type="epsilon",
    )


def centre_latents(vae: Any, mean: Any, std: float) -> None:
    """Make latents zero-mean and note their scale.

    ``StableDiffusionPipeline`` divides by ``scaling_factor`` and knows no shift, so the mean goes
    into the biases of the two 1x1 convolutions around the latent space; reconstructions stay as
    they were.
    """
    import torch

    with torch.no_grad():
        weight = vae.post_quant_conv.weight[:, :, 0, 0]
        vae.quant_conv.bias[: len(mean)] -= mean
        vae.post_quant_conv.bias += weight @ mean
    vae.register_to_config(scaling_factor=1.0 / std)


def save_pipeline(folder: Path, vae: Any, unet: Any, text: TextEncoder) -> None:
    """Write a directory that plain diffusers loads as a ``StableDiffusionPipeline``."""
    diffusers = _diffusers()
    scheduler = diffusers.DDIMScheduler.from_config(
        build_noise_schedule().config, set_alpha_to_one=False
    )
    pipe = diffusers.StableDiffusionPipeline(
        vae=vae,
        text_encoder=text.model,
        tokenizer=text.tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    from gandiff.models.diffusion.loading import quiet

    with quiet():  # it has progress bars of its own
        pipe.save_pretrained(str(folder), safe_serialization=True)
    rename_weights(folder / "text_encoder")
