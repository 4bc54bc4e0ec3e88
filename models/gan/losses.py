"""Losses of the conditional GAN, on logits, features and pictures.

Relativistic pairing with zero-centred penalties (Huang et al. 2024, "The GAN is dead", equations 2
and 5): a real picture and a generated one are judged with the same caption, and only their
difference counts. The older non-saturating loss (Goodfellow et al. 2014, section 3) is here to be
compared with. Every loss is a sum over rows divided by a number that the caller gives, so that
parts of a batch, on other processes or one after the other, add up to the whole.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def relativistic(
    better: Float[Tensor, " n"], worse: Float[Tensor, " n"], rows: int
) -> Float[Tensor, ""]:
    """softplus(worse - better), the pairwise logistic loss (Jolicoeur-Martineau 2019, eq. 9)."""
    return F.softplus(worse - better).sum() / rows


def non_saturating(
    high: Float[Tensor, " n"] | None, low: Float[Tensor, " n"] | None, rows: int
) -> Float[Tensor, ""]:
    """softplus(-high) + softplus(low); the generator's loss has fakes as ``high`` alone."""
    parts = []
    if high is not None:
        parts.append(F.softplus(-high).sum())
    if low is not None:
        parts.append(F.softplus(low).sum())
    return torch.stack(parts).sum() / rows


def matching(
    right: Float[Tensor, " n"],
    others: Float[Tensor, "n k"],
    is_mismatch: Bool[Tensor, "n k"],
    rows: int,
) -> Float[Tensor, ""]:
    """Cross-entropy of a picture's own caption among mismatched ones.

    InfoNCE (van den Oord et al. 2018, equation 4), on the logits of the matching head.
    ``is_mismatch`` is True where the other caption is known not to fit; the rest is left out, and a
    picture with none of them has loss 0.
    """
    logits = torch.cat([right[:, None], others.masked_fill(~is_mismatch, float("-inf"))], 1)
    loss: Tensor = (torch.logsumexp(logits, 1) - right).sum() / rows
    return loss


def energy_score(
    real: Float[Tensor, "n d"],
    made: Float[Tensor, "n d"],
    sibling: Float[Tensor, "n d"],
    rows: int,
) -> Float[Tensor, ""]:
    """E|X - Y| - E|Y - Y'| / 2 of one real picture and two generated ones of the same caption.

    The energy score is a strictly proper scoring rule (Gneiting & Raftery 2007, section 4.3): its
    mean is lowest where generated pictures of a caption are distributed as real ones are, which one
    real picture of each caption suffices for. Without it nothing keeps a generator from making
    one picture for a caption: the discriminator sees each caption once.
    """
    near = 0.5 * (_distance(real, made) + _distance(real, sibling))
    return (near - 0.5 * _distance(made, sibling)).sum() / rows


def _distance(a: Float[Tensor, "n d"], b: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """Euclidean, with a gradient where the two coincide."""
    return ((a - b).square().sum(1) + 1e-8).sqrt()


def zero_centred_penalties(
    logits: Float[Tensor, " n"],
    images: Float[Tensor, "n c h w"],
    rows: int,
    groups: Sequence[slice] = (slice(None),),
) -> list[Float[Tensor, ""]]:
    """Half the squared gradient of the logits, summed over pixels; one number for each group.

    R1 on reals, R2 on fakes: Mescheder et al. 2018, equation 9, without its weight. A square and
    not a power of the norm, whose gradient is not a number where the penalty is zero. Both groups
    share one pass backwards; logit i must depend on picture i alone.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return [0.5 * gradient[group].float().square().sum() / rows for group in groups]


def angular_distance(a: Float[Tensor, "n d"], b: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """Squared angle between rows, in radians: what guidance by an image-text encoder lowers.

    (2 asin(|a - b| / 2))^2 rather than acos(cos)^2, whose gradient is not a number at angle 0.
    """
    chord = (F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(1)
    half = (chord.clamp(min=1e-12, max=4.0 - 1e-6)).sqrt() / 2
    return (2 * torch.asin(half)).square()
