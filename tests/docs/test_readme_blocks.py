"""What the README tells people to type works: every block of it is run."""

from __future__ import annotations

from pathlib import Path

import pages
import pandas as pd
import pytest
from small import MINE, PYTHON

pytestmark = pytest.mark.timeout(900)  # a page may train and time several models


def test_the_readme(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = {
        "gandiff run scenes": "gandiff run scenes --limit 2 --stop-after generate "
        "--set report.trace_prompts=0"
    }
    pages.play("README.md", {"first-run": first, "mine": MINE, "python": PYTHON})
    said = capsys.readouterr().out
    assert "star.png" in said
    assert "fd(encoder=inception)" in said
    results = pd.read_parquet("runs/from-python/results.parquet")
    assert "scene_accuracy/all" in set(results["metric"])
    assert len(list(here.glob("runs/scenes/images/*/*.png"))) == 6 * 2 * 4
    for name in ("mine", "mine-guidance-5", "from-python"):
        assert (here / "runs" / name / "report" / "report.html").is_file()
