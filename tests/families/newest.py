"""Models of 2025 and 2026 whose designs differ: GLM-Image, OmniGen, Fibo, Qwen-Image 2.1, PRX in
pixels, DreamLite, and those that can also be given an image.
"""

from __future__ import annotations

from typing import Any

import toys

from families import languages, texts
from families.flows import flow_scheduler, flux, seeded
from families.packed import flux2_autoencoder, klein, z_image
from families.unets import autoencoder, unet
from families.variants import of_class


def qwen_image21() -> Any:
    """Qwen-Image 2.1: images with transparency, and the noise levels of its steps in its index."""
    import diffusers

    encoder, tokenizer = languages.qwen3_vl("Qwen3VLForConditionalGeneration")
    network = seeded(
        diffusers.QwenImage21Transformer2DModel,
        in_channels=8,
        out_channels=8,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        context_in_dim=texts.WIDTH,
        axes_dims_rope=(4, 6, 6),
    )
    texts.strengthen(network, {"txt_in": 40.0, "to_v": 4.0})
    vae = seeded(
        diffusers.AutoencoderKLQwenImage21,
        base_dim=8,
        decoder_base_dim=8,
        z_dim=8,
        dim_mult=[1, 2, 2, 2, 2],
        num_res_blocks=1,
        latents_mean=[0.0] * 8,
        latents_std=[1.0] * 8,
    )
    texts.strengthen(vae, {"decoder.conv_out": 2.0})
    return diffusers.QwenImage21Pipeline(
        scheduler=flow_scheduler(use_dynamic_shifting=True),
        vae=vae,
        text_encoder=encoder,
        processor=languages.vision_processor("Qwen3VLProcessor", tokenizer),
        transformer=network,
    )


def glm_image() -> Any:
    """GLM-Image: a language model writes tokens of a small image, a transformer draws the large."""
    import diffusers
    import torch
    from transformers import (
        ByT5Tokenizer,
        GlmImageConfig,
        GlmImageForConditionalGeneration,
        GlmImageImageProcessor,
        GlmImageProcessor,
    )

    special = {"image_token": "<|image|>", "grid_bos_token": "<sop>", "grid_eos_token": "<eop>"}
    tokenizer = languages.plain_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": list(special.values())})
    for name, token in special.items():
        setattr(tokenizer, name, token)
        tokenizer.init_kwargs[name] = token
    codes = 64
    config = GlmImageConfig(
        text_config={
            **languages.decoder_sizes(len(tokenizer)),
            "vision_vocab_size": codes + 2,
            "rope_parameters": {
                "rope_type": "default",
                "mrope_section": [1, 1, 2],
                "rope_theta": 10000.0,
                "partial_rotary_factor": 1.0,
            },
            "eos_token_id": codes + 1,
        },
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "image_size": 64,
        },
        vq_config={"embed_dim": 16, "num_embeddings": codes, "latent_channels": 16},
        image_token_id=tokenizer.convert_tokens_to_ids("<|image|>"),
        image_start_token_id=codes,
        image_end_token_id=codes + 1,
    )
    torch.manual_seed(0)
    writer = GlmImageForConditionalGeneration(config).eval()
    texts.strengthen(writer, {"lm_head": 40.0})
    network = seeded(
        diffusers.GlmImageTransformer2DModel,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        text_embed_dim=texts.WIDTH,
        time_embed_dim=16,
        condition_dim=8,
        prior_vq_quantizer_codebook_size=codes + 2,
    )
    return diffusers.GlmImagePipeline(
        tokenizer=ByT5Tokenizer(),
        processor=GlmImageProcessor(
            image_processor=GlmImageImageProcessor(),
            tokenizer=tokenizer,
            chat_template=languages.CHAT_TEMPLATE,
        ),
        text_encoder=texts.t5(vocab_size=400)[0],
        vision_language_encoder=writer,
        vae=autoencoder(levels=4, latents_mean=[0.0] * 4, latents_std=[1.0] * 4),
        transformer=network,
        scheduler=flow_scheduler(
            base_shift=0.25, max_shift=0.75, use_dynamic_shifting=True, time_shift_type="linear"
        ),
    )


def omnigen() -> Any:
    """OmniGen: a language model that draws, in one sequence of words and latents."""
    import diffusers

    tokenizer = languages.plain_tokenizer()
    network = seeded(
        diffusers.OmniGenTransformer2DModel,
        hidden_size=32,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=32,
        num_layers=2,
        pad_token_id=0,
        vocab_size=len(tokenizer),
        max_position_embeddings=4096,
        pos_embed_max_size=64,
        time_step_dim=16,
        rope_scaling={"long_factor": [1.0] * 8, "short_factor": [1.0] * 8, "type": "su"},
    )
    texts.strengthen(network, {"embed_tokens": 30.0})
    return diffusers.OmniGenPipeline(
        transformer=network,
        scheduler=flow_scheduler(invert_sigmas=True, num_train_timesteps=1),
        vae=autoencoder(levels=4, scaling_factor=0.13025),
        tokenizer=tokenizer,
    )


