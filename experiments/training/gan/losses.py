"""What each of the two networks minimises on a part of a batch, and what is logged of it.

All losses and logged numbers are sums over the rows of a part divided by ``n``, the size of the
whole batch, so those of all parts and processes add up. The formulas on logits and vectors are in
``gandiff.models.gan.losses``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from gandiff.experiments.training.gan.batch import Part
from gandiff.experiments.training.gan.guidance import Guidance
from gandiff.experiments.training.gan.recipe import GanRecipe
from gandiff.experiments.training.ranks import Ranks
from gandiff.models.gan.augment import augment
from gandiff.models.gan.discriminator import Discriminator
from gandiff.models.gan.losses import (
    energy_score,
    matching,
    non_saturating,
    relativistic,
    zero_centred_penalties,
)

_GROUP = 8  # features of a small view of the energy score
_BANDS = (1, 2, 4, 8)  # px; each has what the one before lacks
_EQUAL = ("g_grad_norm", "d_grad_norm", "gamma")  # logged numbers that all processes share
_COMPARED = "captions_compared"  # share of pictures that had a mismatched caption


class Scores(NamedTuple):
    """The discriminator's scores of pictures, with their own captions and with others."""

    logits: Float[Tensor, " m"]  # adversarial
    right: Float[Tensor, " m"]  # matching, own captions
    others: Float[Tensor, "m n_and_k"]  # matching, captions of the batch, then mismatched ones
    caption_logits: Float[Tensor, "m k_and_1"]  # adversarial, mismatched captions, then the own
    image_features: Float[Tensor, "m s"]  # what the matching head compares with captions


