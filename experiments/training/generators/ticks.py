"""What happens at every tick of a generator's training."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8

from gandiff.common.grids import tile, write_png
from gandiff.common.measurements import shown_in
from gandiff.experiments.data.captioned import CaptionedImages
from gandiff.experiments.training.checkpoints import BEST_FOLDER, SAMPLES
from gandiff.experiments.training.generators.alarms import Alarm
from gandiff.experiments.training.generators.trainer import GeneratorTrainer
from gandiff.experiments.training.monitors.base import SEED, Monitor

GRID = 8  # rows and columns
_FEW = 4  # held-out pictures, below which they say nothing
_TRIED = 16  # pictures, that say how long a measurement takes


class Ticks:
    """A picture grid, a measurement, alarms, and the model as it is if it is the best so far."""

    def __init__(self, trainer: GeneratorTrainer, monitor: Monitor) -> None:
        self.trainer, self.monitor = trainer, monitor
        raised = [event["text"] for event in trainer.loop.events]  # before it was resumed
        self._active = {
            alarm.name
            for alarm in self._alarms()
            if any(text.startswith(f"{alarm.name}:") for text in raised)
        }
        self.prompts = monitor.prompts[:GRID]
        self.folder = trainer.request.out / SAMPLES
        self.folder.mkdir(parents=True, exist_ok=True)
        if not trainer.request.resume:
            write_png(self.folder / "reals.png", tile(_reals(trainer.data), GRID))
        if len(trainer.data.held_out(_FEW).images) < _FEW:
            trainer.loop.log.say(
                f"too few pictures ({trainer.data.count}) to hold some out: whether it memorises "
                "them is not measured; look at samples/neighbours.png at the end"
            )

    def seconds(self) -> float:
        """About how long one takes, from a few pictures; 0 with a budget in images, which measuring
        takes nothing from.
        """
        if self.trainer.request.kimg is not None:
            return 0.0
        few = self.monitor.captions[:_TRIED]
        self.trainer.sample(few[:1], SEED)  # the first takes longer
        start = time.perf_counter()
        self.trainer.sample(few, SEED)
        each = (time.perf_counter() - start) / len(few)
        return each * (len(self.monitor.captions) + len(self.prompts) * GRID)

    def __call__(self) -> tuple[float, dict[str, float]]:
        """The score and what was measured."""
        trainer = self.trainer
        name = f"kimg-{trainer.loop.progress.images / 1000:010.3f}.png"
        write_png(self.folder / name, grid(trainer, self.prompts))
        score, measured = self.monitor(trainer)
        shown = [f"{name} {measured[name]:.3g}" for name in shown_in("tick") if name in measured]
        tick, ticks = trainer.loop.progress.ticks, trainer.request.ticks
        trainer.loop.log.say(f"measured {tick} of {ticks}: {', '.join(shown)}")
        self._warn(measured)
        if score > trainer.loop.progress.best:
            trainer.save(trainer.request.out / BEST_FOLDER, best=measured)
        return score, measured

    def _warn(self, latest: Mapping[str, float]) -> None:
        """Say what is wrong, each thing once as long as it lasts."""
        active = self._alarms(latest)
        for alarm in active:
            if alarm.name not in self._active:
                self.trainer.loop.note(f"{alarm.name}: {alarm.text}")
        self._active = {alarm.name for alarm in active}

    def _alarms(self, *latest: Mapping[str, float]) -> list[Alarm]:
        rows = self.trainer.loop.log.curve
        ticks = [*(row for row in rows if "score" in row), *latest]
        losses = [row for row in rows if "score" not in row]
        return self.trainer.alarms(ticks, losses)


def train_with_ticks(trainer: GeneratorTrainer, monitor: Monitor | None) -> None:
    """Train until the budget is spent, with measurements; no monitor in all processes but the
    first.
    """
    if monitor is None:
        trainer.loop.run(trainer.step, no_tick)
        return
    ticks = Ticks(trainer, monitor)
    trainer.loop.run(trainer.step, ticks, ticks.seconds())


def no_tick() -> tuple[float, dict[str, float]]:
    """The tick of all processes but the first; the loop calls that of the first alone."""
    raise AssertionError("only the first process measures")


def grid(
    trainer: GeneratorTrainer, prompts: list[str], columns: int = GRID
) -> UInt8[np.ndarray, "h w 3"]:
    """A grid of images: each row one prompt, each column one noise."""
    rows = [trainer.sample([prompt] * columns, SEED + 2) for prompt in prompts]
    return tile(np.concatenate(rows), columns)


def _reals(data: CaptionedImages) -> UInt8[np.ndarray, "n h w 3"]:
    """Whole rows of held-out pictures, or of training ones where there are too few."""
    held = data.held_out(GRID * GRID).images
    if len(held) < GRID:
        held = data.batch(0, min(GRID * GRID, data.count or GRID)).images
    columns = min(GRID, len(held))
    return np.concatenate([held] * GRID)[: max(1, len(held) // columns) * GRID]
