"""Scores by prompt category, with intervals over prompts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float

from gandiff.reports.run_data import Score

RESAMPLES = 1000
INTERVAL_NAME = (
    f"95 % intervals: percentile bootstrap over prompts ({RESAMPLES:,} resamples), "
    "the samples of a prompt kept together"
)


@dataclasses.dataclass(frozen=True)
class CategoryScore:
    """The mean score of one generator over the prompts of one category."""

    generator: str
    category: str
    mean: float
    low: float | None  # None: fewer than two prompts
    high: float | None
    prompts: int


def category_scores(scores: Iterable[Score], metric: str) -> list[CategoryScore]:
    """Average over samples, then over prompts; the interval resamples prompts (percentiles)."""
    cells: dict[tuple[str, str], dict[str, list[float]]] = {}
    for score in scores:
        if score.metric == metric:
            prompts = cells.setdefault((score.generator, score.category), {})
            prompts.setdefault(score.prompt_id, []).append(score.value)
    found = []
    for (generator, category), prompts in cells.items():
        means = np.array([np.mean(values) for values in prompts.values()], dtype=np.float64)
        low, high = bootstrap_interval(means)
        found.append(CategoryScore(generator, category, float(means.mean()), low, high, len(means)))
    return found


def bootstrap_interval(
    means: Float[np.ndarray, " n"], *, seed: int = 0
) -> tuple[float | None, float | None]:
    """Return the 2.5th and 97.5th percentile of the mean over resampled prompts."""
    if len(means) < 2:
        return None, None
    picks = np.random.default_rng(seed).integers(0, len(means), (RESAMPLES, len(means)))
    low, high = np.percentile(means[picks].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def category_metric(scores: Sequence[Score], wanted: Sequence[str]) -> str | None:
    """Return the first of the wanted metrics that single images have, else any, else None."""
    present = list(dict.fromkeys(score.metric for score in scores))
    return next((m for m in wanted if m in present), present[0] if present else None)