class DiscriminatorView:
    """The discriminator in training: at its precision, through augmentation if that is on."""

    def __init__(
        self,
        d: Discriminator,
        autocast: Callable[[], AbstractContextManager[None]],
        *,
        augmented: bool,
    ) -> None:
        self.d, self._autocast, self._augmented = d, autocast, augmented

    def features(
        self, images: Float[Tensor, "m 3 h w"], draws: Float[Tensor, "m 8"]
    ) -> Float[Tensor, "m f"]:
        """Features of pictures, float32; ``draws`` are the random numbers of augmentation."""
        if self._augmented:
            images = augment(images, draws)
        with self._autocast():
            return self.d.features(images)

    def features_apart(self, images: Tensor, draws: Tensor, m: int) -> Tensor:
        """Features; minibatch deviation must not compare the first m pictures with the others."""
        if not self.d.config.minibatch_std:
            return self.features(images, draws)
        apart = ((images[:m], draws[:m]), (images[m:], draws[m:]))
        return torch.cat([self.features(some, drawn) for some, drawn in apart if len(some)])

    def score(self, h: Float[Tensor, "m f"], part: Part) -> Scores:
        """Scores of pictures of the part's captions, once or several times in turn."""
        d = self.d
        own = part.own_index.repeat(len(h) // len(part.own_index))
        logits, image = d.judge(h, part.pooled[own]), d.match.image(h)
        in_batch = image @ d.match.direction(part.pooled).T
        right = in_batch.gather(1, own[:, None])[:, 0]
        first = slice(0, len(part.own_index))  # other captions matter for these pictures alone
        mismatched = torch.einsum("nd,nkd->nk", image[first], d.match.direction(part.mismatched))
        with torch.no_grad():
            own_last = torch.cat([part.mismatched, part.pooled[part.own_index][:, None]], 1)
            caption_logits = d.judge.project(h[first], own_last)
        others = torch.cat([in_batch[first], mismatched], 1)
        return Scores(logits, right, others, caption_logits, image)


def caption_accuracy(scores: Scores, part: Part, n: int) -> dict[str, float]:
    """How often a picture fits its own caption better than the mismatched ones it was given.

    By the matching head and by the adversarial one, which needs captions that were made for it.
    """
    k = part.mismatched.shape[1]
    mismatch = part.is_mismatch[:, -k:] if k else part.is_mismatch
    compared = mismatch.sum(1)

    def share(right: Tensor, others: Tensor) -> float:
        better = ((right[:, None] > others) & mismatch).sum(1)
        return float((better / compared.clamp(min=1)).sum()) / n

    others = scores.others[:, -mismatch.shape[1] :]
    logged = {"caption_accuracy": share(scores.right[: len(others)], others)}
    if k:
        logits = scores.caption_logits
        logged["caption_accuracy_adversarial"] = share(logits[:, -1], logits[:, :-1])
    return logged | {_COMPARED: float((compared > 0).sum()) / n}


class EnergyScore:
    """The weighted sum of energy scores in several views, in units of real pictures' spread.

    A score in one long vector hardly moves when one attribute of a picture collapses. The views are
    the image features of the matching head (whole, and in groups of a few numbers, so that each
    group is a proper score of what it carries) and the picture itself at a few pixels, in bands
    (Burt & Adelson 1983): they need no network, lead from one background to another without a
    barrier, and see where things lie apart from what is behind them.
    """

    def __init__(self, features: int) -> None:
        groups = [slice(i, min(i + _GROUP, features)) for i in range(0, features, _GROUP)]
        # Columns of a description and the view's weight; the groups together weigh one.
        self.views = [(group, 1.0 / len(groups)) for group in groups]
        self.views.append((slice(0, features), 1.0))
        start = features
        for side in _BANDS:
            self.views.append((slice(start, start + 3 * side**2), 1.0))
            start += 3 * side**2
        self.width = start
        self._spreads = [1.0] * len(self.views)

    @staticmethod
    def describe(
        images: Float[Tensor, "n 3 h w"], features: Float[Tensor, "n s"]
    ) -> Float[Tensor, "n d"]:
        """What the views look at, side by side: the s features and the bands."""
        bands, below = [], torch.zeros_like(images[..., :1, :1], dtype=torch.float32)
        for side in _BANDS:
            shrunk = F.adaptive_avg_pool2d(images.float(), side)
            bands.append((shrunk - F.interpolate(below, size=(side, side))).flatten(1))
            below = shrunk
        return torch.cat([features, *bands], 1)

    def moments(self, described: Float[Tensor, "m d"]) -> Float[Tensor, "2 d"]:
        """Sums over rows that ``set_unit`` needs; those of parts of a batch add up."""
        return torch.stack([described.sum(0), described.square().sum(0)])

    def set_unit(self, moments: Float[Tensor, "2 d"], n: int) -> None:
        """Take the unit from n real pictures: the distance of two of them drawn at random."""
        mean, square = moments / n
        variance = (square - mean.square()).clamp(min=0)
        self._spreads = [
            max(1e-3, float(2 * variance[columns].sum()) ** 0.5) for columns, _ in self.views
        ]

    def __call__(
        self,
        real: Float[Tensor, "s d"],
        sample: Float[Tensor, "s d"],
        second_sample: Float[Tensor, "s d"],
        n: int,
    ) -> Float[Tensor, ""]:
        """The score of captions with two generated pictures each, from descriptions."""
        scores = []
        for (columns, weight), spread in zip(self.views, self._spreads, strict=True):
            x, y, z = (part[:, columns] / spread for part in (real, sample, second_sample))
            scores.append(weight * energy_score(x, y, z, n))
        return torch.stack(scores).sum()


class GanLosses:
    """The losses of both networks by phase; ``recipe.gamma`` and ``energy`` are given as of now.

    ``hard_negatives`` says that the mismatched captions of the data differ in one stated fact.
    """

    def __init__(
        self,
        recipe: GanRecipe,
        view: DiscriminatorView,
        energy: EnergyScore,
        guidance: Guidance | None,
        *,
        hard_negatives: bool,
    ) -> None:
        self.recipe, self.view, self.energy, self.guidance = recipe, view, energy, guidance
        self.hard_negatives = hard_negatives

    def d_warmup(self, part: Part, n: int) -> tuple[Tensor, Scores, dict[str, float]]:
        """The discriminator's on real pictures alone: which caption fits."""
        scores = self.view.score(self.view.features(part.real, part.draws[0]), part)
        loss = matching(scores.right, scores.others, part.is_mismatch, n)
        logged = {"match_loss_real": float(loss.detach()), **caption_accuracy(scores, part, n)}
        return loss, scores, logged

    def discriminator(
        self, part: Part, fake: Tensor, n: int, gamma: float | None
    ) -> tuple[Tensor, Scores, dict[str, float]]:
        """The discriminator's against the generator; without ``gamma``, no penalties."""
        recipe, m = self.recipe, len(part.real)
        images = torch.cat([part.real, fake]).requires_grad_(gamma is not None)
        h = self.view.features_apart(images, part.draws[:2].flatten(0, 1), m)
        scores = self.view.score(h, part)
        real, made = scores.logits[:m], scores.logits[m:]
        match = matching(scores.right[:m], scores.others, part.is_mismatch, n)
        paired = recipe.loss == "relativistic"
        loss = relativistic(real, made, n) if paired else non_saturating(real, made, n)
        loss = loss + recipe.matching * match
        logged = {
            "d_loss": float(loss.detach()),
            "p_real_above_fake": float((real > made).float().sum()) / n,
            "match_loss_real": float(match.detach()),
            **caption_accuracy(scores, part, n),
        }
        if gamma is not None:
            r1, r2 = zero_centred_penalties(scores.logits, images, n, (slice(m), slice(m, None)))
            loss = loss + gamma * recipe.penalty_interval * (r1 + r2 if paired else r1)
            logged |= {"r1": float(r1.detach()), "r2": float(r2.detach())}
        return loss, scores, logged

    def g_warmup(self, part: Part, fake: Tensor, n: int) -> tuple[Tensor, dict[str, float]]:
        """The generator's by the energy score alone."""
        h = self.view.features_apart(fake, part.fake_draws, len(part.real))
        loss = self._energy(fake, h, part, n)
        return loss, {"energy_score": float(loss.detach())}

    def generator(
        self, part: Part, fake: Tensor, real: Tensor, n: int, energy: float
    ) -> tuple[Tensor, dict[str, float]]:
        """The generator's against the discriminator, whose logits of real pictures are ``real``."""
        recipe, m = self.recipe, len(part.real)
        h = self.view.features_apart(fake, part.fake_draws, m)
        scores = self.view.score(h[:m], part)
        if recipe.loss == "relativistic":
            loss = relativistic(scores.logits, real, n)
        else:
            loss = non_saturating(scores.logits, None, n)
        terms = {"match_loss_fake": (self._contradictions(scores, part, n), recipe.matching)}
        if recipe.uses_energy_score:
            terms["energy_score"] = self._energy(fake, h, part, n), energy
        if self.guidance is not None:
            captioned = part.has_caption.nonzero()[:, 0]  # an empty caption leads nowhere
            texts = [part.captions[i] for i in captioned.tolist()]
            angle = self.guidance.loss(fake[captioned], texts, n) if texts else 0.0 * fake.sum()
            terms["guidance"] = angle, recipe.guidance_weight
        for value, weight in terms.values():
            loss = loss + weight * value
        logged = {name: float(value.detach()) for name, (value, _) in terms.items()}
        return loss, logged | {"g_loss": float(loss.detach())}

    def _contradictions(self, scores: Scores, part: Part, n: int) -> Tensor:
        """The generator's matching loss.

        Captions of other pictures speak of what this one leaves open, and keeping away from all of
        them would settle it; where it is known which captions contradict this one, those alone
        count. Otherwise all that do not belong to the real picture do.
        """
        others, mismatch = scores.others, part.is_mismatch
        if self.hard_negatives:
            others, mismatch = others[:, len(part.pooled) :], part.contradicts
        # Nothing contradicts "" at all.
        return matching(scores.right, others, mismatch & part.has_caption[:, None], n)

    def _energy(self, fake: Tensor, h: Tensor, part: Part, n: int) -> Tensor:
        """The energy score of the captions that two pictures were generated for."""
        m, rows, image = len(part.real), part.paired_rows, self.view.d.match.image
        with torch.no_grad():
            features = image(self.view.features(part.real[rows], part.draws[0][rows]))
            real = self.energy.describe(part.real[rows], features)
        samples = self.energy.describe(fake, image(h))
        return self.energy(real, samples[:m][rows], samples[m:], n)


def accumulate(totals: dict[str, float], more: Mapping[str, float]) -> None:
    """Add the logged numbers of one part of a batch to those of the others."""
    for name, value in more.items():
        totals[name] = totals.get(name, 0.0) + value


def reduce_over_ranks(logged: dict[str, float], ranks: Ranks, device: str) -> dict[str, float]:
    """The logged numbers of the whole batch, from sums over the rows of this process.

    Accuracies are those of the pictures that had a mismatched caption to compare with.
    """
    names = [name for name in logged if name not in _EQUAL]
    if ranks.count > 1:
        sums = torch.tensor([logged[name] for name in names], device=device)
        ranks.all_reduce([sums])
        logged = logged | dict(zip(names, sums.tolist(), strict=True))
    compared = logged.pop(_COMPARED, 0.0)
    for name in ("caption_accuracy", "caption_accuracy_adversarial"):
        if name in logged:
            share = logged.pop(name)
            logged |= {name: share / compared} if compared else {}
    return logged
