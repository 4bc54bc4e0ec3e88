"""What a run that was scored by an older version lacks, from what it has."""

from __future__ import annotations

from pathlib import Path

from gandiff.common.run_record import CATEGORIES, DESCRIPTIONS
from gandiff.experiments.runs.describe import describe_run
from gandiff.experiments.scoring.categories import write_categories


def complete_tables(folder: Path, seed: int) -> None:
    """Write the descriptions of the metrics and the scores by category where there are none."""
    if not (folder / DESCRIPTIONS).is_file():
        describe_run(folder)
    if not (folder / CATEGORIES).is_file():
        write_categories(folder, seed)
