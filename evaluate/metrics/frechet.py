"""Fréchet distance of images to a reference, at their number and extrapolated to infinitely many.

Two quantities, both with the reference fixed. E[FD_N] is what the distance is at N images on
average: it is biased upwards by about a/N, so only equal N compare. FD-infinity is its limit
(Chong and Forsyth 2020, arXiv 1911.07023): the line through E[FD_n] against 1/n, read off at 0.

Both come from one delete-group jackknife over parts of whole prompts. Leaving out each part once
gives the distance at a little less than N without noise of the first order (every image is left
out equally often), so the line through these two points is steadier than one through random
subsets: Quenouille 1956, eq. 3.1, for groups. No bootstrap: a resample holds duplicates, which
shrinks its covariance and moves the distance by more than its spread.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int

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
from gandiff.evaluate.metric import Metric, MetricInput, MetricOutput, PlannedSets, Rows
from gandiff.evaluate.numerics.gaussian import (
    GaussianStats,
    Moments,
    distance_from_gram,
    frechet_distance,
    row_blocks,
)
from gandiff.evaluate.numerics.statistics import (
    MIN_GROUPS,
    jackknife_interval,
    partition_groups,
)
from gandiff.evaluate.result import About, Interval, MetricResult, Value

_PARTS = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrechetReplicates:
    """The distance of all ``count`` images, and without each part of them.

    ``without`` and ``counts`` (images that were left) are empty where there are too few prompts.
    """

    value: float
    count: int
    without: Float[np.ndarray, " g"]
    counts: Int[np.ndarray, " g"]

    def at_this_number(self) -> Interval:
        """E[FD_N] with its interval."""
        if not len(self.without):
            return Interval(value=self.value)
        found = jackknife_interval(self.value, self.without)
        assert found.low is not None
        return dataclasses.replace(found, low=max(0.0, found.low))

    def at_infinity(self) -> Interval:
        """FD-infinity with its interval; unbiased estimates of small distances may be below 0.

        Raises ``ValueError`` where there are too few prompts for an extrapolation.
        """
        if not len(self.without):
            raise ValueError("there are too few prompts to extrapolate from")
        fewer = float(np.mean(1 / self.counts)) - 1 / self.count
        slope = (float(self.without.mean()) - self.value) / fewer
        value = self.value - slope / self.count
        found = jackknife_interval(value, self.without)
        return dataclasses.replace(found, value=value)


def frechet_replicates(
    features: Rows, reference: GaussianStats, groups: Sequence[str], seed: int
) -> FrechetReplicates:
    """Distances to a fixed reference of at least two rows, whole and without each of 20 parts of
    whole prompts.

    Memory holds the rows where they are at most as many as dimensions, else 20 d x d matrices.
    """
    count, width = features.shape
    labels = partition_groups(groups, _PARTS, seed)
    sizes = np.bincount(labels)
    if len(sizes) < MIN_GROUPS or count - sizes.max() < 2:
        none = np.empty(0)
        value = frechet_distance(GaussianStats.of(features), reference)
        return FrechetReplicates(value=value, count=count, without=none, counts=none.astype(int))
    found = list((_few_rows if count <= width else _many_rows)(features, reference, labels))
    return FrechetReplicates(
        value=found[0], count=count, without=np.array(found[1:]), counts=count - sizes
    )


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
        return MetricOutput(
            results=[self._row(str(spec), encoder, data) for spec, encoder in self._rows.items()]
        )

    def _row(self, name: str, encoder: str, data: MetricInput) -> MetricResult:
        protocol = data.features.protocol(encoder)
        reference = _reference(name, data, encoder)
        features = feature_rows(name, data, encoder, data.images, "images")
        found = _shared_replicates(data, encoder, features, reference)
        interval = self._estimate(name, found)
        return MetricResult.of(
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

    def _estimate(self, name: str, found: FrechetReplicates) -> Interval:
        del name
        return found.at_this_number()


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

    def _estimate(self, name: str, found: FrechetReplicates) -> Interval:
        if not len(found.without):
            raise MetricError(f"{name} extrapolates over groups of prompts and {_GROUPS}")
        return found.at_infinity()

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


def _many_rows(
    features: Rows, reference: GaussianStats, labels: Int[np.ndarray, " n"]
) -> Iterator[float]:
    """The distance, then those without each part, by subtracting its moments from the whole's."""
    parts = _moments_of_parts(features, labels)
    total = parts[0]
    for part in parts[1:]:
        total = total.merge(part)
    for rest in (total, *(total.without(part) for part in parts)):
        gram = reference.root @ rest.covariance @ reference.root.T
        shift = rest.mean - reference.mean
        yield distance_from_gram(shift, float(np.trace(rest.covariance)), reference.trace, gram)


def _moments_of_parts(features: Rows, labels: Int[np.ndarray, " n"]) -> list[Moments]:
    found: dict[int, Moments] = {}
    start = 0
    for block in row_blocks(features):
        here = labels[start : start + len(block)]
        start += len(block)
        for part in np.unique(here).tolist():
            moments = Moments.of(block[here == part])
            found[part] = found[part].merge(moments) if part in found else moments
    return [found[part] for part in sorted(found)]


def _few_rows(
    features: Rows, reference: GaussianStats, labels: Int[np.ndarray, " n"]
) -> Iterator[float]:
    """The same where n <= d: one n x n Gram matrix of the projected rows, re-centred without
    each part.
    """
    rows = features[:].astype(np.float64)
    projected = (rows - rows.mean(axis=0)) @ reference.root.T
    kernel = projected @ projected.T
    for part in range(-1, int(labels.max()) + 1):
        kept = np.flatnonzero(labels != part)  # all of them at first
        rest = rows[kept]
        mean = rest.mean(axis=0)
        gram = kernel[np.ix_(kept, kept)]
        gram = gram - gram.mean(axis=0) - gram.mean(axis=1)[:, None] + gram.mean()
        trace = float(np.sum((rest - mean) ** 2)) / (len(kept) - 1)
        shift = mean - reference.mean
        yield distance_from_gram(shift, trace, reference.trace, gram / (len(kept) - 1))
