"""The report as Markdown, for repositories, issues and terminals."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from gandiff.common.words import counted
from gandiff.reports import explanations
from gandiff.reports.category_table import category_tables
from gandiff.reports.difference_table import difference_table
from gandiff.reports.facts import (
    commands,
    environment_rows,
    failure_reasons,
    family_name,
    package_rows,
    protocols,
    settings_text,
    suite_rows,
    training_rows,
)
from gandiff.reports.health import Health, training_health
from gandiff.reports.plotting import Drawing
from gandiff.reports.protocol_paragraph import protocol_paragraph
from gandiff.reports.ranking import Ranking, ranking
from gandiff.reports.run_data import RunData
from gandiff.reports.sentence import UNEQUAL, Sentence, listed
from gandiff.reports.strips import denoising, without_steps
from gandiff.reports.table import WideTable, wide_tables
from gandiff.reports.values import visible

_SPECIAL = re.compile(r"([\\`*_\[\]|#])")
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def plain(text: object) -> str:
    """Return text that Markdown and HTML take for text."""
    return _SPECIAL.sub(r"\\\1", visible(str(text)).translate(_ENTITIES))


def markdown_text(run: RunData, sentences: Sequence[Sentence], drawings: Sequence[Drawing]) -> str:
    """Return the report as Markdown; figures are linked beside it."""
    parts = [
        f"# {plain(' against '.join(run.headline) or run.name)}",
        *(f"> **{UNEQUAL}: {plain(s.text)}**" for s in sentences if s.topic == "premise"),
        "\n".join(f"- {plain(s.text)}" for s in sentences if s.topic != "premise"),
    ]
    if run.record.status != "done":
        error = f": {run.record.error}" if run.record.error else ""
        parts.insert(
            1,
            f"**This run is {plain(run.record.status)}{plain(error)}; the numbers "
            "cover what there is.**",
        )
    if len({facts.family for facts in run.generators.values()}) > 1:
        parts.append(plain(explanations.VERDICT))
    parts += _measurements(run)
    if drawings:
        parts.append(f"## Figures\n\n{plain(explanations.FIGURES)}")
        parts += [
            f"![{plain(d.title)}](figures/{d.name}.png)\n\n{plain(d.title)}. {plain(d.caption)}"
            for d in drawings
        ]
    if paragraph := protocol_paragraph(run):
        parts.append(f"## Protocol\n\n{plain(paragraph)}")
    parts += [*_protocols(run), *_steps(run), *_training(run), *_environment(run)]
    parts.append(_reproduce(run))
    parts.append(f"## Images and warnings\n\n{plain(explanations.TROUBLE)}\n\n{_counts(run)}")
    return "\n\n".join(parts) + "\n"


def _protocols(run: RunData) -> Iterator[str]:
    """What each number depends on, folded up."""
    lines = [
        f"- {plain(label)} ({plain(metric)})"
        + (f", {plain(listed(group.generators))}" if len(groups) > 1 else "")
        + f": {plain('; '.join(f'{key}: {value}' for key, value in group.fields))}"
        for metric, label, groups in protocols(run)
        for group in groups
    ]
    if lines:
        yield _folded("Protocols: what each number depends on", "\n".join(lines))


def _steps(run: RunData) -> Iterator[str]:
    """Why no way from noise to image was kept; the ways themselves are pictures of the page."""
    reasons = [
        f"- {plain(name)}: no steps are shown, because {plain(reason)}."
        for name, reason in without_steps(run, denoising(run))
    ]
    if reasons:
        yield "\n\n".join(["## From noise to image", "\n".join(reasons)])


def _training(run: RunData) -> Iterator[str]:
    yield f"## How the models were trained\n\n{plain(explanations.TRAINING)}"
    for title, rows in training_rows(run):
        yield f"### {plain(title)}\n\n{_table(('fact', 'value'), rows)}"
    yield from map(_health, training_health(run))
    settings = [
        (run.marked(n), family_name(f), settings_text(f)) for n, f in run.generators.items()
    ]
    header = ("generator", "family", "settings")
    yield f"### Settings of the generators\n\n{_table(header, settings)}"


def _environment(run: RunData) -> Iterator[str]:
    rows = [*environment_rows(run), *suite_rows(run)]
    yield f"## Environment\n\n{_table(('fact', 'value'), rows)}"
    if packages := package_rows(run):
        text = _table(("package", "version"), packages)
        yield _folded(counted(len(packages), "package"), text)


def _folded(summary: str, *parts: str) -> str:
    """What stands in a page folded up."""
    return "\n\n".join([f"<details>\n<summary>{summary}</summary>", *parts, "</details>"])


def _categories(run: RunData) -> list[str]:
    """A table by category of prompts for each metric that has one."""
    tables = []
    for table in category_tables(run):
        rows = [
            (row.category, row.prompts, *(f"{v} ({i})" if i else v for v, i in row.cells))
            for row in table.rows
        ]
        text = _table(("category", "prompts", *map(run.marked, table.generators)), rows)
        name = f"{plain(table.label)} ({plain(table.metric)})"
        tables.append(f"### {name}, by category of prompts\n\n{text}")
    return [*tables, plain(explanations.CATEGORIES)] if tables else []


def _measurements(run: RunData) -> Iterator[str]:
    """The tables of results with what stands beside them, the orders and the differences."""
    tables = wide_tables(run)
    lead = f"{explanations.RESULTS} A value is bold {explanations.BEST}"
    yield f"## Results\n\n{plain(lead if tables else explanations.NOTHING)}"
    for table in tables:
        yield f"### {plain(table.title)}"
        yield from map(plain, table.notes)
        yield _results(run, table)
        yield _meanings(table)
        gaps = [
            f"- {plain(column.label)}: {plain(g)}" for column in table.columns for g in column.gaps
        ]
        if gaps:
            yield "\n".join(gaps)
    yield from map(plain, run.marks)
    yield from _categories(run)
    if (orders := ranking(run)) is not None:
        yield f"### Does the order depend on the convention?\n\n{_orders(run, orders)}"
    if (pairs := difference_table(run, run.headline)) is not None:
        yield (
            "### Paired differences over the same prompts\n\n"
            f"{plain(explanations.DIFFERENCES)}\n\n{_table(pairs.head, pairs.rows)}"
        )
    yield from _other_differences(run)


def _meanings(table: WideTable) -> str:
    """What stands in a page at the headings of a table, folded up."""
    lines = [
        f"- {plain(c.label)} ({plain(c.metric)}): {plain(' '.join([c.meaning, *c.remarks]))}"
        for c in table.columns
    ]
    return _folded("What the columns mean", "\n".join(lines))


def _other_differences(run: RunData) -> Iterator[str]:
    """Those of the other pairs, as many as a page shows, folded up."""
    if len(run.generators) > 2 and (pairs := difference_table(run)) is not None:
        summary = "Differences of more pairs" if pairs.left_out else "Differences of all pairs"
        left_out = [plain(pairs.left_out)] if pairs.left_out else []
        yield _folded(summary, *left_out, _table(pairs.head, pairs.rows))


def _health(one: Health) -> str:
    """Alarms of a training, what was measured at its end, its nearest neighbours."""
    lines = [f"- at {kimg:.0f} thousand images: {plain(text)}" for kimg, text in one.events]
    parts = [f"### {plain(one.heading)}"]
    parts.append("\n".join(lines) or "No alarm rang in training.")
    if one.sweep:
        parts.append(_table(one.sweep.head, one.sweep.rows))
    parts += filter(None, (one.neighbours, one.ceiling))
    return "\n\n".join(parts)


def _reproduce(run: RunData) -> str:
    lines = visible_lines("\n".join(f"{line}  # {why}" for why, line in commands(run)))
    return f"## How to reproduce\n\n{plain(explanations.REPRODUCE)}\n\n```sh\n{lines}\n```"


def visible_lines(text: str) -> str:
    """Make a block of lines inert; a fence inside cannot end it."""
    return "\n".join(visible(line).replace("```", "'''") for line in text.split("\n"))


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    body = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(c) for c in row) + " |" for row in body)


def _cell(value: object) -> str:
    return str(value) if value == "---" else plain(value)


def _results(run: RunData, table: WideTable) -> str:
    header = ["generator", *(f"{c.label} {c.arrow}".strip() for c in table.columns)]
    lines = [
        "| " + " | ".join(map(plain, header)) + " |",
        "| --- |" + " ---: |" * len(table.columns),
    ]
    for i, name in enumerate(table.generators):
        cells = []
        for column in table.columns:
            cell = column.cells[i]
            shown = plain(cell.value or cell.missing)
            value = f"**{shown}**" if cell.best else shown
            cells.append(f"{value} ({plain(cell.interval)})" if cell.interval else value)
        lines.append(f"| {plain(run.marked(name))} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _orders(run: RunData, found: Ranking) -> str:
    numbers = range(1, len(found.conventions) + 1)
    header = ["", "convention", "generators, best first", *(f"tau with {n}" for n in numbers)]
    rows = [
        (n, c.label, ", ".join(map(run.marked, c.order)), *(f"{tau:.2f}" for tau in c.taus))
        for n, c in zip(numbers, found.conventions, strict=True)
    ]
    return f"{plain(found.sentence)} {explanations.TAU}\n\n{_table(header, rows)}"


def _counts(run: RunData) -> str:
    rows = [
        (run.marked(n), f.planned, f.ok, f.failed, f.filtered) for n, f in run.generators.items()
    ]
    text = _table(("generator", "planned", "made", "failed", "filtered"), rows)
    reasons = [
        f"- {plain(g)}: {count} {plain(status)} ({plain(reason)})"
        for g, status, reason, count in failure_reasons(run)
    ]
    warnings = [f"- {plain(w)}" for w in [*run.record.warnings, *run.notices]]
    return "\n\n".join([text, *(["\n".join(reasons + warnings)] if reasons + warnings else [])])
