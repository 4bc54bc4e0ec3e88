"""A comparison of two runs as tables that people read: what has changed, or everything."""

from __future__ import annotations

from collections.abc import Sequence

from gandiff.common.run_record import OFF_NATIVE
from gandiff.common.words import agree, counted
from gandiff.experiments.compare.change import TIMED_APART, MetricChange
from gandiff.experiments.compare.judge import JudgedCondition
from gandiff.experiments.compare.runs import RunComparison
from gandiff.reports.changes import ChangePage, ChangeTable

_HEAD = ("generator", "metric", "A", "B", "B - A", "95% interval", "better", "B is", "how")
_MISSING = "-"


def changes_page(compared: RunComparison, *, every: bool = False) -> ChangePage:
    """The summary, a table of all prompts, one of their categories, and what to bear in mind;
    ``every`` shows numbers that have not changed, too.
    """
    whole, parts = (
        [change for change in changes if every or change.is_shown]
        for changes in (compared.changes, compared.categories)
    )
    tables = []
    if whole:
        tables.append(ChangeTable("All prompts", _HEAD, [_cells(c, compared) for c in whole]))
    if parts:
        head = (*_HEAD[:2], "category", *_HEAD[2:])
        rows = [_cells(c, compared, c.category) for c in parts]
        tables.append(ChangeTable("By category of prompts", head, rows))
    return ChangePage(
        title=f"{compared.run_b} against {compared.run_a}",
        summary=compared.summary,
        tables=tables,
        failed=[condition_text(one) for one in compared.conditions if one.outcome == "holds"],
        notes=_notes(compared, len(whole), len(parts)),
    )


def _cells(change: MetricChange, compared: RunComparison, *category: str) -> tuple[str, ...]:
    off = f" {OFF_NATIVE}" if change.generator in compared.off_native else ""
    return (
        f"{change.generator}{off}",
        change.metric,
        *category,
        *(_MISSING if n is None else f"{n:.5g}" for n in (change.a, change.b)),
        signed(change.difference),
        interval_text(change),
        _MISSING if change.direction == "none" else change.direction,
        _MISSING if change.verdict == "unknown" else change.verdict,
        change.how,
    )


def interval_text(change: MetricChange) -> str:
    """The ends of a change's interval with their signs."""
    if change.low is None:
        return _MISSING
    return f"{signed(change.low)} to {signed(change.high)}"


def condition_text(judged: JudgedCondition) -> str:
    """A condition of ``--fail-if`` and the change that it was judged by."""
    change = judged.change
    interval = f" (95% interval {interval_text(change)})" if change.low is not None else ""
    what = f"{change.metric} of {change.generator} changed by {signed(change.difference)}"
    return f"{judged.condition}: {what}{interval}"


def signed(value: float | None) -> str:
    """A difference with its sign, to four digits."""
    return _MISSING if value is None else f"{value:+.4g}" if value else "0"


def _notes(compared: RunComparison, whole: int, parts: int) -> Sequence[str]:
    notes = []
    hidden = len(compared.changes) - whole, len(compared.categories) - parts
    if any(hidden):
        of_categories = f" and {counted(hidden[1], 'row')} of categories" if hidden[1] else ""
        notes.append(
            f"{counted(hidden[0], 'row')}{of_categories} that {agree(sum(hidden), 'have')} not "
            "changed by more than chance, or cannot be judged, are left out; --all shows them."
        )
    if compared.off_native:
        notes.append(f"{OFF_NATIVE} runs off its native point in one of the runs.")
    judged = (*compared.changes, *compared.categories)
    if any(c.how == TIMED_APART for c in compared.changes):
        notes.append(
            "Times and rates of two runs also differ by what else the machine did and how warm it "
            "was, which no interval of either run holds, so neither is called better: compare "
            "speeds within one run."
        )
    if any(c.verdict in ("better", "worse", "changed") and c.low is not None for c in judged):
        notes.append(
            "Each number is judged by its own 95 % interval: of those that are really the same, "
            "about 1 in 20 is called better or worse by chance."
        )
    return notes
