"""What trainings share: a budget of wall time, a log, checkpoints of the whole state, resuming."""

from __future__ import annotations

import io
import json
import math
import pickle
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from tqdm import tqdm

from gandiff.experiments.errors import RequestError
from gandiff.experiments.training.request import TrainingRequest

CHECKPOINT, LOG = "checkpoint.pt", "training.jsonl"
_LOG_SECONDS = 5.0
_CHECKPOINT_SECONDS = 120.0


@runtime_checkable
class Stateful(Protocol):
    """Modules, optimisers and averages: whatever a checkpoint must hold."""

    def state_dict(self) -> dict[str, Any]:
        """The state as tensors and plain values."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Take a state back."""


class Loop:
    """Runs steps until the budget is spent.

    ``seconds`` and ``images`` count over resumed runs too. ``fraction`` of the budget spent, in
    [0, 1], is what schedules follow, so a short run ends as well annealed as a long one.
    """

    def __init__(self, request: TrainingRequest, label: str, state: Mapping[str, Stateful]) -> None:
        self.request, self.label, self.state = request, label, dict(state)
        self.seconds, self.images, self.steps, self.resumed = 0.0, 0, 0, 0
        self.curve: list[dict[str, float]] = []
        self._smooth: dict[str, float] = {}
        self._has_checkpoint = request.resume
        if not request.minutes > 0:
            raise RequestError(f"--minutes must be above 0, got {request.minutes}")
        if request.resume:
            self._load()
        else:
            request.out.mkdir(parents=True, exist_ok=True)
            (request.out / LOG).unlink(missing_ok=True)

    @property
    def fraction(self) -> float:
        """How much of the budget is spent."""
        return min(1.0, self.seconds / (60 * self.request.minutes))

    def run(self, step: Callable[[], tuple[int, dict[str, float]]]) -> None:
        """Call ``step`` until time is up; Ctrl-C saves before it leaves.

        A step returns how many images it showed and its losses. Raises ``RequestError`` when one of
        them is not finite; that state is not saved.
        """
        last_log = last_save = self.seconds
        with self._bar() as bar:
            try:
                while self.fraction < 1.0:
                    start = time.perf_counter()
                    shown, losses = step()
                    self.seconds += time.perf_counter() - start
                    self.images += shown
                    self.steps += 1
                    self._watch(losses)
                    if self.seconds - last_log >= _LOG_SECONDS or self.fraction >= 1.0:
                        last_log = self.seconds
                        self._log(bar)
                    if self.seconds - last_save >= _CHECKPOINT_SECONDS:
                        last_save = self.seconds
                        self.save()
            except KeyboardInterrupt:
                self.save()
                raise
        self.save()

    @contextmanager
    def _bar(self) -> Iterator[Any]:
        total = round(60 * self.request.minutes)
        form = "{desc} {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s{postfix}"
        with tqdm(total=total, desc=self.label, bar_format=form, disable=self.request.quiet) as bar:
            yield bar

    def _watch(self, losses: Mapping[str, float]) -> None:
        for name, value in losses.items():
            if not math.isfinite(value):
                raise RequestError(
                    f"training the {self.label} became non-finite ({name} = {value}) "
                    f"after {self.images} images; {self._way_on()}"
                )
            old = self._smooth.get(name, value)
            self._smooth[name] = old + 0.05 * (value - old)

    def _way_on(self) -> str:
        again = "start again with another --seed or a larger --batch-size"
        if not self._has_checkpoint:
            return again
        return f"go on from {self.request.out / CHECKPOINT} with --resume, or {again}"

    def _log(self, bar: Any) -> None:
        row = {"seconds": round(self.seconds, 1), "kimg": round(self.images / 1000, 2)}
        row |= {name: round(value, 4) for name, value in self._smooth.items()}
        self.curve.append(row)
        with (self.request.out / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        bar.n = min(bar.total, self.seconds)
        rate = self.images / max(self.seconds, 1e-9)
        shown = ", ".join(f"{k} {v:.3g}" for k, v in self._smooth.items())
        bar.set_postfix_str(f"{self.images / 1000:.1f} kimg, {rate:.0f} images/s, {shown}")

    def save(self) -> None:
        """Write the whole state; the previous checkpoint survives until the new one is complete."""
        path = self.request.out / CHECKPOINT
        state = {name: part.state_dict() for name, part in self.state.items()}
        progress = {
            "seconds": self.seconds,
            "images": self.images,
            "steps": self.steps,
            "resumed": self.resumed,
            "curve": self.curve,
        }
        # Through memory, so that a full disk is an OSError as everywhere else.
        buffer = io.BytesIO()
        torch.save({"label": self.label, "progress": progress, "state": state}, buffer)
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(buffer.getbuffer())
        temporary.replace(path)
        self._has_checkpoint = True

    def _load(self) -> None:
        path = self.request.out / CHECKPOINT
        if not path.is_file():
            raise RequestError(
                f"--resume found no {CHECKPOINT} in {self.request.out}; start without --resume"
            )
        saved = read_checkpoint(path)
        if saved["label"] != self.label:
            raise RequestError(
                f"{path} is a checkpoint of {saved['label']!r}, not of {self.label!r}; "
                "give another --out"
            )
        try:
            for name, part in self.state.items():
                part.load_state_dict(saved["state"][name])
        except (RuntimeError, ValueError, KeyError) as error:
            raise RequestError(
                f"{path} does not fit the {self.label} asked for; "
                "use the --resolution and --data that it was started with"
            ) from error
        for name, value in saved["progress"].items():
            setattr(self, name, value)
        self.resumed += 1

    def record(self, **facts: Any) -> dict[str, Any]:
        """The training record that goes beside the weights; the curve is thinned to 60 points."""
        every = max(1, math.ceil(len(self.curve) / 60))
        return {
            "command": self.request.command,
            "data": self.request.data,
            "seed": self.request.seed,
            "seconds": round(self.seconds, 1),
            "images": self.images,
            "steps": self.steps,
            "resumed": self.resumed,
            "batch_size": self.request.batch_size,
            "device": self.request.device,
            "resolution": self.request.resolution,
            "threads": torch.get_num_threads(),
            "cpu": processor(),
            **facts,
            "curve": self.curve[::every],
        }


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint: ``label``, ``progress``, ``state``; it cannot run code."""
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise RequestError(f"{path} is no checkpoint that can be read; delete it") from error
    if not isinstance(saved, dict) or not {"label", "progress", "state"} <= set(saved):
        raise RequestError(
            f"{path} is not a checkpoint of gandiff; delete it or give another --out"
        )
    return saved


class Ema:
    """Exponential moving average of a module's weights with a half-life in images.

    While few images were seen the half-life is a twentieth of them, so that the start is forgotten.
    """

    def __init__(self, module: nn.Module, halflife_images: float) -> None:
        import copy

        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.halflife = halflife_images

    @torch.no_grad()
    def update(self, module: nn.Module, batch: int, images: int) -> None:
        """Move towards the module's weights; buffers are copied."""
        decay = 0.5 ** (batch / max(min(self.halflife, images * 0.05), 1e-8))
        for mine, theirs in zip(self.module.parameters(), module.parameters(), strict=True):
            mine.lerp_(theirs, 1 - decay)
        for kept, seen in zip(self.module.buffers(), module.buffers(), strict=True):
            kept.copy_(seen)

    def state_dict(self) -> dict[str, Any]:
        """The averaged weights."""
        return self.module.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take averaged weights back."""
        self.module.load_state_dict(state_dict)


def processor() -> str:
    """The processor's name, as well as the system tells it."""
    import platform

    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cosine(fraction: float, start: float, end: float) -> float:
    """From start to end along half a cosine."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, fraction)))


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every group, times the group's own ``scale``."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("scale", 1.0)


def to_tensor(images: Any, device: str) -> Tensor:
    """uint8 NHWC pictures to float32 NCHW in [-1, 1]."""
    return (
        torch.from_numpy(images)
        .to(device)
        .permute(0, 3, 1, 2)
        .float()
        .div_(127.5)
        .sub_(1)
        .contiguous()
    )


def write_json(path: Path, data: Any) -> None:
    """Write readable JSON through a temporary name."""
    temporary = path.with_suffix(path.suffix + ".tmp")
    temporary.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)
