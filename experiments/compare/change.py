"""One metric of one generator in two runs: by how much it changed, and whether that is shown."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Mapping
from typing import Literal

from gandiff.common.errors import MetricError, RequestError
from gandiff.common.words import counted
from gandiff.evaluate.numerics.paired import PairedMeans
from gandiff.evaluate.numerics.statistics import (
    MIN_GROUPS,
    independent_difference,
)
from gandiff.evaluate.protocol import check_comparable, not_comparable
from gandiff.evaluate.result import Direction, Interval, MetricResult
from gandiff.experiments.compare.clocks import in_same_rounds, is_clocked, is_same_timing
from gandiff.experiments.compare.names import metric_spec
from gandiff.experiments.compare.tables import RunTables
from gandiff.experiments.plugins.registry import make_metric
from gandiff.experiments.runs.tables import tied_prompts
from gandiff.reports.comparing import doubt, separated, without_rounding
from gandiff.reports.ground import Ground
from gandiff.reports.run_data import DifferenceRow

TIMED_APART = "timed in two runs"
Verdict = Literal["better", "worse", "changed", "undecided", "level", "unknown"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetricChange:
    """One metric of one generator in two runs; ``difference`` is b minus a.

    ``low`` and ``high`` bound a 95 % interval of the difference (None: there is none), and ``how``
    says what it comes from. Where it is paired, ``a`` and ``b`` are means over the prompts that
    both have. ``verdict`` is on b: better or worse only where the interval leaves out 0; of a
    metric with a target, that of the paired difference of the distances from it; changed where no
    direction is better. ``category`` is that of the prompts, empty for all of them.
    """

    generator_a: str
    generator_b: str
    metric: str
    unit: str
    direction: Direction
    a: float | None
    b: float | None
    difference: float | None
    low: float | None
    high: float | None
    how: str
    verdict: Verdict
    category: str = ""

    @property
    def is_shown(self) -> bool:
        """Whether more than chance has changed, or a number is missing in one of the runs alone."""
        lost = (self.a is None) != (self.b is None)
        return self.verdict in ("better", "worse", "changed") or lost

    @property
    def generator(self) -> str:
        """The name that both runs have, or both names."""
        same = self.generator_a == self.generator_b
        return self.generator_a if same else f"{self.generator_a} -> {self.generator_b}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwoRuns:
    """Two runs and the prompts that are the same in both."""

    a: RunTables
    b: RunTables
    prompts: frozenset[str]

    @property
    def names(self) -> tuple[str, str]:
        """What the runs are called."""
        return self.a.name, self.b.name

    @functools.cached_property
    def ground(self) -> Ground:
        """What a change stands on: prompts enough in both runs, and the anchors of the second."""
        prompts = min(len(run.data.prompts) for run in (self.a, self.b))
        return Ground.of(self.b.data.anchors, prompts)

    @functools.cached_property
    def categories(self) -> Mapping[str, str]:
        """The category of each prompt that both runs have, and put into the same one."""
        ours, theirs = ({s.prompt_id: s.category for s in r.data.scores} for r in (self.a, self.b))
        return {id_: c for id_, c in ours.items() if id_ in self.prompts and theirs.get(id_) == c}

    def is_off_native(self, change: MetricChange) -> bool:
        """Whether either run has its generator of the pair far from what it was made for."""
        ours = self.a.data.generators[change.generator_a]
        return bool(ours.off_native or self.b.data.generators[change.generator_b].off_native)

    def tied(self, pair: tuple[str, str]) -> dict[str, str]:
        """Which prompts equal pictures tie together, over both generators of a pair."""
        return tied_prompts((self.a.data, pair[0]), (self.b.data, pair[1]))

    def same_images(self, pair: tuple[str, str]) -> bool:
        """Whether the generators of a pair have the same bytes for the same prompts."""
        ours, theirs = (
            {(i.prompt_id, i.sample): i.sha256 for i in run.data.images if i.generator == name}
            for run, name in zip((self.a, self.b), pair, strict=True)
        )
        return bool(ours) and ours == theirs and None not in ours.values()

    def results(
        self, pair: tuple[str, str], metric: str
    ) -> tuple[MetricResult | None, MetricResult | None]:
        """What each run says of its generator of the pair."""
        return self.a.results.get((pair[0], metric)), self.b.results.get((pair[1], metric))


def metric_change(
    runs: TwoRuns, pair: tuple[str, str], x: MetricResult, y: MetricResult
) -> MetricChange:
    """The change from x to y, results of one metric of a pair of generators.

    Paired over the prompts that are the same in both runs and that both have scores for; else from
    the two intervals. Raises ``MetricError`` if the two were measured differently, and if the runs
    have other prompts and nothing can be paired.
    """
    if x.value is None or y.value is None:
        name, result = (runs.names[0], x) if x.value is None else (runs.names[1], y)
        note = (result.note or "").removeprefix("not measured: ")
        how = f"not measured in {name}" + (f": {note}" if note else "")
        return _row(runs, pair, (x, y), None, how)
    means = _paired(runs, pair, x.metric)
    of_prompts = x.described.axis != "cost"
    hashes = (runs.a.suite_sha256, runs.b.suite_sha256)
    if means is None and of_prompts and hashes[0] != hashes[1]:
        raise MetricError(not_comparable(x.metric, "suite_sha256", hashes, runs.names))
    equal = of_prompts and _depends_on_number(x.metric, unknown=means is None)
    check_comparable(x, y, names=runs.names, equal_images=equal)
    what = "images" if of_prompts else "timing"
    same = runs.same_images(pair) if of_prompts else is_same_timing(x, y)
    if means is None and same and x.value == y.value:
        none = _found(x, Interval(value=0.0, low=0.0, high=0.0))
        return _row(runs, pair, (x, y), none, f"the same {what}")
    if means is None:
        gap = independent_difference(_interval(y), _interval(x))
        how = "values alone" if gap.low is None else "two intervals"
        if is_clocked(x) and not in_same_rounds(x, y):
            # How a machine drifts from one run to the next is in the interval of neither.
            gap, how = Interval(value=gap.value), TIMED_APART
        return _row(runs, pair, (x, y), _found(x, gap), how)
    return _paired_row(runs, pair, x, y, means)


def category_changes(
    runs: TwoRuns, pair: tuple[str, str], x: MetricResult, y: MetricResult
) -> list[MetricChange]:
    """The same for the prompts of each category, of a metric that can be paired and of which the
    prompts are of several.
    """
    whole = _paired(runs, pair, x.metric)
    known = {runs.categories.get(prompt) for prompt in whole.prompts} if whole else set()
    if len(known) < 2:
        return []
    changes = []
    for category in dict.fromkeys(runs.categories.values()):
        members = [prompt for prompt, one in runs.categories.items() if one == category]
        means = _paired(runs, pair, x.metric, members)
        if means is not None:
            row = _paired_row(runs, pair, x, y, means)
            changes.append(dataclasses.replace(row, category=category or "no category"))
    return changes


def _paired_row(
    runs: TwoRuns, pair: tuple[str, str], x: MetricResult, y: MetricResult, means: PairedMeans
) -> MetricChange:
    change, tied = means.flipped(), runs.tied(pair)
    paired = change.difference(cluster_of=tied)
    found = _found(x, Interval(value=paired.difference, low=paired.low, high=paired.high))
    found = dataclasses.replace(found, prompts=paired.prompts, clusters=paired.clusters)
    if y.direction == "target" and y.target is not None:
        far = change.distance_difference(y.target, cluster_of=tied)
        found = dataclasses.replace(
            found, farther=far.value, farther_low=far.low, farther_high=far.high
        )
    few = " (too few for an interval)" if found.low is None else ""
    a, b = (
        dataclasses.replace(r, value=value) for r, value in zip((x, y), means.values, strict=True)
    )
    return _row(runs, pair, (a, b), found, f"paired, {counted(paired.prompts, 'prompt')}{few}")


def _found(like: MetricResult, gap: Interval) -> DifferenceRow:
    """After minus before, as verdicts take it."""
    value, low, high = (
        None if one is None else without_rounding(like, one)
        for one in (gap.value, gap.low, gap.high)
    )
    return DifferenceRow(a="b", b="a", metric=like.metric, difference=value, low=low, high=high)


def _row(
    runs: TwoRuns,
    pair: tuple[str, str],
    results: tuple[MetricResult, MetricResult],
    found: DifferenceRow | None,
    how: str,
) -> MetricChange:
    """The change, decided as in a verdict."""
    x, y = results
    verdict = "unknown" if found is None else _verdict(runs, x, y, found)
    against = doubt(runs.ground, x, y, found) if verdict == "undecided" else None
    return MetricChange(
        generator_a=pair[0],
        generator_b=pair[1],
        metric=x.metric,
        unit=y.unit or x.unit,
        direction=y.direction,
        a=x.value,
        b=y.value,
        difference=found.difference if found else None,
        low=found.low if found else None,
        high=found.high if found else None,
        how=f"{how}; {against}" if against else how,
        verdict=verdict,
    )


def _verdict(runs: TwoRuns, x: MetricResult, y: MetricResult, found: DifferenceRow) -> Verdict:
    if is_clocked(x) and found.low is None:
        return "unknown"
    if found.difference == 0 and found.low == found.high:
        return "level"
    if separated(y, x, found, runs.ground):
        return "better"
    if separated(x, y, found.flipped(), runs.ground):
        return "worse"
    if y.direction == "none" and (y.described.is_exact or _leaves_out_0(found)):
        return "changed"
    return "unknown" if found.low is None else "undecided"


def _leaves_out_0(gap: DifferenceRow) -> bool:
    return gap.low is not None and gap.high is not None and not gap.low <= 0 <= gap.high


def _paired(
    runs: TwoRuns, pair: tuple[str, str], metric: str, prompts: Collection[str] | None = None
) -> PairedMeans | None:
    """Means by prompt, of some prompts or of all in common; None where there is no score of each
    image, or too few prompts to go by in runs of different suites.
    """
    x, y = runs.a.scores.get((pair[0], metric)), runs.b.scores.get((pair[1], metric))
    if x is None or y is None:
        return None
    chosen = runs.prompts if prompts is None else prompts
    x, y = x.among(chosen), y.among(chosen)
    try:
        means = x.paired_with(y)
    except ValueError:
        return None  # no prompt for which both have a value
    other_suite = runs.a.suite_sha256 != runs.b.suite_sha256
    return None if other_suite and len(means.prompts) < MIN_GROUPS else means


def _interval(result: MetricResult) -> Interval:
    assert result.value is not None
    return Interval(value=result.value, low=result.low, high=result.high)


def _depends_on_number(metric: str, *, unknown: bool) -> bool:
    """Whether the value changes with the number of images; ``unknown`` for a metric that is not
    installed here.
    """
    try:
        return make_metric(metric_spec(metric)).compares_sets
    except (RequestError, MetricError):
        return unknown
