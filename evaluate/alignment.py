"""Whether the image shows what the prompt says: CLIP score, and the stated facts of a scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, UInt8

from gandiff.evaluate.checks import refuse_unknown, spec_of
from gandiff.evaluate.features import TextFeatures
from gandiff.evaluate.images import UnreadableImageError, describe_unreadable, read_image
from gandiff.evaluate.matching import KINDS, judge_facts
from gandiff.evaluate.metric import ImageRecord, Metric, MetricInput, MetricOutput
from gandiff.evaluate.result import MetricError, MetricResult, Value
from gandiff.evaluate.statistics import bootstrap_over_groups

_BATCH = 256  # scenes judged at once
_ROWS = ("all", *KINDS, "held_out_all")


class ClipScore(Metric):
    """``clip_score(model=...)``: cosine of image and prompt in a CLIP model (Hessel et al. 2021,
    arXiv 2104.08718).

    The raw cosine is kept. What others print derives from it: torchmetrics and MLPerf 100 cos, the
    paper 2.5 max(cos, 0).
    """

    needs_prompts = True

    def __init__(self, *, model: Value = "scenes", **unknown: Value) -> None:
        refuse_unknown("clip_score", unknown, ["model"])
        if not str(model).strip():
            raise MetricError("the parameter 'model' of the metric clip_score is empty")
        self._encoder = f"clip:{model}"
        self.encoders = (self._encoder,)
        self.spec = spec_of("clip_score", {"model": model}, {})

    def measure(self, data: MetricInput) -> MetricOutput:
        """One row and the cosine of every image; long prompts lose their end and are counted."""
        name = str(self.spec)
        if not isinstance(data.features, TextFeatures):
            raise MetricError(f"{name} needs features of texts, and {data.features} has none")
        prompts = [_prompt(name, image) for image in data.images]
        if not prompts:
            raise MetricError(f"{name} needs at least 1 image and found none")
        unique = list(dict.fromkeys(prompts))
        found = data.features.texts(self._encoder, unique)
        place = {prompt: index for index, prompt in enumerate(unique)}
        texts = found.features[[place[prompt] for prompt in prompts]]
        cosines = _cosines(data.features(self._encoder, data.images), texts)
        _all_finite(name, data.images, cosines)
        groups = [image.group for image in data.images]
        interval = bootstrap_over_groups(cosines, groups, data.seed)
        result = MetricResult(
            metric=name,
            value=interval.value,
            low=interval.low,
            high=interval.high,
            unit="cosine",
            direction="higher",
            images=len(cosines),
            protocol={
                **data.features.protocol(self._encoder),
                "truncation": "keeps the end token",
                "prompts": len(unique),
                "truncated_prompts": int(found.truncated.sum()),
                "interval": "bootstrap over prompts",
            },
            note=_clip_note(cosines, found.truncated),
        )
        return MetricOutput(results=[result], per_image={name: cosines})


@runtime_checkable
class SceneJudge(Protocol):
    """What scene accuracy needs of a scene classifier."""

    sha256: str

    def predict(self, images: UInt8[np.ndarray, "n h w 3"]) -> list[dict[str, Any]]:
        """What each image shows, in the form of a prompt's expected facts."""


