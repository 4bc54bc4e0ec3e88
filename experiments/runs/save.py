"""Images of a batch saved and logged; what was there already keeps its bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

from gandiff.experiments.runs.plan import GenerationJob
from gandiff.experiments.runs.retry import Work
from gandiff.experiments.runs.run import Run
from gandiff.experiments.runs.store import ImageEntry, beside, png
from gandiff.models.generator import Generation


class Made(NamedTuple):
    """What became of a request: its share of the call's seconds, and how many the call was for."""

    generation: Generation
    seconds: float
    asked: int


def save(run: Run, work: Work, made: Mapping[str, Made]) -> None:
    """Save and log the wanted images of a batch; ``made`` is by key."""
    entries = {job.key: _entry(run, job, made[job.key]) for job in work.jobs}
    for one in made.values():
        if one.generation.source is not None:
            run.ledger.note(one.generation.source)
    run.store.append(list(entries.values()))
    if any(_differs(run, key, one) for key, one in made.items() if key not in entries):
        run.warn(
            f"{work.batch.generator} does not repeat itself: images that were made again beside "
            "those that were wanted came out different; the first ones are kept"
        )
    run.mark_done(work.batch)


def _entry(run: Run, job: GenerationJob, made: Made) -> ImageEntry:
    sha256 = height = width = uncomposited = None
    image, before = made.generation.image, run.store.entries.get(job.key)
    if image is not None:
        sha256 = run.store.save_image(job.path, image)
        height, width = image.shape[:2]
        if made.generation.uncomposited is not None:
            path = run.folder / beside(job.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            uncomposited = run.store.save_image(beside(job.path), made.generation.uncomposited)
    return ImageEntry(
        key=job.key,
        generator=job.generator,
        prompt_id=job.prompt.id,
        sample=job.sample,
        seed=job.seed,
        sha256=sha256,
        path=job.path if sha256 else None,
        width=width,
        height=height,
        batch=job.batch,
        seconds=round(made.seconds, 6),
        status=made.generation.status,
        reason=made.generation.reason,
        nfe=made.generation.nfe,
        nfe_by_network=dict(made.generation.nfe_by_network),
        truncated_tokens=dict(made.generation.truncated_tokens),
        source=made.generation.source.sha256 if made.generation.source else None,
        asked=made.asked,
        attempts=before.attempts + 1 if before else 1,
        earlier_reason=before.reason if before else None,
        uncomposited=uncomposited,
    )


def _differs(run: Run, key: str, made: Made) -> bool:
    """Whether an image that was there and was made again is another one now."""
    image, kept = made.generation.image, run.store.entries[key]
    if kept.path is None or image is None:
        return (kept.path is None) != (image is None)
    return hashlib.sha256(png(image)).hexdigest() != kept.sha256
