"""What a training reports while it runs: a bar, a log of JSON lines, TensorBoard on request."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from gandiff.common.errors import RequestError
from gandiff.common.files import write_atomically
from gandiff.common.measurements import shown_in

LOG, TENSORBOARD = "training.jsonl", "tensorboard"
_LOG_SECONDS = 5.0
_SMOOTHING = 0.05


class TrainingLog:
    """Smooths losses and writes them where they can be followed; quiet where ``shown`` is False.

    ``curve`` holds the logged rows, for the training record. The bar shows what the
    table of measurements has for it of the last step, or the first few losses if there is none.
    """

    def __init__(self, folder: Path, label: str, *, shown: bool, tensorboard: bool) -> None:
        self.folder, self.label, self.shown = folder, label, shown
        self._latest: set[str] = set()
        self.curve: list[dict[str, float]] = []
        self._smooth: dict[str, float] = {}
        self._last = -math.inf
        self._bar: Any = None
        self._tensorboard = tensorboard
        self._writer: Any = None

    def open(self, fraction: float) -> None:
        """Show the bar, which counts percent of the budget, and begin TensorBoard's file."""
        if self._tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            writer: Any = SummaryWriter  # its signature is untyped
            self._writer = writer(str(self.folder / TENSORBOARD))
        form = "{desc} {percentage:3.0f}%|{bar}|{postfix}"
        self._bar = tqdm(
            total=100, desc=self.label, bar_format=form, disable=not self.shown, initial=0
        )
        self._move(fraction)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()
        if self._writer is not None:
            self._writer.close()

    def say(self, text: str) -> None:
        """A line above the bar, on stderr."""
        if self.shown:
            tqdm.write(f"{self.label}: {text}", file=sys.stderr)

    def add(self, losses: Mapping[str, float]) -> None:
        """Take in one step's losses."""
        self._latest = set(losses)
        for name, value in losses.items():
            old = self._smooth.get(name, value)
            self._smooth[name] = old + _SMOOTHING * (value - old)

    def due(self, seconds: float) -> bool:
        """Whether it is time to log: at once, then every few seconds."""
        return seconds - self._last >= _LOG_SECONDS

    def write(
        self, seconds: float, images: int, fraction: float, extra: Mapping[str, float] | None = None
    ) -> None:
        """Write one row of smoothed losses, or of what a tick measured (``extra``)."""
        row = {"seconds": round(seconds, 1), "kimg": round(images / 1000, 2)}
        values = self._smooth if extra is None else extra
        row |= {name: round(value, 4) for name, value in values.items()}
        self.curve.append(row)
        with (self.folder / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, images)
        if extra is None:
            self._last = seconds
        self._show(seconds, images, fraction)

    def has_tick(self, images: int) -> bool:
        """Whether a tick measured what so many images led to."""
        kimg = round(images / 1000, 2)
        return any("score" in row and row["kimg"] == kimg for row in self.curve)

    def rewrite(self) -> None:
        """Write the log again: without rows that were rolled back, or torn when it was killed."""
        text = "".join(json.dumps(row) + "\n" for row in self.curve)
        write_atomically(self.folder / LOG, text.encode())

    def forget(self, seconds: float) -> None:
        """Drop smoothed losses and rows of a time that was rolled back."""
        self._smooth.clear()
        self._last = -math.inf
        self.curve = [row for row in self.curve if row["seconds"] <= seconds + 0.1]

    def _show(self, seconds: float, images: int, fraction: float) -> None:
        if self._bar is None:
            return
        left = seconds * (1 - fraction) / fraction if fraction > 0 else 0.0
        rate = images / max(seconds, 1e-9)
        self._bar.set_postfix_str(
            f"{images / 1000:.1f} kimg, {rate:.0f} images/s, {tqdm.format_interval(left)} left, "
            f"{self.losses()}",
            refresh=False,
        )
        self._move(fraction)

    def losses(self) -> str:
        """What the bar says of them, smoothed."""
        known = self._smooth.keys() & self._latest
        names = [name for name in shown_in("bar") if name in known] or list(self._smooth)
        return ", ".join(f"{name} {self._smooth[name]:.3g}" for name in names[:6])

    def _move(self, fraction: float) -> None:
        self._bar.n = round(100 * min(1.0, fraction))
        self._bar.refresh()


def check_tensorboard() -> None:
    """Raise ``RequestError`` if TensorBoard's writer is not installed."""
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        raise RequestError(
            "--tensorboard needs the package tensorboard; pip install 'gandiff[tensorboard]'"
        ) from error
