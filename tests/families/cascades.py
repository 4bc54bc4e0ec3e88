"""Models of several networks in a row: IF, Kandinsky 2.2, Stable Cascade, Karlo's unCLIP."""

from __future__ import annotations

from typing import Any

from families import texts
from families.flows import seeded
from families.unets import NOISE, autoencoder, unet

IF_BLOCKS = {
    "norm_num_groups": 8,
    "block_out_channels": (16, 32),
    "down_block_types": ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
    "attention_head_dim": 8,
    "layers_per_block": 1,
    "resnet_time_scale_shift": "scale_shift",
}


def _pixel_unet(side: int, factor: float, **changes: Any) -> Any:
    """A U-Net in pixels as IF has it: text through attention, mean and variance come out."""
    import diffusers

    network = seeded(
        diffusers.UNet2DConditionModel,
        **IF_BLOCKS,
        sample_size=side,
        **{
            "in_channels": 3,
            "out_channels": 6,
            "encoder_hid_dim": texts.WIDTH,
            "encoder_hid_dim_type": "text_proj",
            "cross_attention_dim": 32,
            "cross_attention_norm": "group_norm",
            "addition_embed_type": "text",
            "addition_embed_type_num_heads": 4,
            "act_fn": "gelu",
            **changes,
        },
    )
    texts.strengthen(network, {".add_k_proj": factor, ".add_v_proj": factor})
    return network


def deepfloyd() -> dict[str, Any]:
    """DeepFloyd IF: 16 px, then 32, then a latent upscaler to 128; folders I, II and III."""
    import diffusers

    def noise() -> Any:
        return diffusers.DDPMScheduler(
            beta_schedule="squaredcos_cap_v2",
            variance_type="learned_range",
            thresholding=True,
            dynamic_thresholding_ratio=0.95,
            sample_max_value=1.5,
        )

    encoder, tokenizer = texts.t5(longest=77)
    none = {"safety_checker": None, "feature_extractor": None, "watermarker": None}
    first = diffusers.IFPipeline(
        tokenizer=tokenizer,
        text_encoder=encoder,
        unet=_pixel_unet(16, 2.0),
        scheduler=noise(),
        requires_safety_checker=False,
        **none,
    )
    second = diffusers.IFSuperResolutionPipeline(
        tokenizer=tokenizer,
        text_encoder=encoder,
        unet=_pixel_unet(32, 2.0, in_channels=6, class_embed_type="timestep"),
        scheduler=noise(),
        image_noising_scheduler=diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        requires_safety_checker=False,
        **none,
    )
    return {"I": first, "II": second, "III": upscaler()}


def upscaler() -> Any:
    """Stable Diffusion's upscaler by 4, the usual third stage of IF."""
    import diffusers

    encoder, tokenizer = texts.clip()
    return diffusers.StableDiffusionUpscalePipeline(
        vae=autoencoder(levels=3, scaling_factor=0.08333),
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=unet(sample_size=32, in_channels=7, num_class_embeds=1000),
        low_res_scheduler=diffusers.DDPMScheduler(**NOISE),
        scheduler=diffusers.DDIMScheduler(
            **NOISE, prediction_type="v_prediction", set_alpha_to_one=False, clip_sample=False
        ),
        max_noise_level=350,
    )


def prior_network(tokens: int, **changes: Any) -> Any:
    """A transformer that makes CLIP image embeddings of CLIP text."""
    import diffusers
    import torch

    network = seeded(
        diffusers.PriorTransformer,
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=1,
        embedding_dim=texts.WIDTH,
        num_embeddings=tokens,
        additional_embeddings=4,
        **changes,
    )
    with torch.no_grad():  # saved zeros and ones would hide what the pipeline does with them
        network.clip_mean.normal_(0, 0.1)
        network.clip_std.uniform_(0.8, 1.2)
    texts.strengthen(network, {"encoder_hidden_states_proj": 3.0, "embedding_proj": 3.0})
    return network


