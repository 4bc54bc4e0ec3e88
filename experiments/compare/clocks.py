"""What a clock measured in two runs, and when its numbers can be compared."""

from __future__ import annotations

from gandiff.evaluate.result import MetricResult


def is_clocked(result: MetricResult) -> bool:
    """Whether a clock measured it, while the images of a run were made."""
    about = result.described
    timed = about.axis == "cost" and about.scale in ("seconds", "rate")
    return timed and result.direction != "none"  # as that of the time of training


def in_same_rounds(x: MetricResult, y: MetricResult) -> bool:
    """Whether two were timed in turns, so that the drift of the machine is in their intervals."""
    rounds = x.protocol.get("rounds") or [None]
    return None not in rounds and rounds == y.protocol.get("rounds")


def is_same_timing(x: MetricResult, y: MetricResult) -> bool:
    """Whether two costs are one measurement, as of a run and a copy of it."""
    rounds = x.protocol.get("round_medians")
    return bool(rounds) and (rounds, x.low, x.high) == (
        y.protocol.get("round_medians"),
        y.low,
        y.high,
    )
