"""Two runs side by side: every change from one to the other, and the conditions on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gandiff.common.errors import MetricError, RequestError
from gandiff.common.run_record import RECORD, TASKS, read_record
from gandiff.experiments.compare.change import (
    MetricChange,
    TwoRuns,
    category_changes,
    metric_change,
)
from gandiff.experiments.compare.fail_if import Condition, Outcome, parse_conditions
from gandiff.experiments.compare.names import find_metric, metric_spec, select_metrics
from gandiff.experiments.compare.summary import summary
from gandiff.experiments.compare.tables import RunTables, common_prompts, open_tables

Pairs = Sequence[tuple[str, str]]  # a generator of the first run and its counterpart


@dataclasses.dataclass(frozen=True, kw_only=True)
class JudgedCondition:
    """What became of one condition for one generator."""

    condition: str
    outcome: Outcome
    change: MetricChange


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunComparison:
    """Every change from run a to run b, in one sentence and each, for all prompts and for those of
    each category; the conditions judged, and what was odd.
    """

    run_a: Path
    run_b: Path
    summary: str
    changes: tuple[MetricChange, ...]
    categories: tuple[MetricChange, ...]
    conditions: tuple[JudgedCondition, ...]
    warnings: tuple[str, ...]
    off_native: tuple[str, ...] = ()  # of the changes' generators, those off their native point

    @property
    def failed(self) -> bool:
        """Whether any condition holds."""
        return any(judged.outcome == "holds" for judged in self.conditions)


def compare_runs(
    a: Path,
    b: Path,
    *,
    metrics: Sequence[str] | None = None,
    generators: Mapping[str, str] | None = None,
    fail_if: str | None = None,
) -> RunComparison:
    """Compare two scored runs, metric by metric; nothing is measured or changed.

    ``metrics`` chooses metrics (default: all that both runs have), ``generators`` maps names in a
    to names in b (default: equal names, or the only one of each). ``fail_if`` are conditions on b
    minus a joined by ``or``, such as ``fid>+1.0 or clip_score<-0.005``. Raises ``MetricError``
    where a metric was measured differently in the two, ``RequestError`` for names that are not
    there and for a condition that cannot be judged.
    """
    conditions = parse_conditions(fail_if) if fail_if is not None else []
    for folder in (a, b):
        _need_run(folder, a, b)
    ours, theirs = open_tables(a), open_tables(b)
    if ours.task != theirs.task:
        raise RequestError(
            f"{a} is a run of the task {ours.task} and {b} of {theirs.task}, so their numbers mean "
            "different things; give two runs of one task"
        )
    pairs = match_generators(ours, theirs, generators)
    runs = TwoRuns(a=ours, b=theirs, prompts=common_prompts(ours, theirs))
    shared = [m for m in ours.metrics if any(None not in runs.results(p, m) for p in pairs)]
    if not shared:
        raise RequestError(f"{a} and {b} have no metric in common for the generators compared")
    chosen = shared if metrics is None else select_metrics(metrics, shared)
    asked = [(condition, find_metric(condition.metric, chosen)) for condition in conditions]
    changes = _changes(runs, pairs, chosen)
    judged = [one for question in asked for one in _judge(*question, runs, pairs, changes)]
    left_out = _left_out(runs, pairs) if metrics is None else []
    return RunComparison(
        run_a=a,
        run_b=b,
        summary=summary(runs.names, changes),
        changes=tuple(changes),
        categories=tuple(
            change for pair in pairs for m in chosen for change in _by_category(runs, pair, m)
        ),
        conditions=tuple(judged),
        off_native=tuple(dict.fromkeys(c.generator for c in changes if runs.is_off_native(c))),
        warnings=tuple(dict.fromkeys([*ours.warnings, *theirs.warnings, *left_out])),
    )


def _need_run(folder: Path, a: Path, b: Path) -> None:
    """Say what to do with what is no run: models, or folders of images."""
    if (folder / TASKS).is_file():
        read_record(folder)  # which says that it holds several
    if not (folder / RECORD).is_file():
        raise RequestError(
            f"no {RECORD} in {folder}; give the folders of two runs, such as runs/scenes; models "
            f"and folders of images are compared by: gandiff compare-models {a} {b}"
        )


def match_generators(a: RunTables, b: RunTables, given: Mapping[str, str] | None) -> Pairs:
    """Who is compared with whom; raises ``RequestError`` where the names do not say it."""
    if given:
        return [(a.generator(ours), b.generator(theirs)) for ours, theirs in given.items()]
    same = [name for name in a.generators if name in b.generators]
    if same:
        return [(name, name) for name in same]
    if len(a.generators) == len(b.generators) == 1:
        return [(a.generators[0], b.generators[0])]
    raise RequestError(
        f"{a.name} has the generators {', '.join(a.generators)} and {b.name} has "
        f"{', '.join(b.generators)}; say who is compared with whom: --generators "
        f"{a.generators[0]}={b.generators[0]}"
    )


def _changes(runs: TwoRuns, pairs: Pairs, metrics: Sequence[str]) -> list[MetricChange]:
    """All changes; one ``MetricError`` for all metrics that cannot be compared."""
    changes: list[MetricChange] = []
    problems: dict[str, str] = {}
    for pair in pairs:
        for metric in metrics:
            x, y = runs.results(pair, metric)
            if x is None or y is None:
                continue
            try:
                changes.append(metric_change(runs, pair, x, y))
            except MetricError as error:
                problems.setdefault(metric, str(error))
    if problems:
        raise MetricError(_all_problems(problems, metrics))
    return changes


def _by_category(runs: TwoRuns, pair: tuple[str, str], metric: str) -> list[MetricChange]:
    x, y = runs.results(pair, metric)
    if x is None or y is None or None in (x.value, y.value):
        return []
    return category_changes(runs, pair, x, y)


def _all_problems(problems: Mapping[str, str], metrics: Sequence[str]) -> str:
    """The first problem, what else has one, and the option that leaves them out."""
    specs = {metric: str(metric_spec(metric)) for metric in metrics}
    bad = dict.fromkeys(specs[metric] for metric in problems)
    others = ", ".join(list(bad)[1:])
    good = ",".join(dict.fromkeys(spec for spec in specs.values() if spec not in bad))
    more = f" (nor are those of {others})" if others else ""
    advice = f'; the others are compared by --metrics "{good}"' if good else ""
    return f"{next(iter(problems.values()))}{more}{advice}"


def _judge(
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
        _need_interval(condition, runs, change)
        outcome = condition.judge(change.difference, change.low, change.high)
        yield JudgedCondition(condition=str(condition), outcome=outcome, change=change)


def _has_value(runs: TwoRuns, pair: tuple[str, str], metric: str) -> bool:
    return any(r is not None and r.value is not None for r in runs.results(pair, metric))


def _need_interval(condition: Condition, runs: TwoRuns, change: MetricChange) -> None:
    """Refuse to judge a change that may as well be chance."""
    pair = (change.generator_a, change.generator_b)
    x, y = runs.results(pair, change.metric)
    if change.low is not None or (y is not None and y.described.is_exact):
        return
    notes = {r.note: name for r, name in zip((x, y), runs.names, strict=True) if r and r.note}
    why = "; ".join(f"{name}: {note}" for note, name in notes.items())
    more = "" if y is not None and y.described.axis == "cost" else ", or take more prompts"
    raise RequestError(
        f"the condition {condition} cannot be judged for {change.generator}: the change of "
        f"{change.metric} has no interval ({change.how}{f'; {why}' if why else ''}), so it may "
        f"as well be chance; choose a metric that has one{more}"
    )


def _left_out(runs: TwoRuns, pairs: Pairs) -> Iterator[str]:
    """Generators and metrics that only one of the runs has."""
    for side, run in enumerate((runs.a, runs.b)):
        for name in run.generators:
            if name not in [pair[side] for pair in pairs]:
                yield f"the generator {name} is in {run.name} only"
        for metric in run.metrics:
            alone = [p for p in pairs if runs.results(p, metric)[1 - side] is None]
            names = [p[side] for p in alone if runs.results(p, metric)[side] is not None]
            if names:
                yield f"{metric} of {', '.join(names)} is in {run.name} only"
