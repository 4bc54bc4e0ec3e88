"""What every metric checks: its parameters, and the features that it is given."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from gandiff.common.errors import MetricError
from gandiff.common.names import did_you_mean
from gandiff.common.words import agree, counted
from gandiff.evaluate.metric import ImageRecord, MetricInput, ReferenceStatistics
from gandiff.evaluate.numerics.rows import Rows
from gandiff.evaluate.protocol import LATE
from gandiff.evaluate.result import MetricSpec, Value

_BLOCK = 4096  # rows looked at at once


def refuse_unknown(metric: str, unknown: Mapping[str, Value], allowed: Sequence[str]) -> None:
    """Raise ``MetricError`` if a parameter was given that the metric does not have."""
    for name in unknown:
        raise MetricError(
            f"the metric {metric} has no parameter {name!r}; it takes {', '.join(allowed)}"
            + did_you_mean(name, allowed)
        )


def whole_number(metric: str, name: str, value: Value, minimum: int) -> int:
    """The value as an integer of at least ``minimum``, else ``MetricError``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise MetricError(
            f"the parameter {name!r} of the metric {metric} is {value!r}; "
            f"give a whole number of at least {minimum}"
        )
    return value


def one_of(metric: str, name: str, value: Value, allowed: Sequence[str]) -> str:
    """The value if it is among the allowed words, else ``MetricError``."""
    if value not in allowed:
        raise MetricError(
            f"the parameter {name!r} of the metric {metric} is {value!r}"
            + did_you_mean(str(value), allowed)
        )
    return str(value)


def spec_of(
    name: str, shown: Mapping[str, Value], others: Mapping[str, tuple[Value | None, Value | None]]
) -> MetricSpec:
    """The one name of a metric: ``shown`` always, of ``others`` (value, default) only what is
    not the default.
    """
    given = {key: v for key, (v, default) in others.items() if v is not None and v != default}
    return MetricSpec.of(name, **shown, **given)


def reference_of(metric: str, data: MetricInput) -> Sequence[ImageRecord]:
    """The reference images, else ``MetricError``."""
    if data.reference is None:
        raise MetricError(
            f"{metric} compares with reference images and there are none; "
            "name some under 'reference' in the comparison file, or with --reference FOLDER"
        )
    return data.reference


def feature_matrix(
    metric: str, data: MetricInput, encoder: str, images: Sequence[ImageRecord], what: str
) -> Float[np.ndarray, "n d"]:
    """Features of at least two images, all finite, else ``MetricError``."""
    return feature_rows(metric, data, encoder, images, what)[:]


def feature_rows(
    metric: str, data: MetricInput, encoder: str, images: Sequence[ImageRecord], what: str
) -> Rows:
    """The same in slices, for what reads the features one after another only."""
    if len(images) < 2:
        raise MetricError(f"{metric} needs at least 2 {what} and found {len(images)}")
    features = data.features.rows(encoder, images)
    bad = [
        start + int(row)
        for start in range(0, len(images), _BLOCK)
        for row in np.flatnonzero(~np.isfinite(features[start : start + _BLOCK]).all(axis=1))
    ]
    if bad:
        raise MetricError(
            f"{metric}: the encoder {encoder} gave NaN or infinite features for {len(bad)} of the "
            f"{len(images)} {what}, the first being {images[bad[0]].path}"
        )
    return features


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReferenceFeatures:
    """Features of the reference images and one hash for these images as a set."""

    features: Float[np.ndarray, "n d"]
    sha256: str


def reference_features(metric: str, data: MetricInput, encoder: str) -> ReferenceFeatures:
    """Features of the reference, from its images or from a file of statistics that keeps them.

    Raises ``MetricError`` if there is no reference, if the file keeps mean and covariance only, or
    if it was made by another protocol.
    """
    stored = data.statistics
    if stored is None:
        reference = reference_of(metric, data)
        found = feature_matrix(metric, data, encoder, reference, "reference images")
        return ReferenceFeatures(features=found, sha256=set_sha256(reference))
    check_statistics(metric, stored, data.features.protocol(encoder))
    if stored.features is None:
        raise needs_features(metric, stored.source)
    return ReferenceFeatures(features=stored.features, sha256=stored.sha256)


