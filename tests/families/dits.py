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


def lumina() -> Any:
    """Lumina-Next: Gemma reads; the network says mean and variance."""
    import diffusers

    tokenizer = languages.gemma_tokenizer()
    network = seeded(
        diffusers.LuminaNextDiT2DModel,
        sample_size=8,
        in_channels=4,
        hidden_size=32,
        num_layers=2,
        num_attention_heads=2,
        num_kv_heads=1,
        multiple_of=16,
        cross_attention_dim=texts.WIDTH,
    )
    texts.strengthen(network, {"caption_embedder": 4.0})
    return diffusers.LuminaPipeline(
        transformer=network,
        scheduler=flow_scheduler(),
        vae=autoencoder(levels=4),
        text_encoder=languages.language_model("GemmaModel", tokenizer, head_dim=8),
        tokenizer=tokenizer,
    )


def cogview3() -> Any:
    """CogView 3 Plus: T5, v-prediction with zero signal at the start."""
    import diffusers

    encoder, tokenizer = texts.t5()
    network = seeded(
        diffusers.CogView3PlusTransformer2DModel,
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
    )
    texts.strengthen(network, {"patch_embed.text_proj": 16.0, "attn1.to_v": 4.0})
    return diffusers.CogView3PlusPipeline(
        tokenizer=tokenizer,
        text_encoder=encoder,
        vae=autoencoder(levels=3),
        transformer=network,
        scheduler=diffusers.CogVideoXDDIMScheduler(
            prediction_type="v_prediction",
            rescale_betas_zero_snr=True,
            timestep_spacing="trailing",
            snr_shift_scale=4.0,
        ),
    )


def aura_flow() -> Any:
    """AuraFlow: UMT5 reads."""
    import diffusers

    encoder, tokenizer = texts.umt5()
    network = seeded(
        diffusers.AuraFlowTransformer2DModel,
        sample_size=16,
        in_channels=4,
        out_channels=4,
        num_mmdit_layers=1,
        num_single_dit_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=texts.WIDTH,
        caption_projection_dim=32,
        pos_embed_max_size=256,
    )
    texts.strengthen(
        network, {"context_embedder": 8.0, "add_v_proj": 40.0, "time_step_proj.linear_2": 10.0}
    )
    return diffusers.AuraFlowPipeline(
        tokenizer=tokenizer,
        text_encoder=encoder,
        vae=autoencoder(levels=2, scaling_factor=0.13025),
        transformer=network,
        scheduler=flow_scheduler(shift=1.73),
    )


def hunyuan_dit() -> Any:
    """HunyuanDiT: BERT and T5 read; v-prediction."""
    import diffusers
    from transformers import BertConfig, BertModel

    encoder_2, tokenizer_2 = texts.t5(longest=256)
    tokenizer = languages.bert_tokenizer()
    sizes = {"hidden_size": texts.WIDTH, "intermediate_size": 32, "num_hidden_layers": 1}
    config = BertConfig(vocab_size=len(tokenizer), num_attention_heads=4, **sizes)
    network = seeded(
        diffusers.HunyuanDiT2DModel,
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        patch_size=2,
        sample_size=16,
        hidden_size=32,
        num_layers=2,
        cross_attention_dim=texts.WIDTH,
        cross_attention_dim_t5=texts.WIDTH,
        pooled_projection_dim=16,
        text_len=77,
        text_len_t5=256,
        use_style_cond_and_image_meta_size=False,
    )
    return diffusers.HunyuanDiTPipeline(
        vae=autoencoder(levels=4, scaling_factor=0.13025),
        text_encoder=languages.seeded_model(BertModel, config),
        tokenizer=tokenizer,
        transformer=network,
        scheduler=diffusers.DDPMScheduler(
            beta_start=0.00085,
            beta_end=0.02,
            beta_schedule="scaled_linear",
            prediction_type="v_prediction",
            steps_offset=1,
            clip_sample=False,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
        text_encoder_2=encoder_2,
        tokenizer_2=tokenizer_2,
    )


def prx() -> Any:
    """PRX: T5Gemma's encoder reads."""
    import diffusers
    from transformers import T5GemmaConfig
    from transformers.models.t5gemma.modeling_t5gemma import T5GemmaEncoder

    tokenizer = languages.gemma_tokenizer(longest=256)
    half = {**languages.decoder_sizes(len(tokenizer)), "head_dim": 8}
    config = T5GemmaConfig(
        encoder=half, decoder=half, is_encoder_decoder=False, vocab_size=len(tokenizer)
    )
    encoder = languages.seeded_model(T5GemmaEncoder, config.encoder)
    encoder.config = config  # that of the whole model lies beside the encoder's weights
    network = seeded(
        diffusers.PRXTransformer2DModel,
        in_channels=4,
        patch_size=2,
        context_in_dim=texts.WIDTH,
        hidden_size=32,
        num_heads=2,
        depth=2,
        axes_dim=[8, 8],
    )
    texts.strengthen(network, {"txt_in": 12.0})
    return diffusers.PRXPipeline(
        transformer=network,
        scheduler=flow_scheduler(shift=3.0),
        text_encoder=encoder,
        tokenizer=tokenizer,
        vae=autoencoder(levels=4, scaling_factor=0.3611, shift_factor=0.1159),
        default_sample_size=256,
    )
