"""The training of a ControlNet as ticks see it: samples, what is saved, a picture at the end."""

from __future__ import annotations

import copy
import dataclasses
import functools
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from gandiff.common.grids import tile, write_png
from gandiff.experiments.training.cards import controlnet_card, write_card
from gandiff.experiments.training.checkpoints import CONTROLNET, SAMPLES
from gandiff.experiments.training.control.conditions import Targets
from gandiff.experiments.training.control.updates import ControlUpdates
from gandiff.experiments.training.generators.alarms import Alarm
from gandiff.experiments.training.generators.sampling import chunks
from gandiff.experiments.training.generators.ticks import GRID
from gandiff.experiments.training.monitors.base import SEED, Monitor
from gandiff.experiments.training.records import RECORD, write_json
from gandiff.models.diffusion.loading import quiet
from gandiff.models.text import parameter_count

_CONFIG = "config.json"  # as diffusers names it


class ControlTrainer(ControlUpdates):
    """A ``GeneratorTrainer``: the averaged ControlNet is what is sampled with, measured and saved.

    ``targets`` are the prompts that it can be asked for, with what their pictures have to follow.
    """

    targets: Targets

    @functools.cached_property
    def pipeline(self) -> Any:
        """A ``StableDiffusionControlNetPipeline`` of the averaged network."""
        import diffusers

        kinds: Any = diffusers
        pipe = kinds.StableDiffusionControlNetPipeline(
            vae=self.base.vae,
            text_encoder=self.encoder.model,
            tokenizer=self.encoder.tokenizer,
            unet=self.base.unet,
            controlnet=self.ema.module,
            scheduler=self.base.scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def sample(
        self, captions: list[str], seed: int = SEED, scale: float = 1.0
    ) -> UInt8[np.ndarray, "n h w 3"]:
        """Pictures that follow the control images of their captions; picture i has noise i of the
        seed.

        As the pipeline's recipe says: its solver, its steps, its guidance. ``scale`` is how
        strongly the ControlNet acts, 0 not at all.
        """
        recipe, side = self.base.record.recipe, self.data.resolution
        draw = torch.Generator().manual_seed(seed)
        cells = side // recipe.cell
        noise = torch.randn(len(captions), recipe.depth, cells, cells, generator=draw)
        controls, parts = self.targets.of(captions), []
        for chosen in chunks(self.request, len(captions)):
            made = self.pipeline(
                captions[chosen],
                image=[Image.fromarray(one) for one in controls[chosen]],
                latents=noise[chosen].to(self.request.device),
                num_inference_steps=recipe.sampling_steps,
                guidance_scale=recipe.guidance,
                controlnet_conditioning_scale=scale,
                height=side,
                width=side,
                output_type="np",
            ).images
            parts.append((made * 255).round().astype(np.uint8))
        return np.concatenate(parts)

    def tick_facts(self) -> dict[str, float]:
        """Nothing beside what its pictures show."""
        return {}

    def alarms(
        self, ticks: Sequence[Mapping[str, float]], losses: Sequence[Mapping[str, float]]
    ) -> list[Alarm]:
        """None: it cannot collapse, nor unlearn what the pipeline does."""
        return []

    def save(self, folder: Path, **facts: Any) -> None:
        """Write the averaged network in half precision, the record (with ``facts``) and the card.

        Half precision: what is added to features need not be exact, and the file is half as large.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".control-", dir=folder) as name, quiet():
            network: Any = copy.deepcopy(self.ema.module)
            network.half().save_pretrained(name, safe_serialization=True)
            for file in (CONTROLNET, _CONFIG):
                os.replace(Path(name, file), folder / file)
        record = self.loop.record(
            family=self.recipe.family,
            finished=self.loop.fraction >= 1,
            precision=self.precision,
            recipe=dataclasses.asdict(self.recipe),
            pipeline={"name": Path(self.recipe.pipeline).name, **self.base.facts()},
            **facts,
        )
        write_json(folder / RECORD, record)
        name = self.request.out.name + ("" if folder == self.request.out else " at its best tick")
        count = parameter_count(self.ema.module)
        base = self.base.record.recipe
        point = base.sampling_steps, base.guidance
        write_card(folder, controlnet_card(name, record, count, point))

    def finish(self, monitor: Monitor) -> None:
        """Measure it beside the pipeline without it, and save it with the results."""
        facts = {}
        for name, scale in (("with it", 1.0), ("without it", 0.0)):
            _, measured = monitor.measure(self.sample(monitor.captions, SEED, scale))
            facts[name] = {key: round(value, 4) for key, value in measured.items()}
        prompts = monitor.prompts[:GRID]
        columns = [
            self.targets.of(prompts),
            *(self.sample(prompts, seed) for seed in (SEED, SEED + 1)),
            self.sample(prompts, SEED, 0.0),
        ]
        rows = np.stack(columns, 1).reshape(-1, *columns[0].shape[1:])
        write_png(self.request.out / SAMPLES / "control.png", tile(rows, len(columns)))
        self.save(self.request.out, control=facts)
