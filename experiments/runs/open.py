"""A run folder begun or continued, and the checks that come before the first image."""

from __future__ import annotations

import contextlib
import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from gandiff.common.devices import check_device
from gandiff.common.errors import EnvironmentFailure, RequestError, environment_failure
from gandiff.common.files import write_atomically
from gandiff.common.outputs import check_folder
from gandiff.common.run_record import (
    COMPARISON_FILE,
    PROMPTS,
    RECORD,
    RunRecord,
    read_record,
)
from gandiff.common.words import counted
from gandiff.experiments.config.types import Comparison, comparison_to_dict
from gandiff.experiments.config.yaml_source import write_yaml
from gandiff.experiments.prompts.suites import PromptSuite, open_suite
from gandiff.experiments.prompts.tasks import for_task, wrong_size
from gandiff.experiments.runs import provenance
from gandiff.experiments.runs.identity import note_use
from gandiff.experiments.runs.plan import choose_headline
from gandiff.experiments.runs.planning import planned_run, recorded_comparison
from gandiff.experiments.runs.preview import nobody_able, wrong_settings
from gandiff.experiments.runs.resume import recorded_prompts
from gandiff.experiments.runs.run import Run
from gandiff.experiments.runs.sources import keep_sources
from gandiff.experiments.runs.store import RUN_FILES, RunStore
from gandiff.models.generator import Generator
from gandiff.models.tasks import inability

_BYTES_A_PIXEL = 2.0  # of a photograph as PNG at the fastest setting, about


@contextlib.contextmanager
def open_run(
    comparison: Comparison,
    folder: Path,
    *,
    command: str = "",
    suite: PromptSuite | None = None,
    generators: Mapping[str, Generator] | None = None,
    checks: Sequence[Callable[[Run], None]] = (),
    makes_images: bool = True,
    keep_changed: bool = True,
) -> Iterator[Run]:
    """Begin a run or continue it; whatever can be wrong is found before anything is written.

    ``suite`` and ``generators`` are ready objects in place of what the comparison names; ``checks``
    are the caller's own looks at the planned run, whose ``record`` is then that of last time.
    ``makes_images=False`` builds no generator. ``keep_changed`` keeps the results of generators
    that are others now under another name (``mend``). On leaving, run.json says how it went:
    ``done``, ``interrupted``, or ``failed`` with the error.
    Raises ``RequestError`` for a folder that holds another comparison or is in use,
    ``EnvironmentFailure`` when the machine fails.
    """
    folder = folder.absolute()
    store = RunStore(folder)
    with _closing(store):
        continuing = (folder / RECORD).is_file()
        if continuing:
            store.open()
        else:
            _check_free(folder)
        begun = recorded_prompts(folder)
        suite = suite or open_configured(comparison, [prompt.id for prompt in begun])
        suite = for_task(suite, comparison.task, folder, begun)
        how = {"makes_images": makes_images, "keeps": keep_changed}
        run = planned_run(comparison, suite, store, generators or {}, **how)
        run.command, run.looks_outside = command, makes_images
        if makes_images:
            _check_generators(run)
        for check in checks:
            check(run)
        if not continuing:
            store.open()
            if (folder / RECORD).exists():
                raise RequestError(f"another process has just begun a run in {folder}; start again")
        _begin(run, command, describe=makes_images)
        with _outcome(run):
            yield run


@contextlib.contextmanager
def _closing(store: RunStore) -> Iterator[None]:
    """Release the folder at the end; what the machine does wrong is an ``EnvironmentFailure``."""
    try:
        yield
    except (OSError, MemoryError) as error:
        failure = environment_failure(error)
        if failure is None:
            raise
        raise failure from error
    finally:
        store.close()


def open_configured(comparison: Comparison, begun: Sequence[str] = ()) -> PromptSuite:
    """Open the suite of a comparison; prompts that a run has already, by their ids, come first."""
    base, task = comparison.folder, comparison.task
    return open_suite(**vars(comparison.suite), base=base, begun=begun, task=task)


def load_run(folder: Path) -> Run:
    """Open a run folder to look at it; nothing is locked or changed. Raises ``RequestError``."""
    record = read_record(folder)
    comparison = recorded_comparison(folder, record)
    about = record.suite
    suite = PromptSuite(
        name=about.name,
        version=about.version,
        source=about.source,
        licence=about.licence,
        prompts=recorded_prompts(folder),
    )
    return planned_run(comparison, suite, RunStore(folder.absolute()), {}, trusted=True)


def _check_free(folder: Path) -> None:
    """Refuse to fill a folder in which something else lies."""
    check_folder(folder)
    names = sorted(p.name for p in folder.glob("*")) if folder.is_dir() else []
    foreign = [name for name in names if name not in RUN_FILES and not name.endswith(".tmp")]
    if foreign:
        raise RequestError(
            f"{folder} holds {foreign[0]!r} but no {RECORD}, so it is not a run folder; "
            "choose another --out"
        )


