"""Whether a GAN's training is healthy, in plain words, with advice."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from gandiff.common import measurements
from gandiff.common.measurements import bound
from gandiff.experiments.training.generators.alarms import (
    EARLY,
    Alarm,
    Check,
    Logged,
    collapsed,
    getting_worse,
    raised,
)


def alarms(
    ticks: Sequence[Mapping[str, float]],
    losses: Sequence[Mapping[str, float]],
    fraction: float,
) -> list[Alarm]:
    """What is wrong at the last tick; ``ticks`` are measurements, ``losses`` logged rows.

    ``fraction`` is how much of the adversarial phase is spent.
    """
    return raised(_CHECKS, Logged(ticks, losses, fraction))


def _too_strong(logged: Logged) -> str | None:
    """Always above is normal while the score rises: only standing still is a finding."""
    wins, scores = logged.loss("p_real_above_fake")[-20:], logged.tick("score")
    if len(scores) < 6 or len(wins) < 5 or min(wins) < bound("p_real_above_fake", "high"):
        return None
    if max(scores[-5:]) > max(scores[:-5]):
        return None
    return (
        f"the discriminator tells real from fake in {min(wins):.0%} of pairs and the score has not "
        "risen for 5 ticks: raise gamma two to four times (--set gamma=...) or lower the learning "
        "rate (--set lr=...)"
    )


def _at_chance(logged: Logged) -> str | None:
    wins, scores = logged.loss("p_real_above_fake")[-20:], logged.tick("score")
    if logged.fraction < EARLY or len(wins) < 5 or scores[-1] > 0.9:
        return None
    if max(wins) > bound("p_real_above_fake", "low"):
        return None
    return (
        f"it tells real from fake in {max(wins):.0%} of pairs only, which is guessing: lower gamma "
        "(--set gamma=...)"
    )


def _captions_ignored(logged: Logged) -> str | None:
    shares = logged.loss("caption_accuracy")[-5:]
    if logged.fraction < EARLY or not shares:
        return None
    share = statistics.fmean(shares)
    if share >= bound("caption_accuracy", "low"):
        return None
    return (
        f"the discriminator prefers a right caption to a mismatched one in {share:.0%} of cases: "
        "pictures cannot follow captions that it ignores; check that captions describe the "
        "pictures, and start again in another --out, with more --minutes or with "
        "--set d_warmup=0.15"
    )


def _memorising(logged: Logged) -> str | None:
    recent = logged.tick("r_v")[-3:]
    if len(recent) < 3 or min(recent) < bound("r_v", "high"):
        return None
    return (
        f"pictures that it never saw look like fakes to the discriminator (r_v {recent[-1]:.2f}): "
        "the data are too few for this long a run; use --augment or stop earlier"
    )


def _penalty_spike(logged: Logged) -> str | None:
    penalties = logged.loss("r1")
    median = statistics.median(penalties) if len(penalties) >= 20 else 0.0
    if not median or penalties[-1] < bound("r1", "high") * median:
        return None
    return (
        f"R1 is {penalties[-1] / median:.0f} times its median: lower the learning rate "
        "(--set lr=...) or raise gamma (--set gamma=...)"
    )


_CHECKS: Mapping[str, Check] = {
    measurements.TOO_STRONG: _too_strong,
    measurements.AT_CHANCE: _at_chance,
    measurements.CAPTIONS_IGNORED: _captions_ignored,
    measurements.COLLAPSE: collapsed(
        "raise the weight of the energy score (--set energy=8) or gamma, and start again in "
        "another --out"
    ),
    measurements.MEMORISING: _memorising,
    measurements.GETTING_WORSE: getting_worse,
    measurements.PENALTY_SPIKE: _penalty_spike,
}
