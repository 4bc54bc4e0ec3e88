"""What edits pictures: toys of four families, ControlNets for them, networks for inpainting."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import toys

from families import flows, unets

SIDE = 32  # px of the images of all of them
BUILD: Mapping[str, Callable[[], Any]] = {
    "sd": toys.build_pipeline,
    "sdxl": unets.sdxl,
    "sd3": lambda: flows.sd3(16),
    "flux": flows.flux,
}


def save(family: str, folder: Path) -> dict[str, Any]:
    """Save a pipeline and two ControlNets for it; returns the settings of the pipeline.

    ``control`` does something, ``zero`` is as training begins.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pipe = BUILD[family]()
        pipe.save_pretrained(folder / "pipeline")
        controlnet(pipe).save_pretrained(folder / "control")
        controlnet(pipe, zero=True).save_pretrained(folder / "zero")
    size = {"height": SIDE, "width": SIDE} if family == "flux" else {}
    return {"pipeline": str(folder / "pipeline"), **size}


def controlnet(pipe: Any, *, zero: bool = False) -> Any:
    """A ControlNet for a pipeline of one of the families; ``zero`` is as training begins."""
    import diffusers
    import torch

    torch.manual_seed(0)
    if hasattr(pipe, "unet"):
        levels = len(pipe.vae.config.block_out_channels)  # each after the first halves the picture
        network = diffusers.ControlNetModel.from_unet(
            pipe.unet, conditioning_embedding_out_channels=(8,) * levels
        )
    elif type(pipe.transformer).__name__ == "FluxTransformer2DModel":
        kept = ("attention_head_dim", "num_attention_heads")
        network = diffusers.FluxControlNetModel.from_transformer(
            pipe.transformer,
            num_layers=1,
            num_single_layers=1,
            **{key: pipe.transformer.config[key] for key in kept},
        )
    else:
        network = diffusers.SD3ControlNetModel.from_transformer(
            pipe.transformer, num_layers=1, num_extra_conditioning_channels=0
        )
    with torch.no_grad():
        for weight in () if zero else network.parameters():
            if not weight.any():
                weight.normal_(0, 0.3)
    return network.eval()


def union(pipe: Any, modes: int = 3, *, zero: bool = False) -> Any:
    """A ControlNet for several kinds of control images, for SDXL or FLUX."""
    import diffusers
    import torch

    base = controlnet(pipe, zero=zero)
    torch.manual_seed(1)
    if hasattr(pipe, "transformer"):
        network = diffusers.FluxControlNetModel.from_config(base.config, num_mode=modes)
    else:
        width = base.config.block_out_channels[0]
        more = {f"num_{name}_channel": width for name in ("trans", "proj")}
        more |= {"num_control_type": modes, "num_trans_head": 2}
        network = diffusers.ControlNetUnionModel.from_config(_own(base), **more)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name == "task_embedding" or "mode_embedder" in name:
                weight.normal_(0, 3)
            elif "controlnet_" in name and not zero and not weight.any():
                weight.normal_(0, 0.3)
    return network.eval()


def _own(network: Any) -> dict[str, Any]:
    return {key: value for key, value in network.config.items() if not key.startswith("_")}


def packed(kind: str) -> Any:
    """``FluxFillPipeline`` or ``FluxControlPipeline``: FLUX that reads pictures beside noise."""
    import diffusers
    import torch

    base = flows.flux()
    channels = base.transformer.config.in_channels
    pixels = 4 ** (len(base.vae.config.block_out_channels) - 1)
    more = channels + 4 * pixels if kind == "FluxFillPipeline" else channels
    torch.manual_seed(2)
    own = {**_own(base.transformer), "in_channels": channels + more, "out_channels": channels}
    network = flows.seeded(diffusers.FluxTransformer2DModel, **own)
    parts = {**base.components, "transformer": network}
    cls: Any = getattr(diffusers, kind)
    taken = inspect.signature(cls).parameters
    return cls(**{name: part for name, part in parts.items() if name in taken})


def inpainter(family: str, channels: int = 9) -> Any:
    """A pipeline whose U-Net reads noise, known pixels and mask: 9 channels."""
    import diffusers
    import torch

    torch.manual_seed(0)
    if family == "sd":
        base = toys.build_pipeline(in_channels=channels)
        return diffusers.StableDiffusionInpaintPipeline(
            **base.components, requires_safety_checker=False
        )
    base = unets.sdxl()
    network = unets.unet(**{**base.unet.config, "in_channels": channels})
    return diffusers.StableDiffusionXLInpaintPipeline(**{**base.components, "unet": network})
