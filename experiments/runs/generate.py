"""Making the images of a run: batch by batch, saved while the next one is being made."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from gandiff.common.errors import environment_failure, reason_of
from gandiff.common.images import BETWEEN
from gandiff.common.run_record import IMAGES
from gandiff.common.words import agree, counted
from gandiff.experiments.runs.fence import fenced
from gandiff.experiments.runs.freshness import say_outdated
from gandiff.experiments.runs.loading import in_turn, loaded
from gandiff.experiments.runs.retry import Work, given_up, most_common_reason, work_of
from gandiff.experiments.runs.run import Run
from gandiff.experiments.runs.save import Made, save
from gandiff.experiments.runs.store import ImageEntry
from gandiff.models.generator import Generation, GenerationRequest, Generator

_PATIENCE = 3  # requests in a row that may fail for one reason before the rest share a call
Size = tuple[int, int]  # height and width in px


def generate_images(run: Run, *, quiet: bool = False, retry: bool | None = None) -> None:
    """Make every image of the plan that is not there yet, try failures again, and log it all.

    ``retry`` is that of ``work_of``. An error inside a generator fails the images of that batch;
    one that stops it (it cannot be loaded) leaves its images unmade. The others are made all the
    same. Raises ``EnvironmentFailure`` on a full disk or exhausted memory; what was made is kept.
    """
    for name, outdated in run.outdated.items():
        for line in say_outdated(name, outdated):
            run.warn(line)
    waiting = {name: work for name in run.batches if (work := work_of(run, name, retry))}
    for name in run.record.unmade.keys() - waiting.keys() - run.unable.keys():
        _settled(run, name)
    if waiting:
        run.note_command()
    try:
        with _progress(run, waiting, quiet) as advance:
            for name in in_turn(run, waiting):
                work = waiting[name]
                _announce(run, name, work, quiet)
                run.store.drop_entries(j for w in work for j in w.jobs if not run.has(j))
                with fenced(run.folder, functools.partial(_stopped, run, name)):
                    _make_all(run, name, work, advance, quiet)
                run.held.pop(name, None)
        run.store.tidy()
    except Exception as error:
        failure = environment_failure(error)
        if failure is None:
            raise
        raise failure from error
    finally:
        with contextlib.suppress(OSError):
            run.count()
    note_oddities(run)


def _announce(run: Run, name: str, work: Sequence[Work], quiet: bool) -> None:
    """Say which failures are tried again, and why they failed."""
    tried = (job for one in work for job in one.jobs if run.has(job))
    known = [run.store.entries.get(job.key) for job in tried]
    failed = [entry for entry in known if entry is not None and entry.status == "failed"]
    if failed and not quiet:
        why = most_common_reason(failed)
        print(
            f"{name}: trying {counted(len(failed), 'failed image')} again (last time: {why})",
            file=sys.stderr,
        )


def _stopped(run: Run, name: str, reason: str) -> None:
    reason = reason.removeprefix(f"generator {name!r} ")
    run.update(unmade={**run.record.unmade, name: reason})


def _settled(run: Run, name: str) -> None:
    if name in run.record.unmade:
        run.update(unmade={n: why for n, why in run.record.unmade.items() if n != name})


def _make_all(
    run: Run, name: str, work: Sequence[Work], advance: Callable[[int], Any], quiet: bool
) -> None:
    with loaded(run, name) as generator:
        run.describe(name, generator.info)
        if run.loadings[name].shared and not quiet:
            from tqdm import tqdm

            tqdm.write(f"{name}: {run.loadings[name]}", file=sys.stderr)
        (run.folder / IMAGES / name).mkdir(parents=True, exist_ok=True)
        _make(run, generator, work, advance)
        run.describe(name, generator.info)  # with what is known from its images alone
    _settled(run, name)


def note_oddities(run: Run) -> None:
    """Warn of what went wrong with the images that were made, and of those that were not."""
    for name, reason in run.record.unmade.items():
        run.warn(f"{name}: {reason}")
    for name in run.batches:
        for message in oddities(run, name):
            run.warn(message)


def call(
    generator: Generator, requests: Sequence[GenerationRequest]
) -> tuple[list[Generation], float]:
    """Make one generation for each request, and say how many seconds the call took."""
    start = time.perf_counter()
    try:
        made = list(generator.generate(requests))
        if not all(isinstance(one, Generation) for one in made):
            raise TypeError("generate() returned something else than a list of Generation")
    except Exception as error:
        if (broken := environment_failure(error)) and not isinstance(error, PermissionError):
            raise broken from error
        made = [Generation(image=None, status="failed", reason=reason_of(error))] * len(requests)
    seconds = time.perf_counter() - start
    if len(made) != len(requests):
        got, asked = counted(len(made), "image"), counted(len(requests), "request")
        reason = f"the generator returned {got} for {asked}"
        made = [Generation(image=None, status="failed", reason=reason)] * len(requests)
    return made, seconds


def check_generation(made: Generation, size: Size | None) -> Generation:
    """Turn an image that is broken or not of this size into a failure with a reason."""
    reason = _problem(made, size)
    if reason is None:
        return made
    return dataclasses.replace(made, image=None, uncomposited=None, status="failed", reason=reason)


def oddities(run: Run, name: str) -> list[str]:
    """What the generator remarked, and what went wrong with its images, a line for each kind."""
    entries = run.entries(name)
    facts = run.record.generators.get(name, {})
    total = counted(len(entries), "image")
    lines = [f"{name}: {remark}" for remark in facts.get("remarks") or ()]
    odd = Counter(r for e in entries if e.status == "ok" for r in _remarks(e.reason))
    for words, n in odd.items():  # notes on images that were made stand for themselves
        said = f" {agree(n, words)}" if run.is_lookup(name) else f": {words}"
        lines.append(f"{name}: {n} of {total}{said}")
    for status in ("failed", "filtered"):
        if chosen := [entry for entry in entries if entry.status == status]:
            count, why = len(chosen), most_common_reason(chosen)
            lines.append(f"{name}: {count} of {total} {status} ({why})")
    if not run.is_lookup(name) and (left := [entry for entry in entries if given_up(entry)]):
        lines.append(
            f"{name}: {counted(len(left), 'image')} failed {left[0].attempts} times and "
            f"{agree(len(left), 'are not tried again')} unless --retry asks for it"
        )
    lines += [f"{name}: {line}" for line in _cut_prompts(entries)]
    sizes = Counter((e.width, e.height) for e in entries if e.path)
    if len(sizes) > 1:
        listed = ", ".join(f"{w}x{h}: {n}" for (w, h), n in sizes.most_common(4))
        lines.append(f"{name}: the images have {len(sizes)} sizes ({listed})")
    return lines


def _cut_prompts(entries: Sequence[ImageEntry]) -> list[str]:
    """How many prompts a text encoder cuts; where another reads them to the end, which does."""
    cut = {e.prompt_id: e.truncated_tokens for e in entries if any(e.truncated_tokens.values())}
    groups = Counter(
        (*(tuple(n for n, left in one.items() if bool(left) == some) for some in (True, False)),)
        for one in cut.values()
    )
    lines = []
    for (short, full), count in groups.items():
        longer = f"{counted(count, 'prompt is', 'prompts are')} longer than"
        if full:
            by = f"read to the end by {', '.join(full)}"
            lines.append(f"{longer} {', '.join(short)} reads; {by}")
        else:
            reads = "its text encoder reads" if len(short) == 1 else "its text encoders read"
            lines.append(f"{longer} {reads}")
    return lines


def _remarks(reason: str | None) -> list[str]:
    return reason.split(BETWEEN) if reason else []


def _make(
    run: Run, generator: Generator, waiting: Sequence[Work], advance: Callable[[int], Any]
) -> None:
    """Make batches, and save each in a thread while the next is made; never more than one behind.

    Order is kept, and the lines of a batch follow its files, so whatever moment the process dies
    at, a line in the log means an image on the disk.
    """
    size = common_size(run, generator, waiting[0].batch.generator)
    saving: Future[None] | None = None
    # Leaving the pool waits, also after Ctrl-C: a batch that was made is kept.
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="gandiff-save") as pool:
        for work in waiting:
            made = _made(generator, work)
            if size is None and not _any_size(generator):
                usable = (g.image for g, *_ in made if _problem(g, None) is None)
                size = next(map(_shape, usable), None)
            checked = {
                job.key: one._replace(generation=check_generation(one.generation, size))
                for job, one in zip(work.asked(generator), made, strict=False)
            }
            if saving is not None:
                saving.result()
            saving = pool.submit(save, run, work, checked)
            advance(len(work.jobs))
        if saving is not None:
            saving.result()


def _made(generator: Generator, work: Work) -> list[Made]:
    """What the calls of a batch give; the padding of a last batch stands at its end."""
    made = list[Made]()
    calls = work.calls(generator)
    while calls:
        requests = calls.pop(0)
        generations, seconds = call(generator, requests)
        made += [Made(one, seconds / len(requests), len(requests)) for one in generations]
        last = [one.generation for one in made[-_PATIENCE:]]
        if len(calls) > 1 and len(last) == _PATIENCE and _fail_alike(last):
            calls = [tuple(itertools.chain(*calls))]  # a service that is down says so once more
    return made


def _fail_alike(generations: Sequence[Generation]) -> bool:
    return all(
        one.status == "failed" and one.reason == generations[0].reason for one in generations
    )


def common_size(run: Run, generator: Generator, name: str) -> Size | None:
    """The size that earlier images have; images that were made elsewhere may have any."""
    if _any_size(generator):
        return None
    made = (entry for entry in run.entries(name) if entry.status == "ok")
    return next(((e.height, e.width) for e in made if e.height and e.width), None)


def _any_size(generator: Generator) -> bool:
    return generator.info.cost == "lookup" or generator.info.family == "folder"


def _problem(made: Generation, size: Size | None) -> str | None:
    image = made.image
    if made.status != "ok":
        return None if made.image is None else f"{made.status}, yet there is an image"
    if image is None:
        return "no image, and no reason given"
    shape = _shape(image)
    if shape is None or 0 in shape:
        got = f"{getattr(image, 'dtype', type(image).__name__)} {getattr(image, 'shape', '')}"
        return f"expected a uint8 image of shape (height, width, 3), got {got.strip()}"
    if size is not None and shape != size:
        return f"{shape[1]}x{shape[0]} px, where the others have {size[1]}x{size[0]} px"
    if made.uncomposited is not None and (before := _shape(made.uncomposited)) != shape:
        got = f"{before[1]}x{before[0]} px" if before else "no uint8 image of (height, width, 3)"
        return f"uncomposited must be an image of {shape[1]}x{shape[0]} px, got {got}"
    first = image[0, 0]
    if (image == first).all():
        colour = tuple(int(v) for v in first)
        return "black image" if not any(colour) else f"every pixel has the same colour {colour}"
    return None


def _shape(image: Any) -> Size | None:
    is_image = isinstance(image, np.ndarray) and image.dtype == np.uint8
    if not is_image or image.ndim != 3 or image.shape[2] != 3:
        return None
    return int(image.shape[0]), int(image.shape[1])


@contextlib.contextmanager
def _progress(
    run: Run, waiting: Mapping[str, Sequence[Work]], quiet: bool
) -> Iterator[Callable[[int], Any]]:
    from tqdm import tqdm

    able = [batches for name, batches in run.batches.items() if name not in run.unable]
    total = sum(len(batch.jobs) for batches in able for batch in batches)
    left = sum(len(one.jobs) for work in waiting.values() for one in work)
    with tqdm(
        total=total, initial=total - left, desc="images", unit="img", disable=quiet or not left
    ) as bar:
        yield bar.update
