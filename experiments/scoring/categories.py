"""The table of scores by prompt category, with intervals over prompts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gandiff.common.files import write_atomically
from gandiff.common.run_record import CATEGORIES, COLUMNS, SCORES
from gandiff.evaluate.numerics.proportions import mean_over_groups
from gandiff.evaluate.numerics.statistics import ratio_of_sums
from gandiff.evaluate.result import Interval
from gandiff.experiments.runs.tables import parquet

if TYPE_CHECKING:
    import pandas as pd

_CELL = ["generator", "metric", "category"]
Clusters = Mapping[str, Mapping[str, str]]  # of the prompts, by generator


def category_rows(
    scores: pd.DataFrame, seed: int, clusters: Clusters | None = None
) -> list[dict[str, Any]]:
    """Each generator's mean, or ratio of sums, of a metric over the prompts of each category, with
    an interval that resamples prompts, or the clusters of them that are given for a generator.

    ``scores`` is the table of scores. Where nothing is below a ratio there is no row.
    """
    if "denominator" not in scores:  # of a run that an older version scored
        scores = scores.assign(denominator=1.0)
    rows = []
    cells = scores.fillna({"category": ""}).groupby(_CELL, sort=False)
    for cell, members in cells:
        prompts = members["prompt_id"].tolist()
        tied = (clusters or {}).get(str(cell[0]), {})
        groups = [tied.get(prompt, prompt) for prompt in prompts]
        interval = _over_prompts(members, groups, seed)
        if interval is None:
            continue
        rows.append(
            {
                **dict(zip(_CELL, cell, strict=True)),
                **dataclasses.asdict(interval),
                "prompts": len(set(prompts)),
            }
        )
    return rows


def _over_prompts(members: pd.DataFrame, groups: Sequence[str], seed: int) -> Interval | None:
    values, below = members["value"].to_numpy(), members["denominator"].to_numpy()
    if (below == 1).all():
        return mean_over_groups(values, groups, seed)
    # A prompt counts once, however many images it has; so it does in the metric.
    means = members.assign(cluster=groups).groupby(["cluster", "prompt_id"], sort=False)
    sums = means[["value", "denominator"]].mean().groupby("cluster", sort=False).sum()
    made, real = sums["value"].to_numpy(), sums["denominator"].to_numpy()
    if real.sum() <= 0:
        return None
    found = ratio_of_sums(made, real, seed)
    # That no prompt of a few differs from another says nothing of how they spread.
    return Interval(value=found.value) if found.low == found.high else found


def write_categories(folder: Path, seed: int, clusters: Clusters) -> None:
    """Write the table from the scores that lie in the folder of a run."""
    import pandas as pd

    rows = category_rows(pd.read_parquet(folder / SCORES), seed, clusters)
    write_atomically(folder / CATEGORIES, parquet(rows, COLUMNS[CATEGORIES]))
