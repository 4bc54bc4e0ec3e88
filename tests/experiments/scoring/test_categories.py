"""Scores by prompt category: the numbers of the results table, for a part of the prompts."""

import numpy as np
import pandas as pd
import pytest

from gandiff.common.run_record import COLUMNS, SCORES
from gandiff.evaluate.numerics.statistics import bootstrap_over_groups
from gandiff.experiments.scoring.categories import category_rows


def score(prompt: str, sample: int, value: float, category: str = "c") -> tuple[object, ...]:
    return ("key", "gan", prompt, sample, category, "m", value, 1.0)


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


def test_a_ratio_is_that_of_the_sums_in_every_category() -> None:
    """Real images vary in one category three times as much as in the other: as real is 1 in both,
    and a prompt counts once however many images it has.
    """
    rows = []
    for category, level in (("one", 0.5), ("two", 1.5)):
        for p in range(12):
            real = level * (1 + p / 12)
            rows += [
                ("key", "real", f"{category}{p}", s, category, "m", real, real)
                for s in range(2 + p % 2)
            ]
    found = category_rows(pd.DataFrame(rows, columns=COLUMNS[SCORES]), seed=0)
    assert [(row["category"], row["value"], row["prompts"]) for row in found] == [
        ("one", pytest.approx(1), 12),
        ("two", pytest.approx(1), 12),
    ]
    frame = pd.DataFrame(rows, columns=COLUMNS[SCORES])
    frame.value *= np.where(frame.prompt_id == "one3", 2, 1)
    (one, _) = category_rows(frame, seed=0)
    assert one["low"] < one["value"] == pytest.approx(1 + (1 + 3 / 12) / 17.5)
    assert one["low"] >= 1 - 1e-9
    frame.denominator = 0.0
    assert category_rows(frame, seed=0) == []


def test_tables_of_older_versions_are_means() -> None:
    frame = pd.DataFrame([score("a", 0, 1.0), score("b", 0, 3.0)], columns=COLUMNS[SCORES])
    (found,) = category_rows(frame.drop(columns="denominator"), seed=0)
    assert found["value"] == 2.0
