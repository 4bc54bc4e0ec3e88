"""The pipeline that a ControlNet is trained for: frozen, with what its own training says of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gandiff.common.errors import RequestError, SettingError
from gandiff.common.validation import validate
from gandiff.experiments.training.diffusion.recipe import DiffusionRecipe
from gandiff.experiments.training.diffusion.weights import digest
from gandiff.experiments.training.records import RECORD, read_record
from gandiff.models.text import TextEncoder
from gandiff.models.weights import find_weights

_INDEX = "model_index.json"


@dataclasses.dataclass(frozen=True)
class BaseRecord:
    """Where a pipeline lies, the recipe that it was trained by, and the side of its images."""

    name: str
    folder: Path
    recipe: DiffusionRecipe
    resolution: int


class Base(NamedTuple):
    """A pipeline in parts, none of which learns any more."""

    record: BaseRecord
    vae: Any
    unet: Any
    encoder: TextEncoder
    scheduler: Any

    def facts(self) -> dict[str, str]:
        """What a checkpoint of a ControlNet for it says: another pipeline is another training."""
        return {"unet": digest(self.unet), "autoencoder": digest(self.vae)}


def find_base(name: str) -> BaseRecord:
    """Find a pipeline that ``gandiff train diffusion`` made, without reading its weights.

    Raises ``RequestError`` for anything else: how noise is added to what a U-Net was trained on is
    in the record of that training.
    """
    folder = find_weights(name)
    if folder is None:
        raise RequestError(
            f"--pipeline {name}: there is no such folder, and no pipeline of that name ships"
        )
    record = read_record(folder / RECORD)
    recipe, resolution = record.get("recipe"), record.get("resolution")
    is_one = record.get("family") == DiffusionRecipe.family and (folder / _INDEX).is_file()
    if not is_one or not isinstance(recipe, Mapping) or not isinstance(resolution, int):
        raise RequestError(
            f"--pipeline {name}: {folder} must hold a pipeline that gandiff train diffusion made "
            f"({_INDEX}, and {RECORD} with its recipe)"
        )
    try:
        read = validate(DiffusionRecipe, recipe)
    except SettingError as error:
        raise RequestError(
            f"--pipeline {name}: the recipe in {folder / RECORD} is not one of this version "
            f"({error}); train the pipeline again"
        ) from error
    return BaseRecord(name, folder, read, resolution)


def open_base(record: BaseRecord, device: str) -> Base:
    """Load a pipeline, frozen; raises ``GeneratorError`` where its weights are not whole."""
    from gandiff.models.diffusion.loading import load_pipeline
    from gandiff.models.diffusion.settings import DiffusersSettings
    from gandiff.models.diffusion.sources import find_source

    settings = DiffusersSettings(pipeline=str(record.folder))
    pipe = load_pipeline(find_source(settings), settings, device, "float32")
    vae, unet = (part.eval().requires_grad_(False) for part in (pipe.vae, pipe.unet))
    encoder = TextEncoder(pipe.text_encoder, pipe.tokenizer)
    return Base(record, vae, unet, encoder, pipe.scheduler)
