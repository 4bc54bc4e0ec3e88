"""The energy score of generated pictures in several views of them at once.

A score in one long vector hardly moves when one attribute of a picture collapses. The views are
what the matching head of the discriminator sees (whole, and in groups of a few numbers, so that
each group is a proper score of what it tells) and the picture itself at a few pixels, in bands
(Burt & Adelson 1983): they need no network, lead from one background to another without a barrier,
and tell where things lie apart from what is behind them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from gandiff.models.gan.losses import energy_score

_GROUP = 8  # numbers of a small view
_COARSE = (1, 2, 4, 8)  # px; each has what the one before lacks


def describe(images: Float[Tensor, "n 3 h w"], seen: Float[Tensor, "n s"]) -> Float[Tensor, "n d"]:
    """What the views look at, side by side: ``seen`` (s numbers) and the bands."""
    bands, below = [], torch.zeros_like(images[..., :1, :1], dtype=torch.float32)
    for side in _COARSE:
        shrunk = F.adaptive_avg_pool2d(images.float(), side)
        bands.append((shrunk - F.interpolate(below, size=(side, side))).flatten(1))
        below = shrunk
    return torch.cat([seen, *bands], 1)


def views(seen: int) -> list[tuple[slice, float]]:
    """Columns of each view of a description, and its weight; the groups weigh one together."""
    groups = [slice(at, min(at + _GROUP, seen)) for at in range(0, seen, _GROUP)]
    out = [(group, 1.0 / len(groups)) for group in groups] + [(slice(0, seen), 1.0)]
    start = seen
    for side in _COARSE:
        out.append((slice(start, start + 3 * side**2), 1.0))
        start += 3 * side**2
    return out


class Energy:
    """The weighted sum of the views' energy scores, each in the unit of real pictures' spread."""

    def __init__(self, seen: int) -> None:
        self.views = views(seen)
        self.width = self.views[-1][0].stop
        self._spreads = [1.0] * len(self.views)

    def moments(self, described: Float[Tensor, "m d"]) -> Float[Tensor, "2 d"]:
        """Sums over rows that ``measure`` needs; parts of a batch add up."""
        return torch.stack([described.sum(0), described.square().sum(0)])

    def measure(self, moments: Float[Tensor, "2 d"], n: int) -> None:
        """Take the unit from n real pictures: the distance of two of them drawn at random."""
        mean, square = moments / n
        variance = (square - mean.square()).clamp(min=0)
        self._spreads = [
            max(1e-3, float(2 * variance[columns].sum()) ** 0.5) for columns, _ in self.views
        ]

    def __call__(
        self,
        real: Float[Tensor, "s d"],
        made: Float[Tensor, "s d"],
        sibling: Float[Tensor, "s d"],
        n: int,
    ) -> Float[Tensor, ""]:
        """The score of captions that were painted twice, from descriptions."""
        scores = []
        for (columns, weight), spread in zip(self.views, self._spreads, strict=True):
            x, y, z = (part[:, columns] / spread for part in (real, made, sibling))
            scores.append(weight * energy_score(x, y, z, n))
        return torch.stack(scores).sum()
