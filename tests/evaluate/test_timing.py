import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from gandiff.evaluate.timing import (
    Rounds,
    Timing,
    mean_ratio,
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


def rounds(*medians: float) -> Rounds:
    return Rounds(timings=tuple(Timing(seconds=(m, m, m)) for m in medians))


def test_several_processes_give_an_interval_with_their_drift() -> None:
    found = rounds(1.0, 2.0, 4.0).median
    assert found.value == pytest.approx(2.0)
    assert found.low is not None
    assert found.high is not None
    assert found.low * found.high == pytest.approx(found.value**2)  # symmetric in the logarithm
    steady = rounds(2.0, 2.0, 2.0).median
    assert (steady.low, steady.high) == pytest.approx((2.0, 2.0))


def test_the_interval_of_one_process_lies_between_its_calls() -> None:
    seconds = (3.0, 1.0, 2.0, 5.0, 4.0, 6.0, 8.0, 7.0, 9.0, 10.0)
    found = Rounds(timings=(Timing(seconds=seconds),)).median
    assert (found.value, found.low, found.high) == (5.5, 2.0, 9.0)  # Conover 1999, table A3: n = 10
    few = Rounds(timings=(Timing(seconds=seconds[:5]),)).median
    assert (few.value, few.low, few.high) == (3.0, None, None)


@pytest.mark.parametrize("turns", [2, 3, 5])
def test_the_ratio_of_what_drifts_together_is_covered(turns: int) -> None:
    """Both generators get slower and faster with the machine, and each by itself a little."""
    rng, covered, narrower = np.random.default_rng(turns), 0, 0
    for _ in range(500):
        drift = rng.lognormal(0, 0.5, turns)
        a, b = (scale * drift * rng.lognormal(0, 0.1, turns) for scale in (30.0, 1.0))
        found = mean_ratio(a.tolist(), b.tolist())
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 30 <= found.high
        apart = rounds(*a).median
        narrower += found.high / found.low < (apart.high or 0) / (apart.low or 1)
    assert 0.92 <= covered / 500 <= 0.98
    assert narrower > 400


def test_the_ratio_turns_over_with_its_sides() -> None:
    a, b = [1.0, 2.0, 3.0], [4.0, 2.0, 1.0]
    ab, ba = mean_ratio(a, b), mean_ratio(b, a)
    assert (ab.value, ab.low, ab.high) == pytest.approx(
        (1 / ba.value, 1 / (ba.high or 1), 1 / (ba.low or 1))
    )
    assert mean_ratio([0.0, 0.0], [1.0, 1.0]).value > 0  # below what a clock can tell
    assert mean_ratio([3.0], [1.0]).low is None
