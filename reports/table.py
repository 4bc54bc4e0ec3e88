"""The results table: wide for reading, long for computing with; best values marked with care."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence

from gandiff.evaluate.result import AXES, About, MetricResult
from gandiff.reports.comparing import find_difference, goodness, lookup, separated
from gandiff.reports.explanations import table_notes
from gandiff.reports.run_data import GeneratorFacts, ResultRow, RunData
from gandiff.reports.sentence import distinct_labels, listed, reason
from gandiff.reports.values import (
    MISSING,
    arrow,
    explain,
    missing,
    show_beside,
    show_interval,
    show_value,
    visible,
)

LONG_COLUMNS = (
    "generator",
    "family",
    "metric",
    "value",
    "low",
    "high",
    "unit",
    "direction",
    "target",
    "images",
    "references",
    "protocol",
    "note",
    "off_native",
)
# Of a part of a note: what it counts before the number, the number, and what follows it.
_NUMBERED = re.compile(r"(.*[^\W\d].*: )(-?[\d.,]+)()")
_COUNTED = re.compile(r"(.*?)(?<![\w.,-])(\d+(?:,\d{3})*)(?![\w%]|[.,]\d)(.*)", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Cell:
    """One number as shown; ``best`` only where the intervals separate it from all others."""

    result: MetricResult | None
    value: str
    interval: str
    best: bool
    missing: str = MISSING  # what is said where there is no value


@dataclasses.dataclass(frozen=True)
class Column:
    """One metric over all generators."""

    metric: str
    label: str
    arrow: str
    meaning: str
    cells: tuple[Cell, ...]  # in the order of the table's generators
    gaps: tuple[str, ...] = ()  # why it was not measured, a sentence a reason
    remarks: tuple[str, ...] = ()  # what its values must be read with, a sentence each


@dataclasses.dataclass(frozen=True)
class WideTable:
    """Generators as rows, the metrics of one group as columns."""

    title: str
    generators: tuple[str, ...]
    columns: tuple[Column, ...]
    notes: tuple[str, ...] = ()  # how to read it


def long_rows(run: RunData) -> list[dict[str, object]]:
    """Return one dictionary a generator and metric, with ``LONG_COLUMNS`` as keys."""
    return [_long_row(row, run.generators[row.generator]) for row in run.results]


def _long_row(row: ResultRow, facts: GeneratorFacts) -> dict[str, object]:
    fields = {f.name: getattr(row.result, f.name) for f in dataclasses.fields(row.result)}
    fields["protocol"] = json.dumps(dict(row.result.protocol), sort_keys=True)
    return {
        c: {
            "generator": row.generator,
            "family": facts.family,
            "off_native": facts.off_native,
            **fields,
        }[c]
        for c in LONG_COLUMNS
    }


def csv_text(run: RunData) -> str:
    """Return the long table as CSV; empty fields where nothing was measured."""
    out = io.StringIO()
    writer = csv.DictWriter(out, LONG_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in long_rows(run):
        writer.writerow({k: visible(v) if isinstance(v, str) else v for k, v in row.items()})
    return out.getvalue()


def wide_tables(run: RunData) -> list[WideTable]:
    """Return the results as a table for each thing that was measured, at least in part."""
    groups: dict[str, dict[str, About]] = {}
    for row in run.results:
        about = row.result.described
        groups.setdefault(about.group, {})[row.result.metric] = about
    tables = []
    measured = {r.result.described.group for r in run.results if r.result.value is not None}
    for title in sorted(groups, key=lambda title: _place(groups[title])):
        if title not in measured:
            continue  # ``RunData.unmeasured`` says why
        metrics = groups[title]
        if all(about.axis == "cost" for about in metrics.values()):
            metrics = dict(sorted(metrics.items(), key=lambda item: item[1].priority or 0))
        tables.append(_wide(run, title, metrics))
    return tables


def _place(metrics: Mapping[str, About]) -> tuple[int, bool]:
    """Tables that bear on an axis come first, in the order of the axes; the costs come last."""
    order = {axis: place for place, axis in enumerate((*AXES[:-1], None, AXES[-1]))}
    abouts = metrics.values()
    return min(order[a.axis] for a in abouts), all(a.group == About.group for a in abouts)


def _wide(run: RunData, title: str, metrics: Mapping[str, About]) -> WideTable:
    index, names = lookup(run.results), tuple(run.generators)
    columns = []
    labels = distinct_labels({metric: about.label for metric, about in metrics.items()})
    for metric, label in labels.items():
        results = [index.get((name, metric)) for name in names]
        best = _best(results, names, run)
        known = [r for r in results if r is not None]
        cells = tuple(_cell(r, i == best, metric) for i, r in enumerate(results))
        gaps = tuple(_gaps(names, results))
        meaning, remarks = explain(known[0]), tuple(_remarks(names, results))
        columns.append(Column(metric, label, arrow(known[0]), meaning, cells, gaps, remarks))
    of_title = (row.result for row in run.results if row.result.metric in metrics)
    notes = (*table_notes(title, of_title), *_anchors(run, columns))
    return WideTable(title, names, tuple(columns), notes)


def _anchors(run: RunData, columns: Sequence[Column]) -> Iterator[str]:
    """A sentence for each anchor: what images that are no generator's get."""
    found: dict[str, list[str]] = {}
    for column in columns:
        like = next((cell.result for cell in column.cells if cell.result is not None), None)
        if like is None:
            continue
        for name, anchor in run.ground.named(column.metric):
            shown = f"{column.label} {show_beside(anchor.value, like)}"
            found.setdefault(name, []).append(shown)
    for name, values in found.items():
        yield f"For scale, {name}: {', '.join(values)}."


