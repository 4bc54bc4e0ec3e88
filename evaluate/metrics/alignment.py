"""Whether the image shows what the prompt says: CLIP score, and the stated facts of a scene."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from gandiff.common.errors import MetricError
from gandiff.common.images import ALPHAS
from gandiff.evaluate.checks import refuse_unknown, spec_of
from gandiff.evaluate.metric import NO_FACTS, ImageRecord, Metric, MetricInput, MetricOutput
from gandiff.evaluate.metrics.prompt_texts import (
    CLIP_ELSEWHERE,
    CLIP_ON_SCENES,
    PromptTexts,
    check_model,
    prompt_texts,
    refuse_no_cosine,
    unit_rows,
)
from gandiff.evaluate.metrics.scene_judging import judge_of, judged
from gandiff.evaluate.numerics.matching import KINDS, judge_facts
from gandiff.evaluate.numerics.proportions import OVER_PROMPTS, mean_over_groups
from gandiff.evaluate.result import About, MetricResult, MetricSpec, Value

_ROWS = ("all", *KINDS, "held_out_all")
OTHER_JUDGE, AGREEMENT = "other_judge", "agreement"
_ALL = About(
    label="scene accuracy",
    meaning="Share of images in which a classifier finds what the prompt states.",
    group="Alignment",
    unit="share",
    scale="percent",
    axis="alignment",
    priority=0,
    direction="higher",
)
_ONE = dataclasses.replace(
    _ALL,
    meaning="Share of images in which a classifier finds the",
    group="Accuracy by attribute",
    axis=None,
)


class ClipScore(Metric):
    """``clip_score(model=...)``: cosine of image and prompt in a CLIP model (Hessel et al. 2021,
    arXiv 2104.08718).

    The raw cosine is kept. What others print derives from it: torchmetrics and MLPerf 100 cos, the
    paper 2.5 max(cos, 0), of prompts after the ``prefix`` "A photo depicts".
    """

    about = About(
        label="CLIP score",
        meaning="Mean similarity of image and prompt in the features of the named CLIP model.",
        group="Alignment",
        unit="cosine",
        axis="alignment",
        priority=1,
        direction="higher",
    )
    needs_prompts = True
    scene_defaults = CLIP_ON_SCENES

    def __init__(
        self, *, model: Value = CLIP_ELSEWHERE, prefix: Value = "", **unknown: Value
    ) -> None:
        refuse_unknown("clip_score", unknown, ["model", "prefix"])
        self._encoder = check_model("clip_score", model)
        self.encoders = (self._encoder,)
        self._prefix = str(prefix).strip()
        self.spec = spec_of("clip_score", {"model": model}, {"prefix": (self._prefix, "")})
        _check_prefix(self._prefix)

    def measure(self, data: MetricInput) -> MetricOutput:
        """One row and the cosine of every image; long prompts lose their end and are counted."""
        name = str(self.spec)
        found = prompt_texts(name, data, self._encoder, self._prefix)
        images = unit_rows(data.features(self._encoder, data.images))
        cosines: Float[np.ndarray, " n"] = (images * found.vectors[found.own]).sum(axis=1)
        refuse_no_cosine(name, data.images, cosines)
        interval = mean_over_groups(cosines, data.clusters, data.seed)
        result = MetricResult.of(
            interval,
            self.about,
            metric=name,
            images=len(cosines),
            protocol={
                **data.features.protocol(self._encoder),
                "prefix": self._prefix,
                "truncation": "keeps the end token",
                "prompts": len(found.texts),
                "truncated_prompts": int(found.truncated.sum()),
                "interval": OVER_PROMPTS,
            },
            note=_clip_note(cosines, found),
        )
        return MetricOutput(results=[result], per_image={name: cosines})


class SceneAccuracy(Metric):
    """``scene_accuracy(judge=a|b|FOLDER)``: the stated facts of a scene that a frozen classifier
    finds in it.
    """

    about = dataclasses.replace(
        _ALL,
        parts={
            "all": dataclasses.replace(
                _ALL,
                meaning="Share of images in which a classifier finds everything that the prompt "
                "states.",
            ),
            "held_out_all": dataclasses.replace(
                _ONE,
                label="held-out pairs",
                meaning="Scene accuracy on prompts that ask for pairs of shape and colour never "
                "seen in training.",
            ),
            OTHER_JUDGE: dataclasses.replace(
                _ONE,
                label="scene accuracy by the other judge",
                meaning="The same share by a classifier of another design and seed.",
            ),
            AGREEMENT: dataclasses.replace(
                _ONE,
                label="agreement of the judges",
                meaning="Share of images of which both classifiers say the same: that all the "
                "prompt states is there, or that it is not.",
                direction="none",
            ),
            **{
                kind: dataclasses.replace(
                    _ONE,
                    label=kind,
                    meaning=f"{_ONE.meaning} {kind} that the prompt states.",
                    fact=kind,
                )
                for kind in KINDS
            },
        },
    )
    needs_prompts = True
    needs_facts = True

    def __init__(self, *, judge: Value = "a", **unknown: Value) -> None:
        refuse_unknown("scene_accuracy", unknown, ["judge"])
        self._judge = str(judge)
        self._other = {"a": "b", "b": "a"}.get(self._judge)  # of another design
        self.spec = spec_of("scene_accuracy", {}, {"judge": (judge, "a")})

    def measure(self, data: MetricInput) -> MetricOutput:
        """A row for all facts at once, for each kind of fact and for held-out pairs, as far as
        prompts state them; for all facts by the other shipped judge, and how often they agree.
        """
        if not any(image.expected for image in data.images):
            raise MetricError(f"{self.spec} {NO_FACTS}")
        shares = _shares(data.images, judged(data, self._judge, data.images))
        if self._other is not None:
            other = _shares(data.images, judged(data, self._other, data.images))["all"]
            agrees = 1.0 - np.abs(shares["all"] - other)  # NaN where nothing is stated
            shares |= {OTHER_JUDGE: other, AGREEMENT: agrees}
        stated = {row: values for row, values in shares.items() if not np.isnan(values).all()}
        protocol = {
            "judge": self._judge,
            "weights_sha256": judge_of(data, self._judge).sha256,
            "alpha": ALPHAS[0],
            "mean": "over images",
            "interval": OVER_PROMPTS,
        }
        if self._other is not None:
            protocol["other_judge"] = self._other
            protocol["other_sha256"] = judge_of(data, self._other).sha256
        rows = [
            MetricResult.of(
                mean_over_groups(values, data.clusters, data.seed),
                self.describe(row),
                metric=f"{self.spec}/{row}",
                images=int(np.sum(~np.isnan(values))),
                protocol=protocol,
            )
            for row, values in stated.items()
        ]
        per_image = {f"{self.spec}/{row}": values for row, values in stated.items()}
        return MetricOutput(results=rows, per_image=per_image)


def _shares(
    images: Sequence[ImageRecord], seen: Sequence[Mapping[str, Any] | None]
) -> dict[str, Float[np.ndarray, " n"]]:
    """Shares of right facts by row, NaN where an image's prompt states none of the kind."""
    shares = {row: np.full(len(images), np.nan) for row in _ROWS}
    for index, (image, predicted) in enumerate(zip(images, seen, strict=True)):
        if predicted is not None:
            for row, share in judge_facts(image.expected or {}, predicted).items():
                shares[row][index] = share
    return shares


def _check_prefix(prefix: str) -> None:
    """Refuse what the metric's name could not carry: it is printed, stored and read again."""
    if any(letter in prefix for letter in ",()"):
        raise MetricError(
            f"the prefix {prefix!r} of the metric clip_score holds a comma or a parenthesis, which "
            "a metric's name cannot carry; leave it out"
        )
    spec = MetricSpec.of("clip_score", prefix=prefix)
    if prefix and MetricSpec.parse(str(spec)) != spec:
        raise MetricError(
            f"the prefix {prefix!r} of the metric clip_score reads as something else than text; "
            "give plain words"
        )


def _clip_note(cosines: Float[np.ndarray, " n"], found: PromptTexts) -> str:
    scaled = 2.5 * float(np.mean(np.maximum(cosines, 0)))
    note = (
        f"100 times the cosine: {100 * float(np.mean(cosines)):.3f}; "
        f"CLIPScore as its paper scales it, 2.5 max(cos, 0): {scaled:.4f}"
    )
    lost = found.remark()
    return f"{note}; {lost}" if lost else note
