"""Comparison files of several tasks: a run of each, one below the other, and a report over all."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gandiff.common.errors import RequestError
from gandiff.common.files import read_json, write_atomically
from gandiff.common.outputs import check_folder
from gandiff.common.run_record import COMPARISON_FILE, RECORD, TASKS
from gandiff.experiments.config.load import SAFE_NAME, check_document, read_file
from gandiff.experiments.config.overrides import override
from gandiff.experiments.config.paths import named_comparison
from gandiff.experiments.config.tasks import KEY, split_tasks
from gandiff.experiments.config.yaml_source import parse_document
from gandiff.experiments.runs.summary import RunSummary
from gandiff.experiments.runs.target import RUNS, Target, find_target
from gandiff.reports.document import NO_PAPERS, ForPapers
from gandiff.reports.overview import Overview, write_overview

_NO_RUN = "there is no run of it yet; the comparison file, run again, makes it"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tasks:
    """The runs of a comparison of several tasks by the names of these; each lies in a folder of
    that name below ``folder``. ``names`` are those of all tasks, of which some may have no run yet.
    ``text`` is the file, empty where a folder is continued.
    """

    name: str
    folder: Path
    parts: Mapping[str, Target]
    names: Sequence[str]
    text: str = ""


def find_tasks(
    target: Path,
    *,
    out: Path | None = None,
    overrides: Sequence[str] = (),
    limit: int | None = None,
    encoders: Mapping[str, str] | None = None,
) -> Tasks | None:
    """The tasks of a comparison file, or of a folder of their runs; None for anything else.

    The options are those of ``find_target``. Raises ``RequestError`` for what is wrong with one.
    """
    if (target / TASKS).is_file():
        known = read_json(target / TASKS)
        how: dict[str, Any] = {"overrides": overrides, "limit": limit, "encoders": encoders}
        names = tuple(known.get("tasks", ()))
        parts = {
            name: find_target(target / name, out=out and out / name, **how)
            for name in names
            if (target / name / RECORD).is_file()
        }
        if not parts:
            raise RequestError(f"{target} has no run of a task yet; run its comparison file again")
        name = str(known.get("name") or target.name)
        return Tasks(name=name, folder=out or target, parts=parts, names=names)
    shipped = named_comparison(target)
    path, base = shipped or target, Path() if shipped else target.parent
    if not path.is_file():
        return None  # what else it may be, others say
    document = parse_document(text := read_file(path), str(path))
    override(document, overrides, limit, encoders)
    if KEY not in document.data:
        return None
    name = str(document.data.setdefault("name", path.stem))
    folder = out or RUNS / name
    parts = {}
    for label, one in split_tasks(document).items():
        if not SAFE_NAME.fullmatch(label):
            raise document.error((KEY, label), "cannot be the name of a folder")
        parts[label] = Target(comparison=check_document(one, base=base), folder=folder / label)
    return Tasks(name=name, folder=folder, parts=parts, names=tuple(parts), text=text)


def do_tasks(
    tasks: Tasks,
    do: Callable[[Target], RunSummary],
    *,
    reports: bool,
    quiet: bool = False,
    papers: ForPapers = NO_PAPERS,
) -> RunSummary:
    """Do stages of each task's run, one after the other, and write the report over all of them.

    A task that is refused costs the others nothing: it is a problem in the summary and a line in
    the report. Raises ``RequestError`` if all are, and for a folder that holds something else.
    """
    _check(tasks, papers)
    is_new = not (tasks.folder / TASKS).is_file()
    _note(tasks)  # first, so that what is interrupted can be continued
    done = dict[str, RunSummary]()
    refused = {name: _NO_RUN for name in tasks.names if name not in tasks.parts}
    for name, part in tasks.parts.items():
        if not quiet:
            print(f"task {name}: {part.folder}", file=sys.stderr)
        try:
            done[name] = do(part)
        except RequestError as error:
            refused[name] = str(error)
    if not done:
        if is_new:
            _forget(tasks.folder)
        raise RequestError("; ".join(f"task {name}: {why}" for name, why in refused.items()))
    overview = None
    if reports:
        overview = write_overview(tasks.folder, tasks.name, list(tasks.names), refused)
    return _summary(tasks, done, refused, overview)


def _summary(
    tasks: Tasks,
    done: Mapping[str, RunSummary],
    refused: Mapping[str, str],
    overview: Overview | None,
) -> RunSummary:
    images = sum((Counter(one.images) for one in done.values()), Counter[str]())
    return RunSummary(
        folder=tasks.folder,
        report=None if overview is None else overview.html,
        verdict=[] if overview is None else list(overview.verdict),
        images={"ok": 0, **images},
        warnings=[f"{name}: {line}" for name, one in done.items() for line in one.warnings],
        problems=[
            f"{name}: {line}"
            for name in tasks.names
            for line in (done[name].problems if name in done else [refused[name]])
        ],
    )


def _check(tasks: Tasks, papers: ForPapers) -> None:
    """Refuse a folder that holds something else than runs of tasks, and tables of all in one."""
    folder = tasks.folder
    if papers.latex is not None:
        one = folder / next(iter(tasks.parts))
        raise RequestError(f"--latex is for the run of one task, such as: gandiff report {one}")
    check_folder(folder)
    if (folder / TASKS).is_file() or not folder.is_dir():
        return
    if (folder / RECORD).is_file():
        raise RequestError(f"{folder} is the run of one comparison; choose another --out")
    held: Iterable[Path] = sorted(folder.iterdir())
    foreign = [one.name for one in held if not (one / RECORD).is_file()]
    if foreign:
        raise RequestError(
            f"{folder} holds {foreign[0]!r} but no {TASKS}, so it is no folder of runs; choose "
            "another --out"
        )


def _note(tasks: Tasks) -> None:
    """Write which tasks there are, and the file as it was given."""
    tasks.folder.mkdir(parents=True, exist_ok=True)
    record = {"name": tasks.name, "tasks": list(tasks.names)}
    if tasks.text or not (tasks.folder / TASKS).is_file():
        write_atomically(tasks.folder / TASKS, (json.dumps(record, indent=2) + "\n").encode())
    if tasks.text:
        write_atomically(tasks.folder / COMPARISON_FILE, tasks.text.encode())


def _forget(folder: Path) -> None:
    """Take back what ``_note`` wrote where nothing came of it."""
    for name in (TASKS, COMPARISON_FILE):
        (folder / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # where there is something else, it stays
        folder.rmdir()
