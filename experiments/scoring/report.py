"""The report of a run, written from its tables; nothing is measured and no model is loaded."""

from __future__ import annotations

import contextlib
from pathlib import Path

from gandiff.common.errors import RequestError
from gandiff.common.run_record import (
    CATEGORIES,
    DESCRIPTIONS,
    DIFFERENCES,
    REPORT,
    SCORES,
    Reported,
)
from gandiff.experiments.config.load import comparison_from_dict
from gandiff.experiments.runs.describe import describe_run
from gandiff.experiments.runs.run import Run
from gandiff.experiments.runs.tables import tied_prompts
from gandiff.experiments.scoring.categories import write_categories
from gandiff.experiments.scoring.differences import (
    differences,
    recorded_sides,
    write_differences,
)
from gandiff.experiments.scoring.fingerprint import outdated_scores
from gandiff.reports.document import NO_PAPERS, ForPapers, write_report
from gandiff.reports.reading import load_run

_ORACLES = "gandiff.experiments.scenes.oracle:"


def report_run(run: Run, *, again: bool = True, papers: ForPapers = NO_PAPERS) -> list[str]:
    """Write the report and return its verdict; ``again=False`` keeps one on the same tables."""
    complete_tables(run.folder, run.comparison.seed)
    _name_yardsticks(run)
    if outdated := outdated_scores(run):
        run.warn(outdated)
    scored, reported = run.record.scored, run.record.reported
    kept = (run.folder / REPORT).is_file() and reported.scored == scored
    if again or not kept:
        reported = Reported(scored=scored, verdict=write_report(run.folder, papers).verdict)
        run.update(reported=reported)
    return list(reported.verdict)


def _name_yardsticks(run: Run) -> None:
    """Say what the oracles of a run show, which older versions did not name."""
    known = dict(run.record.generators)
    for name, config in run.comparison.generators.items():
        if name in known and "yardstick" not in known[name] and config.type.startswith(_ORACLES):
            with contextlib.suppress(RequestError):  # its autoencoder may be gone by now
                known[name] = {**known[name], "yardstick": run.generator(name).info.yardstick}
    if known != run.record.generators:
        run.update(generators=known)


def check_report(run: Run) -> None:
    """Refuse a report on other metrics or references than were measured."""
    scored = comparison_from_dict(run.record.comparison, base=run.record.base, trusted=True)
    for field in ("metrics", "reference", "encoders"):
        if getattr(run.comparison, field) != getattr(scored, field):
            raise RequestError(
                f"other {field.rstrip('s')}s were measured; measure first: "
                f"gandiff score {run.folder}, with the same change"
            )


def complete_tables(folder: Path, seed: int) -> None:
    """Write the tables that a run scored by an older version lacks, from those that it has."""
    if _lacks_facts(folder / DESCRIPTIONS):
        describe_run(folder)
    if not (folder / CATEGORIES).is_file():
        run = load_run(folder)
        clusters = {name: tied_prompts((run, name)) for name in run.generators}
        write_categories(folder, seed, clusters)
    if (folder / SCORES).is_file() and _lacks_distances(folder / DIFFERENCES):
        write_differences(folder, differences(recorded_sides(load_run(folder)), seed))


def _lacks_facts(descriptions: Path) -> bool:
    """Whether metrics are not described, or were before descriptions named facts."""
    return not descriptions.is_file() or b'"fact"' not in descriptions.read_bytes()


def _lacks_distances(table: Path) -> bool:
    """Whether a table of differences is from before it held distances from targets."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return table.is_file() and "farther" not in pq.read_schema(table).names
    except (OSError, pa.ArrowException):
        return False  # the report says that it cannot be read
