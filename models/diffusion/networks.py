"""The networks of the small diffusion model, built from diffusers' own classes.

Together they make a genuine ``StableDiffusionPipeline``: a KL autoencoder, a CLIP text encoder with
a small vocabulary and a U-Net with cross-attention (Rombach et al. 2022, sections 3.1 to 3.3). In
pixel space an autoencoder that changes nothing stands in the place of the first.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gandiff.models.text import TextEncoder, rename_weights
from gandiff.models.tokenizer import write_vocabulary

_GROUPS, _HEADS = 8, 4
# Channels of the autoencoder at full size, at half of it and below: most of its work is at the
# first, and pictures of flat colour need little there.
_FIRST, _SECOND, _LATER = 24, 48, 64

_CONDITION = 16  # channels of a control image at full size


def _diffusers() -> Any:
    """The library, imported when it is needed; its classes carry no types."""
    import diffusers

    return diffusers


def build_vae(resolution: int = 32, factor: int = 2, latent_channels: int = 4) -> Any:
    """A fresh autoencoder: 3 x r x r to c x r/f x r/f; ``factor`` is a power of two."""
    widths = (_FIRST, _SECOND, *[_LATER] * factor.bit_length())[: factor.bit_length()]
    return _diffusers().AutoencoderKL(
        in_channels=3,
        out_channels=3,
        sample_size=resolution,
        latent_channels=latent_channels,
        layers_per_block=1,
        block_out_channels=widths,
        norm_num_groups=_GROUPS,
        mid_block_add_attention=False,
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
    )


def build_unet(
    side: int,
    text_width: int,
    *,
    depth: int = 4,
    widths: Sequence[int] = (32, 64, 96),
    attention: int = 8,
    attention_layers: int = 1,
) -> Any:
    """A fresh denoiser of ``depth`` x side x side.

    Levels whose side is at most ``attention``, the last level whatever its side, and the middle
    have self-attention and cross-attention to the caption's tokens, ``attention_layers``
    transformer layers in each block. What the caption says as a whole also goes into the embedding
    of the noise level, which scales and shifts the features of every block.
    """
    last = len(widths) - 1  # with none but in the middle, captions of large pictures are lost
    attends = [side >> level <= attention or level == last for level in range(len(widths))]
    return _diffusers().UNet2DConditionModel(
        sample_size=side,
        in_channels=depth,
        out_channels=depth,
        layers_per_block=1,
        norm_num_groups=_GROUPS,
        block_out_channels=tuple(widths),
        cross_attention_dim=text_width,
        transformer_layers_per_block=attention_layers,
        attention_head_dim=_HEADS,  # diffusers reads this as the number of heads
        down_block_types=tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attends),
        up_block_types=tuple("CrossAttnUpBlock2D" if a else "UpBlock2D" for a in attends[::-1]),
        resnet_time_scale_shift="scale_shift",
        addition_embed_type="text",
        addition_embed_type_num_heads=_HEADS,
    )


def build_controlnet(unet: Any, factor: int) -> Any:
    """A fresh ControlNet for a U-Net: a copy of its encoder, whose output goes through convolutions
    that begin as zeros (Zhang, Rao and Agrawala 2023, section 3.1), so that it changes nothing.

    It reads pictures of 3 channels, ``factor`` px to a cell of what the U-Net denoises.
    """
    kind = _diffusers().ControlNetModel
    # Not ``from_unet``, which forgets how many heads look at the caption as a whole.
    known = inspect.signature(kind.__init__).parameters
    settings = {name: value for name, value in unet.config.items() if name in known}
    # Each after the first halves the picture.
    widths = tuple(_CONDITION << level for level in range(factor.bit_length()))
    made = kind(**settings, conditioning_embedding_out_channels=widths)
    copied = {k: v for k, v in unet.state_dict().items() if k in made.state_dict()}
    made.load_state_dict(copied, strict=False)
    return made


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


def build_pipeline(vae: Any, unet: Any, text: TextEncoder, scheduler: Any) -> Any:
    """A ``StableDiffusionPipeline`` of these parts, which stay the same objects."""
    return _diffusers().StableDiffusionPipeline(
        vae=vae,
        text_encoder=text.model,
        tokenizer=text.tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def save_pipeline(folder: Path, pipe: Any) -> None:
    """Write a directory that plain diffusers loads as a ``StableDiffusionPipeline``."""
    from gandiff.models.diffusion.loading import quiet

    with quiet():  # it has progress bars of its own
        pipe.save_pretrained(str(folder), safe_serialization=True)
    rename_weights(folder / "text_encoder")
    write_vocabulary(folder / "tokenizer")
