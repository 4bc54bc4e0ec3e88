"""What a comparison file may say of each built-in generator; imports nothing heavy.

Every class checks itself when it is made and raises ``SettingError`` with the field, what it must
be and what it was.
"""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, MultipleOf
from pydantic import AfterValidator, StringConstraints

from gandiff.common.validation import settings_class
from gandiff.models.diffusion.schedulers import check_scheduler_name

ResizeFilter = Literal["nearest", "box", "bilinear", "bicubic", "lanczos"]
DiffusionFamily = Literal["diffusion", "distilled"]
FolderFamily = Literal["folder", "gan", "diffusion", "distilled", "other"]
PATTERN_FIELDS = ("prompt_id", "sample", "seed", "index")

Text = Annotated[str, StringConstraints(pattern=r"\S")]
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


def _check_extra(extra: Mapping[str, Any]) -> Mapping[str, Any]:
    clash = sorted(_OURS & set(extra))
    if clash:
        raise ValueError(f"must not hold {clash[0]!r}: gandiff gives that argument itself")
    return extra


def _check_pattern(pattern: str) -> str:
    try:
        fields = [name for _, name, _, _ in string.Formatter().parse(pattern) if name is not None]
    except ValueError as error:
        raise ValueError(f"{pattern!r} cannot be read: {error}") from error
    known = ", ".join(f"{{{name}}}" for name in PATTERN_FIELDS)
    for field in fields:
        if field not in PATTERN_FIELDS:
            raise ValueError(f"{pattern!r} has the field {{{field}}}; known are {known}")
    if not fields:
        raise ValueError(f"{pattern!r} names one file for all prompts; use {known}")
    values: dict[str, Any] = {"prompt_id": "a", "sample": 0, "seed": 0, "index": 0}
    try:
        pattern.format(**values)
    except (ValueError, KeyError, IndexError) as error:
        raise ValueError(f"{pattern!r} has a format that does not fit: {error}") from error
    return pattern


@settings_class
class GanSettings:
    """A text-conditioned GAN of ours: ``config.json`` and ``model.safetensors`` in a directory."""

    weights: Text = "gan-scenes"  # a shipped name or a directory
    # 1 is the trained distribution, 0 its mean; less is safer and less diverse
    truncation_psi: Annotated[float, Ge(0), Le(2)] = 1.0


@settings_class
class DiffusersSettings:
    """A text-to-image pipeline of diffusers: a directory with ``model_index.json`` or a hub id."""

    pipeline: Text  # a shipped name, a directory or a hub id such as "org/name"
    revision: Text | None = None  # branch, tag or commit on the hub
    variant: Text | None = None  # such as "fp16": which of several sets of weights files
    # None keeps the pipeline's own
    scheduler: Annotated[str, AfterValidator(check_scheduler_name)] | None = None
    scheduler_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    num_inference_steps: Annotated[int, Ge(1)] = 50
    guidance_scale: Annotated[float, Ge(0)] = (
        7.5  # 1 or less: no classifier-free guidance, half the work
    )
    height: Pixels | None = None  # px; None is the pipeline's own
    width: Pixels | None = None
    family: DiffusionFamily | None = None  # None finds out
    local_files_only: bool = False  # never ask the hub
    allow_pickle: bool = False  # read .bin weights, which can run code
    # more call arguments
    extra: Annotated[Mapping[str, Any], AfterValidator(_check_extra)] = dataclasses.field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        if (self.height is None) != (self.width is None):
            raise ValueError("give both height and width or neither: diffusers ignores one alone")


@settings_class
class FolderSettings:
    """Images that were made elsewhere.

    ``pattern`` names a file from the request; its fields are ``{prompt_id}``, ``{sample}``,
    ``{seed}`` and ``{index}`` (the number at the end of the prompt id), with Python's format after
    a colon: ``{index:05d}_{sample}.png``. Without an ending, .png, .jpg and the other usual ones
    are tried. ``mapping`` is a CSV, TSV or JSON-lines file inside the folder with ``file_name``,
    ``prompt_id`` or ``text``, and perhaps ``sample``. Without either, ``metadata.jsonl`` or
    ``metadata.csv`` in the folder is the mapping if there is one (Hugging Face's imagefolder), else
    the pattern is ``{prompt_id}_{sample}``.
    """

    folder: Text
    pattern: Annotated[str, AfterValidator(_check_pattern)] | None = None
    mapping: Text | None = None
    # px; crops to the centred square, then resizes; None keeps every pixel
    resize: Annotated[int, Ge(1)] | None = None
    resize_filter: ResizeFilter = "lanczos"
    family: FolderFamily = "folder"  # what made the images, where that is known
    licence: Text | None = None
    source: Text | None = None  # the service or model that made the images

    def __post_init__(self) -> None:
        if self.pattern is not None and self.mapping is not None:
            raise ValueError("give pattern or mapping, not both: each says which file is whose")
