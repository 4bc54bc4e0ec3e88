"""The numbers of a ControlNet's training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Lt

from gandiff.common.validation import settings_class
from gandiff.experiments.training import recipes

Condition = Literal["outline", "depth"]
Positive = Annotated[float, Gt(0)]
Fraction = Annotated[float, Ge(0), Lt(1)]

# Changes to the defaults.
RECIPES: dict[str, dict[str, Any]] = {"default": {}}


@settings_class
class ControlRecipe(recipes.Recipe):
    """How a ControlNet is trained.

    Noise levels, their density and weights, dropped captions and how it is sampled at ticks are
    those of the pipeline that it is trained for, which stays as it is.
    """

    family: ClassVar[str] = "control"
    named: ClassVar[Mapping[str, Mapping[str, Any]]] = RECIPES
    example: ClassVar[str] = "lr=1e-3,2e-3"

    condition: Condition = "outline"
    """What it follows: the `outline` of the objects, or their `depth`; `--condition` sets it."""
    pipeline: str = "diffusion-scenes"
    """The pipeline that it is trained for: a shipped name, or a folder that `gandiff train
    diffusion` wrote; `--pipeline` sets it.
    """
    lr: Positive = 1e-3
    """Learning rate at the start, ..."""
    lr_end: Positive = 2e-5
    """... and at the end; a cosine lies between."""
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    """Of AdamW."""
    weight_decay: Annotated[float, Ge(0)] = 1e-3
    """Of AdamW."""
    ema_halflife_images: Positive = 8000.0
    """After so many images a weight counts half in the average that is measured and saved."""
