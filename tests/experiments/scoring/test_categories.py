"""Scores by prompt category: the numbers of the results table, for a part of the prompts."""

import numpy as np
import pandas as pd
import pytest

from gandiff.common.run_record import COLUMNS, SCORES
from gandiff.evaluate.numerics.statistics import bootstrap_over_groups
from gandiff.experiments.scoring.categories import category_rows


def score(prompt: str, sample: int, value: float, category: str = "c") -> tuple[object, ...]:
    return ("key", "gan", prompt, sample, category, "m", value)


def test_a_row_for_each_category_with_the_interval_over_its_prompts() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 2)).round(6)
    scores = [score(f"p{i}", s, v) for i, row in enumerate(values) for s, v in enumerate(row)]
    few = [score("q1", 0, 1.0, "few"), score("q2", 0, 0.5, "few")]
    whole, part = category_rows(pd.DataFrame([*scores, *few], columns=COLUMNS[SCORES]), seed=3)
    groups = [one[2] for one in scores]
    interval = bootstrap_over_groups(values.ravel(), groups, 3)
    assert whole == {
        **{"generator": "gan", "metric": "m", "category": "c", "prompts": 40},
        **{"value": interval.value, "low": interval.low, "high": interval.high},
    }
    # Wider than plain percentiles of 40 prompts, which take z for t.
    theory = 2 * 1.96 * values.mean(axis=1).std(ddof=1) / np.sqrt(40)
    assert whole["high"] - whole["low"] == pytest.approx(theory, rel=0.12)
    assert (part["value"], part["low"], part["prompts"]) == (0.75, None, 2)
