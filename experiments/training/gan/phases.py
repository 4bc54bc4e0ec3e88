"""The three phases of a GAN's training, and how losses of its parts add up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from gandiff.experiments.training.gan.recipe import GanRecipe
from gandiff.experiments.training.ranks import Ranks

_COMMON = ("grad_g", "grad_d", "gamma")  # numbers that every process has whole
_JUDGED = "captions_judged"


class Phase:
    """Which phase was reached: there is no way back, also when the budget grows."""

    READING, SKETCHING, COMPETING = range(3)

    def __init__(self) -> None:
        self.now = self.READING

    def reach(self, recipe: GanRecipe, spent: float) -> int:
        """The phase that fits the share of the budget that is spent, or a later one."""
        starts = (0.0, recipe.reading, recipe.reading + recipe.sketching)
        self.now = max(self.now, *(i for i, start in enumerate(starts) if spent >= start))
        return self.now

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"now": self.now}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.now = state["now"]


def add(totals: dict[str, float], more: Mapping[str, float]) -> None:
    """Add the numbers of one part of a batch to those of the others."""
    for name, value in more.items():
        totals[name] = totals.get(name, 0.0) + value


def whole(losses: dict[str, float], ranks: Ranks, device: str) -> dict[str, float]:
    """The numbers of the whole batch, from sums over the rows of this process.

    Shares of captions are of those pictures that had a wrong caption to compare with.
    """
    parts = [name for name in losses if name not in _COMMON]
    if ranks.count > 1:
        sums = torch.tensor([losses[name] for name in parts], device=device)
        ranks.all_reduce([sums])
        losses = losses | dict(zip(parts, sums.tolist(), strict=True))
    judged = losses.pop(_JUDGED, 0.0)
    for name in ("p_caption", "p_caption_judge"):
        if name in losses:
            share = losses.pop(name)
            losses |= {name: share / judged} if judged else {}
    return losses
