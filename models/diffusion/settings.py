"""What a comparison file may say of a diffusers pipeline; imports nothing heavy."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, MultipleOf
from pydantic import AfterValidator

from gandiff.common.validation import settings_class
from gandiff.models.diffusion.families import DiffusionFamily
from gandiff.models.diffusion.schedulers import check_scheduler_name
from gandiff.models.diffusion.source_settings import (
    ControlNet,
    Loras,
    NumberFormat,
    Offload,
    Quantization,
    Stages,
    check_sources,
)
from gandiff.models.settings import Text

Pixels = Annotated[int, Ge(8), MultipleOf(8)]

# Arguments of a pipeline call that gandiff gives itself; changing them would break the contract of
# the generator (one image a request, its own seed, pixels back).
OURS = frozenset(
    {
        *("prompt", "negative_prompt", "generator", "latents", "image", "mask_image"),
        *("height", "width", "num_inference_steps", "guidance_scale", "num_images_per_prompt"),
        *("output_type", "return_dict", "callback_on_step_end"),
        *("control_image", "controlnet_conditioning_scale", "control_mode"),
    }
)

# Settings that only a call reads: generators that differ in nothing else share what they load.
PER_CALL = frozenset(
    {
        *("scheduler", "scheduler_options", "num_inference_steps", "guidance_scale"),
        *("height", "width", "family", "native", "extra"),
        *("controlnet_conditioning_scale", "control_mode"),
    }
)


def _check_extra(extra: Mapping[str, Any]) -> Mapping[str, Any]:
    clash = sorted(OURS & set(extra))
    if clash:
        raise ValueError(f"must not hold {clash[0]!r}: gandiff gives that argument itself")
    return extra


@settings_class
class NativePoint:
    """What a pipeline was made for, where its files do not say it."""

    num_inference_steps: Annotated[int, Ge(1)]
    """Steps from noise to image."""
    guidance_scale: Annotated[float, Ge(0)] | None = None
    """0 is none; left out, the default of its call."""


@settings_class
class DiffusersSettings:
    """A text-to-image pipeline of diffusers: a directory with ``model_index.json`` or a hub id."""

    ONE_OF: ClassVar = ("pipeline", "stages")

    pipeline: Text | None = None
    """A shipped name, a directory, a hub id such as `org/name`, or one `.safetensors` file with all
    weights (see `config`).
    """
    revision: Text | None = None
    """Branch, tag or commit on the hub."""
    variant: Text | None = None
    """Which of several sets of weights files, such as `fp16`."""
    scheduler: Annotated[str, AfterValidator(check_scheduler_name)] | None = None
    """Such as `ddim`, `euler` or `dpmsolver++`; left out, the pipeline's own."""
    scheduler_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Arguments of the scheduler, by the names that diffusers gives them."""
    num_inference_steps: Annotated[int, Ge(1)] | None = None
    """Steps from noise to image; left out, what the pipeline was made for."""
    guidance_scale: Annotated[float, Ge(0)] | None = None
    """Left out, what the pipeline was made for. Most guide above 1 only, which doubles the work."""
    height: Pixels | None = None
    """In px; left out, the pipeline's own. Give both or neither."""
    width: Pixels | None = None
    """In px."""
    family: DiffusionFamily | None = None
    """`distilled` to a few steps, `hybrid` with an adversarial loss; left out, its files say it."""
    native: NativePoint | None = None
    """Steps and guidance that it was made for, where its files do not say it."""
    local_files_only: bool = False
    """Never ask the hub."""
    allow_pickle: bool = False
    """Read `.bin` weights, which can run code."""
    extra: Annotated[Mapping[str, Any], AfterValidator(_check_extra)] = dataclasses.field(
        default_factory=dict
    )
    """More arguments of the pipeline's call."""

    # Of what it is put together and how the weights are kept: ``source_settings``.
    stages: Stages | None = None
    """Instead of `pipeline`: the stages of a cascade (DeepFloyd IF), run one after the other.
    `num_inference_steps`, `guidance_scale` and `scheduler` beside it hold for all stages that name
    none.
    """
    prior: Text | None = None
    """The directory or hub id of the prior of a decoder (Kandinsky 2.2, Stable Cascade)."""
    config: Text | None = None
    """Beside a single file: the directory or hub id of a pipeline whose small files say what it is.
    """
    unet: Text | None = None
    """A file of weights that replace those of the U-Net, or the directory of another U-Net."""
    transformer: Text | None = None
    """The same for the transformer."""
    controlnet: ControlNet | None = None
    """The directory or hub id of a ControlNet for the task `control`; other tasks do without it."""
    controlnet_conditioning_scale: Annotated[float, Ge(0)] = 1.0
    """How strongly the ControlNet acts; 1 is as it was trained, 0 not at all."""
    control_mode: Annotated[int, Ge(0)] | None = None
    """Which kind of control images is given, by the number that the model card of a ControlNet for
    several kinds (union) gives it.
    """
    loras: Loras | None = None
    """LoRAs, by path or as mappings of `path` and `weight`."""
    fuse_loras: bool | None = None
    """Add the LoRAs to the weights once, which saves time in every call and rounds differently."""
    dtype: NumberFormat | None = None
    """Number format of the weights; left out, that of the comparison."""
    offload: Offload | None = None
    """What waits in memory until an accelerator needs it: `model` or `sequential`, which are slow.
    """
    quantization: Quantization | None = None
    """Keep weights in fewer bits."""

    def __post_init__(self) -> None:
        check_sources(self)
        if (self.height is None) != (self.width is None):
            raise ValueError("give both height and width or neither: diffusers ignores one alone")
