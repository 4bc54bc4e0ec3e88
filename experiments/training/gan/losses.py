"""What each of the two networks minimises on a part of a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from gandiff.experiments.training.gan.batch import Part
from gandiff.experiments.training.gan.energy import Energy, describe
from gandiff.experiments.training.gan.guidance import Guidance
from gandiff.experiments.training.gan.recipe import GanRecipe
from gandiff.experiments.training.gan.view import Eye, Judged, p_caption
from gandiff.models.gan.losses import (
    matching,
    non_saturating,
    relativistic,
    zero_centred_penalties,
)


class Objectives:
    """Losses of parts, and what is logged of them; all are sums over rows divided by ``n``.

    ``hard`` says whether the wrong captions of the data differ in one stated fact. ``energy`` is
    the weight of the energy score now, ``gamma`` that of the penalties.
    """

    def __init__(
        self, recipe: GanRecipe, eye: Eye, energy: Energy, guidance: Guidance | None, *, hard: bool
    ) -> None:
        self.recipe, self.eye, self.guidance, self.hard = recipe, eye, guidance, hard
        self._score = energy

    def reading(self, part: Part, n: int) -> tuple[Tensor, Judged, dict[str, float]]:
        """The discriminator's, while it learns which caption fits a real picture."""
        judged = self.eye.judge(self.eye.see(part.real, part.draws[0]), part)
        loss = matching(judged.right, judged.others, part.mismatch, n)
        return loss, judged, {"match_real": float(loss.detach()), **p_caption(judged, part, n)}

    def of_d(
        self, part: Part, fake: Tensor, n: int, gamma: float | None
    ) -> tuple[Tensor, Judged, dict[str, float]]:
        """The discriminator's in the competition; no penalties without ``gamma``."""
        recipe, m = self.recipe, len(part.real)
        images = torch.cat([part.real, fake]).requires_grad_(gamma is not None)
        h = self.see(images, part.draws[:2].flatten(0, 1), m)
        judged = self.eye.judge(h, part)
        real, made = judged.logits[:m], judged.logits[m:]
        match = matching(judged.right[:m], judged.others, part.mismatch, n)
        pair = recipe.loss == "relativistic"
        against = relativistic(real, made, n) if pair else non_saturating(real, made, n)
        loss = against + recipe.matching * match
        out = {
            "d_loss": float(loss.detach()),
            "p_real_above_fake": float((real > made).float().sum()) / n,
            "match_real": float(match.detach()),
            **p_caption(judged, part, n),
        }
        if gamma is not None:
            r1, r2 = zero_centred_penalties(judged.logits, images, n, (slice(m), slice(m, None)))
            loss = loss + gamma * recipe.lazy * (r1 + r2 if pair else r1)
            out |= {"r1": float(r1.detach()), "r2": float(r2.detach())}
        return loss, judged, out

    def of_g(
        self, part: Part, fake: Tensor, real: Tensor, n: int, energy: float
    ) -> tuple[Tensor, dict[str, float]]:
        """The generator's in the competition, against the logits of the real pictures."""
        recipe, m = self.recipe, len(part.real)
        h = self.see(fake, twice(part), m)
        judged = self.eye.judge(h[:m], part)
        if recipe.loss == "relativistic":
            loss = relativistic(judged.logits, real, n)
        else:
            loss = non_saturating(judged.logits, None, n)
        out: dict[str, float] = {}

        def count(name: str, value: Tensor, weight: float) -> Tensor:
            out[name] = float(value.detach())
            return loss + weight * value

        loss = count("match_fake", self._contradictions(judged, part, n), recipe.matching)
        if recipe.paints_twice:
            loss = count("energy", self.spread(fake, h, part, n), energy)
        if self.guidance is not None:
            told = part.told.nonzero()[:, 0]  # an empty caption leads nowhere
            words = [part.words[i] for i in told.tolist()]
            angle = self.guidance.loss(fake[told], words, n) if words else 0.0 * fake.sum()
            loss = count("guidance", angle, recipe.guidance_weight)
        return loss, out | {"g_loss": float(loss.detach())}

    def see(self, images: Tensor, draws: Tensor, m: int) -> Tensor:
        """Features; minibatch deviation must not compare the first m pictures with the others."""
        if not self.recipe.minibatch_std:
            return self.eye.see(images, draws)
        parts = [m, len(images) - m]
        apart = zip(torch.split(images, parts), torch.split(draws, parts), strict=True)
        return torch.cat([self.eye.see(some, drawn) for some, drawn in apart if len(some)])

    def _contradictions(self, judged: Judged, part: Part, n: int) -> Tensor:
        """The generator's matching loss.

        Captions of other pictures speak of what this one leaves open, and keeping away from all of
        them would settle it; where it is known which captions contradict this one, those alone
        count. Otherwise all that do not belong to the real picture do.
        """
        others, wrong = judged.others, part.mismatch
        if self.hard:
            others, wrong = others[:, len(part.captions) :], part.contradicts
        # Nothing contradicts "" at all.
        return matching(judged.right, others, wrong & part.told[:, None], n)

    def spread(self, fake: Tensor, h: Tensor, part: Part, n: int) -> Tensor:
        """The energy score of the captions that were painted twice."""
        m, rows, image = len(part.real), part.twice, self.eye.d.match.image
        with torch.no_grad():
            seen = image(self.eye.see(part.real[rows], part.draws[0][rows]))
            real = describe(part.real[rows], seen)
        made = describe(fake, image(h))
        return self._score(real, made[:m][rows], made[m:], n)


def twice(part: Part) -> Tensor:
    """The random numbers of augmentation for fakes and the second ones behind them."""
    return torch.cat([part.draws[1], part.draws[2][part.twice]])
