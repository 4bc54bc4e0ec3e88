"""The table of scores by prompt category, with intervals over prompts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from gandiff.common.files import write_atomically
from gandiff.common.run_record import CATEGORIES, COLUMNS
from gandiff.evaluate.numerics.statistics import bootstrap_over_groups
from gandiff.experiments.runs.tables import parquet
from gandiff.reports.reading import load_run
from gandiff.reports.run_data import Score


def category_rows(scores: Iterable[Score], seed: int) -> list[dict[str, Any]]:
    """The mean of each generator, metric and category, with an interval that resamples prompts."""
    cells: dict[tuple[str, str, str], list[Score]] = {}
    for score in scores:
        cells.setdefault((score.generator, score.metric, score.category), []).append(score)
    rows = []
    for (generator, metric, category), members in cells.items():
        groups = [score.prompt_id for score in members]
        values = np.array([score.value for score in members])
        interval = bootstrap_over_groups(values, groups, seed)
        rows.append(
            {
                "generator": generator,
                "metric": metric,
                "category": category,
                **dataclasses.asdict(interval),
                "prompts": len(set(groups)),
            }
        )
    return rows


def write_categories(folder: Path, seed: int) -> None:
    """Write the table from the scores that lie in the folder of a run."""
    rows = category_rows(load_run(folder).scores, seed)
    write_atomically(folder / CATEGORIES, parquet(rows, COLUMNS[CATEGORIES]))
