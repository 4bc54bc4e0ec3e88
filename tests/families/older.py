"""Models of 2021 to 2023: latent diffusion, VQ-Diffusion, AltDiffusion, stable unCLIP, Versatile
Diffusion, UniDiffuser, Kandinsky 2.1, aMUSEd.
"""

from __future__ import annotations

from typing import Any

from families import cascades, languages, texts
from families.flows import seeded
from families.unets import NOISE, autoencoder, unet


def _quantized(levels: int = 3, **changes: Any) -> Any:
    """An autoencoder whose latents are entries of a table."""
    import diffusers

    vae = seeded(
        diffusers.VQModel,
        **{
            "latent_channels": 4,
            "block_out_channels": (8, *(16,) * (levels - 1)),
            "norm_num_groups": 4,
            "down_block_types": ("DownEncoderBlock2D",) * levels,
            "up_block_types": ("UpDecoderBlock2D",) * levels,
            "num_vq_embeddings": 31,
            "vq_embed_dim": 4,
            "mid_block_add_attention": False,
            **changes,
        },
    )
    texts.strengthen(vae, {"decoder.conv_out": 1.5})
    return vae


def latent_diffusion() -> Any:
    """LDM: a BERT that was trained with it reads; guidance is off in a call without settings."""
    import diffusers
    from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import (
        LDMBertConfig,
        LDMBertModel,
    )

    tokenizer = languages.bert_tokenizer()
    config = LDMBertConfig(
        vocab_size=len(tokenizer),
        encoder_layers=1,
        encoder_ffn_dim=32,
        encoder_attention_heads=2,
        head_dim=16,
        d_model=texts.WIDTH,
    )
    import torch

    torch.manual_seed(0)
    return diffusers.LDMTextToImagePipeline(
        vqvae=_quantized(4),
        bert=LDMBertModel(config).eval(),
        tokenizer=tokenizer,
        unet=unet(),
        scheduler=diffusers.DDIMScheduler(**NOISE, clip_sample=False, set_alpha_to_one=False),
    )


def vq_diffusion() -> Any:
    """VQ-Diffusion: diffusion over the entries of the autoencoder's table."""
    import diffusers
    from diffusers.pipelines.deprecated.vq_diffusion.pipeline_vq_diffusion import (
        LearnedClassifierFreeSamplingEmbeddings,
    )

    encoder, tokenizer = texts.clip()
    network = seeded(
        diffusers.Transformer2DModel,
        num_attention_heads=2,
        attention_head_dim=8,
        num_vector_embeds=32,
        cross_attention_dim=texts.WIDTH,
        sample_size=8,
        activation_fn="geglu-approximate",
        norm_num_groups=8,
        num_embeds_ada_norm=100,
        num_layers=1,
    )
    texts.strengthen(network, {"attn2.to_": 6.0})
    empty = seeded(
        LearnedClassifierFreeSamplingEmbeddings,
        learnable=True,
        hidden_size=texts.WIDTH,
        length=texts.CLIP_TOKENS,
    )
    return diffusers.VQDiffusionPipeline(
        vqvae=_quantized(),
        text_encoder=encoder,
        tokenizer=tokenizer,
        transformer=network,
        scheduler=diffusers.VQDiffusionScheduler(num_vec_classes=32, num_train_timesteps=100),
        learned_classifier_free_sampling_embeddings=empty,
    )


def amused() -> Any:
    """aMUSEd: tokens of an image, all masked at first."""
    import diffusers

    encoder, tokenizer = texts.clip(projection=True)
    network = seeded(
        diffusers.UVit2DModel,
        hidden_size=32,
        cond_embed_dim=texts.WIDTH,
        micro_cond_encode_dim=8,
        micro_cond_embed_dim=5 * 8,
        encoder_hidden_size=texts.WIDTH,
        vocab_size=32,
        codebook_size=31,
        in_channels=16,
        block_out_channels=16,
        num_res_blocks=1,
        block_num_heads=2,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        sample_size=8,
    )
    return diffusers.AmusedPipeline(
        vqvae=_quantized(lookup_from_codebook=True),
        tokenizer=tokenizer,
        text_encoder=encoder,
        transformer=network,
        scheduler=diffusers.AmusedScheduler(mask_token_id=31),
    )


