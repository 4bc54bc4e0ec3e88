"""The conditions of ``--fail-if`` judged by the changes from one run to another."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from gandiff.common.errors import RequestError
from gandiff.experiments.compare.change import TIMED_APART, MetricChange, TwoRuns
from gandiff.experiments.compare.fail_if import Condition, Outcome

Pairs = Sequence[tuple[str, str]]  # a generator of the first run and its counterpart
DRIFT = 20  # percent by which the same code may well differ in speed from one run to the next


@dataclasses.dataclass(frozen=True, kw_only=True)
class JudgedCondition:
    """What became of one condition for one generator."""

    condition: str
    outcome: Outcome
    change: MetricChange


def judge(
    condition: Condition,
    metric: str,
    runs: TwoRuns,
    pairs: Pairs,
    changes: Sequence[MetricChange],
) -> Iterator[JudgedCondition]:
    """Judge a condition for every generator that either run has a value of; one that cannot be
    judged must not pass.
    """
    known = [pair for pair in pairs if _has_value(runs, pair, metric)]
    for pair in known or pairs:
        results = runs.results(pair, metric)
        if None in results and results != (None, None):
            side = results.index(None)
            raise RequestError(
                f"the condition {condition} cannot be judged: {runs.names[side]} has no {metric} "
                f"of {pair[side]}"
            )
    for change in changes:
        pair = (change.generator_a, change.generator_b)
        if change.metric != metric or pair not in (known or pairs):
            continue
        if change.difference is None:
            raise RequestError(
                f"the condition {condition} cannot be judged for {change.generator}: {metric} was "
                f"{change.how}"
            )
        outcome = _by_share(condition, runs, change)
        if outcome is None:
            _need_interval(condition, runs, change)
            outcome = condition.judge(change.difference, change.low, change.high)
        yield JudgedCondition(condition=str(condition), outcome=outcome, change=change)


def _has_value(runs: TwoRuns, pair: tuple[str, str], metric: str) -> bool:
    return any(r is not None and r.value is not None for r in runs.results(pair, metric))


def _by_share(condition: Condition, runs: TwoRuns, change: MetricChange) -> Outcome | None:
    """Judge what two runs timed by a condition in percent, wide enough for the drift between them;
    None for a condition in the unit of the metric.
    """
    if not condition.in_percent:
        return None
    about = f"the condition {condition} cannot be judged for {change.generator}: "
    if not change.a or not (change.how == TIMED_APART or change.difference == 0):
        raise RequestError(
            f"{about}percentages are for speeds of two runs, which have no interval; give the "
            f"change of {change.metric} in its own unit"
        )
    if abs(condition.threshold) < DRIFT:
        raise RequestError(
            f"{about}speeds of two runs differ by what else the machine did; give {DRIFT} % or more"
        )
    share = 100 * (change.difference or 0.0) / change.a
    return condition.judge(share, None, None)


def _need_interval(condition: Condition, runs: TwoRuns, change: MetricChange) -> None:
    """Refuse to judge a change that may as well be chance."""
    pair = (change.generator_a, change.generator_b)
    x, y = runs.results(pair, change.metric)
    if change.low is not None or (y is not None and y.described.is_exact):
        return
    if change.how == TIMED_APART:
        side, metric = (">+" if condition.above else "<-"), condition.metric
        raise RequestError(
            f"the condition {condition} cannot be judged for {change.generator}: {change.metric} "
            "of two runs also differs by what else the machine did, so a small change may as well "
            f"be chance; give a wide margin ({metric}{side}50%), or time both in one run and "
            "compare it with itself (--generators A=B)"
        )
    notes = {r.note: name for r, name in zip((x, y), runs.names, strict=True) if r and r.note}
    why = "; ".join(f"{name}: {note}" for note, name in notes.items())
    more = "" if y is not None and y.described.axis == "cost" else ", or take more prompts"
    raise RequestError(
        f"the condition {condition} cannot be judged for {change.generator}: the change of "
        f"{change.metric} has no interval ({change.how}{f'; {why}' if why else ''}), so it may "
        f"as well be chance; choose a metric that has one{more}"
    )
