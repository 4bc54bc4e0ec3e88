"""The numbers of a GAN's training, and the named recipes to start from."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from annotated_types import Ge, Gt, Lt

from gandiff.common.errors import RequestError
from gandiff.common.names import did_you_mean
from gandiff.common.renamed import RECIPE_FIELDS
from gandiff.common.validation import read_assignments, read_value, settings_class

Loss = Literal["relativistic", "non-saturating"]
Positive = Annotated[float, Gt(0)]
Weight = Annotated[float, Ge(0)]
Fraction = Annotated[float, Ge(0), Lt(1)]
ENDS: Final = {name: f"{name}_end" for name in ("d_warmup_lr", "lr", "gamma", "energy")}


@settings_class
class GanRecipe:
    """How both networks are trained; raises ``SettingError`` for numbers that cannot work.

    A training has three phases: for a fraction ``d_warmup`` of the budget only the discriminator
    is trained, for a fraction ``g_warmup`` the generator alone, then both compete by ``loss``.
    """

    loss: Loss = "relativistic"
    """What the networks compete by: `relativistic` or `non-saturating`."""
    d_warmup: Fraction = 0.05
    """Fraction of the budget for which only the discriminator is trained, on real pictures: it
    learns which caption fits. It costs a fifth of a full step.
    """
    d_warmup_lr: Positive = 8e-3
    """Learning rate at the start of that, ..."""
    d_warmup_lr_end: Positive = 2e-3
    """... and at its end."""
    g_warmup: Fraction = 0.1
    """Fraction of the budget for which the generator alone learns, by the energy score."""
    lr: Positive = 8e-3
    """Learning rate of Adam at the start, ..."""
    lr_end: Positive = 2e-4
    """... and at the end; a cosine lies between."""
    g_lr_scale: Positive = 0.6
    """The generator's rate is this times `lr`."""
    betas: tuple[Fraction, Fraction] = (0.0, 0.99)
    """Of Adam, for both networks."""
    gamma: Positive = 1.0
    """Weight of R1 (and R2 of the relativistic loss) at the start. The default was tuned at 32 px
    and holds at 64; larger pictures may want more (Karras et al. 2020b, appendix C, let it grow
    with the number of pixels).
    """
    gamma_end: Positive = 0.3
    """The same at the end."""
    penalty_interval: Annotated[int, Ge(1)] = 8
    """The penalty is computed every so many steps, and scaled up by that."""
    num_mismatched: Annotated[int, Ge(0)] = 3
    """Mismatched captions that each picture is also judged with, beside those of its batch."""
    matching: Weight = 1.0
    """Weight of the loss that tells right captions from mismatched ones, in both networks."""
    energy: Weight = 3.0
    """Weight of the energy score of every second caption, for which two pictures are sampled: it
    keeps pictures of one caption different.
    """
    energy_end: Weight = 3.0
    """The same at the end."""
    caption_dropout: Fraction = 0.2
    """Fraction of captions that are emptied, for both networks: there the noise must decide
    everything, and what it learns to decide serves captions that leave something open.
    """
    ema_halflife_images: Positive = 10_000.0
    """After so many images a weight counts half in the average that is measured and saved."""
    augment: bool = False
    """DiffAugment, for small finite data only; `--augment` sets it."""
    minibatch_std: bool = False
    """The discriminator sees how much pictures of a group of four differ; groups lie within the
    parts that `--accumulate` and `--processes` make.
    """
    guidance: str | None = None
    """A CLIP model that pulls pictures to captions, never one that judges; `--guidance` sets it."""
    guidance_weight: Weight = 0.2
    """Weight of that pull (Sauer et al. 2023, section 3.3)."""

    def __post_init__(self) -> None:
        """Check what numbers must be to each other."""
        if not self.d_warmup + self.g_warmup < 1:
            raise ValueError(
                f"d_warmup and g_warmup must leave a part of the budget, got {self.d_warmup} and "
                f"{self.g_warmup}"
            )
        if self.g_warmup and not self.energy:  # it learns by nothing else
            raise ValueError(
                "g_warmup needs energy above 0; with energy=0 set g_warmup=0 (and energy_end=0, "
                "unless the energy score is to come in later)"
            )

    @property
    def uses_energy_score(self) -> bool:
        """Whether two pictures are sampled for every second caption, for the energy score."""
        return self.energy > 0 or self.energy_end > 0


_PLAIN: dict[str, Any] = dict.fromkeys(
    ("d_warmup", "g_warmup", "energy", "energy_end", "caption_dropout"), 0.0
)
_PLAIN["g_lr_scale"] = 1.0

# Changes to the defaults.
RECIPES: dict[str, dict[str, Any]] = {
    "default": {},
    # Huang et al. 2024, as they write it: both penalties at every step.
    "relativistic": {"penalty_interval": 1, "lr": 2e-3, **_PLAIN},
    # Karras et al. 2020, with mismatched captions: lazy R1, minibatch deviation.
    "non-saturating": {
        "loss": "non-saturating",
        "lr": 2.5e-3,
        "penalty_interval": 16,
        "gamma": 0.01,
        "gamma_end": 0.01,
        "minibatch_std": True,
        **_PLAIN,
    },
}


def recipe_of(name: str = "default", **changes: object) -> GanRecipe:
    """A named recipe with some numbers changed, as ``changed`` does; None changes nothing.

    Raises ``RequestError`` for an unknown name and for numbers that cannot work.
    """
    if name not in RECIPES:
        raise RequestError(f"unknown recipe {name!r}{did_you_mean(name, RECIPES)}")
    return changed(GanRecipe(**RECIPES[name]), changes)


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