def clip_vision() -> Any:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    config = CLIPVisionConfig(
        **sizes, num_attention_heads=2, image_size=32, patch_size=16, projection_dim=texts.WIDTH
    )
    import torch

    torch.manual_seed(0)
    return CLIPVisionModelWithProjection(config).eval()


def kandinsky22() -> dict[str, Any]:
    """Kandinsky 2.2: a prior from text to image embeddings, a U-Net that draws what they say."""
    import diffusers
    from transformers import CLIPImageProcessor

    encoder, tokenizer = texts.clip(projection=True)
    size = {"shortest_edge": 32}
    prior = diffusers.KandinskyV22PriorPipeline(
        prior=prior_network(texts.CLIP_TOKENS),
        image_encoder=clip_vision(),
        text_encoder=encoder,
        tokenizer=tokenizer,
        scheduler=diffusers.UnCLIPScheduler(
            variance_type="fixed_small_log", prediction_type="sample", clip_sample_range=5.0
        ),
        image_processor=CLIPImageProcessor(size=size, crop_size={"height": 32, "width": 32}),
    )
    network = seeded(
        diffusers.UNet2DConditionModel,
        **IF_BLOCKS,
        sample_size=8,
        in_channels=4,
        out_channels=8,
        encoder_hid_dim=texts.WIDTH,
        encoder_hid_dim_type="image_proj",
        addition_embed_type="image",
        cross_attention_dim=32,
    )
    texts.strengthen(network, {"add_embedding.image_proj": 4.0, ".add_v_proj": 6.0})
    movq = seeded(
        diffusers.VQModel,
        latent_channels=4,
        block_out_channels=(32,) * 3,  # its spatial norm has 32 groups
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        num_vq_embeddings=32,
        vq_embed_dim=4,
        norm_type="spatial",
        mid_block_add_attention=False,
    )
    texts.strengthen(movq, {"decoder.conv_out": 0.4})
    noise = diffusers.DDPMScheduler(
        beta_schedule="linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        variance_type="learned_range",
    )
    return {
        "prior": prior,
        "decoder": diffusers.KandinskyV22Pipeline(unet=network, scheduler=noise, movq=movq),
    }


_CASCADE_BLOCKS = {
    "timestep_ratio_embedding_dim": 8,
    "conditioning_dim": texts.WIDTH,
    "num_attention_heads": (2, 2),
    "down_num_layers_per_block": (1, 1),
    "up_num_layers_per_block": (1, 1),
    "clip_text_pooled_in_channels": texts.WIDTH,
    "clip_seq": 2,
}


def stable_cascade() -> dict[str, Any]:
    """Stable Cascade: stage C in a latent of 1/42, stage B in one of 1/4, a Paella autoencoder."""
    import diffusers
    from diffusers.pipelines.deprecated.wuerstchen import PaellaVQModel

    encoder, tokenizer = texts.clip(projection=True)
    attention = ("SDCascadeResBlock", "SDCascadeTimestepBlock", "SDCascadeAttnBlock")
    first = seeded(
        diffusers.StableCascadeUNet,
        **_CASCADE_BLOCKS,
        in_channels=4,
        out_channels=4,
        block_out_channels=(16, 16),
        block_types_per_layer=(attention, attention),
        clip_text_in_channels=texts.WIDTH,
        clip_image_in_channels=16,
        switch_level=(False,),
    )
    second = seeded(
        diffusers.StableCascadeUNet,
        **_CASCADE_BLOCKS,
        in_channels=4,
        out_channels=4,
        patch_size=2,
        block_out_channels=(16, 32),
        block_types_per_layer=(attention[:2], attention),
        effnet_in_channels=4,
        pixel_mapper_in_channels=3,
        timestep_conditioning_type=("sca",),
    )
    texts.strengthen(first, {"clip_txt_pooled_mapper": 4.0, "attention.to_v": 6.0})
    texts.strengthen(second, {"clip_txt_pooled_mapper": 4.0, "attention.to_v": 6.0})
    vqgan = seeded(PaellaVQModel, bottleneck_blocks=1, embed_dim=16, num_vq_embeddings=32)
    texts.strengthen(vqgan, {"out_block": 0.3})
    noise = diffusers.DDPMWuerstchenScheduler()
    return {
        "prior": diffusers.StableCascadePriorPipeline(
            tokenizer=tokenizer, text_encoder=encoder, prior=first, scheduler=noise
        ),
        "decoder": diffusers.StableCascadeDecoderPipeline(
            decoder=second, tokenizer=tokenizer, text_encoder=encoder, scheduler=noise, vqgan=vqgan
        ),
    }


