"""Stable Diffusion and its kin: a U-Net in the latents of an autoencoder, CLIP for the words."""

from __future__ import annotations

from typing import Any

import toys

from families import texts

# The noise schedule that Stable Diffusion was trained with.
NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def autoencoder(channels: int = 4, levels: int = 3, contrast: float = 1.5, **changes: Any) -> Any:
    """A KL autoencoder that makes 2^(levels - 1) px of a latent; it decodes noise to colours."""
    import torch
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    vae = AutoencoderKL(
        **{
            "sample_size": 32,
            "latent_channels": channels,
            "block_out_channels": (8, *(16,) * (levels - 1)),
            "norm_num_groups": 4,
            "mid_block_add_attention": False,
            "down_block_types": ("DownEncoderBlock2D",) * levels,
            "up_block_types": ("UpDecoderBlock2D",) * levels,
            **changes,
        }
    )
    texts.strengthen(vae, {"decoder.conv_out": contrast})
    return vae


def unet(**changes: Any) -> Any:
    """A U-Net with cross-attention that minds the words; ``changes`` go to its settings."""
    import torch
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    network = UNet2DConditionModel(
        **{
            "sample_size": 8,
            "in_channels": 4,
            "out_channels": 4,
            "layers_per_block": 1,
            "norm_num_groups": 8,
            "block_out_channels": (16, 32),
            "cross_attention_dim": texts.WIDTH,
            "attention_head_dim": 2,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
            **changes,
        }
    )
    texts.strengthen(network, {".attn2.to_": 6.0})
    return network


def with_scheduler(scheduler: str, **options: Any) -> Any:
    """A Stable Diffusion pipeline that is saved with this scheduler."""
    import diffusers

    pipe = toys.build_pipeline()
    pipe.scheduler = getattr(diffusers, scheduler)(**{**NOISE, "steps_offset": 1, **options})
    return pipe


def consistency() -> Any:
    """A latent consistency model: guidance is an input of its U-Net."""
    import diffusers

    base = toys.build_pipeline(time_cond_proj_dim=8)
    parts = {**base.components, "scheduler": diffusers.LCMScheduler(**NOISE)}
    return diffusers.LatentConsistencyModelPipeline(**parts, requires_safety_checker=False)


def sdxl(scheduler: str = "EulerDiscreteScheduler", **options: Any) -> Any:
    """Stable Diffusion XL: two text encoders, the size of the image as a condition."""
    import diffusers

    text_encoder, tokenizer = texts.clip(0)
    text_encoder_2, tokenizer_2 = texts.clip(1, projection=True)
    network = unet(
        cross_attention_dim=2 * texts.WIDTH,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + texts.WIDTH,
        use_linear_projection=True,
        transformer_layers_per_block=(1, 2),
    )
    return diffusers.StableDiffusionXLPipeline(
        vae=autoencoder(scaling_factor=0.13025),
        text_encoder=text_encoder,
        text_encoder_2=text_encoder_2,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
        unet=network,
        scheduler=getattr(diffusers, scheduler)(**NOISE, **{"steps_offset": 1, **options}),
    )


def kandinsky3() -> Any:
    """Kandinsky 3: a U-Net of its own, T5 reads."""
    import diffusers

    from families.flows import seeded

    encoder, tokenizer = texts.t5(longest=128)
    network = seeded(
        diffusers.Kandinsky3UNet,
        time_embedding_dim=16,
        groups=2,
        attention_head_dim=8,
        block_out_channels=(16, 32, 64, 128),
        layers_per_block=2,
        cross_attention_dim=texts.WIDTH,
        encoder_hid_dim=texts.WIDTH,
    )
    movq = seeded(
        diffusers.VQModel,
        latent_channels=4,
        block_out_channels=(32,) * 4,  # its spatial norm has 32 groups
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        num_vq_embeddings=32,
        vq_embed_dim=4,
        norm_type="spatial",
        mid_block_add_attention=False,
    )
    texts.strengthen(movq, {"decoder.conv_out": 0.4})
    return diffusers.Kandinsky3Pipeline(
        tokenizer=tokenizer,
        text_encoder=encoder,
        unet=network,
        scheduler=diffusers.DDPMScheduler(
            beta_schedule="squaredcos_cap_v2",
            thresholding=False,
            clip_sample=False,
            variance_type="fixed_small",
        ),
        movq=movq,
    )
