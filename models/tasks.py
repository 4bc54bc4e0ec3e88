"""Tasks: which pictures a request of each brings along, and which generators can do it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

from gandiff.models.generator import Generation, GenerationRequest, GeneratorInfo, Task

Picture = Literal["init_image", "mask", "control_image"]
PICTURES: tuple[Picture, ...] = get_args(Picture)
TASKS: tuple[Task, ...] = get_args(Task)
SOURCES: Mapping[Task, tuple[Picture, ...]] = {
    "text_to_image": (),
    "image_to_image": ("init_image",),
    "inpaint": ("init_image", "mask"),
    "paint": ("init_image", "mask"),
    "control": ("control_image",),
}


def takes_strength(task: Task) -> bool:
    """Whether a task begins from an image, so that there is a share of it to give up."""
    return "init_image" in SOURCES[task]


def inability(info: GeneratorInfo, task: Task) -> str | None:
    """Why a generator cannot do a task, without its name; None for one that can."""
    if task in info.abilities:
        return None
    able = [one for one in TASKS if one in info.abilities]
    do = "" if task in ("inpaint", "paint") else "do "
    return f"cannot {do}{task}: its abilities are {', '.join(able) or 'none'}"


def edit_refusal(request: GenerationRequest) -> str | None:
    """Return why a request for an edit of an image is refused; None for one of text alone."""
    for field in PICTURES:
        if getattr(request, field) is not None:
            return f"the request has {field}, but this generator makes images from text alone"
    return None


def from_text_alone(
    requests: Sequence[GenerationRequest],
    make: Callable[[Sequence[GenerationRequest]], Sequence[Generation]],
) -> list[Generation]:
    """What ``make`` gives for the requests of text alone, and a failure in the place of others."""
    reasons = [edit_refusal(request) for request in requests]
    plain = [one for one, reason in zip(requests, reasons, strict=True) if reason is None]
    made = iter(make(plain) if plain else ())
    return [
        next(made)
        if reason is None
        else Generation(image=None, status="failed", reason=reason, nfe=0)
        for reason in reasons
    ]
