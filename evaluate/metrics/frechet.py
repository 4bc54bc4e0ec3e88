"""Metrics of the Fréchet distance, at the number of images and at infinitely many."""

from __future__ import annotations

import dataclasses
import math

from gandiff.common.errors import MetricError
from gandiff.common.words import counted
from gandiff.evaluate.checks import (
    check_statistics,
    feature_rows,
    reference_of,
    remarks,
    set_sha256,
)
from gandiff.evaluate.features.encoders import ELSEWHERE, ON_SCENES, RESIZES, EncoderChoice
from gandiff.evaluate.metric import Metric, MetricInput, MetricOutput, PlannedSets
from gandiff.evaluate.numerics.frechet import FrechetReplicates, frechet_replicates
from gandiff.evaluate.numerics.gaussian import GaussianStats
from gandiff.evaluate.numerics.rows import Rows
from gandiff.evaluate.numerics.statistics import MIN_GROUPS, Replicates
from gandiff.evaluate.result import About, Interval, MetricResult, Value


class FrechetDistance(Metric):
    """``fd(encoder=...)``; ``fid`` is short for ``fd(encoder=inception)``.

    With ``resize=all`` a row for each of the ways in which images come to Inception's size.
    """

    about = About(
        label="Fréchet distance",
        meaning="How far the made images as a whole are from the reference images, in the features "
        "of the named encoder.",
        group="Distribution",
        axis="distribution",
        priority=0,
        direction="lower",
        is_distance=True,
    )
    needs_reference = True
    compares_sets = True
    scene_defaults = ON_SCENES
    reads_statistics = True
    _name = "fd"
    _interval = "E[FD_N], reference fixed, delete-group jackknife over prompts"

    def __init__(self, *, encoder: Value = ELSEWHERE, **how: Value) -> None:
        choice = EncoderChoice.of(self._name, encoder, how)
        every = RESIZES if choice.resize == "all" else [choice.resize]
        choices = [dataclasses.replace(choice, resize=one) for one in every]
        self._rows = {one.spec(self._name): one.name for one in choices}
        self.encoders = tuple(self._rows.values())
        self.spec = choice.spec(self._name)

    def measure(self, data: MetricInput) -> MetricOutput:
        """One row; the value falls with the number of images, so compare equal numbers only."""
        rows = {
            str(spec): self._row(str(spec), encoder, data) for spec, encoder in self._rows.items()
        }
        return MetricOutput(
            results=[row for row, _ in rows.values()],
            replicates={name: replicates for name, (_, replicates) in rows.items()},
        )

    def _row(self, name: str, encoder: str, data: MetricInput) -> tuple[MetricResult, Replicates]:
        protocol = data.features.protocol(encoder)
        reference = _reference(name, data, encoder)
        features = feature_rows(name, data, encoder, data.images, "images")
        found = _shared_replicates(data, encoder, features, reference)
        interval, replicates = self._estimate(name, found)
        row = MetricResult.of(
            interval,
            self.about,
            metric=name,
            images=found.count,
            references=reference.count,
            protocol={
                **protocol,
                "covariance": "n-1",
                "reference_sha256": reference.sha256,
                "interval": self._interval,
            },
            note=_note(data, features, reference),
        )
        return row, data.by_prompt(replicates)

    def _estimate(self, name: str, found: FrechetReplicates) -> tuple[Interval, Replicates]:
        del name
        return found.at_this_number(), found


_GROUPS = f"needs at least {MIN_GROUPS} prompts, with 2 images left when one group is left out"


class FrechetInfinity(FrechetDistance):
    """``fd_inf(encoder=...)``; ``fid_inf`` is short for ``fd_inf(encoder=inception)``."""

    about = dataclasses.replace(
        FrechetDistance.about,
        label="Fréchet distance, infinite",
        meaning="The Fréchet distance extrapolated to infinitely many made images, which takes "
        "away its dependence on their number; for small distances it may be slightly below 0.",
        priority=None,
    )
    _name = "fd_inf"
    _interval = "FD-infinity, reference fixed, delete-group jackknife over prompts"

    def _estimate(self, name: str, found: FrechetReplicates) -> tuple[Interval, Replicates]:
        if not len(found.without):
            raise MetricError(f"{name} extrapolates over groups of prompts and {_GROUPS}")
        extrapolated = found.extrapolated()
        return extrapolated.interval, extrapolated

    def shortage(self, planned: PlannedSets) -> str | None:
        """There must be groups of prompts to leave out."""
        few = planned.prompts < MIN_GROUPS
        return super().shortage(planned) or (f"{self.spec} {_GROUPS}" if few else None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Reference:
    stats: GaussianStats
    count: int | None
    sha256: str
    note: str | None
    different: int | None  # images without copies of others


def _reference(name: str, data: MetricInput, encoder: str) -> _Reference:
    stored = data.statistics
    if stored is None:
        images = reference_of(name, data)
        rows = feature_rows(name, data, encoder, images, "reference images")
        key = ("gaussian", encoder, digest := set_sha256(images))
        if key not in data.memo:
            data.memo[key] = GaussianStats.of(rows)
        different = len({image.sha256 for image in images})
        stats: GaussianStats = data.memo[key]
        return _Reference(
            stats=stats, count=len(images), sha256=digest, note=None, different=different
        )
    check_statistics(name, stored, data.features.protocol(encoder))
    said = None if stored.protocol else f"{stored.source} does not say by which protocol"
    stats = GaussianStats.of_covariance(stored.mean, stored.covariance, stored.count or 0)
    return _Reference(
        stats=stats,
        count=stored.count,
        sha256=stored.sha256,
        note=said,
        different=stored.count,
    )


def _shared_replicates(
    data: MetricInput, encoder: str, features: Rows, reference: _Reference
) -> FrechetReplicates:
    if features.shape[1] != len(reference.stats.mean):
        raise MetricError(
            f"the reference has {len(reference.stats.mean)} features and {encoder} gives "
            f"{features.shape[1]}; they are of different encoders"
        )
    key = ("frechet", encoder, reference.sha256, data.seed)
    if key not in data.memo:
        data.memo[key] = frechet_replicates(features, reference.stats, data.clusters, data.seed)
    return data.memo[key]  # type: ignore[no-any-return]


def _note(data: MetricInput, features: Rows, reference: _Reference) -> str | None:
    """What to think of the value; copies of an image do not raise the rank of a covariance."""
    found = remarks(data.images, data.reference, features)
    count, width = len(set(data.contents)), features.shape[1]
    references = math.inf if reference.different is None else reference.different
    if min(count, references) <= width:
        fewest = int(min(count, references))
        noun, total = ("image", len(data.images)) if count <= width else ("reference image", None)
        which = counted(fewest, noun if total in (None, fewest) else f"different {noun}")
        found.insert(0, f"N < d: {which} for {width} dimensions; biased upwards")
    return "; ".join([*found, *([reference.note] if reference.note else [])]) or None
