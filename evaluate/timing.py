"""Time and memory of a callable, measured where it runs; knows nothing of what it calls."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np


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
