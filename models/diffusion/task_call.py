"""One call of a pipeline for a task that takes pictures: its arguments, and what stands against it.

The pictures go to diffusers as PIL images, which its pipelines scale and normalise themselves.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from gandiff.common.words import counted
from gandiff.models.compositing import composited
from gandiff.models.diffusion.call import arguments
from gandiff.models.diffusion.evidence import Evidence
from gandiff.models.diffusion.guidance import SCALE, STEPS
from gandiff.models.diffusion.operation import Operation
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.diffusion.signatures import call_defaults, class_defaults
from gandiff.models.diffusion.source import Source
from gandiff.models.diffusion.task_classes import ONE_TASK, UNION, lacking, task_class
from gandiff.models.generator import Ability, Generation, GenerationRequest, Task, TraceFrame
from gandiff.models.tasks import SOURCES, TASKS, Picture, size_of, takes_strength

# What calls name the pictures; a ControlNet's is ``image`` where there is no ``control_image``.
_NAMES: Mapping[Picture, str] = {
    "init_image": "image",
    "mask": "mask_image",
    "control_image": "control_image",
}


def abilities_of(
    source: Source, settings: DiffusersSettings, evidence: Evidence | None
) -> tuple[frozenset[Ability], dict[Task, str]]:
    """The tasks that a pipeline can do, by its class, by its networks and by whether it was given a
    ControlNet; and why its networks cannot do others of its class.
    """
    lacks = lacking(source.generating, {} if evidence is None else evidence.denoiser)
    does = {task for task in TASKS if task_class(source.generating, task) and task not in lacks}
    controls = settings.controlnet is not None or source.generating in ONE_TASK
    return frozenset(does if controls else does - {"control"}), lacks


def group_of(request: GenerationRequest) -> Hashable:
    """What requests must have in common to be made in one call."""
    shapes = [getattr(request, name).shape for name in SOURCES[request.task]]
    return request.task, bool(request.negative_prompt), request.strength, *shapes


def call_problem(
    request: GenerationRequest, source: Source, operation: Operation, settings: DiffusersSettings
) -> str | None:
    """Return why a call for a request would not do what is asked, in one line; None if it will."""
    by_mode = settings.control_mode is not None
    name = task_class(source.generating, request.task, by_mode=by_mode)
    if name is None or not SOURCES[request.task]:
        return None
    taken, size = class_defaults(name), _own_size(operation)
    picture: Picture = SOURCES[request.task][0]
    pixels = getattr(request, picture)
    if size is not None and pixels.shape[:2] != size:
        return (
            f"{picture} is {size_of(pixels)}, and images of this generator are "
            f"{size[1]}x{size[0]} px; scale it, or set height and width"
        )
    unknown = [key for key in settings.extra if taken and key not in taken]
    if unknown:
        return (
            f"extra.{unknown[0]} is no argument of {name}, which does {request.task}; leave it out"
        )
    return _too_few_steps(request, name, taken, operation)


def _too_few_steps(
    request: GenerationRequest, name: str, taken: Mapping[str, Any], operation: Operation
) -> str | None:
    if not takes_strength(request.task):
        return None
    own, steps = taken.get("strength"), operation.steps.value
    strength, whose = request.strength, ""
    if strength is None:
        strength, whose = own, f" (that of the call of {name})"
    if steps is None or not isinstance(strength, int | float) or strength * steps >= 1:
        return None
    return (
        f"strength {strength:g}{whose} of {counted(steps, 'step')} is less than one step; set "
        f"strength to {_up(1 / steps):g} at least, or more num_inference_steps"
    )


def _up(share: float) -> float:
    """Rounded up to hundredths: what is recommended must be enough."""
    return math.ceil(100 * share - 1e-9) / 100


def task_arguments(
    pipe: Any,
    operation: Operation,
    settings: DiffusersSettings,
    requests: Sequence[GenerationRequest],
) -> dict[str, Any]:
    """Build the call for one batch of a task, for the pipeline that does it.

    Steps and guidance are those of text to image, whatever the defaults of this call are.
    """
    call, first = arguments(pipe, operation, settings, requests), requests[0]
    if not SOURCES[first.task]:
        return call
    taken = call_defaults(type(pipe))
    point = {STEPS: operation.steps.value, SCALE: operation.guidance.value}
    call = {key: value for key, value in point.items() if value is not None} | call
    for picture in SOURCES[first.task]:
        name = _NAMES[picture] if _NAMES[picture] in taken else "image"
        call[name] = [_picture(getattr(request, picture)) for request in requests]
    height, width = getattr(first, SOURCES[first.task][0]).shape[:2]
    call |= {"height": height, "width": width}
    if first.strength is not None:
        call["strength"] = first.strength
    if first.task == "control":
        call["controlnet_conditioning_scale"] = settings.controlnet_conditioning_scale
    if first.task == "control" and settings.control_mode is not None:
        call["control_mode"] = settings.control_mode
        if type(pipe.controlnet).__name__ == UNION:  # it takes pictures of several kinds at once
            call |= {name: [call[name]] for name in ("control_image", "control_mode")}
    return {key: value for key, value in call.items() if key in taken}


def _picture(pixels: Any) -> Any:
    from PIL import Image

    return Image.fromarray(np.ascontiguousarray(pixels))


def size_to_come(settings: DiffusersSettings, request: GenerationRequest) -> tuple[int, int] | None:
    """Height and width in px that the image of a request must have; None if it may have any."""
    if pictures := SOURCES[request.task]:
        height, width = getattr(request, pictures[0]).shape[:2]
        return height, width
    height, width = settings.height, settings.width
    return None if height is None or width is None else (height, width)


def _own_size(operation: Operation) -> tuple[int, int] | None:
    """Height and width in px of the images that are made from text; None if they are not known."""
    height, width = operation.size
    if height is not None and width is not None:
        return height, width
    return operation.own_sizes[0] if operation.own_sizes else None


def finished(made: Generation, request: GenerationRequest) -> Generation:
    """A generation with the known pixels put back where a mask says so."""
    image, mask, known = made.image, request.mask, request.init_image
    if image is None or mask is None or known is None:
        return made
    return dataclasses.replace(made, image=composited(image, known, mask), uncomposited=image)


def ended(frames: Sequence[TraceFrame], request: GenerationRequest) -> list[TraceFrame]:
    """The way to an image, the end of which is the image as it is finished."""
    shown = list(frames)
    if shown and shown[-1].step == shown[-1].steps:
        image = finished(Generation(image=shown[-1].noisy), request).image
        assert image is not None  # for there was one
        shown[-1] = dataclasses.replace(shown[-1], noisy=image)
    return shown
