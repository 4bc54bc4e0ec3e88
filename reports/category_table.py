"""Scores by category of prompts, as tables for reading and as one for computing with."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence

from gandiff.evaluate.result import MetricResult, split_metric
from gandiff.reports.comparing import lookup
from gandiff.reports.run_data import CategoryScore, RunData
from gandiff.reports.values import Scale, arrow, scale_of, visible

COLUMNS = ("generator", "family", "metric", "category", "value", "low", "high", "unit", "prompts")
NO_CATEGORY = "no category"
_WIDEST = 6  # generators side by side


@dataclasses.dataclass(frozen=True)
class CategoryRow:
    """The prompts of one category, and a value and its interval for each generator."""

    category: str
    prompts: str
    cells: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class CategoryTable:
    """One metric: categories as rows, generators as columns."""

    metric: str
    label: str
    generators: tuple[str, ...]
    rows: tuple[CategoryRow, ...]


def category_tables(run: RunData) -> list[CategoryTable]:
    """A table for each metric that has scores in several categories; several for many
    generators.
    """
    by_metric: dict[str, list[CategoryScore]] = {}
    for score in run.categories:
        by_metric.setdefault(score.metric, []).append(score)
    tables = []
    for metric, scores in by_metric.items():
        if len({score.category for score in scores}) < 2:
            continue
        members = [n for n in run.generators if any(s.generator == n for s in scores)]
        starts = range(0, len(members), _WIDEST)
        for place, start in enumerate(starts, 1):
            table = _table(run, metric, members[start : start + _WIDEST], scores)
            if len(starts) > 1:  # headings that can be referred to
                label = f"{table.label}, table {place} of {len(starts)}"
                table = dataclasses.replace(table, label=label)
            tables.append(table)
    return tables


def _table(
    run: RunData, metric: str, names: Sequence[str], scores: Sequence[CategoryScore]
) -> CategoryTable:
    index = lookup(run.results)
    known = {
        (score.generator, score.category): _as_result(score, index.get((score.generator, metric)))
        for score in scores
    }
    scale = scale_of(*known.values())
    rows = []
    for category in dict.fromkeys(score.category for score in scores):
        cells = []
        for name in names:
            one = known.get((name, category))
            if one is None or one.value is None:
                cells.append(("", ""))
                continue
            cells.append((scale(one.value), _interval(one, scale)))
        counts = {score.prompts for score in scores if score.category == category}
        prompts = str(max(counts)) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
        rows.append(CategoryRow(category or NO_CATEGORY, prompts, tuple(cells)))
    about, first = run.about(metric), next(iter(known.values()))
    label = f"{about.label} {split_metric(metric)[1]} {arrow(first)}"
    return CategoryTable(metric, " ".join(label.split()), tuple(names), tuple(rows))


def _interval(one: MetricResult, scale: Scale) -> str:
    if one.low is None or one.high is None:
        return ""
    return f"{scale.number(one.low)} to {scale.number(one.high)}"


def _as_result(score: CategoryScore, whole: MetricResult | None) -> MetricResult:
    """The score of a category, written like the value for all prompts."""
    whole = whole or MetricResult(metric=score.metric, value=None)
    return dataclasses.replace(whole, value=score.value, low=score.low, high=score.high)


def categories_csv(run: RunData) -> str:
    """All scores by category as CSV; empty fields where there is no interval."""
    index, out = lookup(run.results), io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for score in run.categories:
        whole, facts = index.get((score.generator, score.metric)), run.generators
        family = facts[score.generator].family if score.generator in facts else ""
        row = {**vars(score), "family": family, "unit": whole.unit if whole else ""}
        texts = {c: visible(row[c]) if isinstance(row[c], str) else row[c] for c in COLUMNS}
        writer.writerow(texts)
    return out.getvalue()
