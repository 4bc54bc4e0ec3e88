"""What ticks measure of a ControlNet: whether pictures follow it, and their captions still."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from gandiff.experiments.training.control.conditions import Targets, foreground, overlap
from gandiff.experiments.training.monitors.base import Monitor


class ControlMonitor(Monitor):
    """Overlap of the drawn foreground with that of the scene which the control image is of, and the
    shares of stated facts that are right, by the scenes' judge where it reads this size.

    One picture of each prompt. The score is the overlap, times the share of pictures with every
    fact right.
    """

    def __init__(self, targets: Targets, *, judged: bool) -> None:
        self.per_prompt = 1
        self.targets, self.captions = targets, targets.captions
        self._judged = judged

    def first(self, prompts: int) -> ControlMonitor:
        """The same measurements on the first prompts."""
        return ControlMonitor(self.targets.first(prompts), judged=self._judged)

    def measure(self, pictures: UInt8[np.ndarray, "n h w 3"]) -> tuple[float, dict[str, float]]:
        """The score, and what it was computed from."""
        iou = float(overlap(foreground(pictures), self.targets.wanted).mean())
        if not self._judged:
            return iou, {"control_iou": iou}
        from gandiff.evaluate.extractors.scenes import load_classifier
        from gandiff.experiments.training.monitors.scenes import accuracy

        shares = accuracy(self.targets.expected, load_classifier("a").predict(pictures), 1)
        return iou * shares["all"], {"control_iou": iou, **shares}
