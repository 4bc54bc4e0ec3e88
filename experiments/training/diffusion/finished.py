"""A finished pipeline, with what its own training says of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gandiff.common.errors import RequestError, SettingError
from gandiff.common.validation import validate
from gandiff.experiments.training.diffusion.recipe import DiffusionRecipe
from gandiff.experiments.training.records import RECORD, read_record
from gandiff.models.weights import find_weights

_INDEX = "model_index.json"


@dataclasses.dataclass(frozen=True)
class BaseRecord:
    """Where a pipeline lies, the recipe that it was trained by, and the side of its images."""

    name: str
    folder: Path
    recipe: DiffusionRecipe
    resolution: int


def find_base(name: str, option: str = "--pipeline") -> BaseRecord:
    """Find a pipeline that ``gandiff train diffusion`` made, without reading its weights;
    ``option`` is what named it.

    Raises ``RequestError`` for anything else: how noise is added to what a U-Net was trained on is
    in the record of that training.
    """
    folder = find_weights(name)
    if folder is None:
        raise RequestError(
            f"{option} {name}: there is no such folder, and no pipeline of that name ships"
        )
    record = read_record(folder / RECORD)
    recipe, resolution = record.get("recipe"), record.get("resolution")
    is_one = record.get("family") == DiffusionRecipe.family and (folder / _INDEX).is_file()
    if not is_one or not isinstance(recipe, Mapping) or not isinstance(resolution, int):
        raise RequestError(
            f"{option} {name}: {folder} must hold a pipeline that gandiff train diffusion made "
            f"({_INDEX}, and {RECORD} with its recipe)"
        )
    try:
        read = validate(DiffusionRecipe, recipe)
    except SettingError as error:
        raise RequestError(
            f"{option} {name}: the recipe in {folder / RECORD} is not one of this version "
            f"({error}); train the pipeline again"
        ) from error
    return BaseRecord(name, folder, read, resolution)


def open_pipeline(record: BaseRecord, device: str) -> Any:
    """Load it in float32; raises ``GeneratorError`` where its weights are not whole."""
    from gandiff.models.diffusion.loading import load_pipeline
    from gandiff.models.diffusion.settings import DiffusersSettings
    from gandiff.models.diffusion.sources import find_source

    # Absolute, since settings take a/b for an id on the hub.
    settings = DiffusersSettings(pipeline=str(record.folder.absolute()))
    return load_pipeline(find_source(settings), settings, device, "float32")
