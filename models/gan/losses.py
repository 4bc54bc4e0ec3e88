"""Losses of the conditional GAN, on logits and features.

Relativistic pairing with zero-centred penalties (Huang et al. 2024, "The GAN is dead", equations 2
and 5): a real picture and a generated one are judged with the same caption, and only their
difference counts. A wrong caption that differs in one fact is judged the same way, which is what
teaches both networks to read.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def relativistic(better: Float[Tensor, " n"], worse: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """softplus(worse - better), averaged: the pairwise logistic loss."""
    return F.softplus(worse - better).mean()


def mismatch(
    right: Float[Tensor, " n"], wrong: Float[Tensor, " n"], certain: Bool[Tensor, " n"]
) -> Float[Tensor, ""]:
    """The same for a right and a wrong caption of one picture.

    Only where the wrong one is certainly wrong; 0 if it is so nowhere.
    """
    weight = certain.to(right.dtype)
    return (F.softplus(wrong - right) * weight).sum() / weight.sum().clamp(min=1)


def contrast(
    similarity: Float[Tensor, "n n"], fit: Bool[Tensor, "n n"], temperature: float = 0.1
) -> Float[Tensor, ""]:
    """InfoNCE of each picture over the batch's captions; captions that also fit are left out.

    van den Oord et al. 2018, equation 4, used between pictures and captions as by Zhang et al. 2021
    (XMC-GAN).
    """
    own = torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)
    logits = (similarity / temperature).masked_fill(fit & ~own, float("-inf"))
    return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def zero_centred_penalty(
    logits: Float[Tensor, " n"], images: Float[Tensor, "n c h w"]
) -> Float[Tensor, ""]:
    """Half the squared gradient of the logits, summed over pixels, averaged over images.

    R1 on reals, R2 on fakes: Mescheder et al. 2018, equation 9, without its weight.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return 0.5 * gradient.square().sum((1, 2, 3)).mean()
