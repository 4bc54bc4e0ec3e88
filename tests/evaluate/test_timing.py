import subprocess
import sys
import time

import pytest
import torch

from gandiff.evaluate.timing import (
    Timing,
    peak_memory_bytes,
    reset_peak_memory,
    time_callable,
)


def test_warm_up_is_not_timed() -> None:
    calls: list[float] = []

    def slow_at_first() -> None:
        calls.append(time.perf_counter())
        time.sleep(0.05 if len(calls) <= 2 else 0.002)

    timing = time_callable(slow_at_first, warmup=2, repeats=5)
    assert len(calls) == 7
    assert len(timing.seconds) == 5
    assert min(timing.seconds) >= 0.002
    assert timing.p50 < 0.04


def test_percentiles() -> None:
    timing = Timing(seconds=tuple(float(i) for i in range(1, 12)))
    assert (timing.p50, timing.p90) == (6.0, 10.0)


@pytest.mark.parametrize(("warmup", "repeats"), [(-1, 1), (0, 0)])
def test_impossible_counts_are_refused(warmup: int, repeats: int) -> None:
    with pytest.raises(ValueError, match=f"found warmup={warmup}, repeats={repeats}"):
        time_callable(lambda: None, warmup=warmup, repeats=repeats)


def test_peak_memory_sees_an_allocation_and_forgets_it() -> None:
    # In a process of its own: what other tests leave behind may be freed at any moment.
    program = """
from gandiff.evaluate.timing import peak_memory_bytes, reset_peak_memory
can_reset, before = reset_peak_memory(), peak_memory_bytes()
block = bytearray(b"x") * (64 * 2**20)
after = peak_memory_bytes()
del block
reset_peak_memory()
print(can_reset, before, after, peak_memory_bytes())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    can_reset, *numbers = done.stdout.split()
    before, after, later = (int(number) for number in numbers)
    assert before > 2**20  # bytes, not KiB: no Python fits into one MiB
    assert 60 * 2**20 < after - before < 200 * 2**20
    if can_reset == "True":
        assert later < after - 50 * 2**20


@pytest.mark.gpu
def test_cuda_time_includes_queued_work() -> None:
    x = torch.randn(4096, 4096, device="cuda")

    def queue() -> None:
        for _ in range(20):
            x @ x

    timing = time_callable(queue, warmup=3, repeats=5, device="cuda")
    assert timing.p50 > 20 * 2 * 4096**3 / 2e15  # no device does 2 PFLOP/s in float32
    reset_peak_memory("cuda")
    torch.empty(2**28, dtype=torch.uint8, device="cuda")
    assert peak_memory_bytes("cuda") >= 2**28
