"""What the discriminator says of a part of a batch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from gandiff.experiments.training.gan.batch import Part
from gandiff.experiments.training.precision import Precise
from gandiff.models.gan.augment import augment
from gandiff.models.gan.discriminator import Discriminator


class Judged(NamedTuple):
    """What the discriminator says of pictures and their captions, and how well others would fit."""

    logits: Float[Tensor, " m"]  # adversarial
    right: Float[Tensor, " m"]  # match with their own captions
    others: Float[Tensor, "m n_and_k"]  # and with others
    heard: Float[Tensor, "m k_and_1"]  # adversarial logits of the wrong captions, then the right
    seen: Float[Tensor, "m s"]  # what the matching head sees


class Eye:
    """The discriminator in training: at its precision, through augmentation if that is on."""

    def __init__(self, d: Discriminator, precise: Precise, *, augmented: bool) -> None:
        self.d, self._precise, self._augmented = d, precise, augmented

    def see(
        self, images: Float[Tensor, "m 3 h w"], draws: Float[Tensor, "m 8"]
    ) -> Float[Tensor, "m f"]:
        """Features of pictures, float32; ``draws`` are the random numbers of augmentation."""
        if self._augmented:
            images = augment(images, draws)
        with self._precise():
            return self.d.features(images)

    def judge(self, h: Float[Tensor, "m f"], part: Part) -> Judged:
        """Pictures that belong to the part's captions, in turn, from their features."""
        d = self.d
        own = part.own.repeat(len(h) // len(part.own))
        logits, seen = d.judge(h, part.captions[own]), d.match.image(h)
        in_batch = seen @ d.match.read(part.captions).T
        right = in_batch.gather(1, own[:, None])[:, 0]
        first = slice(0, len(part.own))  # the other captions matter for these pictures alone
        wrong = torch.einsum("nd,nkd->nk", seen[first], d.match.read(part.wrong))
        with torch.no_grad():
            own_last = torch.cat([part.wrong, part.captions[part.own][:, None]], 1)
            heard = d.judge.project(h[first], own_last)
        return Judged(logits, right, torch.cat([in_batch[first], wrong], 1), heard, seen)


def p_caption(judged: Judged, part: Part, n: int) -> dict[str, float]:
    """How often a picture goes better with its own caption than with the hard wrong ones.

    ``p_caption`` by the matching head, ``p_caption_judge`` by the adversarial logit. They add up
    over parts of a batch with ``captions_judged``, the share of pictures that had a wrong caption.
    """
    k = part.wrong.shape[1]
    hard = part.mismatch[:, -k:] if k else part.mismatch
    compared = hard.sum(1)

    def share(right: Tensor, others: Tensor) -> float:
        better = ((right[:, None] > others) & hard).sum(1)
        return float((better / compared.clamp(min=1)).sum()) / n

    others = judged.others[:, -hard.shape[1] :]
    out = {"p_caption": share(judged.right[: len(others)], others)}
    if k:
        out["p_caption_judge"] = share(judged.heard[:, -1], judged.heard[:, :-1])
    return out | {"captions_judged": float((compared > 0).sum()) / n}
