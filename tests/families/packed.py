"""Transformers that read text and packed latents as one sequence: FLUX.2, Z-Image, Chroma."""

from __future__ import annotations

from typing import Any

from families import languages, texts
from families.flows import flow_scheduler, seeded
from families.unets import autoencoder


def chroma() -> Any:
    """Chroma: FLUX.1 with real guidance and T5 alone."""
    import diffusers

    encoder, tokenizer = texts.t5()
    network = seeded(
        diffusers.ChromaTransformer2DModel,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=texts.WIDTH,
        axes_dims_rope=(4, 4, 8),
        approximator_num_channels=8,
        approximator_hidden_dim=16,
        approximator_layers=1,
    )
    texts.strengthen(network, {"context_embedder": 4.0})
    return diffusers.ChromaPipeline(
        scheduler=flow_scheduler(shift=3.0, use_dynamic_shifting=True),
        vae=autoencoder(levels=3, scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=encoder,
        tokenizer=tokenizer,
        transformer=network,
    )


def z_image(*, turbo: bool = False) -> Any:
    """Z-Image: text and latents of each image are one sequence of its own length."""
    import diffusers

    tokenizer = languages.chat_tokenizer()
    network = seeded(
        diffusers.ZImageTransformer2DModel,
        in_channels=4,
        dim=32,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=texts.WIDTH,
        axes_dims=[4, 6, 6],
        axes_lens=[1024, 64, 64],
    )
    texts.strengthen(network, {"cap_embedder.1": 4.0, "all_final_layer": 2.0})
    return diffusers.ZImagePipeline(
        scheduler=flow_scheduler(shift=3.0 if turbo else 6.0),
        vae=autoencoder(levels=3, scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=languages.language_model("Qwen3Model", tokenizer, head_dim=8),
        tokenizer=tokenizer,
        transformer=network,
    )


def flux2_autoencoder() -> Any:
    """The autoencoder of FLUX.2, whose latents are normalised patch by patch."""
    import diffusers
    import torch

    vae = seeded(
        diffusers.AutoencoderKLFlux2,
        block_out_channels=(8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        mid_block_add_attention=False,
    )
    with torch.no_grad():
        vae.bn.running_mean.normal_(0, 0.1)
        vae.bn.running_var.uniform_(0.5, 1.5)
    texts.strengthen(vae, {"decoder.conv_out": 1.5})
    return vae


def _flux2_transformer(*, guidance: bool) -> Any:
    import diffusers

    network = seeded(
        diffusers.Flux2Transformer2DModel,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=3 * texts.WIDTH,  # three layers of the language model
        timestep_guidance_channels=16,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=guidance,
    )
    texts.strengthen(network, {"context_embedder": 4.0, **texts.SHARP})
    return network


def klein(*, distilled: bool = True) -> Any:
    """FLUX.2 klein: Qwen 3 reads; guidance is real in the base model, none in the distilled."""
    import diffusers

    tokenizer = languages.chat_tokenizer()
    return diffusers.Flux2KleinPipeline(
        scheduler=flow_scheduler(shift=3.0, use_dynamic_shifting=True),
        vae=flux2_autoencoder(),
        # It takes the outputs of layers 9, 18 and 27.
        text_encoder=languages.language_model("Qwen3ForCausalLM", tokenizer, 28, head_dim=8),
        tokenizer=tokenizer,
        transformer=_flux2_transformer(guidance=False),
        is_distilled=distilled,
    )


def flux2() -> Any:
    """FLUX.2 dev: Mistral 3 reads, guidance is an input."""
    import diffusers

    encoder, processor = languages.mistral3(layers=31)  # it takes layers 10, 20 and 30
    return diffusers.Flux2Pipeline(
        scheduler=flow_scheduler(shift=3.0, use_dynamic_shifting=True),
        vae=flux2_autoencoder(),
        text_encoder=encoder,
        tokenizer=processor,
        transformer=_flux2_transformer(guidance=True),
    )


def bria() -> Any:
    """Bria 3.2: T5 reads, real guidance."""
    import diffusers

    encoder, tokenizer = texts.t5(longest=128)
    network = seeded(
        diffusers.BriaTransformer2DModel,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=texts.WIDTH,
        axes_dims_rope=[4, 4, 8],
    )
    texts.strengthen(network, {"context_embedder": 4.0, **texts.SHARP})
    return diffusers.BriaPipeline(
        transformer=network,
        scheduler=flow_scheduler(shift=3.0, use_dynamic_shifting=True),
        vae=autoencoder(levels=4, scaling_factor=0.13025, shift_factor=0.0),
        text_encoder=encoder,
        tokenizer=tokenizer,
    )


def hidream() -> Any:
    """HiDream: two CLIPs, T5 and Llama, whose layers go to different blocks."""
    import diffusers

    encoder, tokenizer = texts.clip(0, projection=True, max_position_embeddings=248)
    encoder_2, tokenizer_2 = texts.clip(1, projection=True, max_position_embeddings=248)
    encoder_3, tokenizer_3 = texts.t5()
    tokenizer_4 = languages.plain_tokenizer()
    network = seeded(
        diffusers.HiDreamImageTransformer2DModel,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        caption_channels=[texts.WIDTH, texts.WIDTH],
        text_emb_dim=2 * texts.WIDTH,
        num_routed_experts=2,
        num_activated_experts=1,
        axes_dims_rope=(8, 4, 4),
        max_resolution=(32, 32),
        llama_layers=[0, 1],
        force_inference_output=True,
    )
    return diffusers.HiDreamImagePipeline(
        scheduler=flow_scheduler(shift=3.0),
        vae=autoencoder(levels=2, scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=encoder,
        tokenizer=tokenizer,
        text_encoder_2=encoder_2,
        tokenizer_2=tokenizer_2,
        text_encoder_3=encoder_3,
        tokenizer_3=tokenizer_3,
        text_encoder_4=languages.language_model("LlamaForCausalLM", tokenizer_4),
        tokenizer_4=tokenizer_4,
        transformer=network,
    )
