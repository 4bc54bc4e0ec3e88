"""One step of the conditional GAN: both networks, their optimisers, their gradients."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor, nn

from gandiff.experiments.datasets import CaptionedBatch, CaptionedImages
from gandiff.experiments.training.averaging import Ema, cosine, gradients, norm, set_lr, to_tensor
from gandiff.experiments.training.checkpoints import Stateful
from gandiff.experiments.training.gan_recipe import GanRecipe
from gandiff.experiments.training.guidance import Guidance
from gandiff.experiments.training.loop import Loop, NonFiniteError
from gandiff.experiments.training.precision import Precise
from gandiff.experiments.training.ranks import ALONE, Ranks
from gandiff.experiments.training.request import TrainingRequest
from gandiff.experiments.training.text import CaptionCache
from gandiff.models.gan.augment import augment
from gandiff.models.gan.config import GanConfig
from gandiff.models.gan.discriminator import Discriminator
from gandiff.models.gan.losses import (
    energy_score,
    matching,
    non_saturating,
    relativistic,
)
from gandiff.models.gan.synthesis import GeneratorNetwork
from gandiff.models.text import TextEncoder, TextFeatures


class Part(NamedTuple):
    """A share of the batch: what is judged, and with which captions."""

    real: Tensor  # m 3 h w
    z: Tensor  # m + s z; behind the pictures of all captions, second ones of some
    twice: Tensor  # s; rows whose caption is painted twice
    text: TextFeatures  # m captions
    captions: Tensor  # n t; all captions of the batch
    own: Tensor  # m; which of them is whose
    wrong: Tensor  # m k t
    mismatch: Tensor  # m (n + k); True where a caption does not fit the real picture
    told: Tensor  # m; False where the caption is empty
    draws: Tensor  # 2 m 8; the random numbers of augmentation, for reals and fakes
    words: list[str]  # the m captions


class Judged(NamedTuple):
    """Logits of pictures: with their own captions, and matches with others."""

    logits: Tensor  # m
    right: Tensor  # m
    others: Tensor  # m (n + k)


class GanTrainer:
    """Both networks, their optimisers and one step.

    What is random in a step follows from its position in the data, so a resumed run sees what an
    undisturbed one would, and several processes see what one would.
    """

    def __init__(
        self,
        request: TrainingRequest,
        recipe: GanRecipe,
        config: GanConfig,
        encoder: TextEncoder,
        data: CaptionedImages,
        ranks: Ranks = ALONE,
    ) -> None:
        torch.manual_seed(request.seed)
        self.request, self.recipe, self.ranks, self.data = request, recipe, ranks, data
        self.precise = Precise(request.dtype, request.device)
        self.encoder = encoder.to(request.device, torch.float32)
        endless = data.count is None
        self.read_captions = self.encoder.encode if endless else CaptionCache(self.encoder)
        self.guidance = Guidance(recipe.guidance, request.device) if recipe.guidance else None
        self.g = GeneratorNetwork(config).to(request.device)
        self.d = Discriminator(config).to(request.device)
        self.ema = Ema(self.g, recipe.ema_halflife_images)
        self.g_opt = _adam(self.g, recipe)
        self.d_opt = _adam(self.d, recipe)
        parts: dict[str, Stateful] = {
            "g": self.g,
            "d": self.d,
            "ema": self.ema,
            "g_opt": self.g_opt,
            "d_opt": self.d_opt,
        }
        self._spread = 1.0
        self.loop = Loop(request, "GAN", parts, ranks)

    @property
    def fraction(self) -> float:
        """How much of the budget after reading is spent; below 0 while the discriminator reads."""
        return (self.loop.fraction - self.recipe.reading) / (1 - self.recipe.reading)

    def step(self) -> tuple[int, dict[str, float]]:
        """One update of each network; while the discriminator reads, of that alone."""
        n, recipe = self.request.batch_size, self.recipe
        parts = self._parts(n)
        if self.fraction < 0:
            read = self.loop.fraction / recipe.reading
            set_lr(self.d_opt, cosine(read, recipe.reading_lr, recipe.lr))
            return n, self._read(parts, n)
        for optimizer in (self.g_opt, self.d_opt):
            set_lr(optimizer, cosine(self.fraction, recipe.lr, recipe.lr_end))
        # Fakes are made once for both updates, unless they would have to be kept for many parts.
        fakes = [self._make(part) for part in parts] if len(parts) == 1 else []
        seen = [fake[: len(part.real)].detach() for fake, part in zip(fakes, parts, strict=False)]
        losses, real_logits = self._update_d(parts, seen, n)
        losses |= self._update_g(parts, fakes, real_logits, n)
        self.ema.update(self.g, n, self.loop.at.images + n)
        return n, losses

    # What a step works on.

    def _parts(self, n: int) -> list[Part]:
        at, request, device = self.loop.at.position, self.request, self.request.device
        rows = self.ranks.share(n)
        draw = torch.Generator().manual_seed((request.seed << 40) + at)
        silent = torch.rand(n, generator=draw) < (self.recipe.silent if self.fraction >= 0 else 0)
        batch = self.data.batch(at, n, wrong=self.recipe.mismatches, rows=rows)
        batch = _silence(batch, silent.numpy())
        z, more = torch.randn(2, n, self.g.config.z_width, generator=draw).to(device)
        draws = torch.rand(2, n, 8, generator=draw)
        if self.fraction >= 0:
            with torch.no_grad():
                self.g.track_mean(self.g.map(z))
        own = range(rows.start, rows.stop)
        edges = np.linspace(0, len(own), request.accumulate + 1).astype(int)
        text, wrong = self._features(batch, rows)
        real = to_tensor(batch.images, device)
        mismatch = torch.from_numpy(np.concatenate([~batch.fit, batch.mismatch], 1)).to(device)
        every = torch.arange(rows.start, rows.stop, device=device)
        second = every % 2 == 0 if self.recipe.energy else every < 0
        return [
            Part(
                real[a:b],
                torch.cat([z[rows.start + a : rows.start + b], more[every[a:b][second[a:b]]]]),
                second[a:b].nonzero()[:, 0],
                text.rows(slice(rows.start + a, rows.start + b)),
                text.pooled,
                every[a:b],
                wrong[a:b],
                mismatch[a:b],
                ~silent[rows.start + a : rows.start + b].to(device),
                draws[:, rows.start + a : rows.start + b].to(device),
                batch.captions[rows.start + a : rows.start + b],
            )
            for a, b in itertools.pairwise(edges)
            if b > a
        ]

    def _features(self, batch: CaptionedBatch, rows: range) -> tuple[TextFeatures, Tensor]:
        flat = [text for row in batch.wrong for text in row]
        features = self.read_captions(batch.captions + flat)
        n, k = len(batch.captions), self.recipe.mismatches
        wrong = features.pooled[n:].view(len(rows), k, features.pooled.shape[1])
        return features.rows(slice(0, n)), wrong

    def _make(self, part: Part, *, once: bool = False) -> Tensor:
        """Pictures of all captions, and behind them second ones of some unless only ``once``."""
        m = len(part.real)
        text = part.text if once else part.text.repeated(part.twice)
        with self.precise():
            made: Tensor = self.g(part.z[:m] if once else part.z, text).float()
        return made

    def _see(self, images: Tensor, draws: Tensor) -> Tensor:
        """The discriminator's features of pictures, float32."""
        if self.recipe.augment:
            images = augment(images, draws)
        with self.precise():
            return self.d.features(images)

    def _judge(self, h: Tensor, part: Part) -> Judged:
        """Logits of pictures that belong to the part's captions, in turn, from their features."""
        judge = self.d.judge
        seen = judge.image(h)
        in_batch = seen @ judge.read(part.captions).T
        own = part.own.repeat(len(h) // len(part.own))
        right = in_batch.gather(1, own[:, None])[:, 0]
        if len(h) > len(part.own):  # the other captions matter for real pictures alone
            seen, in_batch = seen[: len(part.own)], in_batch[: len(part.own)]
        wrong = torch.einsum("nd,nkd->nk", seen, judge.read(part.wrong))
        return Judged(judge.real(h)[:, 0] + right, right, torch.cat([in_batch, wrong], 1))

    # The updates.

    def _read(self, parts: list[Part], n: int) -> dict[str, float]:
        """The discriminator learns which caption fits a real picture."""
        self.d_opt.zero_grad(set_to_none=True)
        out = {"match_real": 0.0, "p_caption": 0.0}
        for part in parts:
            judged = self._judge(self._see(part.real, part.draws[0]), part)
            loss = matching(judged.right, judged.others, part.mismatch, n)
            torch.autograd.backward(loss)
            out["match_real"] += float(loss.detach())
            out["p_caption"] += _p_caption(judged, part, n)
        self._apply(self.d, self.d_opt)
        return out

    def _update_d(
        self, parts: list[Part], fakes: list[Tensor], n: int
    ) -> tuple[dict[str, float], list[Tensor]]:
        recipe, penalise = self.recipe, self.loop.at.steps % self.recipe.lazy == 0
        names = ("d_loss", "p_real_above_fake", "match_real", "p_caption")
        out, logits = dict.fromkeys(names, 0.0), []
        moments = torch.zeros(self.d.config.d_features + 1, device=self.request.device)
        self.d_opt.zero_grad(set_to_none=True)
        for i, part in enumerate(parts):
            if fakes:
                fake = fakes[i]
            else:
                with torch.no_grad():
                    fake = self._make(part, once=True)
            loss, h, real, measured = self._d_loss(part, fake, n, penalise)
            torch.autograd.backward(loss)
            logits.append(real)
            moments += torch.cat([h.sum(0), h.square().sum()[None]])
            for name, value in measured.items():
                out[name] = out.get(name, 0.0) + value
        out["grad_d"] = self._apply(self.d, self.d_opt)
        self.ranks.add([moments])
        variance = float(moments[-1] / n - (moments[:-1] / n).square().sum())
        # The distance of two pictures, were they drawn at random.
        self._spread = math.sqrt(max(2 * variance, 1e-6))
        if not penalise:
            return out, logits
        out["gamma"] = cosine(self.fraction, recipe.gamma, recipe.gamma_end)
        return out, logits

    def _d_loss(
        self, part: Part, fake: Tensor, n: int, penalise: bool
    ) -> tuple[Tensor, Tensor, Tensor, dict[str, float]]:
        recipe, m = self.recipe, len(part.real)
        images = torch.cat([part.real, fake]).requires_grad_(penalise)
        if recipe.minibatch_std:  # whose groups must not mix real pictures with fakes
            both = [self._see(images[i * m : (i + 1) * m], part.draws[i]) for i in (0, 1)]
            h = torch.cat(both)
        else:
            h = self._see(images, part.draws.flatten(0, 1))
        judged = self._judge(h, part)
        real, made = judged.logits[:m], judged.logits[m:]
        match = matching(judged.right[:m], judged.others, part.mismatch, n)
        pair = recipe.loss == "relativistic"
        against = relativistic(real, made, n) if pair else non_saturating(real, made, n)
        loss = against + recipe.matching * match
        out = {
            "d_loss": float(loss.detach()),
            "p_real_above_fake": float((real > made).float().sum()) / n,
            "match_real": float(match.detach()),
            "p_caption": _p_caption(judged, part, n),
        }
        if penalise:
            gamma = cosine(self.fraction, recipe.gamma, recipe.gamma_end) * recipe.lazy
            (slope,) = torch.autograd.grad(judged.logits.sum(), images, create_graph=True)
            r1, r2 = (0.5 * s.float().square().sum() / n for s in (slope[:m], slope[m:]))
            loss = loss + gamma * (r1 + r2 if pair else r1)
            out |= {"r1": float(r1.detach()), "r2": float(r2.detach())}
        return loss, h[:m].detach(), real.detach(), out

    def _update_g(
        self, parts: list[Part], fakes: list[Tensor], real_logits: list[Tensor], n: int
    ) -> dict[str, float]:
        # The real logits date from before the discriminator's update: that saves a pass over the
        # reals, and they only weigh the gradient.
        self.d.requires_grad_(False)
        self.g_opt.zero_grad(set_to_none=True)
        out = {"g_loss": 0.0, "match_fake": 0.0}
        for i, part in enumerate(parts):
            fake, m = fakes[i] if fakes else self._make(part), len(part.real)
            h = self._see(fake, torch.cat([part.draws[1], part.draws[0][part.twice]]))
            judged = self._judge(h[:m], part)
            # Captions of other pictures speak of what this one leaves open, and keeping away from
            # all of them would settle it. Captions that differ in a stated fact alone do not.
            k = part.wrong.shape[1] if self.data.hard else 0
            others, wrong = judged.others[:, -k:], part.mismatch[:, -k:]  # all of them for k = 0
            wrong = wrong & part.told[:, None]  # nothing contradicts an empty caption
            match = matching(judged.right, others, wrong, n)
            if self.recipe.loss == "relativistic":
                loss = relativistic(judged.logits, real_logits[i], n)
            else:
                loss = non_saturating(judged.logits, None, n)
            loss = loss + self.recipe.matching * match
            if self.recipe.energy:
                energy = self._energy(h, part, n)
                loss = loss + self.recipe.energy * energy
                out["energy"] = out.get("energy", 0.0) + float(energy.detach())
            if self.guidance is not None:
                angle = self.guidance.loss(fake[:m], part.words, n)
                loss = loss + self.recipe.guidance_weight * angle
                out["guidance"] = out.get("guidance", 0.0) + float(angle.detach())
            torch.autograd.backward(loss)
            out["g_loss"] += float(loss.detach())
            out["match_fake"] += float(match.detach())
        self.d.requires_grad_(True)
        out["grad_g"] = self._apply(self.g, self.g_opt)
        return out

    def _energy(self, h: Tensor, part: Part, n: int) -> Tensor:
        """The energy score of the captions that were painted twice, in the unit of real pictures'
        spread.
        """
        with torch.no_grad():
            real = self._see(part.real[part.twice], part.draws[0][part.twice])
        made, sibling = h[part.twice], h[len(part.real) :]
        return energy_score(real / self._spread, made / self._spread, sibling / self._spread, n)

    def _apply(self, net: nn.Module, optimizer: torch.optim.Optimizer) -> float:
        """Add up the gradients of all processes and take the step; returns their norm."""
        grads = gradients(net)
        self.ranks.add(grads)
        size = norm(grads)
        if not math.isfinite(size):
            raise NonFiniteError(f"norm of the {type(net).__name__}'s gradient = {size}")
        optimizer.step()
        return size


def _silence(batch: CaptionedBatch, silent: Bool[np.ndarray, " n"]) -> CaptionedBatch:
    """The batch with some captions empty; an empty caption fits every picture."""
    captions = ["" if quiet else c for c, quiet in zip(batch.captions, silent, strict=True)]
    return batch._replace(captions=captions, fit=batch.fit | silent[None, :])


def _p_caption(judged: Judged, part: Part, n: int) -> float:
    """Share of pictures that fit their caption better than the hard wrong ones, on average."""
    hard = part.mismatch[:, -part.wrong.shape[1] :] if part.wrong.shape[1] else part.mismatch
    others = judged.others[:, -hard.shape[1] :]
    better = (judged.right[: len(others), None] > others) & hard
    return float((better.sum(1) / hard.sum(1).clamp(min=1)).sum()) / n


def _adam(net: nn.Module, recipe: GanRecipe) -> torch.optim.Optimizer:
    arguments: dict[str, Any] = {"lr": recipe.lr, "betas": recipe.betas, "fused": True}
    return torch.optim.Adam(net.parameters(), **arguments)
