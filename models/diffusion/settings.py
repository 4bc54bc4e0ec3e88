"""What a comparison file may say of a diffusers pipeline; imports nothing heavy."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from annotated_types import Ge, MultipleOf
from pydantic import AfterValidator

from gandiff.common.validation import settings_class
from gandiff.models.diffusion.schedulers import check_scheduler_name
from gandiff.models.settings import Text

DiffusionFamily = Literal["diffusion", "distilled"]
Pixels = Annotated[int, Ge(8), MultipleOf(8)]

# Arguments of a pipeline call that gandiff gives itself; changing them would break the contract of
# the generator (one image a request, its own seed, pixels back).
_OURS = frozenset(
    {
        *("prompt", "negative_prompt", "generator", "latents", "image", "mask_image"),
        *("height", "width", "num_inference_steps", "guidance_scale", "num_images_per_prompt"),
        *("output_type", "return_dict", "callback_on_step_end"),
    }
)

# Settings that only a call reads: generators that differ in nothing else share what they load.
PER_CALL = frozenset(
    {
        *("scheduler", "scheduler_options", "num_inference_steps", "guidance_scale"),
        *("height", "width", "family", "extra"),
    }
)


def _check_extra(extra: Mapping[str, Any]) -> Mapping[str, Any]:
    clash = sorted(_OURS & set(extra))
    if clash:
        raise ValueError(f"must not hold {clash[0]!r}: gandiff gives that argument itself")
    return extra


@settings_class
class DiffusersSettings:
    """A text-to-image pipeline of diffusers: a directory with ``model_index.json`` or a hub id."""

    pipeline: Text
    """A shipped name, a directory or a hub id such as `org/name`."""
    revision: Text | None = None
    """Branch, tag or commit on the hub."""
    variant: Text | None = None
    """Which of several sets of weights files, such as `fp16`."""
    scheduler: Annotated[str, AfterValidator(check_scheduler_name)] | None = None
    """Such as `ddim`, `euler` or `dpmsolver++`; left out, the pipeline's own."""
    scheduler_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Arguments of the scheduler, by the names that diffusers gives them."""
    num_inference_steps: Annotated[int, Ge(1)] = 50
    """Steps from noise to image."""
    guidance_scale: Annotated[float, Ge(0)] = 7.5
    """1 or less: no classifier-free guidance, half the work."""
    height: Pixels | None = None
    """In px; left out, the pipeline's own. Give both or neither."""
    width: Pixels | None = None
    """In px."""
    family: DiffusionFamily | None = None
    """Left out, it is read from the pipeline."""
    local_files_only: bool = False
    """Never ask the hub."""
    allow_pickle: bool = False
    """Read `.bin` weights, which can run code."""
    extra: Annotated[Mapping[str, Any], AfterValidator(_check_extra)] = dataclasses.field(
        default_factory=dict
    )
    """More arguments of the pipeline's call."""

    def __post_init__(self) -> None:
        if (self.height is None) != (self.width is None):
            raise ValueError("give both height and width or neither: diffusers ignores one alone")
