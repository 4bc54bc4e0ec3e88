"""Trials of a sweep that train nothing."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gandiff.common.errors import Diverged
from gandiff.experiments.training.checkpoints import CHECKPOINT, write_checkpoint
from gandiff.experiments.training.identity import training_digest
from gandiff.experiments.training.recipes import Recipe
from gandiff.experiments.training.records import TEXT_RECORD
from gandiff.experiments.training.request import TrainingRequest
from gandiff.experiments.training.text.record import TEXT_PARTS


def write_text_encoder(folder: Path, said: str) -> None:
    """A text encoder that says where it comes from, unless there is one."""
    if (folder / TEXT_RECORD).is_file():
        return
    for name in TEXT_PARTS:
        (folder / name).mkdir(parents=True)
    (folder / TEXT_RECORD).write_text(said)


class FakeTraining:
    """Trains nothing: leaves the records, checkpoints and text encoder that a training leaves.

    ``calls`` are folder, whether it was to resume, and recipe; the one in ``interrupted`` is
    interrupted, those in ``diverging`` end as ``Diverged``: before there is a text encoder unless
    it ``reads``. ``captions`` is the sha256 of its data's. An ``old`` one leaves what older
    versions left, which had no digests. ``checkpoint`` is the one that is written.
    """

    def __init__(self, scores: Mapping[str, float], measured: str = "all") -> None:
        self.scores, self.measured = scores, measured
        self.interrupted, self.diverging, self.reads = "", set[str](), True
        self.old, self.checkpoint = False, CHECKPOINT
        self.captions: str | None = None
        self.calls: list[tuple[str, bool, Recipe]] = []

    def __call__(self, asked: TrainingRequest, recipe: Recipe) -> None:
        value = asked.out.name.partition("=")[2]
        self.calls.append((value, asked.resume, recipe))
        asked.out.mkdir(parents=True, exist_ok=True)
        start: dict[str, Any] = {"command": asked.command, "recipe": dataclasses.asdict(recipe)}
        if not self.old:
            start["digest"] = training_digest(asked, start["recipe"], self.captions)
        if self.reads:
            write_text_encoder(asked.out, f"made for {value}")
        progress = {"images": 10, "seconds": 6.0, "commands": [start]}
        content = {"label": "GAN", "progress": progress, "state": {}}
        (asked.out / self.checkpoint).parent.mkdir(parents=True, exist_ok=True)
        write_checkpoint(asked.out / self.checkpoint, content)
        if self.interrupted == value:
            raise KeyboardInterrupt
        if value in self.diverging:
            raise Diverged("training the GAN became non-finite (d_loss = nan)")
        score = self.scores.get(value)
        ticks = [] if score is None else [{"score": score, self.measured: abs(score)}]
        record = start | {"finished": True, "images": 40, "seconds": 60.0, "ticks": ticks}
        (asked.out / "training.json").write_text(json.dumps(record))

    def taken(self) -> list[tuple[str, bool]]:
        """Value and whether it went on, of the calls since this was asked last."""
        found = [(value, resume) for value, resume, _ in self.calls]
        self.calls.clear()
        return found
