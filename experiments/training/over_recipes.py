"""What trainings of one budget reach with different recipes: a table with a row for each.

    python -m gandiff.experiments.training.over_recipes runs/default runs/flow runs/pixel
    python -m gandiff.experiments.training.over_recipes --time runs/default runs/pixel

The numbers are those of the last tick, measured on the same validation captions. ``--time`` also
samples with each saved pipeline, by turns, one picture at a time and as its training did.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gandiff.common.assignments import NONE
from gandiff.common.errors import RequestError
from gandiff.common.finished_training import phases
from gandiff.experiments.training.over_seeds import read_finished, refuse_different
from gandiff.experiments.training.recipes import recipe_of

if TYPE_CHECKING:
    import pandas as pd

# What must be the same for recipes to be compared.
_COMMON = ("family", "data", "resolution", "batch_size", "device", "budget")
_REACHED = ("all", "held_out_all", "shape", "colour", "relation", "diversity", "fd")
_HALF = 0.35, 0.65  # of a training, between which a tick counts as half way
_TURNS = 20


def over_recipes(folders: Sequence[Path]) -> pd.DataFrame:
    """A row for each training: what it differs in from the default, its cost, what it reached.

    ``minutes`` are those of all processes, and on a CPU of all their threads, together, of which an
    autoencoder took ``autoencoder_minutes``. ``kimg`` are thousands of images shown to the network
    that generates, ``ms_per_image`` what one of them takes to train on, without measuring;
    ``all_half_way`` is the share of pictures with all stated facts right at the tick nearest to
    half of them, not a number where none is near.
    Raises ``RequestError`` for folders without the record of a finished training, and for trainings
    of different data or budgets.
    """
    import pandas as pd

    records = {folder: read_finished(folder) for folder in folders}
    refuse_different(
        records, _COMMON, "recipes are compared by trainings that differ in nothing else"
    )
    rows = {str(folder): _row(record) for folder, record in records.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("training")


def _row(record: Mapping[str, Any]) -> dict[str, object]:
    ticks, tick = record["ticks"], record["ticks"][-1]
    threads = record.get("threads") or 1 if record["device"] == "cpu" else 1
    at_once = record["processes"] * threads
    parts = phases(record)
    images, seconds = record["images"], record["seconds"]
    if "denoiser" in parts:
        seconds, images, _ = parts["denoiser"]
    cost = {
        "recipe": differences(record),
        "minutes": round(record["seconds"] * at_once / 60, 1),
        "autoencoder_minutes": round((record["seconds"] - seconds) * at_once / 60, 1),
        "kimg": round(images / 1000, 1),
        "ms_per_image": round(_ms_per_image(record["curve"], ticks) * at_once, 2),
    }
    reached = {"all_half_way": _half_way(ticks).get("all", math.nan)}
    return cost | reached | {name: tick.get(name, float("nan")) for name in _REACHED}


def _half_way(ticks: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """The tick nearest to half of the training; empty where none is near."""
    end = ticks[-1]["kimg"]
    near = [one for one in ticks if _HALF[0] * end <= one["kimg"] <= _HALF[1] * end]
    return min(near, key=lambda one: abs(one["kimg"] - end / 2), default={})


def _ms_per_image(
    curve: Sequence[Mapping[str, float]], ticks: Sequence[Mapping[str, float]]
) -> float:
    """Milliseconds of training for an image, between points of the curve without a tick."""
    seconds = kimg = 0.0
    for before, after in itertools.pairwise(curve):
        if not any(before["kimg"] <= tick["kimg"] < after["kimg"] for tick in ticks):
            seconds += after["seconds"] - before["seconds"]
            kimg += after["kimg"] - before["kimg"]
    return seconds / kimg if kimg else math.nan


def differences(record: Mapping[str, Any]) -> str:
    """What a recorded recipe has other than the default of its family, as ``--set`` takes it."""
    given = record["recipe"]
    usual = _usual(record["family"], given, record.get("text_source"))
    changed = [
        f"{name}={_written(given[name])}"
        for name, value in usual.items()
        if name in given and _written(given[name]) != _written(value)
    ]
    return " ".join(changed) or "default"


def _usual(family: str, given: Mapping[str, Any], text_source: str | None) -> dict[str, Any]:
    """The default recipe, with what follows from the numbers that are given, and from a text
    encoder that was named.
    """
    if family != "diffusion":
        from gandiff.experiments.training.gan.recipe import GanRecipe

        return dict(vars(recipe_of(GanRecipe)))
    from gandiff.experiments.training.diffusion.recipe import DiffusionRecipe

    default = recipe_of(DiffusionRecipe)
    by = dataclasses.replace(default, optimizer=given.get("optimizer", default.optimizer))
    return dict(vars(default)) | {"train_text": by.settled(text_source).train_text}


def _written(value: object) -> str:
    if value is None:
        return NONE
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else f"{value}"


def seconds_each(folders: Sequence[Path], turns: int = _TURNS) -> dict[str, float]:
    """Median seconds for one picture of each saved pipeline, sampled as its training measured."""
    samplers = [_sampler(folder) for folder in folders]
    seconds = np.empty((turns + 1, len(folders)))  # the first turn warms up
    for turn, (side, sample) in itertools.product(range(turns + 1), enumerate(samplers)):
        start = time.perf_counter()
        sample()
        seconds[turn, side] = time.perf_counter() - start
    medians = np.median(seconds[1:], axis=0)
    return {str(folder): float(median) for folder, median in zip(folders, medians, strict=True)}


def _sampler(folder: Path) -> functools.partial[Any]:
    import diffusers

    import gandiff.models.diffusion.pixel  # noqa: F401  its class is in the place of the VAE

    recipe = read_finished(folder)["recipe"]
    kind: Any = diffusers.StableDiffusionPipeline
    pipe = kind.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    steps, guidance = recipe["sampling_steps"], recipe["guidance"]
    return functools.partial(
        pipe, "a red star left of a ring", num_inference_steps=steps, guidance_scale=guidance
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What different recipes reach for one budget.")
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--time", action="store_true", help="also sample with each pipeline")
    chosen = parser.parse_args(argv)
    try:
        table = over_recipes(chosen.folders)
        if chosen.time:
            table["s_per_image"] = seconds_each(chosen.folders)
    except RequestError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table.to_string(float_format=lambda value: f"{value:.4g}"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
