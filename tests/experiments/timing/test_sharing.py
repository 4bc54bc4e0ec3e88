"""What other programs use of the cores while something is timed."""

import subprocess
import sys

from gandiff.common.devices import usable_cores
from gandiff.experiments.timing.sharing import CoreWatch

BUSY = "import time\nend = time.perf_counter() + 1.5\nwhile time.perf_counter() < end: pass"


def test_another_program_is_seen_and_ones_own_work_is_not_counted():
    watch = CoreWatch()
    subprocess.run([sys.executable, "-c", BUSY], check=True)
    assert 0.3 < watch.others() * usable_cores() <= usable_cores()
    mine = CoreWatch()
    before = mine._process.cpu_times()
    sum(i * i for i in range(3_000_000))
    after = mine._process.cpu_times()
    spent = after.user + after.system - before.user - before.system
    (start, used), (end, more) = mine._start, mine._read()
    # All cores together cannot be busier than they are: what is mine is not among the others'.
    assert more - used <= usable_cores() * (end - start) - spent + 0.1