def _check_generators(run: Run) -> None:
    """Build every generator that has images to make; see whether the device is here, and whether
    the disk has room for them.
    """
    needed, wrong = 0.0, list[str]()
    for name in run.batches:
        try:
            images = sum(len(batch.jobs) for batch in run.missing(name))
            side = run.generator(name).info.resolution if images else 0
        except RequestError as error:
            wrong.append(str(error))
            continue
        if images and not note_abilities(run, [name]):
            check_device(run.device)
            wrong += wrong_settings(name, run.previews[name])
            if problem := wrong_size(run.suite, run.generator(name).info):
                wrong.append(f"generators.{name}: {problem}")
            needed += images * (side or 0) ** 2 * _BYTES_A_PIXEL
    if wrong:
        raise RequestError("; ".join(wrong))
    if run.unable and run.unable.keys() == run.batches.keys():
        raise RequestError(nobody_able(run.comparison.task, run.unable))
    parent = next(p for p in (run.folder, *run.folder.parents) if p.exists())
    free = shutil.disk_usage(parent).free
    if needed > free:
        raise EnvironmentFailure(
            f"the images need about {math.ceil(needed / 1e6):,} MB and {parent} has "
            f"{free // 10**6:,} MB free; free some, choose another --out, or "
            "ask for fewer prompts (--limit)"
        )


def note_abilities(run: Run, names: Iterable[str]) -> dict[str, str]:
    """Note which of these generators cannot do the run's task, and say why of each."""
    infos = {name: run.generator(name).info for name in names}
    reasons = {name: inability(info, run.comparison.task) for name, info in infos.items()}
    unable = {name: reason for name, reason in reasons.items() if reason is not None}
    run.unable |= unable
    return unable


def _begin(run: Run, command: str, *, describe: bool) -> None:
    """Write what is known before the first image; run.json, which makes it a run, comes last."""
    old = run.record
    asked, file = comparison_to_dict(run.comparison), run.folder / COMPARISON_FILE
    if run.comparison.text or asked != old.comparison or not file.is_file():
        named = {n: g for n, g in asked["generators"].items() if not run.is_kept(n)}
        plain = {key: value for key, value in asked.items() if key != "sweeps"}  # are written out
        text = run.comparison.text or write_yaml({**plain, "generators": named})
        write_atomically(file, text.encode())
    keep_sources(run.suite)
    run.store.write_lines(PROMPTS, (prompt.to_dict() for prompt in run.suite.prompts))
    run.mending.move(run.store, run.batches)
    facts = run.mending.of(old.generators)
    known = {name: facts[name] for name in run.batches if facts.get(name)}
    costs = run.mending.of(old.costs)
    machine = provenance.environment(run.device)
    run.update(
        name=run.comparison.name,
        status="running",
        error=None,
        command=command,
        # A run of an earlier version has only its last one.
        commands=old.commands or tuple(filter(None, [old.command])),
        created=old.created or provenance.now(),
        finished=None,
        base=run.comparison.base,
        comparison=asked,
        suite=run.suite.describe(),
        generators=known,
        unmade={**run.mending.of(old.unmade), **run.unable},
        costs={name: costs[name] for name in run.batches if name in costs},
        counts={},
        warnings=(
            *provenance.changed_packages(old.environment.packages, machine.packages),
            *_all_used(run),
            *run.mending.remarks,
        ),
        environment=machine,
    )
    for name in run.batches:
        if describe and run.missing(name):
            run.describe(name, run.generator(name).info)
    run.update(headline=run.comparison.headline or _headline(run, old))
    run.count()


def note_seen(run: Run, warnings: Sequence[str], left_out: Mapping[str, str] | None) -> None:
    """Note what was seen before the run: warnings, and by axis what was not asked for, and why."""
    for warning in warnings:
        run.warn(warning)
    if left_out is not None:
        run.update(left_out=left_out)


def _headline(run: Run, old: RunRecord) -> tuple[str, ...]:
    """The pair that was chosen when the run was planned, unless the generators are others now."""
    chosen = old.headline if not old.comparison.get("headline") else ()
    if chosen and list(old.generators) == list(run.batches):
        return chosen
    facts = run.record.generators
    able = [name for name in run.batches if name not in run.unable]
    # What is only a yardstick stands behind the models: real pictures win over any of them.
    able.sort(key=lambda name: bool(facts.get(name, {}).get("yardstick")))
    return choose_headline({name: facts.get(name, {}).get("family") for name in able})


def _all_used(run: Run) -> list[str]:
    limit, prompts = run.comparison.suite.limit, len(run.suite.prompts)
    said = (
        f"the suite has {counted(prompts, 'prompt')}, fewer than the limit of {limit}; all are used"
    )
    return [said] if limit is not None and limit > prompts else []


@contextlib.contextmanager
def _outcome(run: Run) -> Iterator[None]:
    """Record how a run ended; on a full disk that may fail, too, and the first error counts."""
    status, problem = "failed", None
    try:
        yield
        status = "done"
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    except BaseException as error:
        problem = str(error) or type(error).__name__
        raise
    finally:
        with contextlib.nullcontext() if status == "done" else contextlib.suppress(OSError):
            note_use(run.objects, run.record.plan)
            run.ledger.save()
            run.update(status=status, error=problem, finished=provenance.now())
            run.count()
