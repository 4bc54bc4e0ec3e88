"""Tasks: which pictures a request of each brings along, and which generators can do it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from jaxtyping import UInt8

from gandiff.models.generator import Ability, Generation, GenerationRequest, GeneratorInfo, Task

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
    said, why = _inability(info.abilities, task), info.lacks.get(task)
    return f"{said} ({why})" if said and why else said


def _inability(abilities: Collection[Ability], task: Task) -> str | None:
    if task in abilities:
        return None
    able = [one for one in TASKS if one in abilities]
    do = "" if task in ("inpaint", "paint") else "do "
    return f"cannot {do}{task}: its abilities are {', '.join(able) or 'none'}"


def edit_refusal(request: GenerationRequest) -> str | None:
    """Return why a request for an edit of an image is refused; None for one of text alone."""
    for field in PICTURES:
        if getattr(request, field) is not None:
            return f"the request has {field}, but this generator makes images from text alone"
    return None


def request_problem(request: GenerationRequest, abilities: Collection[Ability]) -> str | None:
    """Return why a generator of these abilities cannot make the image of a request, in one line;
    None if it can, as far as the pictures of the request and its strength tell.
    """
    task, strength = request.task, request.strength
    if (lacking := _inability(abilities, task)) is not None:
        return f"this generator {lacking}"
    for field in PICTURES:
        picture, wanted = getattr(request, field), field in SOURCES[task]
        if picture is not None and not wanted:
            return f"the request has {field}, which the task {task} does not take"
        if picture is None and wanted:
            return f"the request has no {field}, which the task {task} takes"
        if picture is not None and (wrong := _picture_problem(field, picture)) is not None:
            return f"{field} {wrong}"
    try:
        if request.mask is not None and request.init_image is not None:
            check_mask(request.mask, request.init_image)
        if request.control_image is not None:
            check_control(request.control_image)
    except ValueError as error:
        return f"{'mask' if request.control_image is None else 'control_image'} {error}"
    if strength is not None and not takes_strength(task):
        return f"the request has a strength, and the task {task} begins from no image"
    if strength is not None and not 0 < strength <= 1:
        return f"strength must be above 0 and at most 1, got {strength:g}"
    return None


def check_mask(mask: UInt8[np.ndarray, "h w"], init: UInt8[np.ndarray, "a b 3"]) -> None:
    """Raise ``ValueError`` unless a mask has the size of its init image, the levels 0 and 255, and
    both of them.
    """
    if mask.shape != init.shape[:2]:
        raise ValueError(
            f"is {size_of(mask)}, and the init image {size_of(init)}; must be of its size"
        )
    levels = np.unique(mask)
    between = [int(level) for level in levels if level not in (0, 255)]
    if between:
        raise ValueError(
            f"has grey levels, such as {between[len(between) // 2]}; must be 0 (keep) and 255 "
            "(change) alone"
        )
    if levels.tolist() == [0]:
        raise ValueError("is 0 everywhere, so that nothing may change; must be 255 somewhere")
    if levels.tolist() == [255]:
        raise ValueError("is 255 everywhere, so that nothing is kept; must be 0 somewhere")


def check_control(pixels: UInt8[np.ndarray, "h w 3"]) -> None:
    """Raise ``ValueError`` for a control image of a single colour, which says nothing."""
    colour = tuple(int(level) for level in pixels[0, 0])
    if (pixels == colour).all():
        raise ValueError(
            f"is of one colour, {colour}, so that there is nothing to follow; must show lines or "
            "levels"
        )


def size_of(pixels: UInt8[np.ndarray, "h w *c"]) -> str:
    """Width and height, as messages say them: ``64x32 px``."""
    return f"{pixels.shape[1]}x{pixels.shape[0]} px"


def _picture_problem(field: Picture, pixels: npt.NDArray[np.generic]) -> str | None:
    """What is wrong with the array of a picture, behind its name."""
    shape = "(height, width)" if field == "mask" else "(height, width, 3)"
    fits = pixels.ndim == 2 if field == "mask" else pixels.ndim == 3 and pixels.shape[2] == 3
    if pixels.dtype == np.uint8 and fits and 0 not in pixels.shape:
        return None
    got = f"{pixels.dtype} of {pixels.shape}"
    if pixels.shape[2:] == (4,):
        got += ", which has an alpha channel: lay it over a background first"
    return f"must be a uint8 array of shape {shape}, got {got}"


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
