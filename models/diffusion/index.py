"""What a pipeline directory holds, read from its small files; imports nothing heavy."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gandiff.common.errors import GeneratorError
from gandiff.common.files import read_json
from gandiff.models.diffusion.parts import INDEX, PICKLES, WEIGHTS, check_part

# Never loaded, so it need not be there: see diffusion.loading.
_SKIPPED = ("safety_checker",)
# Words in the names of pipeline classes that take something else than text or make something else
# than an image. Img2Img is not among them: its weights are those of text-to-image.
_OTHER_TASKS = {
    "Inpaint": "fills a masked part of an image",
    "Upscale": "enlarges an image",
    "Pix2Pix": "edits an image",
    "Edit": "edits an image",
    "Fill": "fills a masked part of an image",
    "ImageVariation": "varies an image",
    "Depth2Img": "redraws an image with its depth",
    "ControlNet": "needs a control image",
    "Video": "makes videos",
    "Img2Vid": "makes videos",
    "Audio": "makes sound",
    "Prior": "makes image embeddings, half of the way to an image",
}
# These read the text in a second pipeline, which diffusers finds through the model card.
_TWO_PARTS = ("Kandinsky", "Wuerstchen", "StableCascade")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PipelineIndex:
    """The class of a pipeline and the names of its parts with (library, class)."""

    class_name: str
    parts: Mapping[str, tuple[str, str]]


def read_index(path: Path, where: str) -> PipelineIndex:
    """Read a ``model_index.json``; raise ``GeneratorError`` if it is not a text-to-image pipeline.

    ``where`` names the pipeline in the error.
    """
    raw = read_json(path, GeneratorError)
    class_name = raw.get("_class_name")
    if isinstance(class_name, list):
        raise GeneratorError(
            f"{where} brings its own Python code ({class_name[0]}), which gandiff does not run; "
            "expected a pipeline whose class is part of diffusers"
        )
    if not isinstance(class_name, str):
        raise GeneratorError(f"{path} has no _class_name, so it is not the index of a pipeline")
    parts = {
        name: (str(value[0]), str(value[1]))
        for name, value in raw.items()
        if isinstance(value, list) and len(value) == 2 and None not in value
    }
    index = PipelineIndex(class_name=class_name, parts=parts)
    _check_task(index, where)
    return index


def check_directory(directory: Path, *, allow_pickle: bool, variant: str | None) -> PipelineIndex:
    """Check a pipeline directory without reading weights; raise ``GeneratorError`` for what will
    not work.

    That is: no ``model_index.json``, not text-to-image, a part that is missing or incomplete, a
    file that is torn, and weights that exist as pickles or as another variant only.
    """
    if not (directory / INDEX).is_file():
        single = sorted(p.name for p in directory.iterdir() if p.suffix in (*WEIGHTS, *PICKLES))
        hint = f" (it holds the single file {single[0]})" if single else ""
        raise GeneratorError(
            f"{directory} has no {INDEX}{hint}; "
            "expected a directory saved by the save_pretrained of diffusers"
        )
    index = read_index(directory / INDEX, str(directory))
    if variant is not None:
        _check_variant(directory, variant)
    for name, (library, kind) in index.parts.items():
        if name not in _SKIPPED:
            check_part(directory / name, library, kind, allow_pickle, variant)
    _check_channels(directory, index)
    return index


def default_size(directory: Path) -> tuple[int, int] | None:
    """Return the default (height, width) of the pipeline in px, or None if it does not say."""
    sample = denoiser_config(directory).get("sample_size")
    blocks = _config(directory / "vae").get("block_out_channels")
    if sample is None or not isinstance(blocks, list):
        return None
    scale = 2 ** (len(blocks) - 1)  # every block but the last halves the side
    sides = sample if isinstance(sample, list) else [sample, sample]
    return (int(sides[0]) * scale, int(sides[1]) * scale)


def denoiser_config(directory: Path) -> dict[str, Any]:
    """Return the configuration of the U-Net or transformer, empty if it has none."""
    return _config(directory / "unet") or _config(directory / "transformer")


def _check_task(index: PipelineIndex, where: str) -> None:
    expected = "expected a text-to-image pipeline, such as StableDiffusionPipeline"
    for word, does in _OTHER_TASKS.items():
        if word in index.class_name:
            raise GeneratorError(f"{where} holds a {index.class_name}, which {does}; {expected}")
    reads_text = any(re.match(r"(text_encoder|tokenizer|bert)", name) for name in index.parts)
    if not reads_text and not index.class_name.startswith(_TWO_PARTS):
        raise GeneratorError(
            f"{where} holds a {index.class_name}, which has no text encoder and makes images "
            f"without a prompt; {expected}"
        )


def _check_variant(directory: Path, variant: str) -> None:
    """Refuse a variant that no part has; where one part lacks it, the plain weights are read."""
    files = sorted(p.name for p in directory.rglob("*") if p.suffix in (*WEIGHTS, *PICKLES))
    if not any(f".{variant}." in name for name in files):
        raise GeneratorError(
            f"{directory} has no weights of the variant {variant!r}; it has {', '.join(files)}"
        )


def _check_channels(directory: Path, index: PipelineIndex) -> None:
    """Refuse a U-Net with more channels than the latents: masks and images come in by those."""
    takes = _config(directory / "unet").get("in_channels")
    gives = _config(directory / "vae").get("latent_channels")
    if isinstance(takes, int) and isinstance(gives, int) and takes != gives:
        raise GeneratorError(
            f"the U-Net of {directory} ({index.class_name}) takes {takes} channels where the "
            f"latents have {gives}, so it is a model for inpainting or editing; "
            "expected a text-to-image pipeline"
        )


def _config(part: Path) -> dict[str, Any]:
    path = part / "config.json"
    return read_json(path, GeneratorError) if path.is_file() else {}
