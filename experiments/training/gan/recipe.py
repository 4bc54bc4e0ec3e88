"""The numbers of a GAN's training, and the named recipes to start from."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from annotated_types import Ge, Gt, Lt

from gandiff.common.validation import settings_class
from gandiff.experiments.training import recipes

Loss = Literal["relativistic", "non-saturating"]
Positive = Annotated[float, Gt(0)]
Weight = Annotated[float, Ge(0)]
Fraction = Annotated[float, Ge(0), Lt(1)]

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


@settings_class
class GanRecipe(recipes.Recipe):
    """How both networks are trained; raises ``SettingError`` for numbers that cannot work.

    A training has three phases: for a fraction ``d_warmup`` of the budget only the discriminator
    is trained, for a fraction ``g_warmup`` the generator alone, then both compete by ``loss``.
    """

    family: ClassVar[str] = "gan"
    named: ClassVar[Mapping[str, Mapping[str, Any]]] = RECIPES
    example: ClassVar[str] = "gamma=0.25,1,4"

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

    def idle(self) -> dict[str, str]:
        """The fields that do nothing in this recipe, with the reason."""
        idle = {} if self.guidance else {"guidance_weight": "without guidance"}
        if not self.d_warmup:
            idle |= dict.fromkeys(("d_warmup_lr", "d_warmup_lr_end"), "with d_warmup=0")
        return idle

    @property
    def uses_energy_score(self) -> bool:
        """Whether two pictures are sampled for every second caption, for the energy score."""
        return self.energy > 0 or self.energy_end > 0


ENDS: Final = recipes.schedule_ends(GanRecipe)
recipe_of = functools.partial(recipes.recipe_of, GanRecipe)
read_numbers = functools.partial(recipes.read_numbers, GanRecipe)
