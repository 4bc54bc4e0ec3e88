"""From a picture back to the styles that draw it, by search and gradient descent.

Noises are drawn, the nearest pictures that they give are chosen, and the styles of those descend
on the distance to the picture while the worse ones are left behind. Each picture is inverted on
its own: what becomes of it depends on nothing beside it, and kernels see the same shapes in any
batch. Styles per level follow Abdal et al. 2019 (Image2StyleGAN, arXiv 1904.03189, section 5).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from gandiff.models.gan.model import TextToImageGan
from gandiff.models.text import TextFeatures

TOGETHER = 64  # pictures drawn at once in a search
UNCAPTIONED = 2048  # noises tried for a picture of which no caption is known
PRIOR = 0.03  # what a mean square of 1 off the styles of the start counts, in squared values
# How many of the nearest pictures descend, and for which share of the steps.
_ROUNDS = ((16, 0.15), (4, 0.30), (1, 0.55))
_SCALES = (1, 2, 4, 8)  # px of the 32 px picture that are averaged before they are compared
_LEARNING_RATES = {"noise": 0.05, "offsets": 0.1, "words": 0.1}  # of Adam
_WARM, _COOL = 5, 0.6  # steps, and the share of all at the end in which rates go down to 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a picture is to be like.

    ``known`` is 1 where its pixels count and 0 elsewhere. Differences of more than ``tolerance``
    hardly count further (the Geman-McClure function): what contradicts a caption does not pull.
    """

    picture: Float[Tensor, "1 3 h w"]  # in [-1, 1]
    known: Float[Tensor, "1 1 h w"]
    tolerance: float | None = None

    def distance(self, made: Float[Tensor, "n 3 h w"]) -> Float[Tensor, " n"]:
        """Sum over scales of the mean squared difference of known pixels, in squared values."""
        total = made.new_zeros(len(made))
        difference = (made - self.picture) * self.known
        coarsest = made.shape[-1] // 4
        unit = max(1, made.shape[-1] // 32)
        for size in [1, *(unit * scale for scale in _SCALES[1:])]:
            if size > coarsest:
                break
            share = F.avg_pool2d(self.known, size)
            mean = F.avg_pool2d(difference, size) / share.clamp(min=1e-6)
            error = mean.square().mean(1, keepdim=True)
            if self.tolerance is not None:
                error = error / (1 + error / self.tolerance**2)
            total = total + (error * share).sum((1, 2, 3)) / share.sum()
        return total


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fit:
    """What a GAN makes nearest to a picture, and of what.

    ``styles`` are one for each level, ``text`` what attention reads; ``evaluations`` counts those
    of the network in the descent.
    """

    picture: Float[Tensor, "1 3 h w"]  # in [-1, 1], not clamped
    styles: list[Float[Tensor, "1 s"]]
    text: TextFeatures
    evaluations: int

    def psnr(self, wanted: Wanted) -> float:
        """Peak signal-to-noise ratio of the known pixels in dB; infinite where they are equal."""
        squares = (self.picture.clamp(-1, 1) - wanted.picture).square() * wanted.known
        error = squares.sum() / (3 * wanted.known.sum())
        return float(10 * torch.log10(4 / error))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Freedom:
    """What may descend: the styles of the levels from ``first_free`` on leave what noise and text
    make of them; before that they are theirs. ``words``: what attention reads may change, too.
    ``prior`` holds noise and styles where they start.
    """

    first_free: int = 0
    words: bool = False
    prior: float = PRIOR


def draw_starts(
    gan: TextToImageGan,
    text: TextFeatures,
    noise: Float[Tensor, "n z"],
    psi: float = 1.0,
) -> tuple[Float[Tensor, "n z"], Float[Tensor, "n 3 h w"]]:
    """Mapped noise, truncated, and the pictures that it gives with one text."""
    mapped, pictures = [], []
    with torch.no_grad():
        for part in torch.split(noise.to(gan.like), TOGETHER):
            f = gan.net.truncate(gan.net.map(part), psi)
            texts = text.at([0] * len(f))
            mapped.append(f)
            pictures.append(gan.net.synthesise(gan.net.style(f, texts.pooled), texts))
    return torch.cat(mapped), torch.cat(pictures)


def invert(
    gan: TextToImageGan,
    wanted: Wanted,
    text: TextFeatures,
    starts: tuple[Float[Tensor, "n z"], Float[Tensor, "n 3 h w"]],
    steps: int,
    freedom: Freedom | None = None,
) -> Fit:
    """What comes nearest to a picture from these starts (``draw_starts``), with this text.

    Of 16 starts that descend together, 4 and at last 1 are left. The GAN must be in float32.
    """
    freedom = freedom or Freedom()
    mapped, pictures = starts
    near = _best(wanted.distance(pictures.clamp(-1, 1)), _ROUNDS[0][0])
    evaluations = 0
    with torch.inference_mode(False), torch.enable_grad():
        # Copies, for what was made in inference mode takes no part in a descent.
        known, picture = wanted.known.clone(), wanted.picture.clone()
        wanted = dataclasses.replace(wanted, known=known, picture=picture)
        descent = _Descent(gan, wanted, text, mapped[near].clone(), freedom)
        begun = 0
        for i, (_, share) in enumerate(_ROUNDS):
            last = i == len(_ROUNDS) - 1
            end = steps if last else begun + round(share * steps)
            evaluations += len(descent.start) * (end - begun + 1)
            descent.walk(range(begun, end), steps)
            begun = end
            with torch.no_grad():
                picture, loss = descent.look()
                best = _best(loss, 1 if last else _ROUNDS[i + 1][0])
                descent.keep(best)
        picture = picture[best].detach()
        styles = [style.detach() for style in descent.styles()]
    return Fit(picture=picture, styles=styles, text=descent.text(), evaluations=evaluations)


class _Descent:
    """Rows that descend on the distance to one picture: mapped noise, and what is added to the
    styles and to what attention reads.
    """

    def __init__(
        self,
        gan: TextToImageGan,
        wanted: Wanted,
        text: TextFeatures,
        start: Float[Tensor, "n z"],
        freedom: Freedom,
    ) -> None:
        self._net, self._wanted, self._freedom = gan.net, wanted, freedom
        self._tokens, self._pooled, self._mask = (part.clone() for part in text[:3])
        self.start = start
        levels = len(gan.net.levels)
        offsets = start.new_zeros(len(start), levels, gan.config.style_width)
        words = self._tokens.repeat(len(start), 1, 1)
        self._rows = {"noise": start.clone(), "offsets": offsets, "words": words}
        self._free = (torch.arange(levels, device=start.device) >= freedom.first_free)[:, None]

    def styles(self) -> list[Float[Tensor, "n s"]]:
        """A style for each level."""
        noise = self._rows["noise"]
        common = self._net.style(noise, self._pooled.expand(len(noise), -1))
        return list((common[:, None] + self._rows["offsets"] * self._free).unbind(1))

    def text(self) -> TextFeatures:
        """What attention reads."""
        words = self._rows["words"].detach() if not self._freedom.words else self._rows["words"]
        count = len(words)
        pooled, mask = (part.expand(count, -1) for part in (self._pooled, self._mask))
        return TextFeatures(words, pooled, mask, [0] * count)

    def look(self) -> tuple[Float[Tensor, "n 3 h w"], Float[Tensor, " n"]]:
        """The pictures, and what is minimised: their distance and the prior on the styles."""
        picture = self._net.synthesise(self.styles(), self.text())
        away = (self._rows["offsets"] * self._free).square().mean((1, 2))
        away = away + (self._rows["noise"] - self.start).square().mean(1)
        return picture, self._wanted.distance(picture) + self._freedom.prior * away

    def walk(self, steps: range, of: int) -> None:
        """Take steps, numbered from 0 to ``of``: rates rise at first and go down in the end."""
        walking = [name for name in self._rows if name != "words" or self._freedom.words]
        for name in walking:
            self._rows[name] = self._rows[name].detach().requires_grad_()
        groups = [{"params": [self._rows[name]]} for name in walking]
        optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
        for i, step in enumerate(steps):
            rate = min(1.0, (i + 1) / _WARM, (1 - step / of) / _COOL)
            for name, group in zip(walking, optimizer.param_groups, strict=True):
                group["lr"] = _LEARNING_RATES[name] * rate
            optimizer.zero_grad()
            # Rows do not see each other: the sum gives each the gradient of its own.
            torch.autograd.backward(self.look()[1].sum())
            optimizer.step()

    def keep(self, which: Sequence[int]) -> None:
        """Leave all other rows behind."""
        self._rows = {name: rows.detach()[which] for name, rows in self._rows.items()}
        self.start = self.start[which]


def _best(losses: Float[Tensor, " n"], count: int) -> list[int]:
    """The places of the smallest, of equal ones the first."""
    order: list[int] = torch.argsort(losses, stable=True).tolist()
    return order[:count]
