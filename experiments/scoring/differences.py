"""The table of paired differences: every pair of generators on every per-image metric."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gandiff.evaluate.clusters import tie_groups
from gandiff.evaluate.numerics.power import detectable_difference, prompts_needed
from gandiff.evaluate.numerics.statistics import (
    MIN_GROUPS,
    PairedDifference,
    holm,
    paired_difference,
)

if TYPE_CHECKING:
    from gandiff.experiments.scoring.measure import Scored


def differences(scored: Sequence[Scored], seed: int) -> list[dict[str, Any]]:
    """Every pair of generators on every per-image metric, over the prompts that both have.

    ``p_holm`` corrects the p values of a metric for the number of pairs; ``prompts_needed`` is the
    number that shows a difference as large as the one found with power 0.8, ``detectable`` the
    smallest difference that as many prompts as there are show with power 0.8.
    """
    rows: dict[str, list[dict[str, Any]]] = {}
    for a, b in itertools.combinations(scored, 2):
        a_groups, b_groups = ([image.group for image in one.images] for one in (a, b))
        cluster_of = tie_groups((image.group, image.sha256) for image in (*a.images, *b.images))
        for metric, (a_values, b_values) in _shared(a, b).items():
            try:
                paired = paired_difference(
                    a_values, a_groups, b_values, b_groups, cluster_of=cluster_of, seed=seed
                )
            except ValueError:
                continue  # no prompt for which both have a value
            names = {"a": a.generator, "b": b.generator, "metric": metric}
            rows.setdefault(metric, []).append({**names, **_columns(paired)})
    for of_metric in rows.values():
        corrected = holm([row["p_value"] for row in of_metric])
        for row, p in zip(of_metric, corrected, strict=True):
            row["p_holm"] = p
    return [row for of_metric in rows.values() for row in of_metric]


def _columns(paired: PairedDifference) -> dict[str, Any]:
    row = dataclasses.asdict(paired)
    spread, clusters = row.pop("deviation"), row.pop("clusters")
    # Without an interval, or where no prompt differs from another, there is nothing to go by.
    known = bool(spread) and clusters >= MIN_GROUPS
    row["prompts_needed"] = prompts_needed(paired.difference, spread) if known else None
    row["detectable"] = detectable_difference(spread, clusters) if known else None
    return row


def _shared(a: Scored, b: Scored) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    mine, theirs = (
        {metric: values for out in one.outputs for metric, values in out.per_image.items()}
        for one in (a, b)
    )
    return {metric: (mine[metric], theirs[metric]) for metric in mine if metric in theirs}
