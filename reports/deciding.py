"""What decided between two results, or why nothing did: the test and its numbers, in words."""

from __future__ import annotations

from gandiff.common.words import counted
from gandiff.evaluate.result import MetricResult
from gandiff.reports.comparing import goodness, goodness_interval, paired_gain
from gandiff.reports.run_data import DifferenceRow
from gandiff.reports.values import (
    Scale,
    adding_up,
    distinguish,
    scale_of,
    scale_of_differences,
    show_p,
)

Side = tuple[str, MetricResult]  # a generator and what it got


def lead(good: MetricResult, bad: MetricResult, pair: DifferenceRow | None) -> tuple[Scale, str]:
    """How to write the values of the better and the other result; and by how much it is better,
    with the test that found it. ``pair`` is the better one minus the other.

    The written difference is that of the written values; where the paired one is not, because one
    of the two lacks images, both are said.
    """
    scale = distinguish(scale_of(good, bad), (good.value or 0.0, bad.value or 0.0))
    ends = (goodness(good) or 0.0, goodness(bad) or 0.0)
    ahead = ends[0] - ends[1]
    how = f"nearer to {good.target:g}" if good.direction == "target" else good.direction
    apart = scale_of_differences(good, ahead)
    written = adding_up(scale, apart, ends, ahead) or (scale, apart)
    alone = f"{written[1](ahead)} {how}"
    gain = paired_gain(good, pair)
    if pair is None or gain is None or good.described.is_exact:
        intervals = two_intervals(good, bad)
        by = f" ({intervals}, do not overlap)" if intervals else " (both are exact)"
        return written[0], f"{alone}{by}"
    apart = scale_of_differences(good, gain.value, gain.low, gain.high)
    apart = distinguish(apart, (0.0, gain.low))
    adds_up = adding_up(scale, apart, ends, gain.value)
    scale, apart = adds_up or (written[0], apart)
    said = "" if adds_up else f"; the two values alone: {alone}"
    interval = f"{apart.number(gain.low)} to {apart.number(gain.high)}"
    return scale, (
        f"{apart(gain.value)} {how} on {_same_prompts(gain.prompts)} (paired, 95 % interval "
        f"{interval}{said})"
    )


def _same_prompts(count: int | None) -> str:
    return "the same prompts" if count is None else f"the same {counted(count, 'prompt')}"


def _other_test(like: MetricResult, pair: DifferenceRow) -> str:
    """The p value where it alone finds a difference; of a metric with a target it is on another
    question, as it is not on the distances from it.
    """
    if like.direction == "target" or pair.p_value is None or not pair.p_alone_is_sure:
        return ""
    p = show_p(pair.p_value)
    p = p if p.startswith("below") else f"= {p}"
    return f" and decides; the sign-flip test has p {p}"


def why_undecided(first: Side, second: Side, pair: DifferenceRow | None) -> str:
    """Why neither of two results is better, with the test that was made; ``pair`` is the first
    minus the second.
    """
    (a, one), (b, two) = first, second
    if goodness(one) is None or goodness(two) is None:
        return "and neither direction of this metric counts as better"
    gain = paired_gain(one, pair)
    if gain is not None and pair is not None:
        # As the table of differences has it: a minus b.
        raw = gain if one.direction == "higher" else gain.flipped
        scale = distinguish(
            scale_of_differences(one, raw.value, raw.low, raw.high),
            *([] if raw.low <= 0 <= raw.high else [(0.0, raw.low), (0.0, raw.high)]),
        )
        of = f" in distance from {one.target:g}" if one.direction == "target" else ""
        holds = "contains 0" if raw.low <= 0 <= raw.high else _against(one, two)
        return (
            f"and the paired difference{of} on {_same_prompts(raw.prompts)}, {a} minus {b}, "
            f"has the 95 % interval {scale.number(raw.low)} to {scale(raw.high)}, which {holds}"
            f"{_other_test(one, pair)}"
        )
    mine, theirs = goodness_interval(one), goodness_interval(two)
    if mine is None or theirs is None:
        return "measured without the intervals that would decide it"
    overlap = mine[0] <= theirs[1] and theirs[0] <= mine[1]
    return f"and {two_intervals(one, two)}, {'overlap' if overlap else 'do not decide it'}"


def _against(one: MetricResult, two: MetricResult) -> str:
    """What an interval without 0 says that the values, over more prompts, do not."""
    if goodness(one) == goodness(two):
        return "does not contain 0, though the values are equal"
    return "points another way than the values"


def two_intervals(one: MetricResult, two: MetricResult) -> str:
    """Both intervals, of the distance from the target where there is one; empty without both.

    Ends that face each other are written apart if they are.
    """
    mine, theirs = goodness_interval(one), goodness_interval(two)
    if mine is None or theirs is None:
        return ""
    if one.direction != "higher":
        mine, theirs = ((-high, -low) for low, high in (mine, theirs))
    scale = distinguish(scale_of(one, two), (mine[1], theirs[0]), (mine[0], theirs[1]))
    ends = [f"{scale.number(low)} to {scale.number(high)}" for low, high in (mine, theirs)]
    of = f" of the distance from {one.target:g}" if one.direction == "target" else ""
    return f"the 95 % intervals{of}, {ends[0]} and {ends[1]}"
