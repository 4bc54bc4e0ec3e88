"""A training of one weight, for tests of what all trainings share."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gandiff.experiments.training import loop as loops
from gandiff.experiments.training.loop import Loop
from gandiff.experiments.training.request import TrainingRequest

Step = Callable[[], tuple[int, dict[str, float]]]


def count_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the loop a clock by which a millisecond passes each time that it is looked at."""
    ticks = itertools.count()
    clock = SimpleNamespace(perf_counter=lambda: next(ticks) / 1000)
    monkeypatch.setattr(loops, "time", clock)


@pytest.fixture
def ctrl_c_is_heard() -> Iterator[None]:
    """Background jobs of a shell ignore the signal, and the tests may run in one."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def request(out: Path, **changes: Any) -> TrainingRequest:
    return TrainingRequest(**{"out": out, "minutes": 0.001, "quiet": True, **changes})


def make(
    out: Path, label: str = "toy", captions_sha256: str | None = None, **changes: Any
) -> tuple[Loop, torch.nn.Linear, Step]:
    """A loop around one weight that grows by one with each step of three images."""
    net = torch.nn.Linear(1, 1, bias=False).requires_grad_(False)
    net.weight.zero_()
    loop = Loop(request(out, **changes), label, {"net": net}, captions_sha256=captions_sha256)

    def step() -> tuple[int, dict[str, float]]:
        net.weight.add_(1)
        return 3, {"loss": 1.0 / (1 + loop.progress.steps)}

    return loop, net, step
