"""The table of paired differences: every pair of generators on every per-image metric."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from gandiff.common.files import write_atomically
from gandiff.common.run_record import COLUMNS, DIFFERENCES
from gandiff.evaluate.clusters import tie_groups
from gandiff.evaluate.numerics.paired import (
    MIN_PAIRS,
    PairedDifference,
    PairedMeans,
    holm,
    paired_means,
)
from gandiff.evaluate.numerics.power import detectable_difference, prompts_needed
from gandiff.evaluate.numerics.statistics import Replicates
from gandiff.evaluate.result import Interval, MetricResult
from gandiff.evaluate.timing import mean_ratio
from gandiff.experiments.runs.tables import parquet
from gandiff.reports.run_data import RunData

if TYPE_CHECKING:
    from gandiff.experiments.scoring.measure import Scored


_FARTHER = ("farther", "farther_low", "farther_high")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Side:
    """One generator's images (prompt and sha256 of each) and their values by metric, NaN where
    there is none; ``denominators`` of metrics that are ratios of sums; ``targets`` of the metrics
    that are best near one; ``replicates`` by metric that is measured on the set as a whole.
    """

    generator: str
    images: Sequence[tuple[str, str | None]]
    values: Mapping[str, Float[np.ndarray, " n"]]
    denominators: Mapping[str, Float[np.ndarray, " n"]] = dataclasses.field(default_factory=dict)
    targets: Mapping[str, float]
    replicates: Mapping[str, Replicates] = dataclasses.field(default_factory=dict)

    @property
    def prompts(self) -> list[str]:
        """The prompt of each image."""
        return [prompt for prompt, _ in self.images]


def sides_of(scored: Sequence[Scored]) -> list[Side]:
    """From what was just measured."""
    return [
        Side(
            generator=one.generator,
            images=[(image.group, image.sha256) for image in one.images],
            values={m: values for out in one.outputs for m, values in out.per_image.items()},
            denominators={m: found for out in one.outputs for m, found in out.denominators.items()},
            targets={
                row.metric: row.target
                for out in one.outputs
                for row in out.results
                if row.target is not None
            },
            replicates={m: found for out in one.outputs for m, found in out.replicates.items()},
        )
        for one in scored
    ]


def recorded_sides(run: RunData) -> list[Side]:
    """From the tables of a run."""
    sides = []
    for name in run.generators:
        images = {(i.prompt_id, i.sample): i.sha256 for i in run.images if i.generator == name}
        places = {key: place for place, key in enumerate(images)}
        values: dict[str, np.ndarray] = {}
        below: dict[str, np.ndarray] = {}
        for score in run.scores:
            place = places.get((score.prompt_id, score.sample))
            if score.generator == name and place is not None:
                for column, number in ((values, score.value), (below, score.denominator)):
                    known = column.setdefault(score.metric, np.full(len(places), np.nan))
                    known[place] = number
        rows = [row.result for row in run.results if row.generator == name]
        targets = {row.metric: row.target for row in rows if row.target is not None}
        shown = [(prompt, sha256) for (prompt, _), sha256 in images.items()]
        sides.append(
            Side(generator=name, images=shown, values=values, denominators=below, targets=targets)
        )
    return sides


def differences(sides: Sequence[Side], seed: int) -> list[dict[str, Any]]:
    """Every pair of generators on every metric that has values of images, over the prompts that
    both have, and on every one that was measured without each part of the same prompts.

    ``p_holm`` corrects the p values of a metric for the number of pairs; ``prompts_needed`` is the
    number that shows a difference as large as the one found with power 0.8, ``detectable`` the
    smallest difference that as many prompts as there are show with power 0.8. Of a metric with a
    target, ``farther`` is how much farther from it a is than b, which is what decides. Two that
    have values and no prompt in common get a row of 0 prompts and no difference.
    """
    rows: dict[str, list[dict[str, Any]]] = {}
    apart: list[dict[str, Any]] = []
    for a, b in itertools.combinations(sides, 2):
        cluster_of = tie_groups([*a.images, *b.images])
        for metric in (metric for metric in a.values if metric in b.values):
            names = {"a": a.generator, "b": b.generator, "metric": metric}
            try:
                means = _means(a, b, metric)
            except ValueError:  # no prompt for which both have a value
                if all(np.isfinite(side.values[metric]).any() for side in (a, b)):
                    apart.append(dict.fromkeys(COLUMNS[DIFFERENCES]) | names | {"prompts": 0})
                continue
            paired = means.difference(cluster_of=cluster_of, seed=seed)
            target = a.targets.get(metric, b.targets.get(metric))
            farther = _farther(means, target, cluster_of, seed)
            rows.setdefault(metric, []).append({**names, **_columns(paired), **farther})
    for of_metric in rows.values():
        corrected = holm([row["p_value"] for row in of_metric])
        for row, p in zip(of_metric, corrected, strict=True):
            row["p_holm"] = p
    by_image = [row for of_metric in rows.values() for row in of_metric]
    return [*by_image, *apart, *_whole_sets(sides)]


def _means(a: Side, b: Side, metric: str) -> PairedMeans:
    columns = [s.denominators.get(metric, np.ones(len(s.images))) for s in (a, b)]
    return paired_means(
        *(a.values[metric], a.prompts, b.values[metric], b.prompts), (columns[0], columns[1])
    )


def _whole_sets(sides: Sequence[Side]) -> Iterator[dict[str, Any]]:
    """The pairs on metrics of whole sets: a difference and its interval, and nothing by prompt."""
    for a, b in itertools.combinations(sides, 2):
        cluster_of = tie_groups([*a.images, *b.images])
        for metric in (metric for metric in a.replicates if metric in b.replicates):
            ours, theirs = a.replicates[metric], b.replicates[metric]
            found = ours.minus(theirs)
            if found is None or found.low is None:
                continue
            row: dict[str, Any] = dict.fromkeys(COLUMNS[DIFFERENCES])
            row |= {"a": a.generator, "b": b.generator, "metric": metric}
            row |= {"difference": found.value, "low": found.low, "high": found.high}
            clusters = {cluster_of.get(prompt, prompt) for prompt in ours.part_of}
            yield row | {"prompts": len(ours.part_of), "clusters": len(clusters)}


def speed_differences(results: Mapping[str, Sequence[MetricResult]]) -> Iterator[dict[str, Any]]:
    """Every pair of generators on what was timed in the same rounds: their difference, and their
    ratio with its interval; the difference drifts with the machine and has none.
    """
    timed = {name: {row.metric: row for row in rows} for name, rows in results.items()}
    for a, b in itertools.combinations(timed, 2):
        for metric in (metric for metric in timed[a] if metric in timed[b]):
            ours, theirs = timed[a][metric], timed[b][metric]
            ratio = _ratio_in_rounds(ours, theirs)
            if ratio is None or theirs.value is None:
                continue
            row: dict[str, Any] = dict.fromkeys(COLUMNS[DIFFERENCES])
            row |= {"a": a, "b": b, "metric": metric}
            row |= {"difference": theirs.value * (ratio.value - 1), "ratio": ratio.value}
            yield row | {"ratio_low": ratio.low, "ratio_high": ratio.high}


def _ratio_in_rounds(a: MetricResult, b: MetricResult) -> Interval | None:
    """a / b over the rounds in which both costs were measured; None for fewer than two."""
    ours, theirs = _by_round(a), _by_round(b)
    both = [number for number in ours if number in theirs]
    if len(both) < 2:
        return None
    return mean_ratio([ours[number] for number in both], [theirs[number] for number in both])


def _by_round(result: MetricResult) -> dict[str, float]:
    said = result.protocol
    return dict(zip(said.get("rounds", ()), said.get("round_medians", ()), strict=False))


def write_differences(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the table into the folder of a run."""
    write_atomically(folder / DIFFERENCES, parquet(rows, COLUMNS[DIFFERENCES]))


def _columns(paired: PairedDifference) -> dict[str, Any]:
    row = dataclasses.asdict(paired)
    spread, clusters = row.pop("deviation"), row["clusters"]
    # Where too few could show anything, or none differs from another, there is nothing to go by.
    known = bool(spread) and clusters >= MIN_PAIRS
    row["prompts_needed"] = prompts_needed(paired.difference, spread) if known else None
    row["detectable"] = detectable_difference(spread, clusters) if known else None
    return row


def _farther(
    means: PairedMeans, target: float | None, cluster_of: Mapping[str, str], seed: int
) -> dict[str, float | None]:
    if target is None:
        return dict.fromkeys(_FARTHER)
    found = means.distance_difference(target, cluster_of=cluster_of, seed=seed)
    return dict(zip(_FARTHER, (found.value, found.low, found.high), strict=True))
