"""What a comparison file may say of a GAN and of a folder of images; imports nothing heavy.

Every class checks itself when it is made and raises ``SettingError`` with the field, what it must
be and what it was.
"""

from __future__ import annotations

import string
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le
from pydantic import AfterValidator, StringConstraints

from gandiff.common.validation import settings_class

ResizeFilter = Literal["nearest", "box", "bilinear", "bicubic", "lanczos"]
FolderFamily = Literal["folder", "gan", "diffusion", "distilled", "hybrid", "other"]
PATTERN_FIELDS = ("prompt_id", "sample", "seed", "index", "index-1", "index+1")

Text = Annotated[str, StringConstraints(pattern=r"\S")]


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
    values: dict[str, Any] = dict.fromkeys(PATTERN_FIELDS, 0) | {"prompt_id": "a"}
    try:
        pattern.format(**values)
    except (ValueError, KeyError, IndexError) as error:
        raise ValueError(f"{pattern!r} has a format that does not fit: {error}") from error
    return pattern


@settings_class
class GanSettings:
    """A text-conditioned GAN of ours: ``config.json`` and ``model.safetensors`` in a directory."""

    weights: Text = "gan-scenes"
    """A shipped name or a directory."""
    truncation_psi: Annotated[float, Ge(0), Le(2)] = 1.0
    """1 is the trained distribution, 0 its mean; less is safer and less diverse."""
    inversion_steps: Annotated[int, Ge(1), Le(10_000)] = 100
    """Of gradient descent, by which the picture of an edit is inverted."""
    inversion_candidates: Annotated[int, Ge(1), Le(65_536)] = 256
    """Noises that are tried with the prompt of an edit before the nearest descend."""
    units: Text | None = None
    """What `paint` switches on inside the mask: concepts that `gandiff explore units` has found,
    such as `red star`, and units, such as `16:5`; with `-` before it, off. Left out, it paints what
    the prompt says.
    """


@settings_class
class FolderSettings:
    """Images that were made elsewhere.

    Without ``pattern`` and ``mapping``, ``metadata.jsonl`` or ``metadata.csv`` in the folder is the
    mapping if there is one (Hugging Face's imagefolder), else the pattern is
    ``{prompt_id}_{sample}``.
    """

    folder: Text
    """Where the images are, relative to the comparison file."""
    pattern: Annotated[str, AfterValidator(_check_pattern)] | None = None
    """The file of a request: `{prompt_id}`, `{sample}`, `{seed}` and `{index}` (the number at the
    end of the prompt's id; `{index-1}` where names start at 0), with Python's format after a colon:
    `{index:05d}_{sample}.png`. Case and leading zeros may differ; without an ending, any will do.
    """
    mapping: Text | None = None
    """A CSV, TSV or JSON-lines file inside the folder with `file_name`, `prompt_id` or `text`, and
    perhaps `sample`.
    """
    resize: Annotated[int, Ge(1)] | None = None
    """Side in px: crops to the centred square, then resizes. Left out, every pixel is kept."""
    resize_filter: ResizeFilter = "lanczos"
    """How it resizes."""
    family: FolderFamily = "folder"
    """What made the images, where that is known."""
    licence: Text | None = None
    """Of the images, for the report."""
    source: Text | None = None
    """The service or model that made the images, for the report."""

    def __post_init__(self) -> None:
        if self.pattern is not None and self.mapping is not None:
            raise ValueError("give pattern or mapping, not both: each says which file is whose")
