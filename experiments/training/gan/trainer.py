"""The training of a GAN as ticks and inspections see it: samples, verdicts, what is saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from gandiff.common.grids import write_png
from gandiff.experiments.training.averaging import to_tensor
from gandiff.experiments.training.cards import GAN_USE
from gandiff.experiments.training.checkpoints import SAMPLES
from gandiff.experiments.training.gan.alarms import alarms
from gandiff.experiments.training.gan.truncation import truncation_grid, truncation_sweep
from gandiff.experiments.training.gan.updates import GanUpdates, Phase
from gandiff.experiments.training.generators.alarms import Alarm
from gandiff.experiments.training.generators.neighbours import nearest_neighbours
from gandiff.experiments.training.generators.sampling import chunks
from gandiff.experiments.training.generators.saving import save_record, save_text
from gandiff.experiments.training.generators.ticks import GRID
from gandiff.experiments.training.monitors.base import SEED, Monitor
from gandiff.models.gan.layers import GROUP
from gandiff.models.gan.model import save_network, to_pixels
from gandiff.models.text import TextFeatures, parameter_count

_SCORED, _FEW = 256, GROUP  # pictures of each kind that the discriminator scores, at most; least


class GanTrainer(GanUpdates):
    """A ``GeneratorTrainer``: the averaged generator is what is sampled, measured and saved."""

    @torch.inference_mode()
    def sample(
        self, captions: list[str], seed: int = SEED, psi: float = 1.0
    ) -> UInt8[np.ndarray, "n h w 3"]:
        """Pictures of the averaged generator; picture i has noise i of the seed."""
        net: Any = self.ema.module
        draw = torch.Generator().manual_seed(seed)
        noise = torch.randn(len(captions), net.config.z_width, generator=draw)
        parts = []
        for chosen in chunks(self.request, len(captions)):
            z, text = noise[chosen].to(self.request.device), self._encode(captions[chosen])
            parts.append(to_pixels(net(z, text, psi)))
        return np.concatenate(parts)

    def tick_facts(self) -> dict[str, float]:
        """r_v: how much of the gap between seen pictures and fakes is lost for unseen ones.

        (E D(train) - E D(held out)) / (E D(train) - E D(fake)), Karras et al. 2020b, equation 1: 0
        where both are judged alike, 1 where unseen pictures are taken for fakes. A relativistic
        loss leaves a constant open for every caption, so each picture is compared with a fake of
        its own caption: with gaps g = E (D(picture) - D(fake)) it is 1 - g(held out) / g(train).
        Before the adversarial phase the discriminator's logits mean nothing.
        """
        n = len(self.data.held_out(_SCORED).images) // GROUP * GROUP
        if self.phase.now != Phase.ADVERSARIAL or n < _FEW:
            return {}
        unseen = self.data.held_out(n)
        seen = self.data.batch(max(0, self.loop.progress.position - n), n)
        seen_gap, unseen_gap = (
            self._logits(some.images, some.captions)
            - self._logits(self.sample(some.captions, SEED + 1), some.captions)
            for some in (seen, unseen)
        )
        gap = float(seen_gap.mean())
        r_v = 1 - float(unseen_gap.mean()) / gap if abs(gap) > 1e-6 else 0.0
        return {"r_v": r_v, "p_held_out_above_fake": float((unseen_gap > 0).float().mean())}

    @torch.no_grad()
    def _logits(
        self, images: UInt8[np.ndarray, "n h w 3"], captions: list[str]
    ) -> Float[Tensor, " n"]:
        parts = []
        for chosen in chunks(self.request, len(captions)):
            with self.autocast():
                h = self.d.features(to_tensor(images[chosen], self.request.device))
            parts.append(self.d.judge(h, self._encode(captions[chosen]).pooled))
        return torch.cat(parts)

    def _encode(self, captions: list[str]) -> TextFeatures:
        """Features of captions, each distinct one encoded once: pictures of a prompt share them."""
        place = {caption: i for i, caption in enumerate(dict.fromkeys(captions))}
        features: TextFeatures = self.encoder.encode(list(place))
        return features.at([place[caption] for caption in captions])

    def alarms(
        self, ticks: Sequence[Mapping[str, float]], losses: Sequence[Mapping[str, float]]
    ) -> list[Alarm]:
        """What is wrong at the last tick."""
        return alarms(ticks, losses, self.adversarial_fraction)

    def save(self, folder: Path, **facts: Any) -> None:
        """Write the averaged generator, its config, the record (with ``facts``) and the card."""
        folder.mkdir(parents=True, exist_ok=True)
        g: Any = self.ema.module
        save_network(folder, g)
        save_text(folder, self.encoder)
        summary = (
            f"A text-conditioned style-based GAN at {g.config.resolution} px: "
            f"{parameter_count(g):,} parameters in the\n"
            f"generator and {parameter_count(self.encoder.model):,} in its text encoder. "
            f"Its loss is {self.recipe.loss};\n"
            "both networks also learn from mismatched captions."
        )
        save_record(folder, self, summary, GAN_USE, **facts)

    def finish(self, monitor: Monitor) -> None:
        """Inspect the finished model, and save it with the results."""

        def at_psi(captions: list[str], psi: float) -> UInt8[np.ndarray, "n h w 3"]:
            return self.sample(captions, psi=psi)

        folder = self.request.out / SAMPLES
        near, picture = nearest_neighbours(self, monitor)
        write_png(folder / "neighbours.png", picture)
        write_png(folder / "truncation.png", truncation_grid(at_psi, monitor.prompts[:GRID]))
        sweep = truncation_sweep(at_psi, monitor)
        self.save(self.request.out, neighbours=near, **sweep)
