"""From the fields of the page to orders: what each model is asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from gandiff.common.errors import RequestError
from gandiff.experiments.config.named_models import without_setting
from gandiff.experiments.draw.models import BY_PROMPT, units_of
from gandiff.experiments.studio.fields import read_region, read_seeds
from gandiff.experiments.studio.orders import Order, read_prompt, with_settings
from gandiff.experiments.studio.pictures import Rgb, fitted, masked, read_picture
from gandiff.experiments.studio.studio import Studio
from gandiff.models.generator import Task
from gandiff.models.tasks import SOURCES, Picture, takes_strength


@dataclasses.dataclass(frozen=True, kw_only=True)
class Form:
    """What the page says when somebody asks for pictures.

    ``settings`` are those of each model by its text. ``init`` and ``control`` are files of any
    size; ``strokes`` are what was painted on the canvas, as layers with alpha. A ``strength`` of 0
    leaves it to the model. Without ``units`` a model paints with those of its settings, where it
    has some, else what the prompt says.
    """

    task: Task
    prompt: str | None
    seeds: str | None
    settings: Mapping[str, Mapping[str, Any]]
    moments: int = 0
    init: Path | None = None
    control: Path | None = None
    strokes: Sequence[UInt8[np.ndarray, "c c 4"]] = ()
    region: str | None = None
    strength: float | None = None
    units: str | None = None


def read_form(form: Form, studio: Studio) -> list[Order]:
    """The pictures that a form asks for, seed by seed; raises ``RequestError``.

    Pictures are cropped to the square in their middle and scaled to what each model makes.
    """
    prompt, seeds = read_prompt(form.prompt), read_seeds(form.seeds)
    edits = {model: dict(_edit(form, model, studio)) for model in studio.infos}
    models = {
        model: with_settings(_text(form, model), info.settings, form.settings.get(model, {}))
        for model, info in studio.infos.items()
    }
    return [
        Order(
            prompt=prompt,
            model=text,
            options=studio.options(model, seed=seed, moments=form.moments, **edits[model]),
        )
        for seed in seeds
        for model, text in models.items()
    ]


def _edit(form: Form, model: str, studio: Studio) -> Iterator[tuple[str, Any]]:
    """The arguments of ``draw`` that make its task."""
    fields, side = SOURCES[form.task], studio.side_of(model)
    if "init_image" in fields:
        before = fitted(_given("init_image", form.init, "a picture to change"), side)
        yield "init", studio.keep("init_image", before)
    if "mask" in fields:
        yield "mask", studio.keep("mask", _mask(form, side, studio.side))
    if "control_image" in fields:
        lines = fitted(_given("control_image", form.control, "an outline to follow"), side)
        yield "control", studio.keep("control_image", lines)
    if takes_strength(form.task):
        yield "strength", form.strength or None
    if form.task == "paint":
        yield "paint", _written_units(form) or units_of(model) or BY_PROMPT


def _written_units(form: Form) -> str:
    return " ".join((form.units or "").split())


def _text(form: Form, model: str) -> str:
    """The text of a model; units of its own that hold stand in ``--paint`` in its place."""
    own_hold = form.task == "paint" and not _written_units(form)
    return without_setting(model, "units") if own_hold and units_of(model) else model


def _given(field: Picture, file: Path | None, meaning: str) -> Rgb:
    if file is None:
        raise RequestError(f"choose {meaning} first")
    return read_picture(field, file)


def _mask(form: Form, side: int, largest: int) -> UInt8[np.ndarray, "s s"]:
    """The mask in a model's size; a region is in px of the largest pictures."""
    region = read_region(form.region, largest)
    mask = masked(form.strokes, region, largest)
    if not mask.any():
        raise RequestError(
            "nothing may change yet: paint on the picture where it may, or write a region"
        )
    if mask.all():
        raise RequestError("everything may change, so nothing of the picture is kept; erase some")
    return mask if side == largest else masked([np.dstack([mask] * 4)], None, side)
