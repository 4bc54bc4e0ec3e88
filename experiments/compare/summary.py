"""What the changes from one run to another come to, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from gandiff.common.words import agree, counted
from gandiff.experiments.compare.change import MetricChange
from gandiff.reports.sentence import listed

_NAMED = 3  # changes that a sentence names of each kind


def summary(names: tuple[str, str], changes: Sequence[MetricChange]) -> str:
    """One sentence: in how many numbers the second run is better, worse, undecided or the same."""
    kinds = {kind: [c for c in changes if c.verdict == kind] for kind in ("better", "worse")}
    kinds["changed"] = [c for c in changes if c.verdict == "changed"]
    words = {"better": "better in", "worse": "worse in", "changed": "different in"}
    shown = [f"{words[kind]} {_named(rows)}" for kind, rows in kinds.items() if rows]
    undecided, level = (sum(c.verdict == v for c in changes) for v in ("undecided", "level"))
    rest = [
        *([f"undecided in {undecided}"] if undecided else []),
        *([f"the same in {level}"] if level else []),
    ]
    before, after = names
    numbers = counted(len(changes), "number")
    unknown = len(changes) - sum(map(len, kinds.values())) - undecided - level
    unjudged = (
        f"; {unknown} {agree(unknown, 'have')} no interval or no value and cannot be judged"
        if unknown
        else ""
    )
    if not shown:
        how = f" ({listed(rest)})" if rest else ""
        return f"Of {numbers}, none is shown to differ between {before} and {after}{how}{unjudged}."
    return f"Against {before}, {after} is {listed([*shown, *rest])} of {numbers}{unjudged}."


def _named(rows: Sequence[MetricChange]) -> str:
    parts = [f"{row.metric} of {row.generator}" for row in rows[:_NAMED]]
    more = len(rows) - len(parts)
    return f"{len(rows)} ({listed([*parts, f'{more} more'] if more else parts)})"
