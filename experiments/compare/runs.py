"""Two runs side by side: every change from one to the other, and the conditions on them."""

from __future__ import annotations

import dataclasses
import itertools
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
from gandiff.experiments.compare.fail_if import Condition, parse_conditions
from gandiff.experiments.compare.judge import JudgedCondition, Pairs, judge
from gandiff.experiments.compare.names import find_metric, metric_spec, select_metrics
from gandiff.experiments.compare.summary import summary
from gandiff.experiments.compare.tables import RunTables, common_prompts, open_tables

Problems = dict[tuple[tuple[str, str], str], str]  # why a pair's metric cannot be compared


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
    minus a joined by ``or``, such as ``fid>+1.0 or clip_score<-0.005``. A metric that was measured
    differently in the two is left out with a warning; it raises ``MetricError`` if it was chosen or
    if nothing else can be compared. Raises ``RequestError`` for names that are not there and for a
    condition that cannot be judged.
    """
    conditions = parse_conditions(fail_if) if fail_if is not None else []
    for folder in (a, b):
        _need_run(folder, a, b)
    ours, theirs = open_tables(a), open_tables(b)
    _need_same_task(ours, theirs)
    pairs = match_generators(ours, theirs, generators)
    runs = TwoRuns(a=ours, b=theirs, prompts=common_prompts(ours, theirs))
    shared = [m for m in ours.metrics if any(None not in runs.results(p, m) for p in pairs)]
    if not shared:
        raise RequestError(f"{a} and {b} have no metric in common for the generators compared")
    chosen = shared if metrics is None else select_metrics(metrics, shared)
    asked = [(condition, find_metric(condition.metric, chosen)) for condition in conditions]
    changes, problems = _changes(runs, pairs, chosen)
    _need_measured_alike(asked, problems)
    if problems and (metrics is not None or not changes):
        raise MetricError(_all_problems(problems, chosen))
    judged = [one for question in asked for one in judge(*question, runs, pairs, changes)]
    left_out = [] if metrics is not None else [*_incomparable(problems), *_alone(runs, pairs)]
    return RunComparison(
        run_a=a,
        run_b=b,
        summary=summary(runs.names, changes),
        changes=tuple(changes),
        categories=tuple(
            change
            for pair, m in itertools.product(pairs, chosen)
            if (pair, m) not in problems
            for change in _by_category(runs, pair, m)
        ),
        conditions=tuple(judged),
        off_native=tuple(dict.fromkeys(c.generator for c in changes if runs.is_off_native(c))),
        warnings=tuple(dict.fromkeys([*ours.warnings, *theirs.warnings, *left_out])),
    )


def _need_same_task(a: RunTables, b: RunTables) -> None:
    if a.task != b.task:
        raise RequestError(
            f"{a.name} is a run of the task {a.task} and {b.name} of {b.task}, so their numbers "
            "mean different things; give two runs of one task"
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


def _changes(
    runs: TwoRuns, pairs: Pairs, metrics: Sequence[str]
) -> tuple[list[MetricChange], Problems]:
    """All changes, and why there are none of what was measured differently."""
    changes: list[MetricChange] = []
    problems: Problems = {}
    for pair in pairs:
        for metric in metrics:
            x, y = runs.results(pair, metric)
            if x is None or y is None:
                continue
            try:
                changes.append(metric_change(runs, pair, x, y))
            except MetricError as error:
                problems[pair, metric] = str(error)
    return changes, problems


def _by_category(runs: TwoRuns, pair: tuple[str, str], metric: str) -> list[MetricChange]:
    x, y = runs.results(pair, metric)
    if x is None or y is None or None in (x.value, y.value):
        return []
    return category_changes(runs, pair, x, y)


def _need_measured_alike(asked: Sequence[tuple[Condition, str]], problems: Problems) -> None:
    for condition, metric in asked:
        if why := next((why for (_, m), why in problems.items() if m == metric), None):
            raise RequestError(f"the condition {condition} cannot be judged: {why}")


def _all_problems(problems: Problems, metrics: Sequence[str]) -> str:
    """The first problem, what else has one, and the option that leaves them out."""
    specs = {metric: str(metric_spec(metric)) for metric in metrics}
    bad = dict.fromkeys(specs[metric] for _, metric in problems)
    good = ",".join(dict.fromkeys(spec for spec in specs.values() if spec not in bad))
    advice = f'; the others are compared by --metrics "{good}"' if good else ""
    return f"{next(iter(problems.values()))}{_nor(list(bad)[1:])}{advice}"


def _incomparable(problems: Problems) -> Iterator[str]:
    """A line for each reason why metrics are left out."""
    alike: dict[str, dict[str, str]] = {}
    for (_, metric), why in problems.items():
        alike.setdefault(why.removeprefix(metric), {}).setdefault(metric, why)
    for found in alike.values():
        first, *others = found
        yield f"left out: {found[first]}{_nor(others)}"


def _nor(others: Sequence[str]) -> str:
    return f" (nor are those of {', '.join(others)})" if others else ""


def _alone(runs: TwoRuns, pairs: Pairs) -> Iterator[str]:
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
