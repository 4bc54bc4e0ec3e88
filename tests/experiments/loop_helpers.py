"""A training of one weight, for tests of what all trainings share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from gandiff.experiments.training.loop import Loop
from gandiff.experiments.training.request import TrainingRequest

Step = Callable[[], tuple[int, dict[str, float]]]


def request(out: Path, **changes: Any) -> TrainingRequest:
    return TrainingRequest(**{"out": out, "minutes": 0.001, "quiet": True, **changes})


def make(out: Path, label: str = "toy", **changes: Any) -> tuple[Loop, torch.nn.Linear, Step]:
    """A loop around one weight that grows by one with each step of three images."""
    net = torch.nn.Linear(1, 1, bias=False).requires_grad_(False)
    net.weight.zero_()
    loop = Loop(request(out, **changes), label, {"net": net})

    def step() -> tuple[int, dict[str, float]]:
        net.weight.add_(1)
        return 3, {"loss": 1.0 / (1 + loop.at.steps)}

    return loop, net, step
