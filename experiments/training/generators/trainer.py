"""What the training of a generator must offer to ticks, inspections, sweeps and seed tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from gandiff.experiments.data.captioned import CaptionedImages
from gandiff.experiments.training.generators.alarms import Alarm
from gandiff.experiments.training.loop import Loop
from gandiff.experiments.training.monitors.base import Monitor
from gandiff.experiments.training.ranks import Ranks
from gandiff.experiments.training.recipes import Recipe
from gandiff.experiments.training.request import TrainingRequest
from gandiff.models.text import TextEncoder


@runtime_checkable
class GeneratorTrainer(Protocol):
    """The training of one generator: a GAN, or the denoiser of a diffusion model.

    It has one step and the loop that runs it. All methods are called in the first of several
    processes alone, between steps, and must leave the training as it was: nothing that they draw
    may come from a global generator.
    """

    request: TrainingRequest
    loop: Loop
    data: CaptionedImages
    ranks: Ranks
    encoder: TextEncoder

    @property
    def recipe(self) -> Recipe:
        """The numbers that it is trained by."""

    @property
    def precision(self) -> str:
        """What networks compute in."""

    def step(self) -> tuple[int, dict[str, float]]:
        """One update: images shown over all processes, and what was measured, for ``Loop.run``."""

    def sample(self, captions: list[str], seed: int) -> UInt8[np.ndarray, "n h w 3"]:
        """Pictures of the averaged network at its native operating point, one for each caption.

        Picture i follows from its caption, the seed and i alone, not from its neighbours, nor from
        how many are worked on at once.
        """

    def tick_facts(self) -> dict[str, float]:
        """What this kind of training measures of itself at a tick, beside the pictures.

        Every name is in ``gandiff.common.measurements``. It is empty where nothing can be measured
        (yet).
        """

    def alarms(
        self, ticks: Sequence[Mapping[str, float]], losses: Sequence[Mapping[str, float]]
    ) -> list[Alarm]:
        """What is wrong at the last tick, by all ticks and all logged losses."""

    def save(self, folder: Path, **facts: Any) -> None:
        """Write the averaged network as it is now: model, record (with ``facts``) and card.

        ``folder`` is ``best/``, with the best tick as ``best``, or that of the training.
        """

    def finish(self, monitor: Monitor) -> None:
        """Inspect the finished model, and save it with the results."""