def _cell(result: MetricResult | None, best: bool, metric: str) -> Cell:
    if result is None:
        return Cell(None, "", "", False, missing(metric))
    return Cell(result, show_value(result), show_interval(result), best)


def _gaps(names: Sequence[str], results: Sequence[MetricResult | None]) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for name, result in zip(names, results, strict=True):
        if result is not None and result.value is None and result.note:
            reasons.setdefault(reason(result.note), []).append(name)
    for why, without in reasons.items():
        yield f"Not measured for {listed(without)}: {why}."


def _remarks(names: Sequence[str], results: Sequence[MetricResult | None]) -> Iterator[str]:
    """What the notes of values say, each part of them once, with whose it is where not all have it;
    where only a number differs the numbers stand in one sentence.
    """
    measured = [(n, r) for n, r in zip(names, results, strict=True) if r and r.value is not None]
    said: dict[tuple[str, str], dict[str, list[str]]] = {}
    for name, result in measured:
        for part in dict.fromkeys(filter(None, (result.note or "").rstrip(".").split("; "))):
            found = _NUMBERED.fullmatch(part) or _COUNTED.fullmatch(part)
            before, number, after = found.groups() if found else (part, "", "")
            said.setdefault((before, after), {}).setdefault(number, []).append(name)
    for (before, after), numbers in said.items():
        text = f"{before}{_with_whose(numbers, len(measured), after)}"
        yield f"{text[:1].upper()}{text[1:]}."


def _with_whose(numbers: Mapping[str, Sequence[str]], every: int, after: str) -> str:
    """Numbers and what follows them, each with its generators, unless it is that of all."""
    (first, whose), *others = numbers.items()
    if not others:
        return f"{first}{after}" if len(whose) == every else f"{first}{after} ({listed(whose)})"
    shown = [f"{number} ({listed(names)})" for number, names in numbers.items()]
    return f"{listed(shown)}{after}" if after else ", ".join(shown)


def _best(
    results: Sequence[MetricResult | None],
    names: Sequence[str],
    run: RunData,
) -> int | None:
    """The place of the one that is better than all others by more than chance, if there is one;
    what is only a yardstick is none of them.
    """
    known = [
        (g, i, r)
        for i, r in enumerate(results)
        if r is not None and (g := goodness(r)) is not None
        if not run.generators[names[i]].yardstick
    ]
    if len(known) < 2:
        return None
    _, top, best = max(known, key=lambda item: item[0])
    for _, i, other in known:
        pair = find_difference(run.differences, names[top], names[i], best.metric)
        if i != top and not separated(best, other, pair, run.ground):
            return None
    return top
