"""Which class of diffusers does which task with the networks of a pipeline; light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gandiff.models.generator import Task

# Pipelines whose networks read pictures as further channels, and do nothing else: known pixels and
# a mask, or a control image.
ONE_TASK: Mapping[str, Task] = {
    "StableDiffusionInpaintPipeline": "inpaint",
    "StableDiffusionXLInpaintPipeline": "inpaint",
    "FluxFillPipeline": "inpaint",
    "FluxControlPipeline": "control",
}
# ControlNets for several kinds of control images, of which the call says one by its number, and the
# setting of theirs that says how many there are. Those of FLUX have the class of all others.
UNION = "ControlNetUnionModel"
MODES = ("num_control_type", "num_mode")
# The classes of ControlNets that go with a text-to-image class. The other tasks of these, too, have
# classes with its name and a word in it.
CONTROLNETS: Mapping[str, tuple[str, ...]] = {
    "StableDiffusionPipeline": ("ControlNetModel",),
    "StableDiffusionXLPipeline": ("ControlNetModel", UNION),
    "StableDiffusion3Pipeline": ("SD3ControlNetModel",),
    "FluxPipeline": ("FluxControlNetModel",),
}
# What the classes for inpainting take: latents, or with them known pixels and a mask.
_INPAINTED: Mapping[str, tuple[str, tuple[int, int]]] = {
    "StableDiffusionPipeline": ("U-Net", (4, 9)),
    "StableDiffusionXLPipeline": ("U-Net", (4, 9)),
    "StableDiffusion3Pipeline": ("transformer", (16, 33)),
}
_WORDS: Mapping[Task, str] = {
    "text_to_image": "",
    "image_to_image": "Img2Img",
    "inpaint": "Inpaint",
    "control": "ControlNet",
}


def lacking(called: str, denoiser: Mapping[str, Any]) -> dict[Task, str]:
    """Which tasks of a class a pipeline cannot do by the configuration of its denoiser, and why.

    Images to images and control take latents of any number of channels.
    """
    channels = denoiser.get("in_channels")
    if called not in _INPAINTED or channels is None:
        return {}
    network, taken = _INPAINTED[called]
    if channels in taken:
        return {}
    need = f"the {network} must have {taken[0]} or {taken[1]} input channels"
    return {"inpaint": f"{need}, and its has {channels}"}


def task_class(called: str, task: Task, *, by_mode: bool = False) -> str | None:
    """The class that does a task with the networks of the class ``called``; None if none does.

    ``by_mode`` says that its ControlNet is for several kinds of control images.
    """
    if called in ONE_TASK:
        return called if task == ONE_TASK[called] else None
    if task == "text_to_image":
        return called
    if called not in CONTROLNETS or task not in _WORDS:
        return None
    union = by_mode and task == "control" and UNION in CONTROLNETS[called]
    return f"{called.removesuffix('Pipeline')}{_WORDS[task]}{'Union' * union}Pipeline"
