"""Making the images of a run: batch by batch, saved while the next one is being made."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from gandiff.common.errors import GeneratorError, RequestError, environment_failure
from gandiff.experiments.runs.freshness import say_outdated
from gandiff.experiments.runs.plan import Batch, GenerationJob
from gandiff.experiments.runs.run import Run
from gandiff.experiments.runs.store import ImageEntry
from gandiff.models.generator import Generation, Generator

Size = tuple[int, int]  # height and width in px


def generate_images(run: Run, *, quiet: bool = False, retry_failed: bool = False) -> None:
    """Make every image of the plan that is not there yet, and log it.

    An error inside a generator fails the images of that batch and the run continues. Raises
    ``RequestError`` if a generator cannot be loaded, ``EnvironmentFailure`` on a full disk or
    exhausted memory; what was made before is kept in both cases.
    """
    if retry_failed:
        run.recheck(retry_failed=True)
    for name, outdated in run.outdated.items():
        for line in say_outdated(name, outdated):
            run.warn(line)
    waiting = {name: run.missing(name) for name in run.batches if run.missing(name)}
    try:
        with _progress(run, quiet) as advance:
            for name, batches in waiting.items():
                with loaded(run, name) as generator:
                    run.describe(name, generator.info)
                    run.store.drop_entries(batches)
                    (run.folder / "images" / name).mkdir(parents=True, exist_ok=True)
                    _make(run, generator, batches, advance)
    except Exception as error:
        failure = environment_failure(error)
        if failure is None:
            raise
        raise failure from error
    finally:
        with contextlib.suppress(OSError):
            run.count()
    for name in run.batches:
        for message in oddities(run, name):
            run.warn(message)


def call(generator: Generator, batch: Batch) -> tuple[list[Generation], float]:
    """Make one planned batch: a generation for each of its jobs, and the seconds of the call.

    The padding of a last batch is made and thrown away.
    """
    start = time.perf_counter()
    try:
        made = generator.generate(batch.requests())
    except Exception as error:
        if (broken := environment_failure(error)) and not isinstance(error, PermissionError):
            raise broken from error
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]
        made = [Generation(image=None, status="failed", reason=reason)] * batch.size
    seconds = time.perf_counter() - start
    if len(made) != batch.size:
        reason = f"the generator returned {len(made)} images for {batch.size} requests"
        made = [Generation(image=None, status="failed", reason=reason)] * batch.size
    return list(made[: len(batch.jobs)]), seconds


def check_generation(made: Generation, size: Size | None) -> Generation:
    """Turn an image that is broken or not of this size into a failure with a reason."""
    reason = _problem(made, size)
    if reason is None:
        return made
    return dataclasses.replace(made, image=None, status="failed", reason=reason)


def oddities(run: Run, name: str) -> list[str]:
    """What the generator remarked, and what went wrong with its images, a line for each kind."""
    entries = run.entries(name)
    facts = run.record.generators.get(name, {})
    lines = [f"{name}: {remark}" for remark in facts.get("remarks") or ()]
    for status in ("failed", "filtered"):
        reasons = Counter(e.reason or "no reason given" for e in entries if e.status == status)
        if reasons:
            why, _ = reasons.most_common(1)[0]
            others = f", and {len(reasons) - 1} other reasons" if len(reasons) > 1 else ""
            count = sum(reasons.values())
            lines.append(f"{name}: {count} of {len(entries)} images {status} ({why}{others})")
    cut = {e.prompt_id for e in entries if any(e.truncated_tokens.values())}
    if cut:
        lines.append(f"{name}: {len(cut)} prompts are longer than its text encoder reads")
    sizes = Counter((e.width, e.height) for e in entries if e.path)
    if len(sizes) > 1:
        listed = ", ".join(f"{w}x{h}: {n}" for (w, h), n in sizes.most_common(4))
        lines.append(f"{name}: the images have {len(sizes)} sizes ({listed})")
    return lines


@contextlib.contextmanager
def loaded(run: Run, name: str) -> Iterator[Generator]:
    """A generator of the run, loaded and then unloaded; raises ``RequestError``."""
    generator = run.generator(name)
    try:
        generator.load(run.device, run.comparison.dtype)
    except (GeneratorError, ImportError) as error:
        raise RequestError(f"generator {name!r} cannot be loaded: {error}") from error
    try:
        yield generator
    finally:
        generator.unload()


def _make(
    run: Run, generator: Generator, batches: Sequence[Batch], advance: Callable[[int], Any]
) -> None:
    """Make batches, and save each in a thread while the next is made; never more than one behind.

    Order is kept, and the lines of a batch follow its files, so whatever moment the process dies
    at, a line in the log means an image on the disk.
    """
    size = common_size(run, generator, batches[0].generator)
    saving: Future[None] | None = None
    # Leaving the pool waits, also after Ctrl-C: a batch that was made is kept.
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="gandiff-save") as pool:
        for batch in batches:
            generations, seconds = call(generator, batch)
            if size is None and generator.info.family != "folder":
                size = next((_shape(g) for g in generations if _problem(g, None) is None), None)
            checked = [check_generation(made, size) for made in generations]
            if saving is not None:
                saving.result()
            saving = pool.submit(_save, run, batch, checked, seconds / batch.size)
            advance(len(batch.jobs))
        if saving is not None:
            saving.result()


def _save(run: Run, batch: Batch, generations: Sequence[Generation], seconds: float) -> None:
    for made in generations:
        if made.source is not None:
            run.ledger.note(made.source)
    pairs = zip(batch.jobs, generations, strict=True)
    run.store.append([_entry(run, job, made, seconds) for job, made in pairs])
    run.mark_done(batch)


def _entry(run: Run, job: GenerationJob, made: Generation, seconds: float) -> ImageEntry:
    sha256 = height = width = None
    if made.image is not None:
        sha256 = run.store.save_image(job.path, made.image)
        height, width = made.image.shape[:2]
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
        seconds=round(seconds, 6),
        status=made.status,
        reason=made.reason,
        nfe=made.nfe,
        truncated_tokens=dict(made.truncated_tokens),
        source=made.source.sha256 if made.source else None,
    )


def common_size(run: Run, generator: Generator, name: str) -> Size | None:
    """The size that earlier images have; images that were made elsewhere may have any."""
    if generator.info.family == "folder":
        return None
    made = (entry for entry in run.entries(name) if entry.status == "ok")
    return next(((e.height, e.width) for e in made if e.height and e.width), None)


def _problem(made: Generation, size: Size | None) -> str | None:
    image = made.image
    if made.status != "ok":
        return None if made.image is None else f"{made.status}, yet there is an image"
    if image is None:
        return "no image, and no reason given"
    shape = _shape(made)
    if shape is None or 0 in shape:
        got = f"{getattr(image, 'dtype', type(image).__name__)} {getattr(image, 'shape', '')}"
        return f"expected a uint8 image of shape (height, width, 3), got {got.strip()}"
    if size is not None and shape != size:
        return f"{shape[1]}x{shape[0]} px, where the others have {size[1]}x{size[0]} px"
    first = image[0, 0]
    if (image == first).all():
        colour = tuple(int(v) for v in first)
        return "black image" if not any(colour) else f"every pixel has the same colour {colour}"
    return None


def _shape(made: Generation) -> Size | None:
    image: Any = made.image
    is_image = isinstance(image, np.ndarray) and image.dtype == np.uint8
    if not is_image or image.ndim != 3 or image.shape[2] != 3:
        return None
    return int(image.shape[0]), int(image.shape[1])


@contextlib.contextmanager
def _progress(run: Run, quiet: bool) -> Iterator[Callable[[int], Any]]:
    from tqdm import tqdm

    total = sum(len(batch.jobs) for batches in run.batches.values() for batch in batches)
    left = sum(len(batch.jobs) for name in run.batches for batch in run.missing(name))
    with tqdm(
        total=total, initial=total - left, desc="images", unit="img", disable=quiet or not left
    ) as bar:
        yield bar.update
