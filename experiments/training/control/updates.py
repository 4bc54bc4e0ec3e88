"""One step of a ControlNet: what it sees of scenes, and what it minimises."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gandiff.experiments.data.captioned import CaptionedImages, SceneImages
from gandiff.experiments.training.averaging import Ema, anneal, noise_at
from gandiff.experiments.training.compiling import compiled
from gandiff.experiments.training.control.base import Base
from gandiff.experiments.training.control.conditions import control_images, to_control
from gandiff.experiments.training.control.recipe import ControlRecipe
from gandiff.experiments.training.diffusion import weights
from gandiff.experiments.training.diffusion.latents import encode
from gandiff.experiments.training.diffusion.noise import Noising
from gandiff.experiments.training.loop import Loop
from gandiff.experiments.training.precision import autocast_context, resolve_precision
from gandiff.experiments.training.ranks import Ranks
from gandiff.experiments.training.request import TrainingRequest
from gandiff.models.diffusion.networks import build_controlnet

LABEL = "ControlNet"
_WARMUP = 100  # steps


class Part(NamedTuple):
    """Rows of a batch that are worked on together."""

    x: Float[Tensor, "m c h w"]  # what is denoised, without noise
    noise: Float[Tensor, "m c h w"]
    t: Int[Tensor, " m"]
    tokens: Float[Tensor, "m l d"]
    control: Float[Tensor, "m 3 a b"]


class ControlUpdates:
    """The ControlNet, its average, its optimiser, and one step; the pipeline stays as it is.

    Which scenes, captions, noise and noise levels a step works on follows from its position alone.
    """

    def __init__(
        self,
        request: TrainingRequest,
        recipe: ControlRecipe,
        base: Base,
        data: SceneImages,
        ranks: Ranks,
    ) -> None:
        torch.manual_seed(request.seed + 2)
        self.request, self.recipe, self.base = request, recipe, base
        self.data: CaptionedImages = data
        self.scenes, self.ranks, self.encoder = data, ranks, base.encoder
        self.precision = resolve_precision(request.dtype, request.device)
        self.autocast = functools.partial(autocast_context, self.precision, request.device)
        self.noising = Noising(base.record.recipe, request.device)
        net = build_controlnet(base.unet, base.record.recipe.cell)
        self.net = net.to(request.device, memory_format=torch.channels_last).train()
        self.fast_net = compiled(self.net, wanted=request.compile)
        self.fast_unet = compiled(base.unet, wanted=request.compile)
        self.ema = Ema(self.net, recipe.ema_halflife_images)
        self.parameters = list(self.net.parameters())
        self.optimizer = torch.optim.AdamW(self.parameters, fused=True)
        self.loop = Loop(
            request,
            LABEL,
            {"controlnet": self.net, "ema": self.ema.module, "optimizer": self.optimizer},
            ranks,
            networks={"condition": recipe.condition, **base.facts()},
            recipe=dataclasses.asdict(recipe),
        )

    def step(self) -> tuple[int, dict[str, float]]:
        """One update: images shown over all processes, and what was measured."""
        n, recipe, progress = self.request.batch_size, self.recipe, self.loop.progress
        for group in self.optimizer.param_groups:
            # Here and not once: a checkpoint may come from another recipe.
            group.update(betas=recipe.betas, weight_decay=recipe.weight_decay)
        start, end = recipe.lr, recipe.lr_end
        fraction, steps = self.loop.fraction, progress.steps
        anneal(self.optimizer, fraction, steps, start=start, end=end, warmup=_WARMUP)
        sums = torch.zeros(2, device=self.request.device)
        self.optimizer.zero_grad(set_to_none=True)
        for rows in weights.parts_of(self.request, self.ranks.shard(n)):
            part = self.part(progress.position, n, rows)
            errors = self.errors(part)
            loss = (errors * self.noising.weights[part.t]).sum() / n
            torch.autograd.backward(loss)
            sums += torch.stack([loss.detach(), errors.detach().sum() / n])
        size = weights.update(self.optimizer, self.parameters, self.ranks, LABEL)
        self.ema.update(self.net, n, progress.images + n)
        self.ranks.all_reduce([sums])
        return n, {"loss": float(sums[0]), "mse": float(sums[1]), "grad_norm": size}

    def part(self, position: int, n: int, rows: slice) -> Part:
        """Some rows of the batch of n at a position of the data."""
        device, base = self.request.device, self.base
        start, stop = int(rows.start), int(rows.stop)  # which numpy has counted
        scenes = self.scenes.drawn(position + start, stop - start)
        x = encode(base.vae, scenes.images, device) * base.vae.config.scaling_factor
        draw = noise_at(self.request.seed, position)
        dropped = (torch.rand(n, generator=draw) < base.record.recipe.caption_dropout)[rows]
        noise = torch.randn(n, *x.shape[1:], generator=draw)[rows]
        t = self.noising.draw(n, draw)[rows]
        pairs = zip(scenes.captions, dropped.tolist(), strict=True)
        with torch.no_grad():
            tokens = self.encoder.features(["" if drop else text for text, drop in pairs]).tokens
        drawn = control_images(self.recipe.condition, scenes.scenes, self.data.resolution)
        return Part(*(one.to(device) for one in (x, noise, t, tokens, to_control(drawn))))

    def errors(self, part: Part) -> Float[Tensor, " m"]:
        """Squared error of what the U-Net predicts with the ControlNet, for each row."""
        noisy = self.noising.add(part.x, part.noise, part.t)
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        with self.autocast():
            down, middle = self.fast_net(
                noisy,
                part.t,
                encoder_hidden_states=part.tokens,
                controlnet_cond=part.control,
                return_dict=False,
            )
            guess: Any = self.fast_unet(
                noisy,
                part.t,
                encoder_hidden_states=part.tokens,
                down_block_additional_residuals=down,
                mid_block_additional_residual=middle,
            ).sample
        apart: Tensor = guess.float() - self.noising.target(part.x, part.noise, part.t)
        return apart.square().mean((1, 2, 3))