class SceneAccuracy(Metric):
    """``scene_accuracy(judge=a|b|FOLDER)``: the stated facts of a scene that a frozen classifier
    finds in it.
    """

    needs_prompts = True

    def __init__(self, *, judge: Value = "a", **unknown: Value) -> None:
        refuse_unknown("scene_accuracy", unknown, ["judge"])
        self._judge = str(judge)
        self.spec = spec_of("scene_accuracy", {}, {"judge": (judge, "a")})

    def measure(self, data: MetricInput) -> MetricOutput:
        """A row for all facts at once, for each kind of fact and for held-out pairs, as far as
        prompts state them.
        """
        if not any(image.expected for image in data.images):
            raise MetricError(
                f"{self.spec} needs prompts with stated facts and none has any; "
                "use the suite 'scenes'"
            )
        judge = _load_judge(self._judge, data.device)
        shares = _judge_images(judge, data.images)
        per_image = {f"{self.spec}/{row}": shares[row] for row in _ROWS}
        stated = {name: values for name, values in per_image.items() if not np.isnan(values).all()}
        protocol = {
            "judge": self._judge,
            "weights_sha256": judge.sha256,
            "mean": "over images",
            "interval": "bootstrap over prompts",
        }
        rows = [self._row(name, values, data, protocol) for name, values in stated.items()]
        return MetricOutput(results=rows, per_image=stated)

    def _row(
        self,
        name: str,
        values: Float[np.ndarray, " n"],
        data: MetricInput,
        protocol: Mapping[str, Any],
    ) -> MetricResult:
        interval = bootstrap_over_groups(values, [image.group for image in data.images], data.seed)
        return MetricResult(
            metric=name,
            value=interval.value,
            low=interval.low,
            high=interval.high,
            unit="share",
            direction="higher",
            images=int(np.sum(~np.isnan(values))),
            protocol=protocol,
        )


def _load_judge(source: str, device: str) -> SceneJudge:
    from gandiff.evaluate.extractors.scenes import load_classifier

    judge: SceneJudge = load_classifier(source, device)
    return judge


def _judge_images(
    judge: SceneJudge, images: Sequence[ImageRecord]
) -> dict[str, Float[np.ndarray, " n"]]:
    """Shares of right facts by row, NaN where an image's prompt states none of the kind."""
    shares = {row: np.full(len(images), np.nan) for row in _ROWS}
    unreadable: list[tuple[ImageRecord, str]] = []
    asked = [index for index, image in enumerate(images) if image.expected]
    for start in range(0, len(asked), _BATCH):
        by_shape: dict[tuple[int, ...], list[tuple[int, UInt8[np.ndarray, "h w 3"]]]] = {}
        for index in asked[start : start + _BATCH]:
            try:
                pixels = read_image(images[index]).pixels
            except UnreadableImageError as error:
                unreadable.append((images[index], str(error)))
            else:
                by_shape.setdefault(pixels.shape, []).append((index, pixels))
        for members in by_shape.values():
            predictions = judge.predict(np.stack([pixels for _, pixels in members]))
            for (index, _), predicted in zip(members, predictions, strict=True):
                for row, share in judge_facts(images[index].expected or {}, predicted).items():
                    shares[row][index] = share
    if unreadable:
        raise MetricError(describe_unreadable(unreadable, len(images)))
    return shares


def _prompt(name: str, image: ImageRecord) -> str:
    if not image.prompt:
        raise MetricError(f"{name} needs the prompt of every image, and {image.path} has none")
    return image.prompt


def _cosines(
    images: Float[np.ndarray, "n d"], texts: Float[np.ndarray, "n d"]
) -> Float[np.ndarray, " n"]:
    a, b = images.astype(np.float64), texts.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Float[np.ndarray, " n"] = (a * b).sum(axis=1) / (
            np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        )
    return found


def _all_finite(name: str, images: Sequence[ImageRecord], cosines: Float[np.ndarray, " n"]) -> None:
    bad = np.flatnonzero(~np.isfinite(cosines))
    if len(bad):
        raise MetricError(
            f"{name}: {len(bad)} of {len(images)} images have no cosine with their prompt "
            f"(features NaN or all 0), the first being {images[int(bad[0])].path}"
        )


def _clip_note(cosines: Float[np.ndarray, " n"], truncated: Bool[np.ndarray, " p"]) -> str:
    scaled = 2.5 * float(np.mean(np.maximum(cosines, 0)))
    note = f"x100: {100 * float(np.mean(cosines)):.3f}; 2.5 max(cos, 0): {scaled:.4f}"
    lost = int(truncated.sum())
    return f"{note}; {lost} of {len(truncated)} prompts were truncated" if lost else note
