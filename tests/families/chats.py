"""Models that a vision-language model reads for, as a chat: 2025 and 2026."""

from __future__ import annotations

from typing import Any

from families import languages, texts
from families.flows import flow_scheduler, qwen_autoencoder, seeded
from families.packed import flux2_autoencoder
from families.unets import autoencoder


def hunyuan_image() -> Any:
    """HunyuanImage 2.1: Qwen2.5-VL reads, ByT5 spells, guidance is a component."""
    import diffusers
    from diffusers.guiders import AdaptiveProjectedMixGuidance
    from transformers import ByT5Tokenizer

    encoder, tokenizer = languages.qwen_vl()
    spelling = ByT5Tokenizer()
    speller = texts.t5(vocab_size=400)[0]
    network = seeded(
        diffusers.HunyuanImageTransformer2DModel,
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=1,
        num_single_layers=1,
        num_refiner_layers=1,
        text_embed_dim=texts.WIDTH,
        text_embed_2_dim=texts.WIDTH,
        rope_axes_dim=(8, 8),
    )
    texts.strengthen(network, texts.SHARP)
    vae = seeded(
        diffusers.AutoencoderKLHunyuanImage,
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        block_out_channels=(32, 32, 32, 32, 32, 32),  # its norms have 32 groups
        layers_per_block=1,
        spatial_compression_ratio=32,
        sample_size=64,
        scaling_factor=0.75,
    )
    guide = AdaptiveProjectedMixGuidance(guidance_scale=3.5, adaptive_projected_guidance_scale=10.0)
    return diffusers.HunyuanImagePipeline(
        scheduler=flow_scheduler(shift=5.0),
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        text_encoder_2=speller,
        tokenizer_2=spelling,
        transformer=network,
        guider=guide,
        ocr_guider=guide,
    )


