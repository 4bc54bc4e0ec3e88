"""Transformers that take a text by cross-attention: PixArt, Sana, and others of their design."""

from __future__ import annotations

from typing import Any

from families import languages, texts
from families.flows import flow_scheduler, seeded
from families.unets import autoencoder


def pixart(name: str) -> Any:
    """PixArt-alpha or -sigma (the class's name): T5 and DPM-Solver++; it draws 256 px."""
    import diffusers

    encoder, tokenizer = texts.t5()
    network = seeded(
        diffusers.PixArtTransformer2DModel,
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        norm_num_groups=8,
        cross_attention_dim=16,
        sample_size=32,
        patch_size=2,
        caption_channels=texts.WIDTH,
        use_additional_conditions=False,
    )
    texts.strengthen(network, {"caption_projection.linear": 3.0, "attn2.to_v": 4.0})
    return getattr(diffusers, name)(
        tokenizer=tokenizer,
        text_encoder=encoder,
        vae=autoencoder(levels=4),
        transformer=network,
        scheduler=diffusers.DPMSolverMultistepScheduler(beta_start=0.0001, beta_end=0.02),
    )


def deep_autoencoder() -> Any:
    """The deep-compression autoencoder: 32 px of a latent."""
    import diffusers

    vae = seeded(
        diffusers.AutoencoderDC,
        latent_channels=4,
        attention_head_dim=8,
        encoder_block_out_channels=(8, 8, 8, 8, 16, 16),
        decoder_block_out_channels=(8, 8, 8, 8, 16, 16),
        encoder_layers_per_block=(1,) * 6,
        decoder_layers_per_block=(1,) * 6,
        encoder_qkv_multiscales=((),) * 6,
        decoder_qkv_multiscales=((),) * 6,
        scaling_factor=0.41407,
    )
    texts.strengthen(vae, {"decoder.conv_out": 2.0})
    return vae


def sana(*, sprint: bool = False) -> Any:
    """Sana: Gemma 2 reads, linear attention draws. ``sprint``: two steps, guidance as an input."""
    import diffusers

    tokenizer = languages.gemma_tokenizer()
    network = seeded(
        diffusers.SanaTransformer2DModel,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        num_attention_heads=2,
        attention_head_dim=8,
        num_cross_attention_heads=2,
        cross_attention_head_dim=8,
        cross_attention_dim=16,
        caption_channels=texts.WIDTH,
        sample_size=32 if sprint else 16,
        guidance_embeds=sprint,
        qk_norm="rms_norm_across_heads" if sprint else None,
        timestep_scale=1000.0 if sprint else 1.0,
    )
    texts.strengthen(network, {"caption_projection.linear": 3.0, "attn2.to_v": 4.0})
    kind = diffusers.SanaSprintPipeline if sprint else diffusers.SanaPipeline
    return kind(
        tokenizer=tokenizer,
        text_encoder=languages.language_model("Gemma2Model", tokenizer, head_dim=8),
        vae=deep_autoencoder(),
        transformer=network,
        scheduler=diffusers.SCMScheduler(prediction_type="trigflow", sigma_data=0.5)
        if sprint
        else diffusers.DPMSolverMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
    )


def lumina2() -> Any:
    """Lumina Image 2: Gemma 2 reads a system prompt and ours."""
    import diffusers

    tokenizer = languages.gemma_tokenizer()
    network = seeded(
        diffusers.Lumina2Transformer2DModel,
        sample_size=8,
        patch_size=2,
        in_channels=4,
        hidden_size=32,
        num_layers=2,
        num_refiner_layers=1,
        num_attention_heads=2,
        num_kv_heads=1,
        multiple_of=16,
        axes_dim_rope=(4, 6, 6),
        axes_lens=(600, 32, 32),
        cap_feat_dim=texts.WIDTH,
    )
    texts.strengthen(network, {"caption_embedder.1": 4.0})
    return diffusers.Lumina2Pipeline(
        transformer=network,
        scheduler=flow_scheduler(shift=6.0),
        vae=autoencoder(levels=4, scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=languages.language_model("Gemma2Model", tokenizer, head_dim=8),
        tokenizer=tokenizer,
    )


def cogview4() -> Any:
    """CogView 4: GLM reads, the shift of the noise schedule follows the size."""
    import diffusers

    tokenizer = languages.plain_tokenizer()
    network = seeded(
        diffusers.CogView4Transformer2DModel,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        text_embed_dim=texts.WIDTH,
        time_embed_dim=16,
        condition_dim=8,
        pos_embed_max_size=32,
        sample_size=16,
        rope_axes_dim=(32, 32),
    )
    texts.strengthen(network, {"patch_embed.text_proj": 4.0})
    return diffusers.CogView4Pipeline(
        tokenizer=tokenizer,
        text_encoder=languages.language_model("GlmModel", tokenizer, head_dim=8),
        vae=autoencoder(levels=3),
        transformer=network,
        scheduler=flow_scheduler(
            base_shift=0.25, max_shift=0.75, use_dynamic_shifting=True, time_shift_type="linear"
        ),
    )
