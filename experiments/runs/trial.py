"""Every generator tries its settings before the first image of any of them is made."""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from gandiff.common.errors import RequestError, reason_of
from gandiff.experiments.config.types import Comparison
from gandiff.experiments.prompts.tasks import for_task
from gandiff.experiments.runs.fence import machine_failure
from gandiff.experiments.runs.loading import in_turn, loaded
from gandiff.experiments.runs.open import note_abilities, open_configured
from gandiff.experiments.runs.plan import GenerationJob
from gandiff.experiments.runs.planning import planned_run
from gandiff.experiments.runs.retry import work_of
from gandiff.experiments.runs.run import Run
from gandiff.experiments.runs.store import RunStore
from gandiff.models.generator import GenerationRequest, Generator
from gandiff.models.shared import shared


def try_generators(run: Run, *, quiet: bool = False, retry: bool | None = None) -> None:
    """Load every generator that has images to make and something to try, and let it try.

    ``retry`` is that of ``work_of``. Nothing is written. Those that share weights follow each
    other, and the first of them come last: what they load is still there when they make images.
    Raises ``RequestError`` with a line for each that cannot work, ``EnvironmentFailure`` where the
    machine fails.
    """
    problems: dict[str, str] = {}
    order = list(in_turn(run, _untried(run, retry)))
    keys = {n: run.generator(n).sharing_key(run.device, run.comparison.dtype) for n in order}
    groups = [
        list(names)
        for _, names in itertools.groupby(order, lambda n: n if keys[n] is None else keys[n])
    ]
    for group in reversed(groups):
        # In place of what the last ones loaded, which goes, so that one is there at a time.
        run.held = {group[0]: shared(keys[group[0]])}
        for name in group:
            if problem := _problem(run, name, quiet):
                problems[name] = problem
    if problems:
        raise RequestError("; ".join(problems[name] for name in order if name in problems))


def try_comparison(comparison: Comparison, *, quiet: bool = False) -> None:
    """The same for a comparison that is not run; see ``try_generators``."""
    nowhere = RunStore(Path(tempfile.gettempdir()) / f"gandiff-{uuid.uuid4().hex}")
    suite = for_task(open_configured(comparison), comparison.task, nowhere.folder)
    run = planned_run(comparison, suite, nowhere, {})
    note_abilities(run, run.batches)
    try_generators(run, quiet=quiet)


def _problem(run: Run, name: str, quiet: bool) -> str | None:
    """What stands against a generator's settings; None, and a line on stderr, where they work."""
    start = time.perf_counter()
    try:
        with loaded(run, name) as generator:
            read = time.perf_counter() - start
            try_out(run, name, generator)
    except RequestError as error:
        return str(error)
    except Exception as error:
        if failure := machine_failure(error, run.folder):
            raise failure from error
        return f"generators.{name}: {reason_of(error)}"
    tried = time.perf_counter() - start - read
    if not quiet:
        line = f"{name}: its settings work (tried in {tried:.1f} s, loaded in {read:.1f} s)"
        print(line, file=sys.stderr)
    return None


def try_out(run: Run, name: str, generator: Generator) -> None:
    """Let a loaded generator try its settings on two requests of the run."""
    if tries(generator):
        generator.try_out(_requests(run, name), batch_size=run.comparison.batch_size)


def tries(generator: Generator) -> bool:
    """Whether there is something that it can try."""
    return type(generator).try_out is not Generator.try_out


def _untried(run: Run, retry: bool | None) -> list[str]:
    """The generators that make images in this run and can try something out."""
    return [n for n in run.batches if work_of(run, n, retry) and tries(run.generator(n))]


def _requests(run: Run, name: str) -> Sequence[GenerationRequest]:
    """The shortest and the longest prompt of the run; with a negative prompt, which is one more
    thing that can go wrong, where there is one.
    """
    planned = [job for batch in run.batches[name] for job in batch.jobs]
    chosen = [job for job in planned if job.prompt.negative_prompt] or planned
    return min(chosen, key=_length).request(), max(chosen, key=_length).request()


def _length(job: GenerationJob) -> int:
    return len(job.prompt.text)
