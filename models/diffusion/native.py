"""The native point of a pipeline (the steps and the guidance that it was made for) and how far from
it a setting is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gandiff.common.words import counted
from gandiff.models.diffusion.class_source import OPAQUE
from gandiff.models.diffusion.evidence import Evidence, is_doubtful, published
from gandiff.models.diffusion.families import DiffusionFamily, Guidance, Published
from gandiff.models.diffusion.settings import DiffusersSettings

# A plain diffusion model is marked below this share of its steps, a scale above this multiple.
_FEWEST, _STRONGEST = 0.2, 2.0
# What was made for no more steps than this was distilled, whatever its family is said to be.
_FEW_STEPS = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Native:
    """What a pipeline was made for. ``guidance`` is 0 for none; None is what cannot be said.

    ``source`` is what says so: the comparison ``file``, the ``table`` of published checkpoints, the
    ``config`` or the ``card`` of the pipeline, else the ``signature`` of its call. ``unknown`` is
    why it is not known whether the signature is the native point.
    """

    family: DiffusionFamily = "diffusion"
    steps: int | None = None
    guidance: float | None = None
    most_steps: int | None = None
    most_guidance: float | None = None
    source: str = "signature"
    unknown: str | None = None


def native_point(
    settings: DiffusersSettings, seen: Evidence, steps: int | None, guidance: float | None
) -> Native:
    """Say what a pipeline was made for; ``steps`` and ``guidance`` are the defaults of its call."""
    known = None if seen.changed else published(seen)
    made, source = known or (Published(), "signature")
    family = settings.family or made.family
    unknown = _unknown(settings, seen, family, known)
    if settings.native is not None:
        wanted = settings.native
        made = Published(steps=wanted.num_inference_steps, guidance=wanted.guidance_scale)
        source, unknown = "file", None
    return Native(
        family=family,
        steps=steps if made.steps is None else made.steps,
        guidance=guidance if made.guidance is None else made.guidance,
        most_steps=made.most_steps or made.steps,
        most_guidance=made.most_guidance,
        source=source if (made.steps, made.guidance) != (None, None) else "signature",
        unknown=unknown,
    )


def off_native(
    native: Native, meaning: Guidance, steps: int | None, guidance: float | None
) -> Iterator[str]:
    """Say which settings are far from what the pipeline was made for, each in a few words."""
    if meaning == "ignored" and guidance is not None and is_on("cfg", guidance):
        yield f"guidance {guidance:g} has no effect (distilled without)"
    if native.unknown is not None:
        return
    if steps is not None and native.steps is not None and not _fits_steps(native, steps):
        most = native.most_steps or native.steps
        few = native.family != "diffusion" or native.steps <= _FEW_STEPS
        span = f"1 to {most}" if few and most > 1 else f"{native.steps}"
        yield f"{counted(steps, 'step')}, made for {span}"
    own = native.guidance
    if guidance is None or own is None or meaning in ("ignored", "stages"):
        return
    if not _fits_guidance(native, meaning, guidance):
        made_for = "none" if not is_on(meaning, own) else f"{own:g}"
        yield f"guidance {guidance:g}, made for {made_for}"


def off_size(asked: tuple[int | None, int | None], own: Sequence[tuple[int, int]]) -> Iterator[str]:
    """Say so where images have less than half or more than twice the pixels that are its own."""
    height, width = asked
    if height is None or width is None or not own:
        return
    if not any(0.5 <= height * width / (h * w) <= 2 for h, w in own):
        yield f"{width}x{height} px, made for {' or '.join(f'{w}x{h}' for h, w in own)}"


def is_on(meaning: Guidance, guidance: float) -> bool:
    """Whether a scale guides at all."""
    return guidance > (0 if meaning in ("above_zero", "embedded") else 1)


def own_levels(seen: Evidence) -> Sequence[float]:
    """The noise levels of the steps, where the makers of a model chose them: Qwen-Image 2.1."""
    return seen.config.get("sample_sigmas") or ()


def own_steps(seen: Evidence, taken: Mapping[str, Any]) -> Any:
    """The steps of a call without settings."""
    return len(own_levels(seen)) or default(taken, "num_inference_steps")


def default(taken: Mapping[str, Any], name: str) -> Any:
    """The default of an argument, None where there is none that can be read."""
    value = taken.get(name)
    return None if value is OPAQUE else value


def _fits_steps(native: Native, steps: int) -> bool:
    assert native.steps is not None
    if native.family == "diffusion" and native.steps > _FEW_STEPS:
        return steps >= native.steps * _FEWEST
    return steps <= (native.most_steps or native.steps)


def _fits_guidance(native: Native, meaning: Guidance, guidance: float) -> bool:
    own, most = native.guidance or 0.0, native.most_guidance
    if most is not None:
        return guidance <= most
    if not is_on(meaning, own):
        return not is_on(meaning, guidance)
    return is_on(meaning, guidance) and guidance <= own * _STRONGEST


def _unknown(
    settings: DiffusersSettings,
    seen: Evidence,
    family: DiffusionFamily,
    known: tuple[Published, str] | None,
) -> str | None:
    if seen.changed:
        return "weights from files of their own do not say how they were trained"
    if family != "diffusion" and (known is None or known[0].steps is None):
        return f"it is {family}, and nothing says for how many steps"
    if known is None and settings.family is None and is_doubtful(seen):
        return "nothing beside the weights says whether it was distilled to a few steps"
    return None