def _roberta_tokenizer() -> Any:
    from transformers import XLMRobertaTokenizer

    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0)]
    pieces += [("▁" + word, -4.0) for word in texts.words()]
    pieces += [(chr(code), -8.0) for code in range(33, 127)]
    pieces += [("<mask>", 0.0)]
    return XLMRobertaTokenizer(vocab=pieces, model_max_length=77)


def _roberta_sizes(vocabulary: int) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": texts.WIDTH,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 96,
    }


def alt_diffusion() -> Any:
    """AltDiffusion: Stable Diffusion that XLM-RoBERTa reads for, in nine languages."""
    import diffusers
    from diffusers.pipelines.deprecated.alt_diffusion.modeling_roberta_series import (
        RobertaSeriesConfig,
        RobertaSeriesModelWithTransformation,
    )

    tokenizer = _roberta_tokenizer()
    config = RobertaSeriesConfig(
        **_roberta_sizes(len(tokenizer)), project_dim=texts.WIDTH, has_pre_transformation=True
    )
    return diffusers.AltDiffusionPipeline(
        vae=autoencoder(),
        text_encoder=languages.seeded_model(RobertaSeriesModelWithTransformation, config),
        tokenizer=tokenizer,
        unet=unet(),
        scheduler=diffusers.DDIMScheduler(**NOISE, clip_sample=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def kandinsky21() -> dict[str, Any]:
    """Kandinsky 2.1: as 2.2, with the text as a second condition of the decoder."""
    import diffusers
    from diffusers.pipelines.kandinsky.text_encoder import MCLIPConfig, MultilingualCLIP

    parts = cascades.kandinsky22()
    tokenizer = _roberta_tokenizer()
    config = MCLIPConfig(
        transformerDimSize=texts.WIDTH,
        imageDimSize=texts.WIDTH,
        **_roberta_sizes(len(tokenizer)),
    )
    config.numDims = config.transformerDimensions = texts.WIDTH
    network = seeded(
        diffusers.UNet2DConditionModel,
        **cascades.IF_BLOCKS,
        sample_size=8,
        in_channels=4,
        out_channels=8,
        encoder_hid_dim=texts.WIDTH,
        encoder_hid_dim_type="text_image_proj",
        addition_embed_type="text_image",
        cross_attention_dim=texts.WIDTH,
    )
    prior, decoder = parts["prior"], parts["decoder"]
    return {
        "prior": diffusers.KandinskyPriorPipeline(**prior.components),
        "decoder": diffusers.KandinskyPipeline(
            text_encoder=MultilingualCLIP(config).eval(),
            tokenizer=tokenizer,
            unet=network,
            scheduler=diffusers.DDIMScheduler(
                beta_schedule="linear",
                beta_start=0.00085,
                beta_end=0.012,
                clip_sample=False,
                set_alpha_to_one=False,
                steps_offset=1,
                prediction_type="epsilon",
                thresholding=False,
            ),
            movq=decoder.movq,
        ),
    }


def stable_unclip() -> Any:
    """Stable unCLIP: Karlo's prior makes an image embedding, Stable Diffusion draws of it."""
    import diffusers
    from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import (
        StableUnCLIPImageNormalizer,
    )

    prior_encoder, prior_tokenizer = texts.clip(1, projection=True)
    encoder, tokenizer = texts.clip()
    network = unet(
        class_embed_type="projection",
        projection_class_embeddings_input_dim=2 * texts.WIDTH,
    )
    return diffusers.StableUnCLIPPipeline(
        prior_tokenizer=prior_tokenizer,
        prior_text_encoder=prior_encoder,
        prior=cascades.prior_network(texts.CLIP_TOKENS),
        prior_scheduler=diffusers.UnCLIPScheduler(
            variance_type="fixed_small_log", prediction_type="sample", clip_sample_range=5.0
        ),
        image_normalizer=seeded(StableUnCLIPImageNormalizer, embedding_dim=texts.WIDTH),
        image_noising_scheduler=diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        tokenizer=tokenizer,
        text_encoder=encoder,
        unet=network,
        scheduler=diffusers.DDIMScheduler(**NOISE, clip_sample=False, set_alpha_to_one=False),
        vae=autoencoder(),
    )


def versatile_diffusion() -> Any:
    """Versatile Diffusion, from text to image: blocks of two networks take turns."""
    import diffusers
    from diffusers.pipelines.deprecated.versatile_diffusion.modeling_text_unet import (
        UNetFlatConditionModel,
    )

    encoder, tokenizer = texts.clip(projection=True)
    flat = seeded(
        UNetFlatConditionModel,
        sample_size=8,
        layers_per_block=1,
        norm_num_groups=8,
        block_out_channels=(16, 32),
        cross_attention_dim=texts.WIDTH,
        attention_head_dim=2,
        down_block_types=("DownBlockFlat", "CrossAttnDownBlockFlat"),
        up_block_types=("CrossAttnUpBlockFlat", "UpBlockFlat"),
    )
    return diffusers.VersatileDiffusionTextToImagePipeline(
        tokenizer=tokenizer,
        text_encoder=encoder,
        image_unet=unet(),
        text_unet=flat,
        vae=autoencoder(),
        scheduler=diffusers.DDIMScheduler(**NOISE, clip_sample=False, set_alpha_to_one=False),
    )


def unidiffuser() -> Any:
    """UniDiffuser: one transformer for images, captions and both."""
    import diffusers
    import torch
    from diffusers.pipelines.deprecated.unidiffuser import UniDiffuserModel, UniDiffuserTextDecoder
    from transformers import CLIPImageProcessor, GPT2Tokenizer

    encoder, tokenizer = texts.clip()
    vocab, merges = texts.byte_pairs()
    writer = GPT2Tokenizer(vocab=dict(vocab), merges=list(merges))
    network = seeded(
        UniDiffuserModel,
        text_dim=texts.WIDTH,
        clip_img_dim=texts.WIDTH,
        num_text_tokens=texts.CLIP_TOKENS,
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        norm_num_groups=8,
        sample_size=8,
        patch_size=2,
        activation_fn="gelu",
        num_embeds_ada_norm=1000,
        norm_type="unidiffuser",
        block_type="unidiffuser",
        use_timestep_embedding=False,
        norm_elementwise_affine=True,
        use_patch_pos_embed=False,
        ff_final_dropout=True,
        use_data_type_embedding=False,
    )
    size = {"height": 32, "width": 32}
    decoder = seeded(
        UniDiffuserTextDecoder,
        prefix_length=texts.CLIP_TOKENS,
        prefix_inner_dim=texts.WIDTH,
        prefix_hidden_dim=texts.WIDTH,
        vocab_size=len(writer),
        n_positions=64,
        n_embd=16,
        n_layer=1,
        n_head=2,
    )
    shared = decoder.transformer.lm_head.weight  # with its embeddings, which cannot be saved
    decoder.transformer.lm_head.weight = torch.nn.Parameter(shared.detach().clone())
    return diffusers.UniDiffuserPipeline(
        vae=autoencoder(),
        text_encoder=encoder,
        image_encoder=cascades.clip_vision(),
        clip_image_processor=CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size),
        clip_tokenizer=tokenizer,
        text_decoder=decoder,
        text_tokenizer=writer,
        unet=network,
        scheduler=diffusers.DDIMScheduler(**NOISE, clip_sample=False, set_alpha_to_one=False),
    )
