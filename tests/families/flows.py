"""Flow matching with transformers, up to 2025: SD3, FLUX.1, Qwen-Image."""

from __future__ import annotations

from typing import Any

from families import languages, texts
from families.unets import autoencoder


def flow_scheduler(**options: Any) -> Any:
    """The Euler solver of flow matching; the noise schedule's shift is an option."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(**options)


def seeded(kind: Any, **settings: Any) -> Any:
    """A network of random weights, the same each time; none of its layers is switched off, as some
    are when training starts.
    """
    import torch

    torch.manual_seed(0)
    network = kind(**settings).eval()
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim > 1 and not weight.any():
                weight.normal_(0, 0.1)
    return network


def sd3(channels: int = 4) -> Any:
    """Stable Diffusion 3: two CLIPs and T5, a noise schedule shifted by 3; the real one has latents
    of 16 ``channels``, without which its class for inpainting does not run.
    """
    import diffusers

    encoder, tokenizer = texts.clip(0, projection=True)
    encoder_2, tokenizer_2 = texts.clip(1, projection=True)
    encoder_3, tokenizer_3 = texts.t5(d_model=2 * texts.WIDTH)  # as wide as both CLIPs
    network = seeded(
        diffusers.SD3Transformer2DModel,
        sample_size=16,
        patch_size=1,
        in_channels=channels,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=2 * texts.WIDTH,
        caption_projection_dim=16,
        pooled_projection_dim=2 * texts.WIDTH,
        out_channels=channels,
        pos_embed_max_size=24,
    )
    texts.strengthen(network, {"context_embedder": 2.0, "text_embedder.linear_2": 4.0})
    return diffusers.StableDiffusion3Pipeline(
        transformer=network,
        scheduler=flow_scheduler(shift=3.0),
        vae=autoencoder(channels, levels=2, scaling_factor=1.5305, shift_factor=0.0609),
        text_encoder=encoder,
        tokenizer=tokenizer,
        text_encoder_2=encoder_2,
        tokenizer_2=tokenizer_2,
        text_encoder_3=encoder_3,
        tokenizer_3=tokenizer_3,
    )


def flux(*, guidance: bool = True) -> Any:
    """FLUX.1: packed latents; ``guidance`` (dev) is an input, without it is schnell."""
    import diffusers

    encoder, tokenizer = texts.clip()
    encoder_2, tokenizer_2 = texts.t5()
    network = seeded(
        diffusers.FluxTransformer2DModel,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=texts.WIDTH,
        pooled_projection_dim=texts.WIDTH,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=guidance,
    )
    texts.strengthen(network, {"context_embedder": 2.0, "text_embedder.linear_2": 4.0})
    return diffusers.FluxPipeline(
        scheduler=flow_scheduler(shift=3.0, use_dynamic_shifting=True)
        if guidance
        else flow_scheduler(shift=1.0),
        vae=autoencoder(levels=3, scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=encoder,
        tokenizer=tokenizer,
        text_encoder_2=encoder_2,
        tokenizer_2=tokenizer_2,
        transformer=network,
    )


def qwen_autoencoder() -> Any:
    """The autoencoder of Qwen-Image, which is one for videos: 8 px of a latent."""
    import diffusers

    vae = seeded(
        diffusers.AutoencoderKLQwenImage,
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 2, 2, 2],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )
    texts.strengthen(vae, {"decoder.conv_out": 2.0})
    return vae


def qwen_image() -> Any:
    """Qwen-Image: a language model reads a chat, true guidance only with a negative prompt."""
    import diffusers

    encoder, tokenizer = languages.qwen_vl()
    network = seeded(
        diffusers.QwenImageTransformer2DModel,
        patch_size=2,
        in_channels=16,
        out_channels=4,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=texts.WIDTH,
        axes_dims_rope=(4, 4, 8),
    )
    texts.strengthen(network, {"txt_in": 4.0, "add_v_proj": 6.0, "proj_out": 3.0})
    return diffusers.QwenImagePipeline(
        scheduler=flow_scheduler(use_dynamic_shifting=True, shift_terminal=0.02),
        vae=qwen_autoencoder(),
        text_encoder=encoder,
        tokenizer=tokenizer,
        transformer=network,
    )