def both_sets(
    metric: str, data: MetricInput, encoder: str
) -> tuple[Float[np.ndarray, "n d"], ReferenceFeatures]:
    """Features of the images and of the reference, else ``MetricError``."""
    made = feature_matrix(metric, data, encoder, data.images, "images")
    real = reference_features(metric, data, encoder)
    if made.shape[1] != real.features.shape[1]:
        raise MetricError(
            f"{metric}: the reference has {real.features.shape[1]} features and {encoder} gives "
            f"{made.shape[1]}; they are of different encoders"
        )
    return made, real


def needs_features(metric: str, source: str) -> MetricError:
    """The error of a metric for which a file of statistics holds too little."""
    return MetricError(
        f"{metric} needs the features of the reference images, and {source} holds their mean and "
        "covariance only; give the folder of images, or a file by: gandiff stats FOLDER"
    )


def check_statistics(metric: str, stored: ReferenceStatistics, protocol: Mapping[str, Any]) -> None:
    """Raise ``MetricError`` naming the first field in which a file's protocol differs from ours."""
    for field, ours in protocol.items():
        theirs = (stored.protocol or protocol).get(field)
        if theirs is None and field in LATE:
            continue  # a file from before it was recorded
        if theirs != ours:
            raise MetricError(
                f"{metric}: {stored.source} was made with {field} {theirs!r} and the images are "
                f"measured with {ours!r}; such numbers are not comparable. Make it again with: "
                "gandiff stats FOLDER"
            )


def remarks(
    images: Sequence[ImageRecord],
    reference: Sequence[ImageRecord] | None,
    features: Rows,
) -> list[str]:
    """What a reader should know of the sets: all images alike, images that are in the reference
    too.
    """
    found = []
    first = features[:1]
    starts = range(0, features.shape[0], _BLOCK)
    if all(np.all(features[start : start + _BLOCK] == first) for start in starts):
        found.append("all images have the same features")
    shared = len({image.sha256 for image in images} & {image.sha256 for image in reference or ()})
    if shared:
        found.append(f"{counted(shared, 'image is', 'images are')} in the reference, too")
    return found


def copies_remark(images: Sequence[ImageRecord], what: str = "images") -> list[str]:
    """A line on images that are the very same file as another one, if there are any."""
    first: dict[str, ImageRecord] = {}
    copies = [image for image in images if first.setdefault(image.sha256, image) is not image]
    if not copies:
        return []
    pair = first[copies[0].sha256].path, copies[0].path
    short = 1 if pair[0].name != pair[1].name else 2  # parts of a path that tell them apart
    named = " and ".join("/".join(path.parts[-short:]) for path in pair)
    said = "is a copy of another" if len(copies) == 1 else "are copies of others"
    return [
        f"{len(copies)} of {len(images)} {what} {said} "
        "(the same bytes, such as "
        f"{named}): values count every one, intervals each picture once"
    ]


def reference_remark(copies: int, images: int, whose: str = "") -> list[str]:
    """A line on images that are images of the reference, byte for byte, if there are any."""
    if not copies:
        return []
    of = f" of {whose}" if whose else ""
    say = "say nothing" if copies == images else "are too small by these"
    return [
        f"{copies} of {images} images{of} {agree(copies, 'are')} images of the reference, byte for "
        f"byte: distances to it {say}"
    ]


def set_sha256(images: Sequence[ImageRecord]) -> str:
    """One hash for a set of images, whatever their order."""
    joined = "\n".join(sorted(image.sha256 for image in images))
    return hashlib.sha256(joined.encode()).hexdigest()
