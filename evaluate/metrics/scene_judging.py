"""Frozen classifiers that say what a scene shows; each image is judged once for all metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from gandiff.common.errors import MetricError
from gandiff.common.images import UnreadableImageError
from gandiff.evaluate.features.images import describe_unreadable, read_image
from gandiff.evaluate.metric import ImageRecord, MetricInput

_BATCH = 256  # scenes judged at once


@runtime_checkable
class SceneJudge(Protocol):
    """What is needed of a scene classifier."""

    sha256: str

    def predict(self, images: UInt8[np.ndarray, "n h w 3"]) -> list[dict[str, Any]]:
        """What each image shows, in the form of a prompt's expected facts."""


def judge_of(data: MetricInput, source: str) -> SceneJudge:
    """The judge ``a`` or ``b`` or that of a folder, loaded once for one input."""
    key = ("scene judge", source, data.device)
    if key not in data.memo:
        data.memo[key] = _load_judge(source, data.device)
    judge: SceneJudge = data.memo[key]
    return judge


def judged(
    data: MetricInput, source: str, images: Sequence[ImageRecord]
) -> list[Mapping[str, Any] | None]:
    """What the judge sees in each image; None where the image's prompt states no facts.

    Raises ``MetricError`` that names unreadable files.
    """
    judge = judge_of(data, source)
    seen: dict[str, Mapping[str, Any]] = data.memo.setdefault(("judged", source, judge.sha256), {})
    asked = {image.sha256: image for image in images if image.expected}
    missing = [image for sha256, image in asked.items() if sha256 not in seen]
    unreadable: list[tuple[ImageRecord, str]] = []
    for start in range(0, len(missing), _BATCH):
        _judge_batch(judge, missing[start : start + _BATCH], seen, unreadable)
    if unreadable:
        raise MetricError(describe_unreadable(unreadable, len(images)))
    return [seen[image.sha256] if image.expected else None for image in images]


def _load_judge(source: str, device: str) -> SceneJudge:
    from gandiff.evaluate.extractors.scenes import load_classifier

    judge: SceneJudge = load_classifier(source, device)
    return judge


def _judge_batch(
    judge: SceneJudge,
    images: Sequence[ImageRecord],
    seen: dict[str, Mapping[str, Any]],
    unreadable: list[tuple[ImageRecord, str]],
) -> None:
    by_shape: dict[tuple[int, ...], list[tuple[str, UInt8[np.ndarray, "h w 3"]]]] = {}
    for image in images:
        try:
            pixels = read_image(image).pixels
        except UnreadableImageError as error:
            unreadable.append((image, str(error)))
        else:
            by_shape.setdefault(pixels.shape, []).append((image.sha256, pixels))
    for members in by_shape.values():
        predictions = judge.predict(np.stack([pixels for _, pixels in members]))
        for (sha256, _), predicted in zip(members, predictions, strict=True):
            seen[sha256] = predicted