def wan_autoencoder(channels: int = 4, **changes: Any) -> Any:
    """The autoencoder of Wan's videos, which takes one frame as well."""
    import diffusers

    vae = seeded(
        diffusers.AutoencoderKLWan,
        **{
            "base_dim": 8,
            "z_dim": channels,
            "dim_mult": [1, 2, 2, 2],
            "num_res_blocks": 1,
            "latents_mean": [0.0] * channels,
            "latents_std": [1.0] * channels,
            **changes,
        },
    )
    texts.strengthen(vae, {"decoder.conv_out": 2.0})
    return vae


def fibo() -> Any:
    """Bria's Fibo: SmolLM3 reads, each block of the transformer another layer of it."""
    import diffusers

    tokenizer = languages.plain_tokenizer()
    network = seeded(
        diffusers.BriaFiboTransformer2DModel,
        in_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=2 * texts.WIDTH,
        axes_dims_rope=[4, 4, 8],
        text_encoder_dim=texts.WIDTH,
    )
    texts.strengthen(network, {"context_embedder": 4.0})
    # The start of a text is a token of this number in its code.
    encoder = languages.language_model("SmolLM3ForCausalLM", tokenizer, vocab_size=128008)
    return diffusers.BriaFiboPipeline(
        transformer=network,
        scheduler=flow_scheduler(use_dynamic_shifting=True),
        vae=wan_autoencoder(
            dim_mult=[1, 2, 2, 2],
            in_channels=12,
            out_channels=12,
            patch_size=2,
            is_residual=True,
            scale_factor_spatial=16,
        ),
        text_encoder=encoder,
        tokenizer=tokenizer,
    )


def fibo2() -> Any:
    """Bria's Fibo 2: Qwen3-VL reads, captions may be JSON."""
    import diffusers

    encoder, tokenizer = languages.qwen3_vl("Qwen3VLForConditionalGeneration", layers=36)
    network = seeded(
        diffusers.BriaFibo2Transformer2DModel,
        in_channels=4,
        dim=32,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=2,
        cap_feat_dim=3 * texts.WIDTH,
        injection_layer_ids=(1,),
        perceiver_num_layers=1,
        min_num_gist_tokens=4,
        max_num_gist_tokens=8,
        gist_step=2,
        gist_min_text_len=4,
        gist_max_text_len=64,
        axes_dims=(4, 6, 6),
        axes_lens=(2048, 64, 64),
    )
    return diffusers.BriaFibo2Pipeline(
        transformer=network,
        scheduler=flow_scheduler(use_dynamic_shifting=True),
        vae=flux2_autoencoder(),
        text_encoder=encoder,
        processor=languages.vision_processor("Qwen3VLProcessor", tokenizer),
    )


def prx_pixel() -> Any:
    """PRX in pixels: no autoencoder, the network says the image and not the flow."""
    import diffusers
    from transformers import Qwen3VLTextModel

    whole, tokenizer = languages.qwen3_vl("Qwen3VLModel")
    network = seeded(
        diffusers.PRXTransformer2DModel,
        in_channels=3,
        patch_size=64,
        context_in_dim=texts.WIDTH,
        hidden_size=32,
        num_heads=2,
        depth=2,
        axes_dim=[8, 8],
        bottleneck_size=16,
        resolution_embeds=True,
    )
    texts.strengthen(network, {"txt_in": 12.0})
    return diffusers.PRXPixelPipeline(
        transformer=network,
        scheduler=flow_scheduler(shift=3.0),
        text_encoder=languages.seeded_model(Qwen3VLTextModel, whole.config.text_config),
        tokenizer=tokenizer,
    )


def dreamlite(*, mobile: bool = False) -> Any:
    """DreamLite, for telephones: a U-Net beside the image that it may be given, one at a time."""
    import diffusers

    encoder, tokenizer = languages.qwen3_vl("Qwen3VLForConditionalGeneration")
    network = seeded(
        diffusers.DreamLiteUNetModel,
        down_block_types=(
            "DreamLiteCrossAttnNoSelfAttnDownBlock2D",
            "DreamLiteCrossAttnDownBlock2D",
        ),
        up_block_types=("DreamLiteCrossAttnUpBlock2D", "DreamLiteUpBlock2D"),
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=texts.WIDTH,
        attention_head_dim=2,
        use_linear_projection=True,
        addition_embed_type="time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=16,
    )
    vae = seeded(
        diffusers.AutoencoderTiny,
        encoder_block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        num_encoder_blocks=(1, 1, 1, 1),
        num_decoder_blocks=(1, 1, 1, 1),
    )
    texts.strengthen(network, {"attn2.to_": 8.0})
    texts.strengthen(vae, {"decoder.layers": 1.5})
    kind = diffusers.DreamLiteMobilePipeline if mobile else diffusers.DreamLitePipeline
    return kind(
        text_encoder=encoder,
        tokenizer=tokenizer,
        processor=languages.vision_processor("Qwen3VLProcessor", tokenizer),
        vae=vae,
        unet=network,
        scheduler=flow_scheduler(use_dynamic_shifting=True),
    )


