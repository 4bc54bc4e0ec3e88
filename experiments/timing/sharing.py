"""How busy other programs keep the cores while something is timed."""

from __future__ import annotations

import sys
import time


class CoreWatch:
    """From its making on, what other programs than this process use of the cores it may run on."""

    def __init__(self) -> None:
        import psutil

        self._process = psutil.Process()
        affinity = getattr(self._process, "cpu_affinity", None)  # not on macOS
        self._cores = affinity() if affinity else range(psutil.cpu_count() or 1)
        self._start = self._read()

    def _read(self) -> tuple[float, float]:
        """When, and the seconds of cores that others have used until then."""
        import psutil

        each = psutil.cpu_times(percpu=True)
        # Guests are in user time already; stolen time went to other machines on this one.
        busy = sum(
            sum(v for k, v in each[core]._asdict().items() if k not in _NOT_BUSY)
            for core in self._cores
            if core < len(each)
        )
        mine = self._process.cpu_times()
        return time.perf_counter(), busy - mine.user - mine.system

    def others(self) -> float:
        """The mean share of all these cores that others kept busy, 0 to 1."""
        (before, used), (after, more) = self._start, self._read()
        spent = (after - before) * max(1, len(self._cores))
        return round(min(1.0, max(0.0, (more - used) / max(spent, 1e-9))), 3)


_NOT_BUSY = ("idle", "iowait", "guest", "guest_nice")


def torch_threads() -> int | None:
    """How many threads torch computes with on the CPU; None where it is not in use."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch is not None else None
