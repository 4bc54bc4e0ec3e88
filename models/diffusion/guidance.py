"""Which scale a pipeline guides with, and how it gets it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from gandiff.common.errors import GeneratorError
from gandiff.models.diffusion.class_source import OPAQUE
from gandiff.models.diffusion.evidence import Evidence
from gandiff.models.diffusion.native import Native
from gandiff.models.diffusion.settings import DiffusersSettings

STEPS, SCALE = "num_inference_steps", "guidance_scale"
GUIDER = "guider"  # a component, not an argument


class Chosen(NamedTuple):
    """A value and where it is from: set, extra, or a source of ``Native``; None is not known."""

    value: Any
    source: str


def choose_guidance(
    settings: DiffusersSettings,
    seen: Evidence,
    taken: Mapping[str, Any],
    native: Native,
    scale: tuple[str, float | None],
    sent: dict[str, Any],
) -> Chosen:
    """Choose the scale and put what has to be sent for it into ``sent``; ``scale`` is the name that
    takes it with its default. Raises ``GeneratorError`` as ``resolve``.
    """
    (name, own), wanted = scale, settings.guidance_scale
    if name in settings.extra:
        if wanted is not None:
            raise GeneratorError(
                f"give guidance_scale or {name} (in extra), not both: they are the same for "
                f"{seen.class_name}"
            )
        return Chosen(number(settings.extra[name]), "extra")
    if taken and name not in (*taken, GUIDER):
        if wanted is not None:
            raise not_taken(SCALE, seen, taken)
        return Chosen(None, "signature")
    if seen.guidance == "schedule":
        return _scheduled(wanted, sent)
    if wanted is not None:
        sent[name] = wanted
        return Chosen(wanted, "set")
    if seen.guidance == "ignored":
        return Chosen(None, "signature")
    if native.guidance is not None and native.guidance != own:
        sent[name] = native.guidance
        return Chosen(native.guidance, native.source)
    if own is None and seen.denoiser.get("guidance_embeds"):
        raise GeneratorError(
            f"this {seen.class_name} was distilled with its guidance and has no default; set "
            "guidance_scale"
        )
    return Chosen(own, "config" if name == GUIDER else "signature")


def _scheduled(wanted: float | None, sent: dict[str, Any]) -> Chosen:
    """A constant scale takes the place of the schedule; both together are an error of the call."""
    if wanted is None:
        return Chosen(None, "signature")
    sent.update({SCALE: wanted, "guidance_schedule": None})
    return Chosen(wanted, "set")


def scale_name(seen: Evidence, taken: Mapping[str, Any]) -> str:
    """The argument of the call, or the component, that takes the scale."""
    if seen.guidance == "true_cfg":
        return "true_cfg_scale"
    if seen.guidance == "embedded" and "distilled_guidance_scale" in taken:
        return "distilled_guidance_scale"
    return GUIDER if seen.guidance == "guider" and guider_scale(seen) is not None else SCALE


def guider_scale(seen: Evidence) -> float | None:
    """The scale that the guider component is saved with; None if it does not guide."""
    return number(seen.guider.get(SCALE)) if seen.guider.get("enabled", True) else None


def not_taken(setting: str, seen: Evidence, taken: Mapping[str, Any]) -> GeneratorError:
    """The error for a setting that the call has no argument for, with those it has instead."""
    own = [name for name in taken if name.endswith(setting)]
    instead = f" and give {' or '.join(own)} (in extra)" if own else ""
    return GeneratorError(f"{seen.class_name} takes no {setting}; leave it out{instead}")


def number(value: Any) -> float | None:
    """A default as a number, None where there is none."""
    return None if value in (None, OPAQUE) else float(value)
