"""What a pipeline says of itself: family, resolution, parameters, text encoders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gandiff.common.errors import GeneratorError, SettingError
from gandiff.common.names import did_you_mean
from gandiff.common.validation import check_values
from gandiff.common.words import counted
from gandiff.models.diffusion.classes import pipeline_class
from gandiff.models.diffusion.settings import OURS, DiffusersSettings
from gandiff.models.diffusion.task_classes import task_class
from gandiff.models.generator import Ability


def describe(pipe: Any) -> dict[str, Any]:
    """Return the fields of ``GeneratorInfo`` that only a loaded pipeline knows."""
    from gandiff.models.diffusion.counting import modules
    from gandiff.models.diffusion.trace import schedulers

    networks = modules(pipe)
    if (controlnet := getattr(pipe, "controlnet", None)) is not None:
        networks["controlnet"] = controlnet
    encoders = [type(m).__name__ for n, m in networks.items() if n.startswith("text_encoder")]
    abilities: set[Ability] = {"trace"} if schedulers(pipe) else set()
    scheduler = getattr(pipe, "scheduler", None)
    return {
        "parameters": sum(p.numel() for m in networks.values() for p in m.parameters()),
        "conditioning": " + ".join(encoders) or None,
        "abilities": frozenset(abilities),
        "settings": {
            "pipeline_class": type(pipe).__name__,
            "scheduler_class": None if scheduler is None else type(scheduler).__name__,
        },
    }


def check_call(name: str, settings: DiffusersSettings) -> None:
    """Raise ``GeneratorError`` for an argument in ``extra`` that the call of a pipeline class does
    not take, and for a value of another type than its annotation says. Nothing (null) is left to
    the pipeline: many take None where the annotation does not say so. With a ControlNet, what the
    class for that takes is fine, too.
    """
    known, extra = pipeline_class(name), settings.extra
    if known is None:
        return
    taken = dict(known.arguments)
    if settings.controlnet is not None:
        by_mode = settings.control_mode is not None
        controlled = pipeline_class(task_class(name, "control", by_mode=by_mode) or "")
        taken |= {} if controlled is None else controlled.arguments
    for key in extra:
        if key not in taken:
            free = [
                one
                for one in taken
                if one not in OURS and taken[one].is_plain and not one.startswith("callback")
            ]
            raise GeneratorError(
                f"{name} takes no argument {key!r} (in extra){did_you_mean(key, free)}"
            )
    hints = {key: taken[key].hint for key, value in extra.items() if value is not None}
    try:
        check_values(hints, {key: extra[key] for key in hints})
    except SettingError as error:
        raise GeneratorError(f"extra.{error} (an argument of {name})") from None


def summary(class_name: str, settings: Mapping[str, Any]) -> str:
    """How a pipeline will be run, for people, from the ``settings`` of its ``GeneratorInfo``."""
    if stages := settings.get("stages"):
        return " -> ".join(summary(str(stage.get("pipeline")), stage) for stage in stages)
    steps, scale = settings.get("num_inference_steps"), settings.get("guidance_scale")
    solver = settings.get("scheduler") or "its own solver"
    size = f", {settings['width']}x{settings['height']} px" if settings.get("height") else ""
    return (
        f"{class_name or 'a pipeline'} with {solver}, "
        f"{'its own steps' if steps is None else counted(steps, 'step')}, "
        f"{'no guidance scale' if scale is None else f'guidance {scale:g}'}{size}"
    )


def seen_in_use(
    facts: Mapping[str, Any], ran: Mapping[str, Any], image: np.ndarray | None
) -> dict[str, Any]:
    """Facts with settings that the calls have used, and with the side in px that an image has, None
    where it is not square.
    """
    known = {**facts, "settings": {**facts["settings"], **ran}}
    if image is None:
        return known
    height, width, *_ = image.shape
    return {**known, "resolution": height if height == width else None}
