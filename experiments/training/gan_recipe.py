"""The numbers of a GAN's training, and the named recipes to start from."""

from __future__ import annotations

import dataclasses
from typing import Literal

from gandiff.experiments.errors import RequestError, did_you_mean

Loss = Literal["relativistic", "non-saturating"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GanRecipe:
    """How both networks are trained; raises ``RequestError`` for numbers that cannot work.

    For ``reading`` of the budget the discriminator only learns which caption fits which picture,
    which costs a fifth of a full step; then both networks train. ``gamma`` weighs R1 (and R2 of the
    relativistic loss), taken every ``lazy`` steps and scaled up by it. ``mismatches`` is how many
    captions that do not fit each picture is judged with, beside those of its batch, and
    ``matching`` the weight of that loss in both networks. ``augment`` is DiffAugment, for small
    finite data only.
    """

    loss: Loss = "relativistic"
    reading: float = 0.06
    reading_lr: float = 8e-3
    lr: float = 2e-3
    lr_end: float = 2e-4
    betas: tuple[float, float] = (0.0, 0.99)
    gamma: float = 0.1
    gamma_end: float = 0.02
    lazy: int = 8
    mismatches: int = 3
    matching: float = 1.0
    ema_halflife_images: float = 10_000.0
    augment: bool = False
    minibatch_std: bool = False

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("gamma", "gamma_end", "lr", "lr_end", "reading_lr", "ema_halflife_images"):
            if not getattr(self, name) > 0:
                raise RequestError(f"{name} must be above 0, got {getattr(self, name)}")
        if not 0 <= self.reading < 1:
            raise RequestError(f"reading must be from 0 to below 1, got {self.reading}")
        if self.lazy < 1:
            raise RequestError(f"lazy must be at least 1, got {self.lazy}")
        for name in ("mismatches", "matching"):
            if getattr(self, name) < 0:
                raise RequestError(f"{name} must be at least 0, got {getattr(self, name)}")
        if not (0 <= self.betas[0] < 1 and 0 <= self.betas[1] < 1):
            raise RequestError(f"betas must be from 0 to below 1, got {self.betas}")


RECIPES: dict[str, GanRecipe] = {
    "default": GanRecipe(),
    # Huang et al. 2024, as they write it: both penalties at every step.
    "relativistic": GanRecipe(reading=0.0, lazy=1),
    # Karras et al. 2020, with matching-aware captions: lazy R1, minibatch deviation.
    "non-saturating": GanRecipe(
        loss="non-saturating", reading=0.0, lazy=16, gamma=0.01, gamma_end=0.01, minibatch_std=True
    ),
}


def recipe_of(name: str = "default", **changes: object) -> GanRecipe:
    """A named recipe with some numbers changed; None changes nothing."""
    if name not in RECIPES:
        raise RequestError(f"no recipe is named {name!r}{did_you_mean(name, RECIPES)}")
    given = {key: value for key, value in changes.items() if value is not None}
    known = {field.name: field for field in dataclasses.fields(GanRecipe)}
    for key in given:
        if key not in known:
            raise RequestError(f"a recipe has no {key!r}{did_you_mean(key, known)}")
    return dataclasses.replace(RECIPES[name], **given)  # type: ignore[arg-type]
