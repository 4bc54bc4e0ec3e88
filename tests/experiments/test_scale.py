"""Ten thousand prompts and two generators that cost nothing: what gandiff itself takes."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from run_helpers import TOY, write_comparison

# The child's own peak, and not that of its children, in the unit of the system (KiB on Linux).
SCRIPT = """
import resource, sys
from gandiff.experiments.cli import main
code = main(sys.argv[1:])
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""


def whole_run(folder: Path, prompts: int) -> tuple[float, float]:
    """Seconds and peak memory (MB) of all stages."""
    file = write_comparison(
        folder,
        prompts,
        samples_per_prompt=1,
        batch_size=32,
        generators={"toy": {"type": TOY}, "other": {"type": TOY, "family": "diffusion"}},
        metrics=["vendi(encoder=scenes)"],
        timing={"warmup": 0, "repeats": 1, "batch_sizes": [1]},
    )
    begun = time.monotonic()
    command = [sys.executable, "-c", SCRIPT, "run", file, "--out", folder / "run", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = time.monotonic() - begun
    peak = re.search(r"peak (\d+)", done.stderr)
    assert peak is not None
    assert f"{2 * prompts} ok" in done.stdout
    return seconds, int(peak[1]) / 1000


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in other units elsewhere")
def test_ten_thousand_prompts(tmp_path: Path) -> None:
    _, small = whole_run(tmp_path / "small", 1_000)
    seconds, large = whole_run(tmp_path / "large", 10_000)
    print(f"{seconds:.1f} s, {small:.0f} MB with 1,000 prompts, {large:.0f} MB with 10,000")
    assert seconds < 40
    assert large - small < 50
