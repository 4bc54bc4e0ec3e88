"""The table of paired differences of generators on the same prompts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from gandiff.evaluate.result import MetricResult
from gandiff.reports.comparing import goodness, without_rounding
from gandiff.reports.cost_sentences import two_digits
from gandiff.reports.run_data import DifferenceRow, RunData
from gandiff.reports.sentence import distinct_labels
from gandiff.reports.values import distinguish, scale_of_differences, show_number, show_p

DISAGREES = "\u2021"  # where p shows what the interval does not
_FARTHER = "Farther from the target"
_ALL = 8  # generators whose pairs are all listed: 40 have 780, for each metric
_LEFT_OUT = (
    "{:,} of {:,} differences: those of the two that the verdict is about, and of each generator "
    "with the best of a metric. All are in differences.parquet in the run folder."
)


@dataclasses.dataclass(frozen=True)
class DifferenceTable:
    """Headings, then rows of as many cells; the first ``words`` columns are no numbers.

    ``left_out`` says which pairs are not there, and where they are; empty if none are missing.
    ``rest`` are the places of rows of other pairs than the headline's, as far as that has rows.
    ``farther`` is the column of distances from a target, with their intervals.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 3
    left_out: str = ""
    rest: frozenset[int] = frozenset()
    farther: int | None = None


def difference_table(run: RunData, only: Sequence[str] = ()) -> DifferenceTable | None:
    """Return the differences among ``only`` some generators, else those of all pairs; of more than
    8 generators those of the headline and of each with the best of a metric. None without any.
    """
    among = set(only or run.generators)
    kept = every = [d for d in run.differences if {d.a, d.b} <= among]
    if len(among) > _ALL:
        kept = _of_many(run, every)
    if not kept:
        return None
    left_out = _LEFT_OUT.format(len(kept), len(every)) if len(kept) < len(every) else ""
    targets = any(row.farther is not None for row in kept)
    head = ["Metric", "a", "b", "a \u2212 b", "95 % interval"]
    head += [_FARTHER] if targets else []
    head += ["Effect size", "a larger on", "p", "p after Holm", "Prompts", "Prompts needed"]
    results = {row.result.metric: row.result for row in run.results}
    labels = distinct_labels({row.metric: run.about(row.metric).label for row in run.differences})
    rows = []
    for row in kept:
        like = results.get(row.metric)
        like = like or MetricResult(metric=row.metric, value=None, about=run.about(row.metric))
        rows.append((labels[row.metric], *_row(run, row, like, targets)))
    rest = {place for place, row in enumerate(kept) if {row.a, row.b} != set(run.headline)}
    return DifferenceTable(
        (*head, "Visible from"),
        tuple(rows),
        left_out=left_out,
        rest=frozenset(rest if len(rest) < len(kept) else ()),
        farther=head.index(_FARTHER) if targets else None,
    )


def _of_many(run: RunData, differences: Sequence[DifferenceRow]) -> list[DifferenceRow]:
    """Those of the headline, and of each generator with the model that has the best value."""
    best: dict[str, tuple[float, str]] = {}
    for row in run.results:
        metric, good = row.result.metric, goodness(row.result)
        if run.generators[row.generator].yardstick or good is None:
            continue
        if good > best.get(metric, (-math.inf, ""))[0]:
            best[metric] = good, row.generator
    default = -math.inf, run.headline[0]
    return [
        d
        for d in differences
        if {d.a, d.b} == set(run.headline) or best.get(d.metric, default)[1] in (d.a, d.b)
    ]


def _row(run: RunData, row: DifferenceRow, like: MetricResult, targets: bool) -> tuple[str, ...]:
    if row.ratio is not None and row.ratio < 1:
        row = row.flipped()  # the larger cost over the smaller, as the verdict has it
    value, ends = _measured(like, row.difference, row.low, row.high)
    if row.ratio is not None:
        value = f"{two_digits(row.ratio)} times ({value})"
        ends = ""
    if row.ratio_low is not None and row.ratio_high is not None:
        ends = f"{two_digits(row.ratio_low)} to {two_digits(row.ratio_high)} times"
    farther, range_ = _measured(like, row.farther, row.farther_low, row.farther_high)
    return (
        run.marked(row.a),
        run.marked(row.b),
        value,
        ends,
        *([f"{farther} ({range_})" if range_ else farther] if targets else []),
        "" if row.effect_size is None else show_number(row.effect_size),
        "" if row.win_rate is None else f"{100 * row.win_rate:.0f} %",
        _p(row.p_value, f" {DISAGREES}" if row.p_alone_is_sure else ""),
        _p(row.p_holm),
        "" if row.prompts is None else f"{row.prompts}",
        "" if row.prompts_needed is None else f"{row.prompts_needed:,}",
        _measured(like, row.detectable, None, None)[0],
    )


def _measured(
    like: MetricResult, value: float | None, low: float | None, high: float | None
) -> tuple[str, str]:
    """A difference and its interval, as the verdict writes them."""
    if value is None:
        return "", ""
    value = without_rounding(like, value)
    if low is None or high is None:
        return scale_of_differences(like, value)(value), ""
    scale = scale_of_differences(like, value, low, high)
    if low > 0 or high < 0:  # an end that is not 0 is not written as 0
        scale = distinguish(scale, (0.0, low), (0.0, high))
    return scale(value), f"{scale.number(low)} to {scale.number(high)}"


def _p(p: float | None, mark: str = "") -> str:
    return "" if p is None else f"{show_p(p)}{mark}"
