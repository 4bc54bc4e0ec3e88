"""The trials of a sweep: which are done already, which continue, and how each is trained."""

from __future__ import annotations

import dataclasses
import math
import shutil
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from gandiff.common.errors import Diverged
from gandiff.experiments.data.record import read_data_record
from gandiff.experiments.training.checkpoints import read_checkpoint
from gandiff.experiments.training.identity import recorded_digest, training_digest
from gandiff.experiments.training.recipes import Recipe
from gandiff.experiments.training.records import RECORD, TEXT_RECORD, read_record, write_json
from gandiff.experiments.training.request import TrainingRequest
from gandiff.experiments.training.text.record import KEPT_TEXT, TEXT_PARTS, clear


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """One value, and what its training reached at its last tick.

    One that ``diverged`` reached nothing: its ``last`` is empty, its score -inf.
    """

    value: str
    out: Path
    last: dict[str, float]
    kimg: float
    minutes: float
    diverged: bool = False

    @property
    def score(self) -> float:
        """The score; -inf where there is none, or no number."""
        found = self.last.get("score", -math.inf)
        return found if math.isfinite(found) else -math.inf


class Asked(NamedTuple):
    """What one trial is to be, and what its folder holds of it."""

    request: TrainingRequest
    recipe: Recipe
    captions_sha256: str | None
    data_facts: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """That of what is asked for."""
        recipe = dataclasses.asdict(self.recipe)
        return training_digest(self.request, recipe, self.captions_sha256)

    @property
    def recorded_digest(self) -> str | None:
        """That of the training in the trial's folder, as far as it says."""
        start = _last_start(self)
        if start is None:
            return None
        return recorded_digest(start, self.request, self.captions_sha256)

    @property
    def checkpoints(self) -> list[Path]:
        """Those in the trial's folder, the main one first."""
        paths = (self.request.out / name for name in self.recipe.checkpoints)
        return [path for path in paths if path.is_file()]

    @property
    def is_there(self) -> bool:
        """Whether the training in the trial's folder is this one, of these pictures.

        Older ones did not record their pictures, only the captions.
        """
        if self.recorded_digest != self.digest:
            return False
        before = read_data_record(self.request.out)
        return before is None or {"pictures": before.summary()} == self.data_facts


def run_trial(asked: Asked, value: str, source: Path) -> Trial:
    """Train one value unless that was done; ``source`` has the sweep's text encoder."""
    request, done = asked.request, ended(asked)
    if done is None:
        resume = _can_resume(asked)
        _warn_of_another(asked)
        if not resume and request.out != source:
            _copy_text(source, request.out)
        try:
            family = import_module(f"gandiff.experiments.training.{asked.recipe.family}.train")
            family.train(dataclasses.replace(request, resume=resume), asked.recipe)
        except Diverged as error:
            if not (request.out / TEXT_RECORD).is_file():  # the text encoder: no value changes it
                raise
            _keep_diverged(asked, error)
        done = ended(asked)
    assert done is not None
    return Trial(
        value=value,
        out=request.out,
        last=done["ticks"][-1] if done["ticks"] else {},
        kimg=done["images"] / 1000,
        minutes=done["seconds"] / 60,
        diverged="diverged" in done,
    )


def ended(asked: Asked) -> dict[str, Any] | None:
    """The record of a trial that is behind us, well or not."""
    record = read_record(asked.request.out / RECORD)
    ended = record.get("finished") or "diverged" in record
    return record if ended and asked.is_there else None


def _keep_diverged(asked: Asked, error: Diverged) -> None:
    """Leave a record, so that nobody waits for the same end again."""
    reached = [read_checkpoint(path)["progress"] for path in asked.checkpoints]
    record = {
        "command": asked.request.command,
        "recipe": dataclasses.asdict(asked.recipe),
        "digest": asked.digest,
        "finished": False,
        "diverged": str(error),
        "images": sum(one.get("images", 0) for one in reached),  # that were of use
        "seconds": sum(one.get("seconds", 0.0) for one in reached),
        "ticks": [],
    }
    write_json(asked.request.out / RECORD, record)


def begun(out: Path, recipe: Recipe) -> bool:
    """Whether a folder holds a training, or what is left of one."""
    return any((out / name).is_file() for name in (*recipe.checkpoints, RECORD, TEXT_RECORD))


def _can_resume(asked: Asked) -> bool:
    """Whether a checkpoint is there and of this trial: others may have used the folder before."""
    return asked.request.resume and bool(asked.checkpoints) and asked.is_there


def _warn_of_another(asked: Asked) -> None:
    out, before = asked.request.out, _last_start(asked)
    if before is None or asked.is_there:
        return
    why = "was asked for with other options or data"
    if asked.recorded_digest is None:
        why = "does not say what it was asked for with"
    print(
        f"warning: the training in {out} {why} ({before.get('command')}); it starts again",
        file=sys.stderr,
    )


def _last_start(asked: Asked) -> Mapping[str, Any] | None:
    """What was asked for last of the training in a trial's folder."""
    record = read_record(asked.request.out / RECORD)
    if not record and asked.checkpoints:
        record = read_checkpoint(asked.checkpoints[0])["progress"]
    start: Mapping[str, Any] | None = (record.get("commands") or [record or None])[-1]
    return start


def _copy_text(source: Path, out: Path) -> None:
    """Give a trial that begins the text encoder of this sweep, whatever was there before; as it was
    before the first trial trained it along.
    """
    clear(out)
    kept = source / KEPT_TEXT
    for name in TEXT_PARTS:
        before = kept if kept.name == name and kept.is_dir() else source / name
        shutil.copytree(before, out / name)
    shutil.copy2(source / TEXT_RECORD, out)
