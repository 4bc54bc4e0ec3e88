"""The numbers of a GAN's training, and the named recipes to start from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Container, Mapping, Sequence
from typing import Any, Final, Literal, get_args

from gandiff.common.errors import RequestError
from gandiff.common.names import did_you_mean
from gandiff.common.renamed import RECIPE_FIELDS
from gandiff.common.validation import read_assignments, read_value

Loss = Literal["relativistic", "non-saturating"]
LOSSES: tuple[Loss, ...] = get_args(Loss)
ENDS: Final = {name: f"{name}_end" for name in ("d_warmup_lr", "lr", "gamma", "energy")}


def _check_loss(loss: str) -> None:
    if loss not in LOSSES:
        raise RequestError(f"loss must be one of {', '.join(LOSSES)}, got {loss}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class GanRecipe:
    """How both networks are trained; raises ``RequestError`` for numbers that cannot work.

    A training has three phases: for a fraction ``d_warmup`` of the budget only the discriminator
    is trained, for a fraction ``g_warmup`` the generator alone, then both compete by ``loss``.
    """

    loss: Loss = "relativistic"
    """What the networks compete by: `relativistic` or `non-saturating`."""
    d_warmup: float = 0.05
    """Fraction of the budget for which only the discriminator is trained, on real pictures: it
    learns which caption fits. It costs a fifth of a full step.
    """
    d_warmup_lr: float = 8e-3
    """Learning rate at the start of that, ..."""
    d_warmup_lr_end: float = 2e-3
    """... and at its end."""
    g_warmup: float = 0.1
    """Fraction of the budget for which the generator alone learns, by the energy score."""
    lr: float = 8e-3
    """Learning rate of Adam at the start, ..."""
    lr_end: float = 2e-4
    """... and at the end; a cosine lies between."""
    g_lr_scale: float = 0.6
    """The generator's rate is this times `lr`."""
    betas: tuple[float, float] = (0.0, 0.99)
    """Of Adam, for both networks."""
    gamma: float = 1.0
    """Weight of R1 (and R2 of the relativistic loss) at the start. The default was tuned at 32 px
    and holds at 64; larger pictures may want more (Karras et al. 2020b, appendix C, let it grow
    with the number of pixels).
    """
    gamma_end: float = 0.3
    """The same at the end."""
    penalty_interval: int = 8
    """The penalty is computed every so many steps, and scaled up by that."""
    num_mismatched: int = 3
    """Mismatched captions that each picture is also judged with, beside those of its batch."""
    matching: float = 1.0
    """Weight of the loss that tells right captions from mismatched ones, in both networks."""
    energy: float = 3.0
    """Weight of the energy score of every second caption, for which two pictures are sampled: it
    keeps pictures of one caption different.
    """
    energy_end: float = 3.0
    """The same at the end."""
    caption_dropout: float = 0.2
    """Fraction of captions that are emptied, for both networks: there the noise must decide
    everything, and what it learns to decide serves captions that leave something open.
    """
    ema_halflife_images: float = 10_000.0
    """After so many images a weight counts half in the average that is measured and saved."""
    augment: bool = False
    """DiffAugment, for small finite data only; `--augment` sets it."""
    minibatch_std: bool = False
    """The discriminator sees how much pictures of a group of four differ; groups lie within the
    parts that `--accumulate` and `--processes` make.
    """
    guidance: str | None = None
    """A CLIP model that pulls pictures to captions, never one that judges; `--guidance` sets it."""
    guidance_weight: float = 0.2
    """Weight of that pull (Sauer et al. 2023, section 3.3)."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        _check_loss(self.loss)
        rates = ("lr", "lr_end", "g_lr_scale", "d_warmup_lr", "d_warmup_lr_end")
        for name in ("gamma", "gamma_end", *rates, "ema_halflife_images"):
            if not 0 < getattr(self, name) < math.inf:
                raise RequestError(f"{name} must be above 0, got {getattr(self, name)}")
        for name in ("d_warmup", "g_warmup", "caption_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise RequestError(f"{name} must be from 0 to below 1, got {getattr(self, name)}")
        if not self.d_warmup + self.g_warmup < 1:
            raise RequestError(
                f"d_warmup and g_warmup must leave a part of the budget, got {self.d_warmup} and "
                f"{self.g_warmup}"
            )
        if self.g_warmup and not self.energy:  # it learns by nothing else
            raise RequestError(
                "g_warmup needs energy above 0; with energy=0 set g_warmup=0 (and energy_end=0, "
                "unless the energy score is to come in later)"
            )
        if self.penalty_interval < 1:
            raise RequestError(f"penalty_interval must be at least 1, got {self.penalty_interval}")
        for name in ("num_mismatched", "matching", "energy", "energy_end", "guidance_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise RequestError(f"{name} must be at least 0, got {getattr(self, name)}")
        if not (0 <= self.betas[0] < 1 and 0 <= self.betas[1] < 1):
            raise RequestError(f"betas must be from 0 to below 1, got {self.betas}")

    @property
    def uses_energy_score(self) -> bool:
        """Whether two pictures are sampled for every second caption, for the energy score."""
        return self.energy > 0 or self.energy_end > 0


_PLAIN: dict[str, Any] = dict.fromkeys(
    ("d_warmup", "g_warmup", "energy", "energy_end", "caption_dropout"), 0.0
)
_PLAIN["g_lr_scale"] = 1.0

RECIPES: dict[str, GanRecipe] = {
    "default": GanRecipe(),
    # Huang et al. 2024, as they write it: both penalties at every step.
    "relativistic": GanRecipe(penalty_interval=1, lr=2e-3, **_PLAIN),
    # Karras et al. 2020, with mismatched captions: lazy R1, minibatch deviation.
    "non-saturating": GanRecipe(
        loss="non-saturating",
        lr=2.5e-3,
        penalty_interval=16,
        gamma=0.01,
        gamma_end=0.01,
        minibatch_std=True,
        **_PLAIN,
    ),
}


def recipe_of(name: str = "default", **changes: object) -> GanRecipe:
    """A named recipe with some numbers changed, as ``changed`` does; None changes nothing.

    Raises ``RequestError`` for an unknown name and for numbers that cannot work.
    """
    if name not in RECIPES:
        raise RequestError(f"unknown recipe {name!r}{did_you_mean(name, RECIPES)}")
    return changed(RECIPES[name], changes)


def changed(
    recipe: GanRecipe, changes: Mapping[str, object], fixed: Container[str] = ()
) -> GanRecipe:
    """A recipe with some numbers changed; None changes nothing.

    ``d_warmup_lr``, ``lr``, ``gamma`` and ``energy`` are where a schedule starts; its end
    (``lr_end`` and so on) is scaled by the same factor unless it is among the changes, or named in
    ``fixed``. Where both were 0 the end becomes the new start, where the start alone was, the end
    stays. Raises ``RequestError`` for unknown names and for numbers that cannot work.
    """
    given: dict[str, Any] = {key: value for key, value in changes.items() if value is not None}
    for key in given:
        _refuse_unknown(key)
    _check_loss(given.get("loss", recipe.loss))  # before a type checker does
    for name, end in ENDS.items():
        if name in given and end not in given and end not in fixed:
            start, last = getattr(recipe, name), getattr(recipe, end)
            given[end] = _scaled(last, start, given[name])
    return dataclasses.replace(recipe, **given)


def _scaled(end: float, start: float, new: float) -> float:
    if start:
        return end if new == start else new * (end / start)
    return end or new


def _refuse_unknown(name: str) -> None:
    if name in RECIPE_FIELDS:
        raise RequestError(f"{name} is now {RECIPE_FIELDS[name]}; use that name")
    known = [field.name for field in dataclasses.fields(GanRecipe)]
    if name not in known:
        raise RequestError(f"a recipe has no field {name!r}{did_you_mean(name, known)}")


def read_numbers(assignments: Sequence[str]) -> dict[str, Any]:
    """``gamma=0.5`` and the like, by the type that the field has."""
    for assignment in assignments:
        if "=" in assignment:
            _refuse_unknown(assignment.partition("=")[0].strip())
    return read_assignments(GanRecipe, assignments)


def read_number(name: str, value: str) -> Any:
    """One field's value from text; raises ``SettingError`` for a value of another type."""
    _refuse_unknown(name)
    return read_value(GanRecipe, name, value)
