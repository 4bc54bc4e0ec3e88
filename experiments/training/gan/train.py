"""Training of the text-conditioned GAN: what is refused, what is trained, what is written."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from gandiff.common.errors import MetricError, RequestError
from gandiff.common.grids import tile, write_png
from gandiff.common.measurements import shown_in
from gandiff.experiments.data.captioned import CaptionedImages
from gandiff.experiments.training.averaging import keep_freed_memory
from gandiff.experiments.training.checkpoints import BEST_FOLDER, CHECKPOINT, SAMPLES
from gandiff.experiments.training.checks import (
    check_data,
    check_monitor,
    check_request,
    judged,
    open_checked,
    rank_zero_first,
)
from gandiff.experiments.training.claim import claim
from gandiff.experiments.training.gan.alarms import Alarm, alarms
from gandiff.experiments.training.gan.guidance import check_guidance
from gandiff.experiments.training.gan.inspect import (
    nearest_neighbours,
    truncation_grid,
    truncation_sweep,
)
from gandiff.experiments.training.gan.monitor import FEW, Monitor, grid
from gandiff.experiments.training.gan.recipe import GanRecipe
from gandiff.experiments.training.gan.trainer import GanTrainer
from gandiff.experiments.training.ranks import Ranks, launch
from gandiff.experiments.training.records import RECORD, write_json
from gandiff.experiments.training.request import TrainingRequest
from gandiff.experiments.training.text import train as text
from gandiff.experiments.training.text.record import TEXT_PARTS, text_summary
from gandiff.models.gan.config import gan_config
from gandiff.models.gan.model import save_network
from gandiff.models.text import TextEncoder, parameter_count

_GRID = 8  # rows and columns


def train(request: TrainingRequest, recipe: GanRecipe | None = None) -> Path:
    """Train a GAN into ``request.out``: the text encoder if it is not there, then both networks.

    Raises ``RequestError`` before anything is written if the request cannot work.
    """
    recipe = recipe or GanRecipe()
    check_request(request, CHECKPOINT)
    try:
        gan_config(request.resolution, 1)
    except ValueError as error:
        raise RequestError(f"--resolution {request.resolution}: {error}") from error
    check_monitor(request)
    if recipe.guidance:
        check_guidance(recipe.guidance)
    if request.processes > 1:
        check_data(request)
    with claim(request.out, overwrite=True):
        launch(train_networks, request, recipe)
    return request.out


def train_networks(request: TrainingRequest, ranks: Ranks, recipe: GanRecipe) -> None:
    """Train both networks in this process, one of ``ranks.count``; the first one writes."""
    keep_freed_memory()
    data = open_checked(request, ranks)
    # Before the text encoder is trained: what cannot measure is refused before anything is written.
    monitor = rank_zero_first(ranks, lambda: open_monitor(request, data))
    encoder = text.ensure(request, data, ranks)
    # Resumed while the text encoder trained, there is no state of the GAN yet. The first process
    # looks before it writes one.
    (there,) = ranks.broadcast(float((request.out / CHECKPOINT).is_file()))
    request = dataclasses.replace(request, resume=request.resume and bool(there))
    config = gan_config(request.resolution, encoder.width)
    config = dataclasses.replace(config, minibatch_std=recipe.minibatch_std)
    trainer = GanTrainer(request, recipe, config, encoder, data, ranks)
    trainer.loop.run(trainer.step, _no_tick if monitor is None else Ticks(trainer, monitor))
    if monitor is not None:
        finish(trainer, monitor)


def _no_tick() -> tuple[float, dict[str, float]]:
    """The tick of all processes but the first; the loop calls that of the first alone."""
    raise AssertionError("only the first process measures")


def open_monitor(request: TrainingRequest, data: CaptionedImages) -> Monitor:
    """What measures the generator at each tick; raises ``RequestError`` for what cannot."""
    if judged(request):
        from gandiff.experiments.training.gan.monitor_scenes import SceneMonitor

        return SceneMonitor()
    from gandiff.experiments.training.gan.monitor_files import FileMonitor

    try:
        return FileMonitor(data, request.monitor, request.device)
    except MetricError as error:  # an encoder that cannot read pictures of this size, or none
        raise RequestError(f"--monitor {request.monitor}: {error}") from error


class Ticks:
    """What happens at every tick: a picture grid, a measurement, the model as it is."""

    def __init__(self, trainer: GanTrainer, monitor: Monitor) -> None:
        self.trainer, self.monitor = trainer, monitor
        raised = [event["text"] for event in trainer.loop.events]  # before it was resumed
        self._active = {
            alarm.name
            for alarm in self._alarms()
            if any(text.startswith(f"{alarm.name}:") for text in raised)
        }
        self.prompts = monitor.prompts[:_GRID]
        self.folder = trainer.request.out / SAMPLES
        self.folder.mkdir(parents=True, exist_ok=True)
        if not trainer.request.resume:
            write_png(self.folder / "reals.png", tile(_reals(trainer.data), _GRID))
        if len(trainer.data.held_out(FEW).images) < FEW:
            trainer.loop.log.say(
                f"too few pictures ({trainer.data.count}) to hold some out: whether it memorises "
                "them (r_v, neighbours) is not measured; look at samples/neighbours.png at the end"
            )

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
            save(trainer.request.out / BEST_FOLDER, trainer, best=measured)
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
        return alarms(ticks, losses, self.trainer.adversarial_fraction)


def _reals(data: CaptionedImages) -> UInt8[np.ndarray, "n h w 3"]:
    """Whole rows of held-out pictures, or of training ones where there are too few."""
    held = data.held_out(_GRID * _GRID).images
    if len(held) < _GRID:
        held = data.batch(0, min(_GRID * _GRID, data.count or _GRID)).images
    columns = min(_GRID, len(held))
    return np.concatenate([held] * _GRID)[: max(1, len(held) // columns) * _GRID]


def finish(trainer: GanTrainer, monitor: Monitor) -> None:
    """Inspect the finished model, and save it with the results."""
    folder = trainer.request.out / SAMPLES
    near, picture = nearest_neighbours(trainer, monitor)
    write_png(folder / "neighbours.png", picture)
    write_png(folder / "truncation.png", truncation_grid(trainer, monitor.prompts[:_GRID]))
    sweep = truncation_sweep(trainer, monitor)
    save(trainer.request.out, trainer, truncation=sweep, neighbours=near)


def save(folder: Path, trainer: GanTrainer, **facts: Any) -> None:
    """Write the averaged generator, its config, the training record (with ``facts``), the card."""
    from gandiff.experiments.training.cards import GAN_USE, generator_card, write_card

    folder.mkdir(parents=True, exist_ok=True)
    g: Any = trainer.ema.module
    save_network(folder, g)
    _save_text(folder, trainer.encoder)
    record = trainer.loop.record(
        finished=trainer.loop.fraction >= 1,
        precision=trainer.precision,
        recipe=dataclasses.asdict(trainer.recipe),
        text=text_summary(trainer.request.out),
        **trainer.data.facts(),
        **facts,
    )
    write_json(folder / RECORD, record)
    summary = (
        f"A text-conditioned style-based GAN at {g.config.resolution} px: {parameter_count(g):,} "
        "parameters in the\n"
        f"generator and {parameter_count(trainer.encoder.model):,} in its text encoder. "
        f"Its loss is {trainer.recipe.loss};\n"
        "both networks also learn from mismatched captions."
    )
    name = trainer.request.out.name + ("" if folder == trainer.request.out else " at its best tick")
    card = generator_card(name, summary, record, GAN_USE)
    write_card(folder, card)


def _save_text(folder: Path, encoder: TextEncoder) -> None:
    """Write what of the text encoder is not there yet; each part has its name once it is whole."""
    missing = [part for part in TEXT_PARTS if not (folder / part).is_dir()]
    for left in folder.glob(".text-*"):  # by a process that was killed meanwhile
        shutil.rmtree(left, ignore_errors=True)
    if missing:
        with tempfile.TemporaryDirectory(prefix=".text-", dir=folder) as made:
            encoder.save_pretrained(Path(made))
            for part in missing:
                (Path(made) / part).rename(folder / part)
