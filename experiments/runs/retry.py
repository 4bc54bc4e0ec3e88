"""Which images are made now: those that are not there, and failures that are tried again."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence

from gandiff.common.words import counted
from gandiff.experiments.runs.plan import Batch, GenerationJob
from gandiff.experiments.runs.run import Run
from gandiff.experiments.runs.store import ImageEntry
from gandiff.models.generator import GenerationRequest, Generator

ATTEMPTS = 5  # whatever the reasons


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """A planned batch and those of its images that are wanted; what is there already is kept."""

    batch: Batch
    jobs: tuple[GenerationJob, ...]
    again: bool  # whether these are failures that are tried again

    def calls(self, generator: Generator) -> list[tuple[GenerationRequest, ...]]:
        """The requests of each call.

        A model gets the batch as it was planned, since the same call gives the same bytes. Where a
        request may cost money only what is wanted is asked for, and a failure alone: in company,
        one prompt can make all of them fail.
        """
        if generator.info.cost == "compute":
            return [tuple(self.batch.requests())]
        wanted = tuple(job.request() for job in self.jobs)
        alone = self.again and generator.info.cost == "request"
        return [(request,) for request in wanted] if alone else [wanted]

    def asked(self, generator: Generator) -> Sequence[GenerationJob]:
        """Whose images the calls give, in their order; padding comes behind them."""
        return self.batch.jobs if generator.info.cost == "compute" else self.jobs


def work_of(run: Run, name: str, retry: bool | None) -> list[Work]:
    """What is to be made of a generator's images, in the order of the plan.

    With ``retry`` every failure is tried again, without (False) none. None leaves those that
    failed twice in a row for the same reason, or five times; files in folders are looked at each
    time. A generator that cannot do the task is asked for none.
    """
    if name in run.unable:
        return []
    missing = {batch.index for batch in run.missing(name)}
    failed = {entry.key for entry in failures(run, name, retry)}
    work = []
    for batch in run.batches[name]:
        again = tuple(job for job in batch.jobs if job.key in failed)
        wanted = again
        if batch.index in missing:
            wanted = tuple(j for j in batch.jobs if j.key in failed or not run.has(j))
        if wanted:
            work.append(Work(batch=batch, jobs=wanted, again=wanted == again))
    return work


def failures(run: Run, name: str, retry: bool | None) -> list[ImageEntry]:
    """The failed images of a generator that are to be tried again."""
    known = retry is None and run.reads_files(name)  # the files themselves say what is new
    if retry is False or known or run.is_gone(name):
        return []
    failed = [entry for entry in run.entries(name) if entry.status == "failed"]
    return failed if retry else [entry for entry in failed if not given_up(entry)]


def given_up(entry: ImageEntry) -> bool:
    """Whether an image failed so often that it is left until somebody asks for it."""
    same = entry.attempts > 1 and entry.reason == entry.earlier_reason
    return entry.status == "failed" and (same or entry.attempts >= ATTEMPTS)


def without_images(run: Run) -> dict[str, str]:
    """The generators that have no image at all, and why."""
    reasons = {}
    for name in run.batches:
        entries = run.entries(name)
        if not any(entry.status == "ok" for entry in entries):
            bad = most_common_reason(entries) if entries else "they are not made yet"
            reasons[name] = run.record.unmade.get(name) or bad
    return reasons


def most_common_reason(entries: Sequence[ImageEntry]) -> str:
    """The first reason of the kind that most of these have, and how many other kinds there are."""
    reasons = [entry.reason or "no reason given" for entry in entries]
    kinds = Counter(map(_kind, reasons))
    most = kinds.most_common(1)[0][0]
    said = next(reason for reason in reasons if _kind(reason) == most)
    alike = ", and so on" if len({r for r in reasons if _kind(r) == most}) > 1 else ""
    others = f", and {counted(len(kinds) - 1, 'other reason')}" if len(kinds) > 1 else ""
    return f"{said}{alike}{others}"


def _kind(reason: str) -> str:
    """A reason without what tells one image from another: names of files, and numbers."""
    return re.sub(r"\S*\d\S*", "#", reason)
