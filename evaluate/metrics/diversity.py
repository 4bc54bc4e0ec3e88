"""How different the images are from each other: over all of them, and among those of one prompt."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from gandiff.common.errors import MetricError
from gandiff.common.words import counted
from gandiff.evaluate.checks import feature_matrix, one_of, set_sha256, whole_number
from gandiff.evaluate.features.cache import PairFeatures
from gandiff.evaluate.features.encoders import ELSEWHERE, ON_SCENES, EncoderChoice, is_shipped
from gandiff.evaluate.metric import ImageRecord, Metric, MetricInput, MetricOutput, PlannedSets
from gandiff.evaluate.numerics.statistics import add_up, jackknife_over_groups, ratio_of_sums
from gandiff.evaluate.numerics.vendi import vendi_of_features
from gandiff.evaluate.result import About, Interval, MetricResult, Value

_DISTANCES = ["euclidean", "cosine"]
_NEEDS_TWO = "needs 2 images of one prompt and no prompt has them"
_DRAWS = 10  # random subsets for a Vendi score at a fixed n


class Vendi(Metric):
    """``vendi(encoder=...)``: order ``q``; it grows with n, so ``n`` draws sets of that size."""

    about = About(
        label="Vendi score",
        meaning="Effective number of different images among all that were made.",
        group="Diversity",
        unit="effective images",
        axis="diversity",
        priority=1,
        direction="higher",
    )
    compares_sets = True
    scene_defaults = ON_SCENES

    def __init__(
        self, *, encoder: Value = ELSEWHERE, q: Value = 1, n: Value | None = None, **how: Value
    ) -> None:
        choice = EncoderChoice.of("vendi", encoder, how, ["q", "n"])
        self._encoder = choice.name
        self.encoders = (self._encoder,)
        self._q = _order(q)
        self._n = None if n is None else whole_number("vendi", "n", n, 2)
        self.spec = choice.spec("vendi", q=(q, 1), n=(self._n, None))

    def measure(self, data: MetricInput) -> MetricOutput:
        """One row."""
        name = str(self.spec)
        features = feature_matrix(name, data, self._encoder, data.images, "images")
        if not np.linalg.norm(features, axis=1).all():
            raise MetricError(f"{name}: the encoder {self._encoder} gave features that are all 0")
        size = self._n or len(features)
        if said := self._too_few(len(features)):
            raise MetricError(said)
        result = MetricResult.of(
            self._estimate(data, features, size),
            self.about,
            metric=name,
            images=len(features),
            protocol={
                **data.features.protocol(self._encoder),
                "kernel": "cosine",
                "q": "inf" if math.isinf(self._q) else self._q,
                "n": size,
                "interval": "E[Vendi_n], delete-group jackknife over prompts",
            },
            note="it grows with n: compare equal n only",
        )
        return MetricOutput(results=[result])

    def shortage(self, planned: PlannedSets) -> str | None:
        """There must be as many images as are drawn."""
        return super().shortage(planned) or self._too_few(planned.images)

    def _too_few(self, images: int) -> str | None:
        size = self._n or 2
        return f"{self.spec} needs {size} images and found {images}" if images < size else None

    def _estimate(
        self, data: MetricInput, features: Float[np.ndarray, "n d"], size: int
    ) -> Interval:
        if size == len(features):
            return jackknife_over_groups(
                lambda kept: vendi_of_features(features[kept], self._q), data.clusters, data.seed
            )
        rng = np.random.default_rng(data.seed)
        draws = [rng.choice(len(features), size, replace=False) for _ in range(_DRAWS)]
        return Interval(
            value=float(np.mean([vendi_of_features(features[kept], self._q) for kept in draws]))
        )


class PromptDiversity(Metric):
    """``diversity(encoder=...)``: mean distance between images of one prompt, relative to real
    images of it.

    The distance is that of the features, or with ``encoder=lpips`` LPIPS, which compares images
    itself. Encoders that do not ship with the project are optional.
    """

    about = About(
        label="diversity",
        meaning="How much images of one prompt differ from each other, relative to real images of "
        "that prompt; above 1.0 is no improvement.",
        group="Diversity",
        unit="x",  # times that of real images
        axis="diversity",
        priority=0,
        direction="target",
        target=1.0,
    )
    raw = dataclasses.replace(
        about,
        meaning="How much images of one prompt differ from each other; no real images say how much "
        "is right, so neither more nor less counts as better.",
        direction="none",
        target=None,
    )
    needs_prompts = True
    scene_defaults = ON_SCENES

    def __init__(
        self, *, encoder: Value = ELSEWHERE, distance: Value | None = None, **how: Value
    ) -> None:
        choice = EncoderChoice.of("diversity", encoder, how, ["distance"])
        self._encoder = choice.name
        self.encoders = (self._encoder,)
        family = self._encoder.partition("+")[0]
        self.optional = not is_shipped(self._encoder)
        self._distance = "LPIPS" if family == "lpips" else _DISTANCES[0]
        if distance is not None:
            if family == "lpips":
                raise MetricError("lpips is a distance itself; leave out 'distance'")
            self._distance = one_of("diversity", "distance", distance, _DISTANCES)
        self.spec = choice.spec("diversity", distance=(distance, _DISTANCES[0]))

    def measure(self, data: MetricInput) -> MetricOutput:
        """One row: a ratio with target 1 where there are real images of the prompts, else raw."""
        name = str(self.spec)
        per_image = self._apart(data, data.images, "images")
        own = _by_group(per_image, data.images)
        if not own:
            raise MetricError(f"{name} {_NEEDS_TWO}")
        if data.matched is None:
            return MetricOutput(results=[self._raw(data, own)], per_image={name: per_image})
        row, real = self._ratio(data, data.matched, own)
        below = np.array([real.get(image.group, math.nan) for image in data.images])
        # Over what is the same for every generator, so that equal images have equal values.
        scale = float(np.mean(list(real.values())))
        values = np.where(np.isnan(below), np.nan, per_image) / scale
        return MetricOutput(
            results=[row], per_image={name: values}, denominators={name: below / scale}
        )

    def shortage(self, planned: PlannedSets) -> str | None:
        """There must be two images of a prompt."""
        alone = f"{self.spec} {_NEEDS_TWO}; set samples_per_prompt to 2 or more"
        return super().shortage(planned) or (alone if planned.samples < 2 else None)

    def _apart(
        self, data: MetricInput, images: Sequence[ImageRecord], what: str
    ) -> Float[np.ndarray, " n"]:
        """Each image's mean distance to the others of its prompt; NaN where it is alone."""
        if self._distance == "LPIPS":
            return _pair_distances(str(self.spec), data, self._encoder, images)
        features = feature_matrix(str(self.spec), data, self._encoder, images, what)
        return sibling_distances(features, [image.group for image in images], self._distance)

    def _raw(self, data: MetricInput, own: dict[str, float]) -> MetricResult:
        return MetricResult.of(
            _ratio_of(own, dict.fromkeys(own, 1.0), data),
            self.raw,
            metric=str(self.spec),
            unit="LPIPS" if self._distance == "LPIPS" else f"{self._distance} distance",
            images=len(data.images),
            protocol=self._protocol(data),
            note=f"mean over {counted(len(own), 'prompt')}; without real images to compare with",
        )

    def _ratio(
        self, data: MetricInput, matched: Sequence[ImageRecord], own: dict[str, float]
    ) -> tuple[MetricResult, dict[str, float]]:
        """The row, and the distance between real images of each prompt that it is relative to."""
        name = str(self.spec)
        real = _by_group(self._apart(data, matched, "real images of the prompts"), matched)
        common = [group for group in own if group in real]
        if not common:
            raise MetricError(f"{name}: no prompt has 2 images and 2 real images of it as well")
        below = np.array([real[group] for group in common])
        if below.sum() == 0:
            raise MetricError(f"{name}: the real images of each prompt all have the same features")
        row = MetricResult.of(
            _ratio_of({group: own[group] for group in common}, real, data),
            self.about,
            metric=name,
            images=len(data.images),
            references=len(matched),
            protocol={**self._protocol(data), "reference_sha256": set_sha256(matched)},
            note=f"over {counted(len(common), 'prompt')}; above 1 is no improvement",
        )
        return row, real

    def _protocol(self, data: MetricInput) -> dict[str, object]:
        return {
            **data.features.protocol(self._encoder),
            "distance": self._distance,
            "interval": "bootstrap over prompts",
        }


