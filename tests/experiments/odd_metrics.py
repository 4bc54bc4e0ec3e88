"""Metrics for tests that come to nothing, each in another way."""

from __future__ import annotations

import dataclasses

import numpy as np
from PIL import Image

from gandiff.common.errors import MetricError
from gandiff.evaluate.metric import Metric, MetricInput, MetricOutput
from gandiff.evaluate.result import About, MetricResult, MetricSpec


class Blank(Metric):
    """``how`` it comes to nothing: ``empty`` (NaN), ``endless``, an ``error``, a ``mistake``, or
    ``aimless`` (best near a target that it does not name).
    """

    about = About(label="blank", meaning="Nothing.", axis="alignment", priority=0)

    def __init__(self, how: str = "empty") -> None:
        self.spec = MetricSpec.of("blank", how=how)
        self._how = how

    def measure(self, data: MetricInput) -> MetricOutput:
        """A row without a number, and as many per image."""
        if self._how == "error":
            raise MetricError("there is nothing to measure")
        if self._how == "mistake":
            raise ZeroDivisionError("division by zero")
        value = {"empty": float("nan"), "endless": float("inf"), "aimless": 0.5}[self._how]
        row = MetricResult(
            metric=str(self.spec), value=value, images=len(data.images), about=self.about
        )
        if self._how == "aimless":
            row = dataclasses.replace(row, direction="target")
        values = np.full(len(data.images), value, np.float64)
        return MetricOutput(results=[row], per_image={str(self.spec): values})


class Shade(Metric):
    """Mean grey level of an image, 0 to 255: by image, and of all."""

    spec = MetricSpec("shade")
    about = About(
        label="shade",
        meaning="Mean grey level.",
        axis="alignment",
        priority=0,
        direction="higher",
    )

    def measure(self, data: MetricInput) -> MetricOutput:
        """The mean, whose interval the values of images give."""
        values = np.array(
            [np.asarray(Image.open(image.path).convert("L")).mean() for image in data.images]
        )
        row = MetricResult.of(None, self.about, metric="shade", images=len(values))
        row = dataclasses.replace(row, value=float(values.mean()))
        return MetricOutput(results=[row], per_image={"shade": values})
