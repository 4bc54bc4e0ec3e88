"""One step of the conditional GAN: both networks, their optimisers, their gradients."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor, nn

from gandiff.experiments.datasets import CaptionedImages
from gandiff.experiments.training.averaging import Ema, cosine, gradients, norm, set_lr
from gandiff.experiments.training.checkpoints import Stateful
from gandiff.experiments.training.gan_batch import Batches, Part
from gandiff.experiments.training.gan_energy import Energy, describe
from gandiff.experiments.training.gan_eye import Eye, Judged, p_caption
from gandiff.experiments.training.gan_recipe import GanRecipe
from gandiff.experiments.training.guidance import Guidance
from gandiff.experiments.training.loop import Loop, NonFiniteError
from gandiff.experiments.training.precision import Precise
from gandiff.experiments.training.ranks import ALONE, Ranks
from gandiff.experiments.training.request import TrainingRequest
from gandiff.experiments.training.text import CaptionCache
from gandiff.models.gan.config import GanConfig
from gandiff.models.gan.discriminator import Discriminator
from gandiff.models.gan.losses import (
    matching,
    non_saturating,
    relativistic,
    zero_centred_penalties,
)
from gandiff.models.gan.synthesis import GeneratorNetwork
from gandiff.models.text import TextEncoder


class GanTrainer:
    """Both networks, their optimisers and one step.

    A training has three phases: the discriminator reads (it learns which caption fits a real
    picture), the generator sketches (it learns what captions decide and what they leave open, by
    the energy score alone), and both compete.
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
        read = self.encoder.encode if endless else CaptionCache(self.encoder)
        self.draw = Batches(request, recipe, data, read, config.z_width, ranks)
        self.guidance = Guidance(recipe.guidance, request.device) if recipe.guidance else None
        self.g = GeneratorNetwork(config).to(request.device)
        self.d = Discriminator(config).to(request.device)
        self.eye = Eye(self.d, self.precise, augmented=recipe.augment)
        self.ema = Ema(self.g, recipe.ema_halflife_images)
        self.energy = Energy(self.d.match.width)
        self.g_opt = _adam(self.g, recipe, recipe.g_lr_scale)
        self.d_opt = _adam(self.d, recipe, 1.0)
        parts: dict[str, Stateful] = {
            "g": self.g,
            "d": self.d,
            "ema": self.ema,
            "g_opt": self.g_opt,
            "d_opt": self.d_opt,
        }
        self.loop = Loop(request, "GAN", parts, ranks, networks=dataclasses.asdict(config))

    @property
    def fraction(self) -> float:
        """How much of the competition's budget is spent; below 0 while it has not begun."""
        before = self.recipe.reading + self.recipe.sketching
        return (self.loop.fraction - before) / (1 - before)

    def step(self) -> tuple[int, dict[str, float]]:
        """One update of what the phase trains."""
        n, recipe, spent = self.request.batch_size, self.recipe, self.loop.fraction
        reads = spent < recipe.reading
        z, parts = self.draw(self.loop.at.position, silent=0.0 if reads else recipe.silent)
        if reads:
            lr = cosine(spent / recipe.reading, recipe.reading_lr, recipe.reading_lr_end)
            set_lr(self.d_opt, lr)
            return n, self._read(parts, n)
        with torch.no_grad():
            self.g.track_mean(self.g.map(z))
        losses = self._sketch(parts, n) if self.fraction < 0 else self._compete(parts, n)
        self.ema.update(self.g, n, self.loop.at.images + n)
        return n, losses

    # The phases.

    def _read(self, parts: list[Part], n: int) -> dict[str, float]:
        """The discriminator learns which caption fits a real picture."""
        self.d_opt.zero_grad(set_to_none=True)
        out, moments = {"match_real": 0.0, "p_caption": 0.0}, self._no_moments()
        for part in parts:
            judged = self.eye.judge(self.eye.see(part.real, part.draws[0]), part)
            loss = matching(judged.right, judged.others, part.mismatch, n)
            torch.autograd.backward(loss)
            out["match_real"] += float(loss.detach())
            out["p_caption"] += p_caption(judged, part, n)
            moments += self._moments(part, judged)
        self._apply(self.d, self.d_opt)
        self._measure(moments, n)
        # The competition begins with what was read.
        self.d.judge.project.load_state_dict(self.d.match.state_dict())
        return out

    def _sketch(self, parts: list[Part], n: int) -> dict[str, float]:
        """The generator learns by the energy score; the discriminator goes on reading."""
        set_lr(self.d_opt, self.recipe.reading_lr_end)
        set_lr(self.g_opt, self.recipe.lr)
        out = self._read(parts, n) | {"energy": 0.0}
        self.d.requires_grad_(False)
        self.g_opt.zero_grad(set_to_none=True)
        for part in parts:
            fake = self._make(part)
            loss = self._energy(fake, self.eye.see(fake, _twice(part)), part, n)
            torch.autograd.backward(loss)
            out["energy"] += float(loss.detach())
        self.d.requires_grad_(True)
        out["grad_g"] = self._apply(self.g, self.g_opt)
        return out

    def _compete(self, parts: list[Part], n: int) -> dict[str, float]:
        """One update of each network."""
        for optimizer in (self.g_opt, self.d_opt):
            set_lr(optimizer, cosine(self.fraction, self.recipe.lr, self.recipe.lr_end))
        # Fakes are made once for both updates, unless they would have to be kept for many parts.
        fakes = [self._make(part) for part in parts] if len(parts) == 1 else []
        seen = [fake[: len(part.real)].detach() for fake, part in zip(fakes, parts, strict=False)]
        losses, real_logits = self._update_d(parts, seen, n)
        return losses | self._update_g(parts, fakes, real_logits, n)

    def _make(self, part: Part, *, once: bool = False) -> Tensor:
        """Pictures of all captions, and behind them second ones of some unless only ``once``."""
        m = len(part.real)
        text = part.text if once else part.text.repeated(part.twice)
        with self.precise():
            made: Tensor = self.g(part.z[:m] if once else part.z, text).float()
        return made

    # The unit of the energy score: how far apart real pictures are.

    def _no_moments(self) -> Tensor:
        return torch.zeros(2, self.energy.width, device=self.request.device)

    def _moments(self, part: Part, judged: Judged) -> Tensor:
        real = judged.seen[: len(part.real)].detach()
        return self.energy.moments(describe(part.real, real))

    def _measure(self, moments: Tensor, n: int) -> None:
        self.ranks.add([moments])
        self.energy.measure(moments, n)

    # The updates.

    def _update_d(
        self, parts: list[Part], fakes: list[Tensor], n: int
    ) -> tuple[dict[str, float], list[Tensor]]:
        penalise = self.loop.at.steps % self.recipe.lazy == 0
        names = ("d_loss", "p_real_above_fake", "match_real", "p_caption")
        out, logits, moments = dict.fromkeys(names, 0.0), [], self._no_moments()
        self.d_opt.zero_grad(set_to_none=True)
        for i, part in enumerate(parts):
            if fakes:
                fake = fakes[i]
            else:
                with torch.no_grad():
                    fake = self._make(part, once=True)
            loss, judged, measured = self._d_loss(part, fake, n, penalise)
            torch.autograd.backward(loss)
            logits.append(judged.logits[: len(part.real)].detach())
            moments += self._moments(part, judged)
            for name, value in measured.items():
                out[name] = out.get(name, 0.0) + value
        out["grad_d"] = self._apply(self.d, self.d_opt)
        self._measure(moments, n)
        if penalise:
            out["gamma"] = cosine(self.fraction, self.recipe.gamma, self.recipe.gamma_end)
        return out, logits

    def _d_loss(
        self, part: Part, fake: Tensor, n: int, penalise: bool
    ) -> tuple[Tensor, Judged, dict[str, float]]:
        recipe, m = self.recipe, len(part.real)
        images = torch.cat([part.real, fake]).requires_grad_(penalise)
        if recipe.minibatch_std:  # whose groups must not mix real pictures with fakes
            both = [self.eye.see(images[i * m : (i + 1) * m], part.draws[i]) for i in (0, 1)]
            h = torch.cat(both)
        else:
            h = self.eye.see(images, part.draws.flatten(0, 1))
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
            "p_caption": p_caption(judged, part, n),
        }
        if penalise:
            gamma = cosine(self.fraction, recipe.gamma, recipe.gamma_end) * recipe.lazy
            r1, r2 = zero_centred_penalties(judged.logits, images, n, (slice(m), slice(m, None)))
            loss = loss + gamma * (r1 + r2 if pair else r1)
            out |= {"r1": float(r1.detach()), "r2": float(r2.detach())}
        return loss, judged, out

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
            h = self.eye.see(fake, _twice(part))
            judged = self.eye.judge(h[:m], part)
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
                energy = self._energy(fake, h, part, n)
                weight = cosine(self.fraction, self.recipe.energy, self.recipe.energy_end)
                loss = loss + weight * energy
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

    def _energy(self, fake: Tensor, h: Tensor, part: Part, n: int) -> Tensor:
        """The energy score of the captions that were painted twice."""
        m, rows, image = len(part.real), part.twice, self.d.match.image
        with torch.no_grad():
            seen = image(self.eye.see(part.real[rows], part.draws[0][rows]))
            real = describe(part.real[rows], seen)
        made = describe(fake, image(h))
        return self.energy(real, made[:m][rows], made[m:], n)

    def _apply(self, net: nn.Module, optimizer: torch.optim.Optimizer) -> float:
        """Add up the gradients of all processes and take the step; returns their norm."""
        grads = gradients(net)
        self.ranks.add(grads)
        size = norm(grads)
        if not math.isfinite(size):
            raise NonFiniteError(f"norm of the {type(net).__name__}'s gradient = {size}")
        optimizer.step()
        return size


def _twice(part: Part) -> Tensor:
    """The random numbers of augmentation for fakes and the second ones behind them."""
    return torch.cat([part.draws[1], part.draws[0][part.twice]])


def _adam(net: nn.Module, recipe: GanRecipe, scale: float) -> torch.optim.Optimizer:
    group: dict[str, Any] = {"params": list(net.parameters()), "scale": scale}
    return torch.optim.Adam([group], lr=recipe.lr, betas=recipe.betas, fused=True)
