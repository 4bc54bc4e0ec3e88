"""One step of the denoiser: what it sees of pictures and captions, and what it minimises."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gandiff.experiments.data.captioned import CaptionedImages
from gandiff.experiments.training.averaging import Ema, anneal, noise_at
from gandiff.experiments.training.compiling import compiled
from gandiff.experiments.training.diffusion import weights
from gandiff.experiments.training.diffusion.conditioning import CaptionTokens
from gandiff.experiments.training.diffusion.hints import PositionHints
from gandiff.experiments.training.diffusion.latents import Latents
from gandiff.experiments.training.diffusion.noise import Noising
from gandiff.experiments.training.diffusion.recipe import DiffusionRecipe
from gandiff.experiments.training.loop import Loop
from gandiff.experiments.training.muon import Together, muon_and_adamw
from gandiff.experiments.training.precision import autocast_context, resolve_precision
from gandiff.experiments.training.ranks import Ranks
from gandiff.experiments.training.request import TrainingRequest
from gandiff.experiments.training.text.record import captions_digest
from gandiff.models.diffusion.networks import build_unet
from gandiff.models.text import TextEncoder

LABEL = "denoiser"
_WARMUP = 100  # steps
_MOST_SPENT = 0.99  # of a budget before the denoiser: that of a resumed training may be smaller
_EDGES = ("conv_in", "conv_out")  # layers of the U-Net that touch what is denoised


class Parts(NamedTuple):
    """What was there before the denoiser; ``facts`` is what its autoencoder cost and reached."""

    vae: Any
    latents: Latents
    encoder: TextEncoder
    facts: Mapping[str, Any]


class Batch(NamedTuple):
    """A whole batch, of which each process works on its rows."""

    x: Float[Tensor, "n c h w"]
    noise: Float[Tensor, "n c h w"]
    t: Int[Tensor, " n"]
    captions: list[str]


def unet_shape(recipe: DiffusionRecipe, resolution: int) -> dict[str, Any]:
    """What ``build_unet`` makes the denoiser of pictures of this size by."""
    return {
        "side": resolution // recipe.cell,
        "depth": recipe.depth,
        "widths": list(recipe.widths),
        "attention": recipe.attention,
        "attention_layers": recipe.attention_layers,
    }


def trained(recipe: DiffusionRecipe, resolution: int) -> dict[str, Any]:
    """What a checkpoint of the denoiser must be of: its network, what that predicts, and whose
    states an optimiser holds.
    """
    networks = unet_shape(recipe, resolution) | {
        "prediction": recipe.prediction,
        "train_text": bool(recipe.train_text),
        "optimizer": recipe.optimizer,
    }
    if networks["side"] >> (len(recipe.widths) - 1) > recipe.attention:
        networks["last_level"] = "attention"  # which it lacked in earlier versions
    return networks


class DenoiserUpdates:
    """The U-Net, its average, its optimiser, and one step; the text encoder's with ``train_text``.

    Which latents, captions and noise a step works on follows from its position alone, and with
    the progress of the training also the noise levels.
    """

    def __init__(
        self,
        request: TrainingRequest,
        recipe: DiffusionRecipe,
        parts: Parts,
        data: CaptionedImages,
        ranks: Ranks,
    ) -> None:
        torch.manual_seed(request.seed + 1)
        self.request, self.recipe, self.data, self.ranks = request, recipe, data, ranks
        self.vae, self.latents, self.encoder, self.autoencoder = parts
        self.precision = resolve_precision(request.dtype, request.device)
        self.autocast = functools.partial(autocast_context, self.precision, request.device)
        self.noising = Noising(recipe, request.device)
        shape = unet_shape(recipe, request.resolution)
        unet = build_unet(text_width=self.encoder.width, **shape)
        self.unet = unet.to(request.device, memory_format=torch.channels_last).train()
        self.ema = Ema(self.unet, recipe.ema_halflife_images)  # a copy without the hints
        self.hints = PositionHints(self.unet, shape["side"], recipe.position_hints, request.seed)
        self.fast_unet = compiled(self.unet, wanted=request.compile)
        state: dict[str, Any] = {"unet": self.unet, "ema": self.ema.module}
        text: list[dict[str, Any]] = []
        self.text_ema: Ema | None = None
        if recipe.train_text:
            self.text_ema = Ema(self.encoder.model, recipe.ema_halflife_images)
            model = self.encoder.model.requires_grad_(True)
            text.append({"params": list(model.parameters()), "scale": recipe.train_text})
            state |= {"text": model, "text_ema": self.text_ema.module}
        self.optimizer = self._optimizer(text)
        self.parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        state["optimizer"] = self.optimizer
        known = list(itertools.chain.from_iterable(self.latents.captions))
        self.tokens = CaptionTokens(self.encoder, known, trained=bool(recipe.train_text))
        self.loop = self._loop(state)

    def _optimizer(self, text: list[dict[str, Any]]) -> torch.optim.Optimizer | Together:
        """Of the U-Net's weights and of the groups of the text encoder."""
        if self.recipe.optimizer == "adamw":
            own: dict[str, Any] = {"params": list(self.unet.parameters())}
            return torch.optim.AdamW([own, *text], fused=True)
        dtype = torch.bfloat16 if self.precision == "bfloat16" else torch.float32
        return muon_and_adamw(self.unet, edges=_EDGES, others=text, dtype=dtype)

    def _loop(self, state: dict[str, Any]) -> Loop:
        """A checkpoint of other networks, or of other latents, is refused by name."""
        recipe = self.recipe
        networks = trained(recipe, self.request.resolution)
        networks["autoencoder"] = weights.digest(self.vae)
        if self.data.count is None:  # files may change between two starts, which is said
            networks["latents"] = self.latents.first
        return Loop(
            self.request,
            LABEL,
            state,
            self.ranks,
            networks=networks,
            recipe=dataclasses.asdict(recipe),
            captions_sha256=captions_digest(self.data),
            share=1 - self._spent(),
        )

    def _spent(self) -> float:
        """How much of the budget went to the autoencoder, which of a larger one, given when a
        training is resumed, is less than its share.
        """
        if self.recipe.space == "pixel" or not self.autoencoder:
            return 0.0
        spent = self.autoencoder["seconds"] / (60 * self.request.minutes)
        if self.request.kimg is not None:
            spent = self.autoencoder["images"] / (1000 * self.request.kimg)
        return min(float(spent), _MOST_SPENT)

    def step(self) -> tuple[int, dict[str, float]]:
        """One update: images shown over all processes, and what was measured."""
        n, recipe, progress = self.request.batch_size, self.recipe, self.loop.progress
        for group in self.optimizer.param_groups:
            # Here and not once: a checkpoint may come from another recipe.
            group.update(betas=recipe.betas, weight_decay=recipe.weight_decay)
        self.optimizer.param_groups[-1]["scale"] = recipe.train_text or 1.0
        start, end = recipe.lr, recipe.lr_end
        fraction, steps = self.loop.fraction, progress.steps
        anneal(self.optimizer, fraction, steps, start=start, end=end, warmup=_WARMUP)
        self.hints.fade(fraction)
        batch = self.draw(progress.position)
        sums = torch.zeros(2, device=self.request.device)
        self.optimizer.zero_grad(set_to_none=True)
        for part in weights.parts_of(self.request, self.ranks.shard(n)):
            x, noise, t = (whole[part].to(self.request.device) for whole in batch[:3])
            errors = self.errors(self.fast_unet, x, noise, t, self.tokens(batch.captions[part]))
            loss = (errors * self.noising.weights[t]).sum() / n
            torch.autograd.backward(loss)
            sums += torch.stack([loss.detach(), errors.detach().sum() / n])
        size = weights.update(self.optimizer, self.parameters, self.ranks, LABEL)
        self.ema.update(self.unet, n, progress.images + n)
        if self.text_ema is not None:
            self.text_ema.update(self.encoder.model, n, progress.images + n)
        self.ranks.all_reduce([sums])
        return n, {"loss": float(sums[0]), "mse": float(sums[1]), "grad_norm": size}

    def draw(self, position: int) -> Batch:
        """The batch at a position of the data; of several captions each has the same chance."""
        n, latents = self.request.batch_size, self.latents
        draw = noise_at(self.request.seed, position)
        which = torch.randint(len(latents.captions), (n,), generator=draw)
        dropped = torch.rand(n, generator=draw) < self.recipe.caption_dropout
        noise = torch.randn(n, *latents.values.shape[1:], generator=draw)
        first = self.recipe.coarse_first
        coarse = max(0.0, 1 - self.loop.fraction / first) if first else 0.0
        t = self.noising.draw(n, draw, coarse)
        turns = torch.randint(1 << 30, (n,), generator=draw).tolist()
        texts = [latents.captions[i] for i in which.tolist()]
        chosen = [each[turn % len(each)] for each, turn in zip(texts, turns, strict=True)]
        pairs = zip(chosen, dropped.tolist(), strict=True)
        return Batch(latents.at(which), noise, t, ["" if drop else text for text, drop in pairs])

    def errors(
        self,
        unet: Any,
        x: Float[Tensor, "m c h w"],
        noise: Float[Tensor, "m c h w"],
        t: Int[Tensor, " m"],
        tokens: Float[Tensor, "m l d"],
    ) -> Float[Tensor, " m"]:
        """Squared error of what a U-Net predicts for each row, not weighted."""
        noisy = self.noising.add(x, noise, t).contiguous(memory_format=torch.channels_last)
        with self.autocast():
            guess = unet(noisy, t, encoder_hidden_states=tokens).sample
        apart: Tensor = guess.float() - self.noising.target(x, noise, t)
        return apart.square().mean((1, 2, 3))
