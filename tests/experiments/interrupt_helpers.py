"""What is trained where Ctrl-C is tried: steps and checkpoints that take their time."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gandiff.experiments.training import ranks
from gandiff.experiments.training.loop import Loop
from gandiff.experiments.training.ranks import Ranks, launch
from gandiff.experiments.training.request import TrainingRequest

SAVING = 4.0  # s


class Count:
    """Steps that began and steps that ended; saved slowly, once there are any."""

    def __init__(self) -> None:
        self.begun = self.ended = 0

    def state_dict(self) -> dict[str, Any]:
        if self.begun:
            time.sleep(SAVING)
        return dict(vars(self))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        vars(self).update(state_dict)


def counting(asked: TrainingRequest, ranks: Ranks, seconds: float = 0.3) -> None:
    """Train nothing, in steps of so many seconds in which Python is asked for signals often."""
    count = Count()
    loop = Loop(asked, "count", {"count": count}, ranks)

    def step() -> tuple[int, dict[str, float]]:
        count.begun += 1
        (asked.out / f"pid-{ranks.rank}").write_text(str(os.getpid()))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.01)
        count.ended += 1
        return asked.batch_size, {"loss": 0.0}

    loop.run(step)


def stuck(asked: TrainingRequest, ranks: Ranks) -> None:
    """A step that takes longer than anybody waits."""
    counting(asked, ranks, seconds=600.0)


def main(name: str, out: str) -> int:
    """A program that trains in two processes, as the command line does.

    With ``-on-windows`` it takes the machine for one where Ctrl-C reaches every process by itself,
    and where there is nothing to ask another one to stop with.
    """
    name, _, windows = name.partition("-")
    if windows:
        ranks.sys = SimpleNamespace(platform="win32")  # type: ignore[attr-defined]
    asked = TrainingRequest(out=Path(out), kimg=900.0, batch_size=4, processes=2, quiet=True)
    print("launching", flush=True)
    try:
        launch({"counting": counting, "stuck": stuck}[name], asked)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
