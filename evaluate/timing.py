"""Time and memory of a callable, measured where it runs; knows nothing of what it calls."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gandiff.evaluate.numerics.statistics import student_t
from gandiff.evaluate.result import Interval

_TICK = 1e-9  # seconds that no clock tells from none


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timing:
    """Wall time of each repeat in seconds, device work included, warm-up left out."""

    seconds: tuple[float, ...]

    @property
    def p50(self) -> float:
        """Median, seconds."""
        return float(np.percentile(self.seconds, 50))

    @property
    def p90(self) -> float:
        """90th percentile, seconds."""
        return float(np.percentile(self.seconds, 90))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rounds:
    """The seconds of one call, timed in several processes one after another."""

    timings: tuple[Timing, ...]

    @property
    def medians(self) -> list[float]:
        """The median of each process, seconds."""
        return [timing.p50 for timing in self.timings]

    @property
    def every(self) -> Timing:
        """All calls together."""
        return Timing(seconds=tuple(s for timing in self.timings for s in timing.seconds))

    @property
    def median(self) -> Interval:
        """The typical median of a process, and its 95 % interval.

        Of several processes the geometric mean, with Student's t on the logarithms: how the machine
        drifts from one to the next is in it. Of a single process the order statistics that enclose
        a median (Conover 1999, section 3.2), in which there is no drift; None for fewer than 6
        calls.
        """
        if len(self.timings) > 1:
            return mean_ratio(self.medians, [1.0] * len(self.timings))
        ordered = sorted(self.timings[0].seconds)
        left = _left_out(len(ordered))
        value = self.timings[0].p50
        if left is None:
            return Interval(value=value)
        return Interval(value=value, low=ordered[left], high=ordered[-1 - left])


def mean_ratio(a: Sequence[float], b: Sequence[float]) -> Interval:
    """The geometric mean of a / b over rounds in which both were timed, and its 95 % interval.

    Student's t on the logarithms: positive, and turned over if a and b are.
    """
    ours, theirs = (np.maximum(side, _TICK) for side in (a, b))
    logs = np.log(ours / theirs)
    value, rounds = float(np.exp(logs.mean())), len(logs)
    if rounds < 2:
        return Interval(value=value)
    reach = student_t(0.95, rounds - 1) * float(logs.std(ddof=1)) / math.sqrt(rounds)
    return Interval(value=value, low=value * math.exp(-reach), high=value * math.exp(reach))


def _left_out(calls: int) -> int | None:
    """How many of the fastest and of the slowest calls lie outside of the interval of a median."""
    from scipy.stats import binom  # heavy, and needed where something was timed

    at_most = binom.cdf(np.arange(calls), calls, 0.5)
    enough = np.flatnonzero(at_most <= 0.025)
    return int(enough[-1]) if len(enough) else None


def time_callable(
    fn: Callable[[], object], *, warmup: int, repeats: int, device: str = "cpu"
) -> Timing:
    """Call ``fn`` ``warmup`` times untimed and ``repeats`` times timed, one by one.

    On CUDA both an event pair and the wall clock bracket each call, after the device has come to
    rest, and the longer of the two counts: events miss work on the CPU, and a clock alone misses
    queued kernels. The garbage collector waits until the end, so that it does not fall into one
    repeat.
    """
    if warmup < 0 or repeats < 1:
        raise ValueError(f"found warmup={warmup}, repeats={repeats}; needed at least 0 and 1")
    for _ in range(warmup):
        fn()
    one = _cuda_seconds if device.startswith("cuda") else _wall_seconds
    with no_collection():
        return Timing(seconds=tuple(one(fn, device) for _ in range(repeats)))


def synchronise(device: str) -> None:
    """Wait until the device has done everything it was asked to do."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)
    elif device.startswith("mps"):
        import torch

        torch.mps.synchronize()


def reset_peak_memory(device: str = "cpu") -> bool:
    """Start a new peak; False where the system cannot (the peak is then that of the whole
    process).
    """
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)
        return True
    try:
        Path("/proc/self/clear_refs").write_text("5")  # see proc(5): resets VmHWM
    except OSError:
        return False
    return True


def peak_memory_bytes(device: str = "cpu") -> int:
    """Peak since ``reset_peak_memory``: of tensors on CUDA, else of the process's resident
    memory.
    """
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, others KiB


def _wall_seconds(fn: Callable[[], object], device: str) -> float:
    synchronise(device)
    start = time.perf_counter()
    fn()
    synchronise(device)
    return time.perf_counter() - start


def _cuda_seconds(fn: Callable[[], object], device: str) -> float:
    import torch

    with torch.cuda.device(device):
        begin, end = (_event() for _ in range(2))
        torch.cuda.synchronize()
        start = time.perf_counter()
        begin.record()
        fn()
        end.record()
        torch.cuda.synchronize()
        wall = time.perf_counter() - start
    return float(max(wall, begin.elapsed_time(end) / 1000))


def _event() -> Any:
    import torch

    make: Any = torch.cuda.Event  # untyped in torch
    return make(enable_timing=True)


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Collect garbage once, then not again until the end; inside of another one it does nothing.

    A full collection takes a third of a second in a large process and empties the processor's
    caches, so it must not come before every repeat.
    """
    if not gc.isenabled():
        yield
        return
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
