"""What trainings share: a budget, checkpoints of the whole state, resuming, going back."""

from __future__ import annotations

import dataclasses
import math
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gandiff.common.errors import Diverged, RequestError
from gandiff.common.options import check_options
from gandiff.experiments.training.checkpoints import (
    BEST,
    CHECKPOINT,
    Stateful,
    clear_training,
    describe_changes,
    keep_latest,
    read_checkpoint,
    refuse_another,
    restore,
    write_checkpoint,
)
from gandiff.experiments.training.identity import data_identity, stated_options, stated_start
from gandiff.experiments.training.interrupts import on_interrupt
from gandiff.experiments.training.progress import TrainingLog
from gandiff.experiments.training.ranks import SINGLE_PROCESS, Ranks
from gandiff.experiments.training.records import TrainingProgress, training_record
from gandiff.experiments.training.request import TrainingRequest

_CHECKPOINT_SECONDS = 120.0
_ROLLBACKS = 3  # in a row, without a checkpoint in between
_BETWEEN = 4.0  # times as long as measuring took is trained, before it is measured again


class NonFiniteError(Exception):
    """A loss or a gradient is not a finite number."""


class Loop:
    """Runs steps until the budget is spent.

    ``seconds`` and ``images`` count over resumed runs too. ``fraction`` of the budget spent, in
    [0, 1], is what schedules follow, so a short run ends as well annealed as a long one.
    ``networks`` describes what is trained; a checkpoint of anything else is refused by name.
    ``recipe`` goes into the record of the start, since a training may be resumed with another one,
    with a digest of all that was asked for; ``captions_sha256`` stands for a folder of data there.
    ``size`` is the images of a step where that is not the request's batch, ``share`` the part of
    the request's budget that is this loop's.
    """

    def __init__(
        self,
        request: TrainingRequest,
        label: str,
        state: Mapping[str, Stateful],
        ranks: Ranks = SINGLE_PROCESS,
        networks: Mapping[str, object] | None = None,
        recipe: Mapping[str, object] | None = None,
        size: int | None = None,
        captions_sha256: str | None = None,
        share: float = 1.0,
    ) -> None:
        self.request, self.label, self.state, self.ranks = request, label, dict(state), ranks
        self.networks = dict(networks or {})
        self._data = data_identity(request, captions_sha256)
        self.progress = TrainingProgress()
        self.events: list[dict[str, Any]] = []
        self._in_a_row, self._until = 0, 0.0  # seconds before which nothing is measured
        self._size, self._share = size or request.batch_size, share
        self._asked = self._stop = self._midway = self._slow = False
        check_options(request)
        self.log = TrainingLog(
            request.out,
            label,
            shown=ranks.first and not request.quiet,
            tensorboard=ranks.first and request.tensorboard,
        )
        if request.resume:
            self._load()
            options = stated_options(request)
            for change in describe_changes(self.progress.commands, recipe or {}, options):
                self.note(f"continues with {change}")
        elif ranks.first:
            request.out.mkdir(parents=True, exist_ok=True)
            clear_training(request.out)
        behind = {"images": self.progress.images, "seconds": round(self.progress.seconds, 1)}
        self.progress.commands.append(stated_start(request, recipe, captions_sha256) | behind)

    @property
    def fraction(self) -> float:
        """How much of the budget is spent."""
        progress, request = self.progress, self.request
        if request.kimg is not None:
            spent = progress.images / (1000 * request.kimg)
        else:
            spent = progress.seconds / (60 * request.minutes)
        return min(1.0, spent / self._share)

    def run(
        self,
        step: Callable[[], tuple[int, dict[str, float]]],
        tick: Callable[[], tuple[float, dict[str, float]]] | None = None,
        tick_seconds: float = 0.0,
    ) -> None:
        """Call ``step`` until the budget is spent; Ctrl-C ends the step and saves, a second one
        stops at once, at the state saved last.

        A step returns how many images it showed and its losses. If one of them is not finite, or
        the step raises ``NonFiniteError``, the loop returns to the last checkpoint and passes over
        the batch. ``tick`` is called by the first process at even distances, less often where it
        would take more than a fifth of a budget in time (the first about ``tick_seconds``); it
        returns a score (higher is better) and what to log. Raises ``Diverged`` if that is no help.
        """
        self._asked = self._stop = False
        self._hold_back(*self.ranks.broadcast(tick_seconds))
        with on_interrupt(self._ask_to_stop):
            self.log.open(self.fraction)
            try:
                if not self.progress.steps:
                    self.save()  # something to go back to
                missing = self.progress.unmeasured or self.fraction >= 1.0
                if tick is not None and missing and self._due():
                    self._tick(tick)
                saved = self.progress.seconds
                while self.fraction < 1.0 and not self._stop:
                    self._one(step)
                    if tick is not None and self._due():
                        self._tick(tick)
                        saved = self.progress.seconds
                    elif self.progress.seconds - saved >= _CHECKPOINT_SECONDS:
                        saved = self.progress.seconds
                        self.save()
                self.save()
            except KeyboardInterrupt:  # raised by hand, or by a second Ctrl-C
                if not self._midway:
                    self.save()
                raise
            finally:
                self.log.close()
        if not all(self.ranks.broadcast(float(not self._asked))):  # even after the last step
            raise KeyboardInterrupt

    def _one(self, step: Callable[[], tuple[int, dict[str, float]]]) -> None:
        start = time.perf_counter()
        self._midway = True  # what a broken step leaves behind cannot be resumed from
        try:
            shown, losses = step()
            self._size = shown
            # Of several processes each sees its own losses; they must agree on going back, so
            # their steps check the gradients, which are common.
            for name, value in losses.items() if self.ranks.count == 1 else ():
                if not math.isfinite(value):
                    raise NonFiniteError(f"{name} = {value}")
        except NonFiniteError as error:
            self._roll_back(str(error), time.perf_counter() - start)
            self._midway = False
            return
        self.progress.images += shown
        self.progress.steps += 1
        self._midway = False
        spent = self.progress.seconds + time.perf_counter() - start
        self.progress.seconds, stop = self.ranks.broadcast(spent, float(self._asked))
        self._stop = bool(stop)
        self.log.add(losses)
        if self.ranks.first and (self.log.due(self.progress.seconds) or self.fraction >= 1.0):
            self.log.write(self.progress.seconds, self.progress.images, self.fraction)

    def _ticks_so_far(self) -> int:
        """How many the spent part of the budget holds."""
        return math.floor(self.fraction * self.request.ticks + 1e-9)

    def _due(self) -> bool:
        """Whether to measure now; the last time is never passed over."""
        if self._ticks_so_far() <= self.progress.ticks:
            return False
        if self.progress.seconds >= self._until or self.fraction >= 1.0:
            return True
        if not self._slow:
            self._slow = True
            self.log.say(
                "measuring takes more than a fifth of the time between two ticks, so some are "
                f"passed over; --ticks below {self.request.ticks} spaces them evenly"
            )
        return False

    def _tick(self, tick: Callable[[], tuple[float, dict[str, float]]]) -> None:
        progress = dataclasses.replace(self.progress, unmeasured=True)
        before = progress, list(self.log.curve), list(self.events)
        try:
            self._measure(tick)
        except BaseException:  # resumed, it is measured from the beginning
            self.progress, self.log.curve, self.events = before
            raise

    def _measure(self, tick: Callable[[], tuple[float, dict[str, float]]]) -> None:
        start = time.perf_counter()
        self.progress.ticks, self.progress.unmeasured = self._ticks_so_far(), False
        score, best = -math.inf, False
        if self.ranks.first:
            score, measured = tick()
            best = score > self.progress.best
            self.log.write(self.progress.seconds, self.progress.images, self.fraction, measured)
        (score,) = self.ranks.broadcast(score)
        self.progress.best = max(self.progress.best, score)
        took, stop = self.ranks.broadcast(time.perf_counter() - start, float(self._asked))
        self._stop = self._stop or bool(stop)
        self.progress.seconds += took
        self.progress.measuring += took
        self._hold_back(took)
        if best:  # first, so that a checkpoint never speaks of a best one that is not there
            self._write(self.request.out / BEST)
        self.save()
        if self.ranks.first:
            keep_latest(self.request.out, self.request.keep, self.progress.images)

    def _hold_back(self, took: float) -> None:
        """Train for a while before the next measurement, which takes about so many seconds."""
        if self.request.kimg is None:  # else it takes nothing from training
            self._until = self.progress.seconds + _BETWEEN * took

    def note(self, text: str) -> None:
        """Say something that the reader of the record should know, now and there."""
        self.events.append({"kimg": round(self.progress.images / 1000, 2), "text": text})
        self.log.say(text)

    def _ask_to_stop(self, *_: object) -> None:
        """All processes stop after this step; from here on Ctrl-C stops at once."""
        self._asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def _roll_back(self, why: str, seconds: float) -> None:
        """Take the state of the last checkpoint back, and pass over the data since."""
        path = self.request.out / CHECKPOINT
        self._in_a_row += 1
        again = (
            "start again in another --out with another --seed, a lower learning rate or a larger "
            "--batch-size"
        )
        if not path.is_file() or self._in_a_row > _ROLLBACKS:
            way = f"continue from {path} with --resume, or {again}" if path.is_file() else again
            raise Diverged(
                f"training the {self.label} became non-finite ({why}) "
                f"after {self.progress.images} images; {way}"
            )
        now, events = self.progress, self.events
        self._restore(read_checkpoint(path), path)
        self.progress.skipped = now.position - self.progress.images + self._size
        (self.progress.seconds,) = self.ranks.broadcast(now.seconds + seconds)
        self.progress.rollbacks, self.progress.measuring = now.rollbacks + 1, now.measuring
        self.progress.commands, self.progress.resumed = now.commands, now.resumed
        self.events = events  # with what was noted since
        self.note(f"not finite ({why}); went back to {self.progress.images / 1000:.1f} kimg")

    def save(self) -> None:
        """Write the whole state; the previous checkpoint survives until the new one is complete."""
        if self.ranks.first:
            self._write(self.request.out / CHECKPOINT)
        self._in_a_row = 0

    def _write(self, path: Path) -> None:
        state = {name: part.state_dict() for name, part in self.state.items()}
        progress = dataclasses.asdict(self.progress)
        progress |= {"curve": self.log.curve, "events": self.events}
        content = {"label": self.label, "networks": self.networks, "asked": self._data}
        write_checkpoint(path, content | {"progress": progress, "state": state})

    def _load(self) -> None:
        path = self.request.out / CHECKPOINT
        if not path.is_file():
            raise RequestError(
                f"--resume found no {CHECKPOINT} in {self.request.out}; start without --resume"
            )
        saved = read_checkpoint(path)
        refuse_another(path, saved, self.label, self._data)
        self._restore(saved, path)
        self.progress.resumed += 1
        due = self._ticks_so_far()  # the budget may be another one now, and end here
        at_end = self.fraction >= 1.0 and not self.log.has_tick(self.progress.images)
        self.progress.unmeasured = due > 0 and (self.progress.unmeasured or at_end)
        self.progress.ticks = due - self.progress.unmeasured

    def _restore(self, saved: Mapping[str, Any], path: Path) -> None:
        restore(path, saved, self.state, self.networks)
        progress = dict(saved["progress"])
        self.log.curve = progress.pop("curve")
        self.events = progress.pop("events", [])
        known = {field.name for field in dataclasses.fields(TrainingProgress)}
        self.progress = TrainingProgress(**{k: v for k, v in progress.items() if k in known})
        self.log.forget(self.progress.seconds)
        if self.ranks.first:
            self.log.rewrite()

    def record(self, **facts: Any) -> dict[str, Any]:
        """The training record that goes beside the weights; the curve is thinned to 60 points."""
        request, progress, curve = self.request, self.progress, self.log.curve
        return training_record(request, progress, self.ranks.count, self.events, curve, facts)