def klein_kv() -> Any:
    """FLUX.2 klein that keeps what it has computed of an image that it is given."""
    return of_class("Flux2KleinKVPipeline", klein())


def kontext() -> Any:
    """FLUX.1 Kontext, which edits an image or makes one of text alone."""
    return of_class("FluxKontextPipeline", flux())


def z_image_omni() -> Any:
    """Z-Image Omni: SigLIP 2 sees the image that it may be given."""
    import diffusers
    from transformers import Siglip2ImageProcessor, Siglip2VisionConfig, Siglip2VisionModel

    parts = z_image().components
    config = Siglip2VisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        patch_size=16,
        num_patches=16,
    )
    parts["transformer"] = _with_image_features(parts["transformer"])
    return diffusers.ZImageOmniPipeline(
        **parts,
        siglip=languages.seeded_model(Siglip2VisionModel, config),
        siglip_processor=Siglip2ImageProcessor(patch_size=16, max_num_patches=16),
    )


def _with_image_features(network: Any) -> Any:
    import diffusers

    config = {k: v for k, v in network.config.items() if not k.startswith("_")}
    wider = seeded(diffusers.ZImageTransformer2DModel, **{**config, "siglip_feat_dim": 16})
    texts.strengthen(wider, {"cap_embedder.1": 4.0, "all_final_layer": 2.0})
    return wider


class _Guard:
    """In the place of the guard that its licence asks for, a package with gated weights."""

    def to(self, device: Any) -> None:
        pass

    def check_text_safety(self, prompt: str) -> bool:
        return True

    def check_video_safety(self, frames: Any) -> Any:
        return frames


def cosmos2() -> Any:
    """Cosmos 2 Predict, text to image."""
    import diffusers
    from diffusers.pipelines.cosmos import pipeline_cosmos2_text2image

    pipeline_cosmos2_text2image.CosmosSafetyChecker = _Guard

    encoder, tokenizer = texts.t5()
    network = seeded(
        diffusers.CosmosTransformer3DModel,
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=2,
        mlp_ratio=2.0,
        text_embed_dim=texts.WIDTH,
        adaln_lora_dim=4,
        max_size=(4, 32, 32),
        rope_scale=(1.0, 4.0, 4.0),
        concat_padding_mask=True,
        extra_pos_embed_type=None,
    )
    return diffusers.Cosmos2TextToImagePipeline(
        text_encoder=encoder,
        tokenizer=tokenizer,
        transformer=network,
        vae=wan_autoencoder(),
        scheduler=flow_scheduler(use_karras_sigmas=True),
    )


def kolors(name: str = "KolorsPipeline") -> Any:
    """Kolors: SDXL that ChatGLM 3 reads for; its tokenizer needs sentencepiece."""
    import diffusers
    import torch
    from diffusers.pipelines.kolors.text_encoder import ChatGLMConfig, ChatGLMModel

    tokenizer = _chatglm_tokenizer()
    config = ChatGLMConfig(
        num_layers=2,
        padded_vocab_size=tokenizer.vocab_size,
        hidden_size=texts.WIDTH,
        ffn_hidden_size=32,
        kv_channels=8,
        num_attention_heads=4,
        multi_query_attention=True,
        multi_query_group_num=2,
        add_qkv_bias=True,
        original_rope=True,
        use_cache=True,
    )
    torch.manual_seed(0)
    encoder = ChatGLMModel(config).eval()
    with torch.no_grad():  # its weights are left to be loaded
        for weight in encoder.parameters():
            weight.normal_(1.0 if weight.ndim == 1 else 0.0, 0.1)
    texts.strengthen(encoder, {"word_embeddings": 10.0})
    network = unet(
        cross_attention_dim=texts.WIDTH,
        encoder_hid_dim=texts.WIDTH,
        encoder_hid_dim_type="text_proj",
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + texts.WIDTH,
        use_linear_projection=True,
    )
    return getattr(diffusers, name)(
        vae=autoencoder(scaling_factor=0.13025),
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=network,
        scheduler=diffusers.EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.014,
            beta_schedule="scaled_linear",
            num_train_timesteps=1100,
            steps_offset=1,
            timestep_spacing="leading",
        ),
    )


def _chatglm_tokenizer() -> Any:
    """ChatGLM's tokenizer with pieces that are learned of the toys' texts."""
    import io
    import tempfile
    from pathlib import Path

    import sentencepiece
    from diffusers.pipelines.kolors.tokenizer import ChatGLMTokenizer

    model = io.BytesIO()
    letters = " ".join(chr(code) for code in range(33, 127))
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*toys.PROMPTS, *texts.TEMPLATES, letters]),
        model_writer=model,
        vocab_size=280,
        model_type="bpe",
        minloglevel=2,
        unk_piece="<unk>",
        hard_vocab_limit=False,
    )
    folder = Path(tempfile.mkdtemp())
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    return ChatGLMTokenizer(str(folder / "tokenizer.model"), model_max_length=1024)
