"""What a pipeline says of itself: family, resolution, parameters, text encoders."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gandiff.common.errors import GeneratorError, SettingError
from gandiff.common.names import did_you_mean
from gandiff.common.validation import check_values
from gandiff.models.diffusion.index import default_size
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.generator import Ability


def describe(pipe: Any, settings: DiffusersSettings, directory: Path | None) -> dict[str, Any]:
    """Return the fields of ``GeneratorInfo`` that only a loaded pipeline knows."""
    from gandiff.models.diffusion.counting import modules
    from gandiff.models.diffusion.trace import schedulers

    networks = modules(pipe)
    encoders = [type(m).__name__ for n, m in networks.items() if n.startswith("text_encoder")]
    abilities: set[Ability] = {"text", "trace"} if schedulers(pipe) else {"text"}
    scheduler = getattr(pipe, "scheduler", None)
    return {
        "resolution": resolution(settings, directory, pipe),
        "parameters": sum(p.numel() for m in networks.values() for p in m.parameters()),
        "conditioning": " + ".join(encoders) or None,
        "abilities": frozenset(abilities),
        "settings": {
            "pipeline_class": type(pipe).__name__,
            "scheduler_class": None if scheduler is None else type(scheduler).__name__,
        },
    }


def resolution(settings: DiffusersSettings, directory: Path | None, pipe: Any = None) -> int | None:
    """Return the side in px of the square images to come, None if unknown or not square."""
    if settings.height is not None and settings.width is not None:
        size: tuple[int, int] | None = (settings.height, settings.width)
    else:
        size = own_size(directory, pipe)
    return size[0] if size is not None and size[0] == size[1] else None


def own_size(directory: Path | None, pipe: Any = None) -> tuple[int, int] | None:
    """Return the (height, width) in px that a pipeline makes by itself, None if unknown."""
    size = None if directory is None else default_size(directory)
    if size is None and hasattr(pipe, "vae_scale_factor"):
        denoiser = getattr(pipe, "unet", None) or getattr(pipe, "transformer", None)
        stated = getattr(getattr(denoiser, "config", None), "sample_size", None)
        latents = getattr(pipe, "default_sample_size", stated)
        if isinstance(latents, int):
            size = (latents * pipe.vae_scale_factor,) * 2
    return size


def call_parameters(pipe: Any) -> list[str]:
    """Return the names of the arguments that a pipeline's call takes."""
    return [name for name in inspect.signature(type(pipe).__call__).parameters if name != "self"]


def check_call(cls: type, extra: Mapping[str, Any]) -> None:
    """Raise ``GeneratorError`` for an argument that the call of a pipeline class does not take, and
    for a value of another type than its annotation says. Nothing (null) is left to the pipeline:
    many take None where the annotation does not say so.
    """
    call: Any = cls.__call__
    taken = [name for name in inspect.signature(call).parameters if name != "self"]
    for key in extra:
        if key not in taken:
            raise GeneratorError(
                f"{cls.__name__} takes no argument {key!r} (in extra){did_you_mean(key, taken)}"
            )
    try:
        check_values(call, {key: value for key, value in extra.items() if value is not None})
    except SettingError as error:
        raise GeneratorError(f"extra.{error} (an argument of {cls.__name__})") from None


def summary(class_name: str, settings: Mapping[str, Any]) -> str:
    """How a pipeline will be run, for people, from the ``settings`` of its ``GeneratorInfo``."""
    if stages := settings.get("stages"):
        return " -> ".join(summary(str(stage.get("pipeline")), stage) for stage in stages)
    steps, scale = settings.get("num_inference_steps"), settings.get("guidance_scale")
    solver = settings.get("scheduler") or "its own solver"
    size = f", {settings['width']}x{settings['height']} px" if settings.get("height") else ""
    return (
        f"{class_name or 'a pipeline'} with {solver}, "
        f"{'its own' if steps is None else steps} steps, "
        f"{'no guidance scale' if scale is None else f'guidance {scale:g}'}{size}"
    )
