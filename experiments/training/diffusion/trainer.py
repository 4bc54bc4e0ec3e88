"""The training of a denoiser as ticks and inspections see it: samples, errors, what is saved."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from gandiff.common.grids import write_png
from gandiff.experiments.training.cards import pipeline_use
from gandiff.experiments.training.checkpoints import SAMPLES
from gandiff.experiments.training.diffusion.alarms import alarms
from gandiff.experiments.training.diffusion.denoiser import DenoiserUpdates
from gandiff.experiments.training.diffusion.inspect import guidance_grid, operating_points
from gandiff.experiments.training.diffusion.latents import encode
from gandiff.experiments.training.diffusion.noise import STEPS, build_scheduler
from gandiff.experiments.training.diffusion.publish import publish
from gandiff.experiments.training.diffusion.sampling import Point, sample_at
from gandiff.experiments.training.generators.alarms import Alarm
from gandiff.experiments.training.generators.neighbours import nearest_neighbours
from gandiff.experiments.training.generators.sampling import chunks
from gandiff.experiments.training.generators.saving import save_record
from gandiff.experiments.training.generators.ticks import GRID
from gandiff.experiments.training.monitors.base import SEED, Monitor
from gandiff.models.diffusion.card import native_front_matter
from gandiff.models.diffusion.networks import build_pipeline
from gandiff.models.text import TextEncoder, parameter_count

LEVELS = ("low", "middle", "high")  # thirds of the steps, by the noise in them
_UNSEEN, _FEW = 256, 4  # held-out pictures whose noise is predicted, at most; least
_ENOUGH = 16  # of each kind, below which seen and unseen ones differ by chance


class DiffusionTrainer(DenoiserUpdates):
    """A ``GeneratorTrainer``: the averaged denoiser is what is sampled, measured and saved."""

    @functools.cached_property
    def pipeline(self) -> Any:
        """A ``StableDiffusionPipeline`` of the averaged networks, which follows their training."""
        pipe = build_pipeline(
            self.vae, self.ema.module, self.averaged_text, build_scheduler(self.recipe)
        )
        pipe.set_progress_bar_config(disable=True)
        return pipe

    @property
    def averaged_text(self) -> TextEncoder:
        """The text encoder that goes with the averaged denoiser."""
        if self.text_ema is None:
            return self.encoder
        return TextEncoder(self.text_ema.module, self.encoder.tokenizer)

    def sample(
        self,
        captions: list[str],
        seed: int = SEED,
        point: Point | None = None,
    ) -> UInt8[np.ndarray, "n h w 3"]:
        """Pictures of the averaged denoiser; picture i has noise i of the seed.

        By the recipe's solver, in the recipe's steps and with its guidance unless ``point`` says
        otherwise.
        """
        point = point or Point.of(self.recipe)
        parts = chunks(self.request, len(captions))
        return sample_at(self.pipeline, self.recipe, captions, seed, point, parts)

    def tick_facts(self) -> dict[str, float]:
        """Squared errors of predictions for held-out pictures, by how much noise is in them.

        ``caption_gain`` is which share of the error with captions of other pictures their own save:
        0 where the denoiser does not read them. ``mse_spared`` is which share of the error pictures
        of the training are spared, denoised by the same network from the same noise at the same
        steps: the logged ``mse`` is another mean, over other steps, of weights that are not
        averaged.
        """
        unseen = self.data.held_out(_UNSEEN)
        n, device = len(unseen.images), self.request.device
        if n < _FEW:
            return {}
        x = encode(self.vae, unseen.images, device).to(device) * self.vae.config.scaling_factor
        others = [*unseen.captions[1:], unseen.captions[0]]
        right, wrong = (self._averaged_errors(x, c) for c in (unseen.captions, others))
        names = [f"mse_{level}" for level in LEVELS]
        thirds = right.tensor_split(len(LEVELS))
        facts = {name: float(part.mean()) for name, part in zip(names, thirds, strict=True)}
        facts["caption_gain"] = 1 - float(right.mean() / wrong.mean())
        trained = self.latents.captions
        if min(n, len(trained)) >= _ENOUGH:
            which = torch.arange(n) % len(trained)
            captions = [trained[i][0] for i in which.tolist()]
            errors = self._averaged_errors(self.latents.at(which).to(device), captions)
            facts["mse_spared"] = 1 - float(errors.mean() / right.mean())
        return facts

    @torch.inference_mode()
    def _averaged_errors(
        self, x: Float[Tensor, "n c h w"], captions: list[str]
    ) -> Float[Tensor, " n"]:
        n, device = len(x), self.request.device
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(SEED)).to(device)
        t = ((torch.arange(n) + 0.5) * STEPS / n).long().to(device)
        parts = []
        for rows in chunks(self.request, n):
            tokens = self.averaged_text(captions[rows]).tokens
            parts.append(self.errors(self.ema.module, x[rows], noise[rows], t[rows], tokens))
        return torch.cat(parts)

    def alarms(
        self, ticks: Sequence[Mapping[str, float]], losses: Sequence[Mapping[str, float]]
    ) -> list[Alarm]:
        """What is wrong at the last tick."""
        return alarms(ticks, losses, self.loop.fraction)

    def save(self, folder: Path, **facts: Any) -> None:
        """Write the pipeline of the averaged networks, the record (with ``facts``) and the card."""
        self.pipeline.scheduler = build_scheduler(self.recipe)
        publish(folder, self.pipeline, replace_text=self.text_ema is not None)
        before = self.autoencoder
        facts |= {"autoencoder": dict(before), "latents": len(self.latents.captions)}
        # Of all networks together, as the budget counts.
        progress = self.loop.progress
        facts["seconds"] = round(progress.seconds + before.get("seconds", 0), 1)
        facts |= {k: getattr(progress, k) + before.get(k, 0) for k in ("images", "steps")}
        recipe = self.recipe
        point = (recipe.sampling_steps, recipe.guidance)
        imports = _PIXEL_IMPORT if recipe.space == "pixel" else ""
        use, front = pipeline_use(*point, imports), native_front_matter(*point)
        save_record(folder, self, self._summary(), use, front, **facts)

    def _summary(self) -> str:
        recipe = self.recipe
        unet, text = (parameter_count(m) for m in (self.ema.module, self.encoder.model))
        if recipe.space == "pixel":
            beside = "which works on pixels"
        else:
            psnr = self.autoencoder.get("reconstruction", {}).get("psnr_db", float("nan"))
            beside = (
                f"{parameter_count(self.vae):,} in the autoencoder (mean PSNR of reconstructions "
                f"{psnr:.1f} dB)"
            )
        return (
            f"A diffusion model at {self.request.resolution} px, saved as a "
            "`StableDiffusionPipeline` that plain\n"
            f"diffusers loads: {unet:,} parameters in the U-Net,\n{beside}\n"
            f"and {text:,} in the text encoder. The U-Net predicts\n"
            f"{_PREDICTED[recipe.prediction]}. What was measured in training is of\n"
            f"{recipe.sampling_steps} steps of {recipe.solver} with guidance {recipe.guidance:g}."
        )

    def finish(self, monitor: Monitor) -> None:
        """Inspect the finished model, and save it with the results."""
        folder = self.request.out / SAMPLES
        near, picture = nearest_neighbours(self, monitor, seen=len(self.latents.captions))
        write_png(folder / "neighbours.png", picture)
        write_png(
            folder / "guidance.png", guidance_grid(self.sample, self.recipe, monitor.prompts[:GRID])
        )
        spent = self.loop.progress.seconds
        measured = operating_points(self.sample, monitor, self.recipe, spent)
        self.save(self.request.out, neighbours=near, **measured)


# diffusers imports no module just because a pipeline's index names it.
_PIXEL_IMPORT = "import gandiff.models.diffusion.pixel  # its class is in the place of the VAE\n"
_PREDICTED = {
    "epsilon": "the noise",
    "v": "the velocity (v) of picture and noise",
    "flow": "the velocity along a straight line from noise to picture",
}
