"""The report of a run, written from its tables; nothing is measured and no model is loaded."""

from __future__ import annotations

from gandiff.common.run_record import REPORT, Reported
from gandiff.experiments.runs.run import Run
from gandiff.experiments.scoring.complete import complete_tables
from gandiff.reports.document import write_report


def report_run(run: Run, *, again: bool = True) -> list[str]:
    """Write the report and return its verdict; ``again=False`` keeps one on the same tables."""
    complete_tables(run.folder, run.comparison.seed)
    scored, reported = run.record.scored, run.record.reported
    kept = (run.folder / REPORT).is_file() and reported.scored == scored
    if again or not kept:
        reported = Reported(scored=scored, verdict=write_report(run.folder).verdict)
        run.update(reported=reported)
    return list(reported.verdict)
