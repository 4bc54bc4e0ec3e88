"""One image of a run made again, by the very call that made it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from gandiff.common.errors import RequestError
from gandiff.common.files import file_sha256
from gandiff.common.names import did_you_mean
from gandiff.experiments.runs.generate import call, check_generation, common_size
from gandiff.experiments.runs.loading import loaded
from gandiff.experiments.runs.open import load_run
from gandiff.experiments.runs.plan import Batch, GenerationJob
from gandiff.experiments.runs.run import Run
from gandiff.experiments.runs.trial import try_out
from gandiff.models.generator import Generation, GenerationRequest


@dataclasses.dataclass(frozen=True, kw_only=True)
class Replay:
    """How an image that was made again compares with the one on the disk."""

    key: str
    generator: str
    prompt: str
    prompt_id: str
    sample: int
    seed: int
    batch: int
    path: Path  # of the recorded image; the run folder if there is none
    same: bool  # every pixel equal, or failed again as recorded
    max_difference: int | None  # in levels of 255; None if one of the two is not an image
    different_values: float | None  # share of the values that differ
    note: str | None = None

    def __str__(self) -> str:
        """Say it in one sentence."""
        what = f"{self.generator}, prompt {self.prompt_id}, sample {self.sample}, seed {self.seed}"
        if self.same:
            return f"the same: {what}"
        if self.max_difference is None:
            return f"different: {what}: {self.note}"
        return (
            f"different: {what}: {self.different_values:.2%} of the values, by up to "
            f"{self.max_difference} levels of 255"
        )


def replay(folder: Path, key: str) -> Replay:
    """Make the planned batch of one image again and compare; nothing is written.

    ``key`` is one of ``images.jsonl`` or the beginning of one. Raises ``RequestError`` for a key
    that is not there and for a generator that cannot be loaded.
    """
    run = load_run(folder)
    batch, job = _find(run, key)
    made = _make_again(run, batch, job)
    entry = run.store.entries[job.key]
    recorded, damage = _recorded(run, job)
    note = damage
    largest = share = None
    if recorded is not None and made.image is not None:
        if recorded.shape == made.image.shape:
            difference = np.abs(recorded.astype(np.int16) - made.image)
            largest, share = int(difference.max()), float((difference > 0).mean())
        else:
            note = f"the sizes differ: {recorded.shape[1::-1]} and {made.image.shape[1::-1]} px"
    elif note is None:
        note = f"recorded as {entry.status}, now {made.status} ({made.reason or 'an image'})"
    return Replay(
        key=job.key,
        generator=job.generator,
        prompt=job.prompt.text,
        prompt_id=job.prompt.id,
        sample=job.sample,
        seed=job.seed,
        batch=batch.index,
        path=run.folder / (entry.path or ""),
        same=largest == 0 or (entry.path is None and made.image is None),
        max_difference=largest,
        different_values=share,
        note=note,
    )


def _make_again(run: Run, batch: Batch, job: GenerationJob) -> Generation:
    requests, place = _requests(batch, job, run.store.entries[job.key].asked)
    with loaded(run, job.generator) as generator:
        try_out(run, job.generator, generator)  # which shows whether each is made alone
        generations, _ = call(generator, requests)
        size = common_size(run, generator, job.generator)
    return check_generation(generations[place], size)


def _requests(
    batch: Batch, job: GenerationJob, asked: int | None
) -> tuple[list[GenerationRequest], int]:
    """Those of the call that made it: the whole batch, without padding or with it, or it alone.

    The number is the place of the image among them.
    """
    if asked in (None, batch.size, len(batch.jobs)):
        return batch.requests()[:asked], batch.jobs.index(job)
    return [job.request()], 0


def _find(run: Run, key: str) -> tuple[Batch, GenerationJob]:
    matching = [
        (batch, job)
        for batches in run.batches.values()
        for batch in batches
        for job in batch.jobs
        if job.key.startswith(key) and job.key in run.store.entries
    ]
    if len(matching) == 1:
        return matching[0]
    if not matching or not key:
        near = did_you_mean(key, run.store.entries)
        raise RequestError(
            f"{run.folder} has no image with the key {key!r}{near if 'mean' in near else ''}; "
            "keys are in images.jsonl"
        )
    raise RequestError(f"{len(matching)} keys begin with {key!r}; give more of it")


def _recorded(
    run: Run, job: GenerationJob
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.uint8]] | None, str | None]:
    """The recorded image, and what is wrong with its file if it is not what was written."""
    entry = run.store.entries[job.key]
    if entry.path is None:
        return None, None
    from PIL import Image

    path = run.folder / entry.path
    try:
        if file_sha256(path) != entry.sha256:
            return None, f"{entry.path} was changed since it was made"
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB")), None
    except OSError as error:
        return None, f"{entry.path} cannot be read: {error.strerror or error}"
