"""What a comparison file may say of each built-in generator; imports nothing heavy.

Every class checks itself when it is made and raises ``ValueError`` with the field, what was found
and what is needed.
"""

from __future__ import annotations

import dataclasses
import math
import string
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, get_args, no_type_check

from gandiff.models.diffusion.schedulers import check_scheduler_name

ResizeFilter = Literal["nearest", "box", "bilinear", "bicubic", "lanczos"]
DiffusionFamily = Literal["diffusion", "distilled"]
FolderFamily = Literal["folder", "gan", "diffusion", "distilled", "other"]
PATTERN_FIELDS = ("prompt_id", "sample", "seed", "index")

# Arguments of a pipeline call that gandiff gives itself; changing them would break the contract of
# the generator (one image a request, its own seed, pixels back).
_OURS = frozenset(
    {
        *("prompt", "negative_prompt", "generator", "latents", "image", "mask_image"),
        *("height", "width", "num_inference_steps", "guidance_scale", "num_images_per_prompt"),
        *("output_type", "return_dict", "callback_on_step_end"),
    }
)

T = TypeVar("T")


def _checks_itself(cls: type[T]) -> type[T]:
    """Tell run-time type checkers, which tests switch on, to leave wrong types to the class."""
    no_type_check(vars(cls)["__init__"])
    return cls


@_checks_itself
@dataclasses.dataclass(frozen=True, kw_only=True)
class GanSettings:
    """A text-conditioned GAN of ours: ``config.json`` and ``model.safetensors`` in a directory."""

    weights: str = "gan-scenes"  # a shipped name or a directory
    truncation_psi: float = (
        1.0  # 1 is the trained distribution, 0 its mean; less is safer, less diverse
    )

    def __post_init__(self) -> None:
        _text("weights", self.weights)
        object.__setattr__(self, "truncation_psi", _number("truncation_psi", self.truncation_psi))
        if not 0.0 <= self.truncation_psi <= 2.0:
            raise ValueError(f"truncation_psi is {self.truncation_psi}, needed is 0 to 2")


@_checks_itself
@dataclasses.dataclass(frozen=True, kw_only=True)
class DiffusersSettings:
    """A text-to-image pipeline of diffusers: a directory with ``model_index.json`` or a hub id."""

    pipeline: str  # a shipped name, a directory or a hub id such as "org/name"
    revision: str | None = None  # branch, tag or commit on the hub
    variant: str | None = None  # such as "fp16": which of several sets of weights files
    scheduler: str | None = None  # None keeps the pipeline's own
    scheduler_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    num_inference_steps: int = 50
    guidance_scale: float = 7.5  # 1 or less: no classifier-free guidance, half the work
    height: int | None = None  # px; None is the pipeline's own
    width: int | None = None
    family: DiffusionFamily | None = None  # None finds out
    local_files_only: bool = False  # never ask the hub
    allow_pickle: bool = False  # read .bin weights, which can run code
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # more call arguments

    def __post_init__(self) -> None:
        _text("pipeline", self.pipeline)
        for name in ("revision", "variant"):
            _optional_text(name, getattr(self, name))
        if self.scheduler is not None:
            _text("scheduler", self.scheduler)
            check_scheduler_name(self.scheduler)
        for name in ("scheduler_options", "extra"):
            object.__setattr__(self, name, _mapping(name, getattr(self, name)))
        clash = sorted(_OURS & set(self.extra))
        if clash:
            raise ValueError(f"extra may not hold {clash[0]!r}: gandiff gives that argument itself")
        _whole("num_inference_steps", self.num_inference_steps, 1)
        object.__setattr__(self, "guidance_scale", _number("guidance_scale", self.guidance_scale))
        if self.guidance_scale < 0:
            raise ValueError(f"guidance_scale is {self.guidance_scale}, needed is 0 or more")
        _check_size(self.height, self.width)
        if self.family is not None:
            _choice("family", self.family, get_args(DiffusionFamily))
        for name in ("local_files_only", "allow_pickle"):
            _flag(name, getattr(self, name))


@_checks_itself
@dataclasses.dataclass(frozen=True, kw_only=True)
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

    folder: str
    pattern: str | None = None
    mapping: str | None = None
    resize: int | None = (
        None  # px; crops to the centred square, then resizes; None keeps every pixel
    )
    resize_filter: ResizeFilter = "lanczos"
    family: FolderFamily = "folder"  # what made the images, where that is known
    licence: str | None = None
    source: str | None = None  # the service or model that made the images

    def __post_init__(self) -> None:
        _text("folder", self.folder)
        for name in ("pattern", "mapping", "licence", "source"):
            _optional_text(name, getattr(self, name))
        if self.pattern is not None and self.mapping is not None:
            raise ValueError("give pattern or mapping, not both: each says which file is whose")
        if self.pattern is not None:
            _check_pattern(self.pattern)
        if self.resize is not None:
            _whole("resize", self.resize, 1)
        _choice("resize_filter", self.resize_filter, get_args(ResizeFilter))
        _choice("family", self.family, get_args(FolderFamily))


def _check_size(height: int | None, width: int | None) -> None:
    if (height is None) != (width is None):
        raise ValueError("give both height and width or neither: diffusers ignores one alone")
    for name, value in (("height", height), ("width", width)):
        if value is not None:
            _whole(name, value, 8)
            if value % 8:
                raise ValueError(f"{name} is {value} px, needed is a multiple of 8")


def _check_pattern(pattern: str) -> None:
    try:
        fields = [name for _, name, _, _ in string.Formatter().parse(pattern) if name is not None]
    except ValueError as error:
        raise ValueError(f"pattern {pattern!r} cannot be read: {error}") from error
    known = ", ".join(f"{{{name}}}" for name in PATTERN_FIELDS)
    for field in fields:
        if field not in PATTERN_FIELDS:
            raise ValueError(f"pattern {pattern!r} has the field {{{field}}}; known are {known}")
    if not fields:
        raise ValueError(f"pattern {pattern!r} names one file for all prompts; use {known}")
    values: dict[str, Any] = {"prompt_id": "a", "sample": 0, "seed": 0, "index": 0}
    try:
        pattern.format(**values)
    except (ValueError, KeyError, IndexError) as error:
        raise ValueError(f"pattern {pattern!r} has a format that does not fit: {error}") from error


def _text(name: str, value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} is {value!r}, needed is a text that is not empty")


def _optional_text(name: str, value: object) -> None:
    if value is not None:
        _text(name, value)


def _whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} is {value!r}, needed is a whole number of {least} or more")


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{name} is {value!r}, needed is a number")
    return float(value)


def _flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}, needed is true or false")


def _choice(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name} is {value!r}, needed is one of {', '.join(known)}")


def _mapping(name: str, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{name} is {value!r}, needed is a mapping of names to values")
    return dict(value)