def kandinsky5() -> Any:
    """Kandinsky 5: Qwen2.5-VL reads, CLIP sums up; a transformer for videos draws one frame."""
    import diffusers

    encoder, tokenizer = languages.qwen_vl()
    encoder_2, tokenizer_2 = texts.clip(max_position_embeddings=77)
    network = seeded(
        diffusers.Kandinsky5Transformer3DModel,
        in_visual_dim=4,
        in_text_dim=texts.WIDTH,
        in_text_dim2=texts.WIDTH,
        time_dim=16,
        out_visual_dim=4,
        model_dim=32,
        ff_dim=32,
        num_text_blocks=1,
        num_visual_blocks=1,
        axes_dims=(4, 6, 6),
    )
    return diffusers.Kandinsky5T2IPipeline(
        transformer=network,
        vae=autoencoder(levels=4, scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=encoder,
        tokenizer=languages.vision_processor("Qwen2VLProcessor", tokenizer),
        text_encoder_2=encoder_2,
        tokenizer_2=tokenizer_2,
        scheduler=flow_scheduler(shift=3.0),
    )


def longcat() -> Any:
    """LongCat-Image, whose language model rewrites the prompt unless that is switched off."""
    import diffusers

    encoder, tokenizer = languages.qwen_vl()
    network = seeded(
        diffusers.LongCatImageTransformer2DModel,
        in_channels=64,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=texts.WIDTH,
        pooled_projection_dim=texts.WIDTH,
        axes_dims_rope=[4, 4, 8],
    )
    texts.strengthen(network, {"context_embedder": 4.0, **texts.SHARP})
    return diffusers.LongCatImagePipeline(
        scheduler=flow_scheduler(use_dynamic_shifting=True),
        vae=autoencoder(16, levels=3, scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=encoder,
        tokenizer=tokenizer,
        text_processor=languages.vision_processor("Qwen2VLProcessor", tokenizer),
        transformer=network,
    )


def ovis() -> Any:
    """Ovis-Image: Qwen 3 reads after a system prompt."""
    import diffusers

    tokenizer = languages.chat_tokenizer()
    network = seeded(
        diffusers.OvisImageTransformer2DModel,
        in_channels=16,
        out_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=texts.WIDTH,
        axes_dims_rope=(4, 4, 8),
    )
    texts.strengthen(network, {"context_embedder": 4.0, **texts.SHARP})
    return diffusers.OvisImagePipeline(
        scheduler=flow_scheduler(use_dynamic_shifting=True),
        vae=autoencoder(levels=3, scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=languages.language_model("Qwen3Model", tokenizer, head_dim=8),
        tokenizer=tokenizer,
        transformer=network,
    )


def krea2(*, distilled: bool = False) -> Any:
    """Krea 2: guidance counts from 0; the distilled model has a fixed noise schedule."""
    import diffusers

    encoder, tokenizer = languages.qwen3_vl("Qwen3VLModel")
    network = seeded(
        diffusers.Krea2Transformer2DModel,
        in_channels=16,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=32,
        timestep_embed_dim=16,
        text_hidden_dim=texts.WIDTH,
        num_text_layers=2,
        text_num_attention_heads=2,
        text_num_key_value_heads=2,
        text_intermediate_size=32,
        num_layerwise_text_blocks=1,
        num_refiner_text_blocks=1,
        axes_dims_rope=(4, 6, 6),
    )
    texts.strengthen(
        network, {"txt_in.linear_2": 40.0, "attn.to_v": 4.0, "final_layer.linear": 6.0}
    )
    return diffusers.Krea2Pipeline(
        scheduler=flow_scheduler(use_dynamic_shifting=True),
        vae=qwen_autoencoder(),
        text_encoder=encoder,
        tokenizer=tokenizer,
        transformer=network,
        text_encoder_select_layers=(1, 3),
        is_distilled=distilled,
    )


def ideogram4() -> Any:
    """Ideogram 4: a network of its own for the unconditional half, guidance by a schedule."""
    import diffusers

    encoder, tokenizer = languages.qwen3_vl("Qwen3VLModel", layers=36)  # it reads 13 of them

    def network(seed: int) -> Any:
        import torch

        torch.manual_seed(seed)
        return diffusers.Ideogram4Transformer2DModel(
            in_channels=16,
            num_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            intermediate_size=32,
            adaln_dim=16,
            llm_features_dim=13 * texts.WIDTH,
            mrope_section=(4, 2, 2),
        ).eval()

    return diffusers.Ideogram4Pipeline(
        scheduler=flow_scheduler(),
        vae=flux2_autoencoder(),
        text_encoder=encoder,
        tokenizer=tokenizer,
        transformer=network(0),
        unconditional_transformer=network(1),
    )


def nucleus() -> Any:
    """Nucleus-MoE: experts take turns; Qwen3-VL reads, the eighth layer from its end."""
    import diffusers
    import torch

    encoder, tokenizer = languages.qwen3_vl("Qwen3VLForConditionalGeneration", layers=9)
    network = seeded(
        diffusers.NucleusMoEImageTransformer2DModel,
        in_channels=16,
        out_channels=4,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=4,
        num_key_value_heads=1,
        joint_attention_dim=texts.WIDTH,
        axes_dims_rope=(4, 6, 6),
        num_experts=2,
        moe_intermediate_dim=16,
        capacity_factors=[2.0, 2.0],
        dense_moe_strategy="leave_first_block_dense",
    )
    texts.strengthen(network, {**texts.SHARP, "proj_out": 3.0})
    with torch.no_grad():  # its experts are left to be loaded
        for name, weight in network.named_parameters():
            if ".experts." in name:
                weight.normal_(0, 0.1)
    return diffusers.NucleusMoEImagePipeline(
        transformer=network,
        scheduler=flow_scheduler(use_dynamic_shifting=True),
        vae=qwen_autoencoder(),
        text_encoder=encoder,
        processor=languages.vision_processor("Qwen3VLProcessor", tokenizer),
    )


def ernie() -> Any:
    """ERNIE-Image: Mistral 3 reads; a second language model may rewrite the prompt."""
    import diffusers
    from transformers import Mistral3Model

    whole, processor = languages.mistral3(layers=3)
    encoder = languages.seeded_model(Mistral3Model, whole.config)
    tokenizer = processor.tokenizer
    network = seeded(
        diffusers.ErnieImageTransformer2DModel,
        hidden_size=32,
        num_attention_heads=2,
        num_layers=1,
        ffn_hidden_size=32,
        in_channels=16,
        out_channels=16,
        text_in_dim=texts.WIDTH,
        rope_axes_dim=(4, 6, 6),
    )
    return diffusers.ErnieImagePipeline(
        transformer=network,
        vae=flux2_autoencoder(),
        text_encoder=encoder,
        tokenizer=tokenizer,
        scheduler=flow_scheduler(shift=4.0),
        pe=languages.language_model("Ministral3ForCausalLM", tokenizer, head_dim=8),
        pe_tokenizer=tokenizer,
    )
