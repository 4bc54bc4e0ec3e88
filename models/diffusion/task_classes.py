"""Which class of diffusers does which task with the networks of a pipeline; light."""

from __future__ import annotations

from collections.abc import Mapping

from gandiff.models.generator import Task

# Pipelines whose networks read the known pixels and the mask as further channels, and do nothing
# else.
INPAINTERS = ("StableDiffusionInpaintPipeline", "StableDiffusionXLInpaintPipeline")
# The class of ControlNets that go with a text-to-image class. The other tasks of these, too, have
# classes with its name and a word in it.
CONTROLNETS: Mapping[str, str] = {
    "StableDiffusionPipeline": "ControlNetModel",
    "StableDiffusionXLPipeline": "ControlNetModel",
    "StableDiffusion3Pipeline": "SD3ControlNetModel",
    "FluxPipeline": "FluxControlNetModel",
}
_WORDS: Mapping[Task, str] = {
    "text_to_image": "",
    "image_to_image": "Img2Img",
    "inpaint": "Inpaint",
    "control": "ControlNet",
}


def task_class(called: str, task: Task) -> str | None:
    """The class that does a task with the networks of the class ``called``; None if none does."""
    if called in INPAINTERS:
        return called if task == "inpaint" else None
    if task == "text_to_image":
        return called
    if called not in CONTROLNETS or task not in _WORDS:
        return None
    return f"{called.removesuffix('Pipeline')}{_WORDS[task]}Pipeline"
