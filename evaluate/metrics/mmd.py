"""Kernel distances of two sets of features: KID, with Inception features, and CMMD, with CLIP's.

KID: Binkowski et al. 2018 (arXiv 1801.01401), section 4: cubic kernel k(x, y) = (x.y / d + 1)^3,
unbiased at any N, so it may be negative. CMMD: Jayasumana et al. 2024 (arXiv 2401.09603): Gaussian
kernel of width 10 on features of length 1, biased, times 1000.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import cast

import numpy as np
from jaxtyping import Float

from gandiff.common.errors import MetricError
from gandiff.common.words import agree, counted
from gandiff.evaluate.checks import both_sets, one_of, remarks, whole_number
from gandiff.evaluate.features.encoders import ELSEWHERE, ON_SCENES, EncoderChoice
from gandiff.evaluate.metric import Metric, MetricInput, MetricOutput, PlannedSets
from gandiff.evaluate.numerics.kernels import (
    GAUSSIAN,
    SIGMA,
    Estimator,
    kernel_replicates,
    squared_mmd,
)
from gandiff.evaluate.numerics.statistics import Replicates
from gandiff.evaluate.result import About, Interval, MetricResult, Value

__all__ = ["Cmmd", "KernelDistance", "SubsetDistance", "squared_mmd", "subset_mmd"]

_SUBSETS = 100
_SUBSET_SEED = 2020  # torch-fidelity's default: the same files give the same subsets
_ESTIMATORS = ["biased", "unbiased"]
_CMMD_ENCODER = "clip:ViT-L-14-336/openai"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SubsetDistance:
    """Mean and standard deviation over random subsets; the deviation is no error bar of the
    mean.
    """

    mean: float
    deviation: float


def subset_mmd(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, "m d"],
    subset_size: int,
    subsets: int = _SUBSETS,
    seed: int = _SUBSET_SEED,
) -> SubsetDistance:
    """The convention of torch-fidelity: distances of random subsets, drawn in its order from its
    generator.
    """
    rng = np.random.RandomState(seed)
    found = [
        squared_mmd(
            x[rng.choice(len(x), subset_size, replace=False)],
            y[rng.choice(len(y), subset_size, replace=False)],
        )
        for _ in range(subsets)
    ]
    return SubsetDistance(mean=float(np.mean(found)), deviation=float(np.std(found)))


class KernelDistance(Metric):
    """``kid(encoder=...)``: over all images, or with ``subset_size`` over random subsets as
    others report it.
    """

    about = About(
        label="KID",
        meaning="Kernel distance between made and reference images in the features of the named "
        "encoder; unbiased, so it may be slightly below 0.",
        group="Distribution",
        axis="distribution",
        priority=1,
        direction="lower",
        is_distance=True,
    )
    needs_reference = True
    compares_sets = True
    scene_defaults = ON_SCENES

    def __init__(
        self,
        *,
        encoder: Value = ELSEWHERE,
        subset_size: Value | None = None,
        subsets: Value | None = None,
        **how: Value,
    ) -> None:
        choice = EncoderChoice.of("kid", encoder, how, ["subset_size", "subsets"])
        self._encoder = choice.name
        self.encoders = (self._encoder,)
        self._size: int | None = None
        if subset_size is not None:
            self._size = whole_number("kid", "subset_size", subset_size, 2)
        self._subsets = _SUBSETS if subsets is None else whole_number("kid", "subsets", subsets, 1)
        if subsets is not None and subset_size is None:
            raise MetricError("the parameter 'subsets' of the metric kid needs 'subset_size', too")
        self.spec = choice.spec("kid", subset_size=(self._size, None), subsets=(subsets, _SUBSETS))

    def measure(self, data: MetricInput) -> MetricOutput:
        """One row; the value may be slightly negative where the two sets are alike."""
        name = str(self.spec)
        features, real = both_sets(name, data, self._encoder)
        notes = remarks(data.images, data.reference, features)
        found, estimator = self._estimate(data, features, real.features, notes)
        result = MetricResult.of(
            found.interval,
            self.about,
            metric=name,
            images=len(features),
            references=len(real.features),
            protocol={
                **data.features.protocol(self._encoder),
                "kernel": "(x.y/d + 1)^3",
                "estimator": estimator,
                "reference_sha256": real.sha256,
                "interval": "reference fixed, delete-group jackknife over prompts",
            },
            note="; ".join(notes) or None,
        )
        return MetricOutput(results=[result], replicates={name: data.by_prompt(found)})

    def shortage(self, planned: PlannedSets) -> str | None:
        """A subset may not be larger than the set."""
        return super().shortage(planned) or self._too_large(planned.images, planned.references)

    def _too_large(self, images: int, references: int | None) -> str | None:
        fewest = images if references is None else min(images, references)
        if self._size is None or self._size <= fewest:
            return None
        return (
            f"{self.spec} draws subsets of {self._size}, but there {agree(images, 'are')} "
            f"{counted(images, 'image')} and "
            f"{counted(references or 0, 'reference image')}; give a smaller subset_size"
        )

    def _estimate(
        self,
        data: MetricInput,
        features: Float[np.ndarray, "n d"],
        real: Float[np.ndarray, "m d"],
        notes: list[str],
    ) -> tuple[Replicates, str]:
        if self._size is None:
            every = kernel_replicates(features, real, data.clusters, data.seed)
            return every, "unbiased, all pairs"
        if said := self._too_large(len(features), len(real)):
            raise MetricError(said)
        found = subset_mmd(features, real, self._size, self._subsets)
        notes.append(f"sd over subsets {found.deviation:.3g}, no error bar of the mean")
        mean = Replicates(value=found.mean, without=np.empty(0))
        return mean, f"unbiased, mean of {self._subsets} random subsets (seed {_SUBSET_SEED})"


class Cmmd(Metric):
    """``cmmd(encoder=...)``: ``estimator=biased``, as published and never negative, or
    ``unbiased``.
    """

    about = dataclasses.replace(
        KernelDistance.about,
        label="CMMD",
        meaning="Kernel distance between made and reference images in CLIP's features.",
        priority=2,
    )
    needs_reference = True
    compares_sets = True

    def __init__(
        self, *, encoder: Value = _CMMD_ENCODER, estimator: Value = "biased", **how: Value
    ) -> None:
        choice = EncoderChoice.of("cmmd", encoder, how, ["estimator"], how=("crop", "alpha"))
        self._encoder = choice.name
        self.encoders = (self._encoder,)
        self._estimator = cast(Estimator, one_of("cmmd", "estimator", estimator, _ESTIMATORS))
        self.spec = choice.spec("cmmd", estimator=(estimator, _ESTIMATORS[0]))

    def measure(self, data: MetricInput) -> MetricOutput:
        """One row; the biased value falls with the number of images, so compare equal numbers."""
        name = str(self.spec)
        features, real = both_sets(name, data, self._encoder)
        for rows in (features, real.features):
            if not np.linalg.norm(rows, axis=1).all():
                raise MetricError(
                    f"{name}: the encoder {self._encoder} gave features that are all 0"
                )
        how = (data.clusters, data.seed, self._estimator)
        found = cmmd_replicates(features, real.features, *how)
        result = MetricResult.of(
            never_negative(found.interval, self._estimator),
            self.about,
            metric=name,
            images=len(features),
            references=len(real.features),
            protocol={
                **data.features.protocol(self._encoder),
                "kernel": f"1000 exp(-|x-y|^2 / (2 * {SIGMA:g}^2)), |x| = |y| = 1",
                "estimator": f"{self._estimator}, all pairs",
                "reference_sha256": real.sha256,
                "interval": "E[CMMD_N], reference fixed, delete-group jackknife over prompts",
            },
            note="; ".join(remarks(data.images, data.reference, features)) or None,
        )
        return MetricOutput(results=[result], replicates={name: data.by_prompt(found)})


def cmmd_replicates(
    made: Float[np.ndarray, "n d"],
    real: Float[np.ndarray, "m d"],
    groups: Sequence[str],
    seed: int = 0,
    estimator: Estimator = "biased",
) -> Replicates:
    """1000 times the squared discrepancy (not its root, whatever "distance" suggests)."""
    found = kernel_replicates(made, real, groups, seed, GAUSSIAN, estimator)
    return dataclasses.replace(found, value=1000 * found.value, without=1000 * found.without)


def never_negative(found: Interval, estimator: Estimator) -> Interval:
    """The interval, cut off at 0 where the estimator cannot be below."""
    least = 0.0 if estimator == "biased" else -math.inf  # the biased one is 0 but for rounding
    low, high = (None if end is None else max(least, end) for end in (found.low, found.high))
    return Interval(value=max(least, found.value), low=low, high=high)
