"""The results table: wide for reading, long for computing with; best values marked with care."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Sequence

from gandiff.evaluate.result import MetricResult
from gandiff.reports.comparing import find_difference, goodness, lookup, separated
from gandiff.reports.glossary import (
    COST_METRICS,
    arrow,
    base_name,
    explain,
    split_metric,
    term,
)
from gandiff.reports.run_data import DifferenceRow, GeneratorFacts, ResultRow, RunData
from gandiff.reports.values import show_interval, show_value, visible

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
)
_GROUPS = {  # title of a table: what stands in it, beside the parts of scene accuracy
    "Alignment": ("scene_accuracy", "clip_score", "r_precision"),
    "Distribution": (
        *("fd", "fd_inf", "fid", "kid", "cmmd"),
        *("precision", "recall", "density", "coverage"),
    ),
    "Diversity": ("diversity", "unstated", "near_duplicates", "vendi"),
    "Accuracy by attribute": (),
    "Variation by attribute": (),
    "Other measures": (),
}


@dataclasses.dataclass(frozen=True)
class Cell:
    """One number as shown; ``best`` only where the intervals separate it from all others."""

    result: MetricResult | None
    value: str
    interval: str
    best: bool


@dataclasses.dataclass(frozen=True)
class Column:
    """One metric over all generators."""

    metric: str
    label: str
    arrow: str
    meaning: str
    cells: tuple[Cell, ...]  # in the order of the table's generators


@dataclasses.dataclass(frozen=True)
class WideTable:
    """Generators as rows, the metrics of one group as columns."""

    title: str
    generators: tuple[str, ...]
    columns: tuple[Column, ...]


def long_rows(run: RunData) -> list[dict[str, object]]:
    """Return one dictionary a generator and metric, with ``LONG_COLUMNS`` as keys."""
    return [_long_row(row, run.generators[row.generator]) for row in run.results]


def _long_row(row: ResultRow, facts: GeneratorFacts) -> dict[str, object]:
    fields = {f.name: getattr(row.result, f.name) for f in dataclasses.fields(row.result)}
    fields["protocol"] = json.dumps(dict(row.result.protocol), sort_keys=True)
    return {
        c: {"generator": row.generator, "family": facts.family, **fields}[c] for c in LONG_COLUMNS
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
    """Return the results as a table for each thing that is measured, as far as it was."""
    metrics = list(dict.fromkeys(row.result.metric for row in run.results))
    groups: dict[str, list[str]] = {title: [] for title in (*_GROUPS, "Cost")}
    for metric in metrics:
        groups[_group(metric)].append(metric)
    order = {name: i for i, name in enumerate(COST_METRICS)}
    groups["Cost"].sort(key=lambda m: order.get(base_name(m), len(order)))
    return [_wide(run, title, names) for title, names in groups.items() if names]


def _group(metric: str) -> str:
    if base_name(metric) in COST_METRICS:
        return "Cost"
    base = base_name(metric)
    if base == "scene_accuracy" and not metric.endswith("/all"):
        return "Accuracy by attribute"
    if base == "unstated" and split_metric(metric)[2] not in ("coverage", "reverse_kl"):
        return "Variation by attribute"
    return next((title for title, bases in _GROUPS.items() if base in bases), "Other measures")


def _labels(metrics: Sequence[str]) -> list[str]:
    """The labels of columns; where two are the same, their parameters tell them apart."""
    plain = [term(metric).label for metric in metrics]
    return [
        label if plain.count(label) == 1 else f"{label} {split_metric(metric)[1]}".rstrip()
        for metric, label in zip(metrics, plain, strict=True)
    ]


def _wide(run: RunData, title: str, metrics: list[str]) -> WideTable:
    index, names = lookup(run.results), tuple(run.generators)
    columns = []
    for metric, label in zip(metrics, _labels(metrics), strict=True):
        results = [index.get((name, metric)) for name in names]
        best = _best(results, names, run.differences)
        cells = tuple(_cell(r, i == best) for i, r in enumerate(results))
        first = next(r for r in results if r is not None)
        columns.append(Column(metric, label, arrow(first), explain(metric, first), cells))
    return WideTable(title, names, tuple(columns))


def _cell(result: MetricResult | None, best: bool) -> Cell:
    if result is None:
        return Cell(None, "", "", False)
    return Cell(result, show_value(result), show_interval(result), best)


def _best(
    results: Sequence[MetricResult | None],
    names: Sequence[str],
    differences: Sequence[DifferenceRow],
) -> int | None:
    known = [
        (g, i, r) for i, r in enumerate(results) if r is not None and (g := goodness(r)) is not None
    ]
    if len(known) < 2:
        return None
    _, top, best = max(known, key=lambda item: item[0])
    for _, i, other in known:
        pair = find_difference(differences, names[top], names[i], best.metric)
        if i != top and not separated(best, other, pair):
            return None
    return top


def text_table(run: RunData) -> str:
    """Return the quality and cost columns as plain aligned text, for a terminal."""
    blocks = []
    for table in wide_tables(run):
        header = ["", *(f"{c.label} {c.arrow}".strip() for c in table.columns)]
        body = [
            [visible(name), *(c.cells[i].value or "-" for c in table.columns)]
            for i, name in enumerate(table.generators)
        ]
        widths = [max(len(line[k]) for line in (header, *body)) for k in range(len(header))]
        lines = [
            "  ".join(
                t.ljust(w) if k == 0 else t.rjust(w)
                for k, (t, w) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in (header, *body)
        ]
        blocks.append("\n".join([table.title, *lines]))
    return "\n\n".join(blocks)
