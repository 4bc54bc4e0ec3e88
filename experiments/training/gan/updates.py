"""One step of the conditional GAN: both networks, their optimisers, their gradients."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gandiff.experiments.data.captioned import CaptionedImages
from gandiff.experiments.training.averaging import Ema, cosine, gradients, norm, set_lr
from gandiff.experiments.training.checkpoints import Stateful
from gandiff.experiments.training.gan.batch import Batches, Part
from gandiff.experiments.training.gan.guidance import Guidance
from gandiff.experiments.training.gan.losses import (
    DiscriminatorView,
    EnergyScore,
    GanLosses,
    Scores,
    accumulate,
    reduce_over_ranks,
)
from gandiff.experiments.training.gan.recipe import GanRecipe
from gandiff.experiments.training.loop import Loop, NonFiniteError
from gandiff.experiments.training.precision import autocast_context, resolve_precision
from gandiff.experiments.training.ranks import SINGLE_PROCESS, Ranks
from gandiff.experiments.training.request import TrainingRequest
from gandiff.experiments.training.text.record import ALL, captions_digest
from gandiff.experiments.training.text.train import CaptionCache
from gandiff.models.gan.config import GanConfig
from gandiff.models.gan.discriminator import Discriminator
from gandiff.models.gan.layers import GROUP
from gandiff.models.gan.synthesis import GeneratorNetwork
from gandiff.models.text import TextEncoder


class Phase:
    """Which phase was reached: never an earlier one again, also when the budget grows."""

    D_WARMUP, G_WARMUP, ADVERSARIAL = range(3)

    def __init__(self) -> None:
        self.now = self.D_WARMUP

    def advance(self, recipe: GanRecipe, fraction: float) -> int:
        """The phase for the fraction of the budget that is spent, or a later one."""
        starts = (0.0, recipe.d_warmup, recipe.d_warmup + recipe.g_warmup)
        self.now = max(self.now, *(i for i, start in enumerate(starts) if fraction >= start))
        return self.now

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"now": self.now}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.now = state["now"]


class GanUpdates:
    """Both networks, their optimisers and one step, which updates what its phase trains.

    In the discriminator's warm-up it learns which caption fits a real picture; in the generator's,
    the generator learns what captions decide and what they leave open, by the energy score alone;
    then both compete (see ``GanRecipe``).
    """

    def __init__(
        self,
        request: TrainingRequest,
        recipe: GanRecipe,
        config: GanConfig,
        encoder: TextEncoder,
        data: CaptionedImages,
        ranks: Ranks = SINGLE_PROCESS,
    ) -> None:
        torch.manual_seed(request.seed)
        self.request, self.recipe, self.ranks, self.data = request, recipe, ranks, data
        self.precision = resolve_precision(request.dtype, request.device)
        self.autocast = functools.partial(autocast_context, self.precision, request.device)
        self.encoder = encoder.to(request.device, torch.float32)
        endless = data.count is None
        encode = encoder.encode if endless else CaptionCache(encoder, data.captions(ALL))
        self.draw = Batches(request, recipe, data, encode, config.z_width, ranks)
        self.g = GeneratorNetwork(config).to(request.device)
        self.d = Discriminator(config).to(request.device)
        self.ema = Ema(self.g, recipe.ema_halflife_images)
        self.energy = EnergyScore(self.d.match.width)
        self.losses = GanLosses(
            recipe,
            DiscriminatorView(self.d, self.autocast, augmented=recipe.augment),
            self.energy,
            Guidance(recipe.guidance, request.device) if recipe.guidance else None,
            hard_negatives=data.has_hard_negatives,
        )
        self.g_opt, self.d_opt = (
            torch.optim.Adam(net.parameters(), lr=recipe.lr, betas=recipe.betas, fused=True)
            for net in (self.g, self.d)
        )
        self.phase = Phase()
        parts: dict[str, Stateful] = {"g": self.g, "d": self.d, "ema": self.ema.module}
        parts |= {"g_opt": self.g_opt, "d_opt": self.d_opt, "phase": self.phase}
        networks, numbers = dataclasses.asdict(config), dataclasses.asdict(recipe)
        known = captions_digest(data)
        self.loop = Loop(request, "GAN", parts, ranks, networks, numbers, captions_sha256=known)
        if recipe.minibatch_std and not self._same_groups():
            self.loop.log.say(
                "minibatch deviation looks at groups within each part of a batch, so here it may "
                "see other groups than one process would; with parts of 8, 16, ... it does not"
            )

    def _same_groups(self) -> bool:
        """Whether minibatch deviation compares the pictures that it would in an undivided batch."""
        parts = self.request.accumulate * self.ranks.count
        # Where every second caption has two pictures, the second ones are half as many.
        whole_groups = GROUP * 2 if self.recipe.uses_energy_score else GROUP
        return parts == 1 or (self.request.batch_size // parts) % whole_groups == 0

    def step(self) -> tuple[int, dict[str, float]]:
        """One update of what the phase trains: images shown, and what was measured."""
        n, recipe, progress = self.request.batch_size, self.recipe, self.loop.progress
        phase = self.phase.advance(recipe, self.loop.fraction)
        d_alone = phase == Phase.D_WARMUP
        dropout = 0.0 if d_alone else recipe.caption_dropout
        z, parts = self.draw(progress.position, caption_dropout=dropout)
        for optimizer, scale in ((self.g_opt, recipe.g_lr_scale), (self.d_opt, 1.0)):
            # Here and not once: a checkpoint may come from another recipe.
            optimizer.param_groups[0].update(betas=recipe.betas, scale=scale)
        if d_alone:
            spent = self.loop.fraction / recipe.d_warmup
            set_lr(self.d_opt, cosine(spent, recipe.d_warmup_lr, recipe.d_warmup_lr_end))
            logged = self._d_warmup(parts, n)
        else:
            with torch.no_grad():
                self.g.track_mean(self.g.map(z))
            update = self._g_warmup if phase == Phase.G_WARMUP else self._adversarial
            logged = update(parts, n)
            self.ema.update(self.g, n, progress.images + n)
        return n, reduce_over_ranks(logged, self.ranks, self.request.device)

    def _d_warmup(self, parts: list[Part], n: int) -> dict[str, float]:
        """The discriminator learns which caption fits a real picture."""
        logged, _, _ = self._update_d(parts, n, lambda _, part: self.losses.d_warmup(part, n))
        # The adversarial head begins with what the matching head has learned.
        self.d.judge.project.load_state_dict(self.d.match.state_dict())
        return logged

    def _g_warmup(self, parts: list[Part], n: int) -> dict[str, float]:
        """The generator learns by the energy score; the discriminator's warm-up continues."""
        set_lr(self.d_opt, self.recipe.d_warmup_lr_end)
        set_lr(self.g_opt, self.recipe.lr)
        logged = self._d_warmup(parts, n)
        return logged | self._update_g(
            parts, lambda _, part: self.losses.g_warmup(part, self._generate(part), n)
        )

    def _adversarial(self, parts: list[Part], n: int) -> dict[str, float]:
        """One update of each network against the other."""
        recipe = self.recipe
        for optimizer in (self.g_opt, self.d_opt):
            set_lr(optimizer, self._between(recipe.lr, recipe.lr_end))
        gamma = self._between(recipe.gamma, recipe.gamma_end)
        energy = self._between(recipe.energy, recipe.energy_end)
        penalise = self.loop.progress.steps % recipe.penalty_interval == 0
        # Fakes are made once for both updates, unless they would have to be kept for many parts.
        fakes = [self._generate(part) for part in parts] if len(parts) == 1 else []

        def d_loss(i: int, part: Part) -> tuple[Tensor, Scores, dict[str, float]]:
            if fakes:
                fake = fakes[i][: len(part.real)].detach()
            else:
                with torch.no_grad():
                    fake = self._generate(part, second=False)
            return self.losses.discriminator(part, fake, n, gamma if penalise else None)

        def g_loss(i: int, part: Part) -> tuple[Tensor, dict[str, float]]:
            fake = fakes[i] if fakes else self._generate(part)
            return self.losses.generator(part, fake, real_logits[i], n, energy)

        logged, real_logits, size = self._update_d(parts, n, d_loss)
        logged |= {"d_grad_norm": size, **({"gamma": gamma} if penalise else {})}
        # The real logits date from before the discriminator's update: that saves a pass over the
        # reals, and they only weigh the gradient.
        return logged | self._update_g(parts, g_loss)

    @property
    def adversarial_fraction(self) -> float:
        """How much of the adversarial phase is spent; below 0 before it begins."""
        before = self.recipe.d_warmup + self.recipe.g_warmup
        return (self.loop.fraction - before) / (1 - before)

    def _between(self, start: float, end: float) -> float:
        return cosine(max(0.0, self.adversarial_fraction), start, end)

    def _generate(self, part: Part, *, second: bool = True) -> Tensor:
        """A picture for each caption, and behind them ``second`` ones for the paired rows."""
        text = part.text.repeated(part.paired_rows) if second else part.text
        with self.autocast():
            made: Tensor = self.g(part.z if second else part.z[: len(part.real)], text).float()
        return made

    def _update_d(
        self,
        parts: list[Part],
        n: int,
        loss_of: Callable[[int, Part], tuple[Tensor, Scores, dict[str, float]]],
    ) -> tuple[dict[str, float], list[Tensor], float]:
        """What was logged, the logits of each part's real pictures, the norm of the gradient.

        Also sets the unit of the energy score: how far apart real pictures are.
        """
        logged: dict[str, float] = {}
        logits, moments = [], torch.zeros(2, self.energy.width, device=self.request.device)
        self.d_opt.zero_grad(set_to_none=True)
        for i, part in enumerate(parts):
            loss, scores, measured = loss_of(i, part)
            torch.autograd.backward(loss)
            m = len(part.real)
            logits.append(scores.logits[:m].detach())
            features = scores.image_features[:m].detach()
            moments += self.energy.moments(self.energy.describe(part.real, features))
            accumulate(logged, measured)
        size = self._apply(self.d, self.d_opt)
        self.ranks.all_reduce([moments])
        self.energy.set_unit(moments, n)
        return logged, logits, size

    def _update_g(
        self, parts: list[Part], loss_of: Callable[[int, Part], tuple[Tensor, dict[str, float]]]
    ) -> dict[str, float]:
        logged: dict[str, float] = {}
        self.d.requires_grad_(False)
        self.g_opt.zero_grad(set_to_none=True)
        for i, part in enumerate(parts):
            loss, measured = loss_of(i, part)
            torch.autograd.backward(loss)
            accumulate(logged, measured)
        self.d.requires_grad_(True)
        return logged | {"g_grad_norm": self._apply(self.g, self.g_opt)}

    def _apply(self, net: nn.Module, optimizer: torch.optim.Optimizer) -> float:
        """Add up the gradients of all processes and take the step; returns their norm."""
        grads = gradients(net)
        self.ranks.all_reduce(grads)
        size = norm(grads)
        if not math.isfinite(size):
            raise NonFiniteError(f"norm of the {type(net).__name__}'s gradient = {size}")
        optimizer.step()
        return size