def wuerstchen() -> dict[str, Any]:
    """Wuerstchen: a prior in a latent of 1/64, a decoder in one of 1/4. Its settings are others
    than the classes' defaults: they are a part of the model.
    """
    import diffusers
    from diffusers.pipelines.deprecated.wuerstchen import (
        PaellaVQModel,
        WuerstchenDiffNeXt,
        WuerstchenPrior,
    )

    encoder, tokenizer = texts.clip()
    prior = seeded(WuerstchenPrior, c_in=4, c=32, c_cond=texts.WIDTH, c_r=16, depth=1, nhead=2)
    decoder = seeded(
        WuerstchenDiffNeXt,
        c_r=16,
        c_cond=32,
        c_hidden=[16, 32],
        nhead=[-1, 2],
        blocks=[1, 1],
        level_config=["CT", "CTA"],
        inject_effnet=[False, True],
        effnet_embd=4,
        clip_embd=texts.WIDTH,
    )
    texts.strengthen(prior, {"cond_mapper.0": 6.0, "attention.to_v": 6.0})
    vqgan = seeded(PaellaVQModel, bottleneck_blocks=1, embed_dim=16, num_vq_embeddings=32)
    texts.strengthen(vqgan, {"out_block": 0.3})
    parts = {"tokenizer": tokenizer, "text_encoder": encoder}
    noise = diffusers.DDPMWuerstchenScheduler()
    return {
        "prior": diffusers.WuerstchenPriorPipeline(
            **parts,
            prior=prior,
            scheduler=noise,
            latent_mean=3.0,
            latent_std=0.5,
            resolution_multiple=64.0,
        ),
        "decoder": diffusers.WuerstchenDecoderPipeline(
            **parts, decoder=decoder, vqgan=vqgan, scheduler=noise, latent_dim_scale=16.0
        ),
    }


def unclip() -> Any:
    """Karlo's unCLIP: a prior, a decoder in pixels, two networks that enlarge its picture."""
    import diffusers
    from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel

    encoder, tokenizer = texts.clip(projection=True)
    decoder = seeded(
        diffusers.UNet2DConditionModel,
        **IF_BLOCKS,
        sample_size=16,
        in_channels=3,
        out_channels=6,
        class_embed_type="identity",
        cross_attention_dim=texts.WIDTH,
    )
    project = seeded(
        UnCLIPTextProjModel,
        clip_embeddings_dim=texts.WIDTH,
        time_embed_dim=64,
        cross_attention_dim=texts.WIDTH,
    )
    enlarge = {
        "sample_size": 32,
        "in_channels": 6,
        "out_channels": 3,
        "block_out_channels": (16, 16),
        "norm_num_groups": 8,
        "layers_per_block": 1,
        "down_block_types": ("ResnetDownsampleBlock2D", "ResnetDownsampleBlock2D"),
        "up_block_types": ("ResnetUpsampleBlock2D", "ResnetUpsampleBlock2D"),
    }
    return diffusers.UnCLIPPipeline(
        prior=prior_network(texts.CLIP_TOKENS),
        decoder=decoder,
        text_encoder=encoder,
        tokenizer=tokenizer,
        text_proj=project,
        super_res_first=seeded(diffusers.UNet2DModel, **enlarge),
        super_res_last=seeded(diffusers.UNet2DModel, **enlarge),
        prior_scheduler=diffusers.UnCLIPScheduler(
            variance_type="fixed_small_log", prediction_type="sample", clip_sample_range=5.0
        ),
        decoder_scheduler=diffusers.UnCLIPScheduler(variance_type="learned_range"),
        super_res_scheduler=diffusers.UnCLIPScheduler(variance_type="fixed_small_log"),
    )
