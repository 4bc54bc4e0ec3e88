"""One step of the conditional GAN: both networks, their optimisers, their gradients."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor, nn

from gandiff.experiments.data.captioned import CaptionedImages
from gandiff.experiments.training.averaging import Ema, cosine, gradients, norm, set_lr
from gandiff.experiments.training.checkpoints import Stateful
from gandiff.experiments.training.gan.batch import Batches, Part
from gandiff.experiments.training.gan.energy import Energy, describe
from gandiff.experiments.training.gan.guidance import Guidance
from gandiff.experiments.training.gan.losses import Objectives, twice
from gandiff.experiments.training.gan.phases import Phase, add, whole
from gandiff.experiments.training.gan.recipe import GanRecipe
from gandiff.experiments.training.gan.view import Eye, Judged
from gandiff.experiments.training.loop import Loop, NonFiniteError
from gandiff.experiments.training.precision import Precise
from gandiff.experiments.training.ranks import SINGLE_PROCESS, Ranks
from gandiff.experiments.training.request import TrainingRequest
from gandiff.experiments.training.text.record import ALL
from gandiff.experiments.training.text.train import CaptionCache
from gandiff.models.gan.config import GanConfig
from gandiff.models.gan.discriminator import Discriminator
from gandiff.models.gan.layers import GROUP
from gandiff.models.gan.synthesis import GeneratorNetwork
from gandiff.models.text import TextEncoder

_SHOWN = ("p_real_above_fake", "p_caption", "g_loss", "d_loss", "match_real", "energy")


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
        ranks: Ranks = SINGLE_PROCESS,
    ) -> None:
        torch.manual_seed(request.seed)
        self.request, self.recipe, self.ranks, self.data = request, recipe, ranks, data
        self.precise = Precise(request.dtype, request.device)
        self.encoder = encoder.to(request.device, torch.float32)
        endless = data.count is None
        known = [] if endless else data.captions(ALL)
        read = self.encoder.encode if endless else CaptionCache(self.encoder, known)
        self.draw = Batches(request, recipe, data, read, config.z_width, ranks)
        self.g = GeneratorNetwork(config).to(request.device)
        self.d = Discriminator(config).to(request.device)
        self.eye = Eye(self.d, self.precise, augmented=recipe.augment)
        self.ema = Ema(self.g, recipe.ema_halflife_images)
        self.energy = Energy(self.d.match.width)
        guidance = Guidance(recipe.guidance, request.device) if recipe.guidance else None
        self.loss = Objectives(recipe, self.eye, self.energy, guidance, hard=data.hard)
        self.g_opt, self.d_opt = _adam(self.g, recipe), _adam(self.d, recipe)
        self.phase = Phase()
        parts: dict[str, Stateful] = {
            "g": self.g,
            "d": self.d,
            "ema": self.ema,
            "g_opt": self.g_opt,
            "d_opt": self.d_opt,
            "phase": self.phase,
        }
        self.loop = Loop(
            request,
            "GAN",
            parts,
            ranks,
            networks=dataclasses.asdict(config),
            recipe=dataclasses.asdict(recipe),
            shown=_SHOWN,
        )
        if recipe.minibatch_std and not self._same_groups():
            self.loop.log.say(
                "minibatch deviation looks at groups within each part of a batch, so here it may "
                "see other groups than one process would; with parts of 8, 16, ... it does not"
            )

    def _same_groups(self) -> bool:
        """Whether minibatch deviation compares the pictures that it would in an undivided batch."""
        parts = self.request.accumulate * self.ranks.count
        part = self.request.batch_size // parts
        # Of pictures that are painted twice, the second ones are half as many.
        whole_groups = GROUP * 2 if self.recipe.paints_twice else GROUP
        return parts == 1 or part % whole_groups == 0

    @property
    def fraction(self) -> float:
        """How much of the competition's budget is spent; below 0 while it has not begun."""
        before = self.recipe.reading + self.recipe.sketching
        return (self.loop.fraction - before) / (1 - before)

    def _between(self, start: float, end: float) -> float:
        return cosine(max(0.0, self.fraction), start, end)

    def step(self) -> tuple[int, dict[str, float]]:
        """One update of what the phase trains."""
        n, recipe, spent = self.request.batch_size, self.recipe, self.loop.fraction
        phase = self.phase.reach(recipe, spent)
        reads = phase == Phase.READING
        z, parts = self.draw(self.loop.progress.position, silent=0.0 if reads else recipe.silent)
        for optimizer, scale in ((self.g_opt, recipe.g_lr_scale), (self.d_opt, 1.0)):
            # Here and not once: a checkpoint may come from another recipe.
            optimizer.param_groups[0].update(betas=recipe.betas, scale=scale)
        if reads:
            lr = cosine(spent / recipe.reading, recipe.reading_lr, recipe.reading_lr_end)
            set_lr(self.d_opt, lr)
            return n, whole(self._read(parts, n), self.ranks, self.request.device)
        with torch.no_grad():
            self.g.track_mean(self.g.map(z))
        update = self._sketch if phase == Phase.SKETCHING else self._compete
        losses = whole(update(parts, n), self.ranks, self.request.device)
        self.ema.update(self.g, n, self.loop.progress.images + n)
        return n, losses

    # The phases.

    def _read(self, parts: list[Part], n: int) -> dict[str, float]:
        """The discriminator learns which caption fits a real picture."""
        self.d_opt.zero_grad(set_to_none=True)
        out: dict[str, float] = {}
        moments = self._no_moments()
        for part in parts:
            loss, judged, measured = self.loss.reading(part, n)
            torch.autograd.backward(loss)
            add(out, measured)
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
            loss = self.loss.spread(fake, self.loss.see(fake, twice(part), len(part.real)), part, n)
            torch.autograd.backward(loss)
            out["energy"] += float(loss.detach())
        self.d.requires_grad_(True)
        out["grad_g"] = self._apply(self.g, self.g_opt)
        return out

    def _compete(self, parts: list[Part], n: int) -> dict[str, float]:
        """One update of each network."""
        for optimizer in (self.g_opt, self.d_opt):
            set_lr(optimizer, self._between(self.recipe.lr, self.recipe.lr_end))
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
        self.ranks.all_reduce([moments])
        self.energy.measure(moments, n)

    # The updates.

    def _update_d(
        self, parts: list[Part], fakes: list[Tensor], n: int
    ) -> tuple[dict[str, float], list[Tensor]]:
        gamma = self._between(self.recipe.gamma, self.recipe.gamma_end)
        penalise = self.loop.progress.steps % self.recipe.lazy == 0
        out: dict[str, float] = {}
        logits, moments = [], self._no_moments()
        self.d_opt.zero_grad(set_to_none=True)
        for i, part in enumerate(parts):
            if fakes:
                fake = fakes[i]
            else:
                with torch.no_grad():
                    fake = self._make(part, once=True)
            loss, judged, measured = self.loss.of_d(part, fake, n, gamma if penalise else None)
            torch.autograd.backward(loss)
            logits.append(judged.logits[: len(part.real)].detach())
            moments += self._moments(part, judged)
            add(out, measured)
        out["grad_d"] = self._apply(self.d, self.d_opt)
        self._measure(moments, n)
        if penalise:
            out["gamma"] = gamma
        return out, logits

    def _update_g(
        self, parts: list[Part], fakes: list[Tensor], real_logits: list[Tensor], n: int
    ) -> dict[str, float]:
        # The real logits date from before the discriminator's update: that saves a pass over the
        # reals, and they only weigh the gradient.
        self.d.requires_grad_(False)
        self.g_opt.zero_grad(set_to_none=True)
        energy = self._between(self.recipe.energy, self.recipe.energy_end)
        out: dict[str, float] = {}
        for i, part in enumerate(parts):
            fake = fakes[i] if fakes else self._make(part)
            loss, measured = self.loss.of_g(part, fake, real_logits[i], n, energy)
            torch.autograd.backward(loss)
            add(out, measured)
        self.d.requires_grad_(True)
        out["grad_g"] = self._apply(self.g, self.g_opt)
        return out

    def _apply(self, net: nn.Module, optimizer: torch.optim.Optimizer) -> float:
        """Add up the gradients of all processes and take the step; returns their norm."""
        grads = gradients(net)
        self.ranks.all_reduce(grads)
        size = norm(grads)
        if not math.isfinite(size):
            raise NonFiniteError(f"norm of the {type(net).__name__}'s gradient = {size}")
        optimizer.step()
        return size


def _adam(net: nn.Module, recipe: GanRecipe) -> torch.optim.Optimizer:
    return torch.optim.Adam(net.parameters(), lr=recipe.lr, betas=recipe.betas, fused=True)