def sibling_distances(
    features: Float[np.ndarray, "n d"], groups: Sequence[str], distance: str = "euclidean"
) -> Float[np.ndarray, " n"]:
    """Each image's mean distance to the others of its group; NaN where it is alone."""
    rows = features.astype(np.float64)
    if distance == "cosine":
        rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
    found = np.full(len(rows), np.nan)
    for indices in _siblings(groups):
        # Unit vectors: |x - y|^2 / 2 = 1 - cos, without the cancellation of 1 - x.y.
        squares = np.stack([((rows[indices] - rows[i]) ** 2).sum(axis=1) for i in indices])
        apart = squares / 2 if distance == "cosine" else np.sqrt(squares)
        found[indices] = apart.sum(axis=1) / (len(indices) - 1)
    return found


def _pair_distances(
    name: str, data: MetricInput, encoder: str, images: Sequence[ImageRecord]
) -> Float[np.ndarray, " n"]:
    """The same by an encoder that compares images; those of one prompt are in memory at once."""
    if not isinstance(data.features, PairFeatures):
        raise MetricError(f"{name} needs distances of images, and {data.features} has none")
    found = np.full(len(images), np.nan)
    for indices in _siblings([image.group for image in images]):
        apart = data.features.distances(encoder, [images[index] for index in indices])
        if not np.isfinite(apart).all():
            first = images[indices[0]].path
            raise MetricError(f"{name}: the distances between {first} and its siblings are NaN")
        found[indices] = apart.sum(axis=1) / (len(indices) - 1)
    return found


def _siblings(groups: Sequence[str]) -> list[list[int]]:
    """The places of each group that has two or more."""
    members: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    return [indices for indices in members.values() if len(indices) > 1]


def _by_group(values: Float[np.ndarray, " n"], images: Sequence[ImageRecord]) -> dict[str, float]:
    """Mean over the pairs of each group that has pairs."""
    collected: dict[str, list[float]] = {}
    for value, image in zip(values, images, strict=True):
        if not math.isnan(value):
            collected.setdefault(image.group, []).append(float(value))
    return {group: math.fsum(found) / len(found) for group, found in collected.items()}


def _ratio_of(
    above: Mapping[str, float], below: Mapping[str, float], data: MetricInput
) -> Interval:
    """The ratio of two sums over the prompts of ``above``, resampling the clusters of prompts."""
    columns = (np.array([side[group] for group in above]) for side in (above, below))
    made, real = add_up(data.clusters_of(above), *columns)
    return ratio_of_sums(made, real, data.seed)


def _order(q: Value) -> float:
    if isinstance(q, bool) or not (isinstance(q, (int, float)) or q == "inf") or float(q) <= 0:
        raise MetricError(
            f"the parameter 'q' of the metric vendi is {q!r}; give a number above 0 or inf"
        )
    return float(q)
