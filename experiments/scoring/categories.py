"""The table of scores by prompt category, with intervals over prompts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gandiff.common.files import write_atomically
from gandiff.common.run_record import CATEGORIES, COLUMNS, SCORES
from gandiff.evaluate.numerics.proportions import mean_over_groups
from gandiff.experiments.runs.tables import parquet

if TYPE_CHECKING:
    import pandas as pd

_CELL = ["generator", "metric", "category"]
Clusters = Mapping[str, Mapping[str, str]]  # of the prompts, by generator


def category_rows(
    scores: pd.DataFrame, seed: int, clusters: Clusters | None = None
) -> list[dict[str, Any]]:
    """The mean of each generator, metric and category, with an interval that resamples prompts, or
    the clusters of them that are given for a generator.

    ``scores`` is the table of scores.
    """
    rows = []
    cells = scores.fillna({"category": ""}).groupby(_CELL, sort=False)
    for cell, members in cells:
        prompts = members["prompt_id"].tolist()
        tied = (clusters or {}).get(str(cell[0]), {})
        groups = [tied.get(prompt, prompt) for prompt in prompts]
        interval = mean_over_groups(members["value"].to_numpy(), groups, seed)
        rows.append(
            {
                **dict(zip(_CELL, cell, strict=True)),
                **dataclasses.asdict(interval),
                "prompts": len(set(prompts)),
            }
        )
    return rows


def write_categories(folder: Path, seed: int, clusters: Clusters) -> None:
    """Write the table from the scores that lie in the folder of a run."""
    import pandas as pd

    rows = category_rows(pd.read_parquet(folder / SCORES), seed, clusters)
    write_atomically(folder / CATEGORIES, parquet(rows, COLUMNS[CATEGORIES]))
