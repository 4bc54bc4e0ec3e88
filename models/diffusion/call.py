"""The arguments of one call of a pipeline, and what a generation must say of them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from gandiff.models.diffusion.facts import call_parameters
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.generator import GenerationRequest


def arguments(
    pipe: Any, settings: DiffusersSettings, requests: Sequence[GenerationRequest]
) -> dict[str, Any]:
    """Build the call for one batch, leaving out what this pipeline does not take."""
    import torch

    wanted: dict[str, Any] = {
        "prompt": [request.prompt for request in requests],
        "generator": [torch.Generator("cpu").manual_seed(request.seed) for request in requests],
        "num_inference_steps": settings.num_inference_steps,
        "guidance_scale": settings.guidance_scale,
        "output_type": "np",
        **settings.extra,
    }
    if settings.height is not None:
        wanted |= {"height": settings.height, "width": settings.width}
    if requests[0].negative_prompt:
        wanted["negative_prompt"] = [request.negative_prompt for request in requests]
    taken = call_parameters(pipe)
    return {key: value for key, value in wanted.items() if key in taken}


def max_sequence_length(pipe: Any, call: Mapping[str, Any]) -> int | None:
    """Return how much text a call lets through, in tokens, None if the pipeline has no such limit
    among its arguments.
    """
    parameter = inspect.signature(type(pipe).__call__).parameters.get("max_sequence_length")
    default = None if parameter is None else parameter.default
    length = call.get("max_sequence_length", default)
    return length if isinstance(length, int) else None


def note(pipe: Any, settings: DiffusersSettings, request: GenerationRequest) -> str | None:
    """Return what was asked for and had no effect on the image, None if there was nothing."""
    if not request.negative_prompt:
        return None
    if "negative_prompt" not in call_parameters(pipe):
        return f"negative prompt not used: {type(pipe).__name__} takes none"
    if settings.guidance_scale <= 1:
        return f"negative prompt not used: guidance_scale is {settings.guidance_scale:g}"
    return None
