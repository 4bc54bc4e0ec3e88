"""Which class of diffusers does which task with the networks of a pipeline; light."""

from __future__ import annotations

from collections.abc import Mapping

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
_WORDS: Mapping[Task, str] = {
    "text_to_image": "",
    "image_to_image": "Img2Img",
    "inpaint": "Inpaint",
    "control": "ControlNet",
}


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
