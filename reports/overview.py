"""One page over the runs of several tasks: the verdict of each, its numbers, before and after."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gandiff.common.files import write_atomically
from gandiff.common.run_record import RECORD, REPORT
from gandiff.evaluate.result import Axis
from gandiff.reports.axes import axis_metric
from gandiff.reports.comparing import lookup
from gandiff.reports.cost_sentences import LATENCY, THROUGHPUT
from gandiff.reports.edits import ShownEdits, shown_edits
from gandiff.reports.facts import family_name
from gandiff.reports.page import TEMPLATES, page_environment
from gandiff.reports.palette import FAMILY_COLOURS, Look, looks
from gandiff.reports.reading import load_run
from gandiff.reports.run_data import RunData
from gandiff.reports.sentence import Sentence, in_terminal
from gandiff.reports.table import Cell, Column, wide_tables
from gandiff.reports.values import visible
from gandiff.reports.verdict import verdict

_STYLES = ("base.css", "sections.css", "tables.css", "gallery.css")
_AXES: tuple[Axis, ...] = ("alignment", "preservation")
_SCORED = (*_AXES, "distribution", "diversity")
_TOPICS = (*_SCORED, "speed", "cost", "coverage", "summary")
_ALONE = "not compared"
_OUTCOMES = {"tie": "level", "not measured": _ALONE, "single": _ALONE}  # beside the numbers
_PROMPTS = 5  # shown of each task: all kinds of edits once


@dataclasses.dataclass(frozen=True)
class Decided:
    """What one axis or the time says: a number of each generator, and who of the headline pair is
    better.
    """

    label: str
    numbers: tuple[tuple[str, str], ...]  # generator, value or why there is none
    winner: str | None
    outcome: str


@dataclasses.dataclass(frozen=True)
class TaskPart:
    """One task: its run, None where it was refused, with the ``problem``; and what is shown."""

    name: str
    problem: str = ""
    run: RunData | None = None
    premise: tuple[Sentence, ...] = ()  # that the two were trained unequally
    sentences: tuple[Sentence, ...] = ()
    decided: tuple[Decided, ...] = ()
    columns: tuple[Column, ...] = ()
    edits: ShownEdits | None = None
    looks: Mapping[str, Look] = dataclasses.field(default_factory=dict)
    report: str = ""  # relative to the page


@dataclasses.dataclass(frozen=True)
class Overview:
    """Where the page lies, and the verdict with the name of the task before each sentence."""

    html: Path
    verdict: tuple[str, ...]


def write_overview(
    folder: Path, name: str, tasks: Sequence[str], problems: Mapping[str, str]
) -> Overview:
    """Write the report of a folder of runs, one of each task, from what lies in them.

    ``problems`` says why a task was refused. It is one file that loads nothing; the reports of the
    runs, to which it links, lie beside it.
    """
    from markupsafe import Markup

    parts = [_part(folder, task, problems.get(task, "")) for task in tasks]
    styles = ((TEMPLATES / style).read_text(encoding="utf-8") for style in _STYLES)
    families = {
        generator: family_name(facts)
        for part in parts
        if part.run is not None
        for generator, facts in part.run.generators.items()
    }
    text = (
        page_environment()
        .get_template("overview.html.j2")
        .render(
            name=name,
            parts=parts,
            premises=[*dict.fromkeys(s.text for part in parts for s in part.premise)],
            families=families,
            family_colours=FAMILY_COLOURS,
            style=Markup("\n".join(styles)),
        )
    )
    path = folder / REPORT
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode("utf-8"))
    return Overview(path, tuple(_lines(parts)))


def _lines(parts: Sequence[TaskPart]) -> Iterator[str]:
    yield from dict.fromkeys(in_terminal(s) for part in parts for s in part.premise[:1])
    for part in parts:
        if part.run is None:
            yield visible(f"{part.name}: not run: {part.problem}")
        for sentence in part.sentences:
            yield visible(f"{part.name}: {sentence.text}")


def _part(folder: Path, task: str, problem: str) -> TaskPart:
    if problem or not (folder / task / RECORD).is_file():
        return TaskPart(task, problem or "there is no run of it yet")
    run = load_run(folder / task)
    index = lookup(run.results)
    sentences = verdict(run.results, run.differences, run.generators, run.headline, run.ground)
    preferred = axis_metric(index, list(run.generators), "alignment")
    report = f"../{task}/{REPORT}" if (folder / task / REPORT).is_file() else ""
    return TaskPart(
        task,
        run=run,
        premise=tuple(s for s in sentences if s.topic == "premise"),
        sentences=tuple(s for s in sentences if s.topic in _TOPICS and s.outcome != "not measured"),
        decided=tuple(_decided(run, sentences)),
        columns=tuple(_columns(run)),
        edits=shown_edits(run, preferred, _PROMPTS),
        looks=looks(run.generators),
        report=report,
    )


def _decided(run: RunData, sentences: Sequence[Sentence]) -> Iterator[Decided]:
    columns = {column.metric: column for table in wide_tables(run) for column in table.columns}
    index, names = lookup(run.results), run.headline
    wanted = [(axis, axis_metric(index, names, axis)) for axis in _AXES]
    topics: dict[str, Sentence] = {sentence.topic: sentence for sentence in sentences}
    for topic, metric in (*wanted, ("speed", LATENCY)):
        column = columns.get(metric or "")
        said = topics.get(topic) or (topics.get("cost") if topic == "speed" else None)
        if column is None:
            yield Decided("", (), None, "not measured")
            continue
        cells = dict(zip(run.generators, column.cells, strict=True))
        numbers = {name: _number(run, name, cells[name]) for name in (*names, *cells)}
        winner = None if said is None else said.winner
        outcome = _OUTCOMES.get(said.outcome, said.outcome) if said is not None else _ALONE
        yield Decided(column.label, tuple(numbers.items()), winner, outcome)


def _number(run: RunData, name: str, cell: Cell) -> str:
    """The value of a generator; where it cannot do the task, that."""
    has_value = cell.result is not None and cell.result.value is not None
    return cell.value if has_value else run.generators[name].absence or cell.value


def _columns(run: RunData) -> Iterator[Column]:
    """The numbers of a task: all that edits are measured by, and the time."""
    for table in wide_tables(run):
        for column in table.columns:
            about = run.about(column.metric)
            shown = about.axis in _SCORED or about.group in _GROUPS
            if not any(cell.result and cell.result.value is not None for cell in column.cells):
                continue
            if shown or column.metric in (LATENCY, THROUGHPUT):
                yield column


_GROUPS = ("Edits by facts", "Before compositing", "What must not change", "What was given")
