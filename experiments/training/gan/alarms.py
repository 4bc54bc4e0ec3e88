"""Whether a GAN's training is healthy, in plain words, with advice."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence

from gandiff.common import measurements
from gandiff.common.measurements import bound

_EARLY = 0.2  # of the adversarial phase, before which little is expected
_BESIDE = {  # what the variety of pictures of one prompt is compared with
    "diversity": "real ones",
    "unstated_coverage": "real ones",
    "variation": "real ones of all prompts",
}


@dataclasses.dataclass(frozen=True)
class Alarm:
    """One finding: what was seen, what it means and what to do."""

    name: str
    text: str


@dataclasses.dataclass(frozen=True)
class _Logged:
    ticks: Sequence[Mapping[str, float]]
    losses: Sequence[Mapping[str, float]]
    fraction: float

    def tick(self, name: str) -> list[float]:
        return [row[name] for row in self.ticks if name in row]

    def loss(self, name: str) -> list[float]:
        return [row[name] for row in self.losses if name in row]


def alarms(
    ticks: Sequence[Mapping[str, float]],
    losses: Sequence[Mapping[str, float]],
    fraction: float,
) -> list[Alarm]:
    """What is wrong at the last tick; ``ticks`` are measurements, ``losses`` logged rows.

    ``fraction`` is how much of the adversarial phase is spent.
    """
    if not ticks:
        return []
    logged = _Logged(ticks, losses, fraction)
    texts = [(name, check(logged)) for name, check in _CHECKS.items()]
    return [Alarm(name, text) for name, text in texts if text is not None]


def _too_strong(logged: _Logged) -> str | None:
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


def _at_chance(logged: _Logged) -> str | None:
    wins, scores = logged.loss("p_real_above_fake")[-20:], logged.tick("score")
    if logged.fraction < _EARLY or len(wins) < 5 or scores[-1] > 0.9:
        return None
    if max(wins) > bound("p_real_above_fake", "low"):
        return None
    return (
        f"it tells real from fake in {max(wins):.0%} of pairs only, which is guessing: lower gamma "
        "(--set gamma=...)"
    )


def _captions_ignored(logged: _Logged) -> str | None:
    shares = logged.loss("caption_accuracy")[-5:]
    if logged.fraction < _EARLY or not shares:
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


def _collapsed(logged: _Logged) -> str | None:
    if logged.fraction < _EARLY:
        return None
    for name, real in _BESIDE.items():
        value = logged.ticks[-1].get(name)
        if value is not None and value < bound(name, "low"):
            return (
                f"pictures of one prompt vary {value:.0%} as much as {real} ({name}): raise the "
                "weight of the energy score (--set energy=8) or gamma, and start again in "
                "another --out"
            )
    return None


def _memorising(logged: _Logged) -> str | None:
    recent = logged.tick("r_v")[-3:]
    if len(recent) < 3 or min(recent) < bound("r_v", "high"):
        return None
    return (
        f"pictures that it never saw look like fakes to the discriminator (r_v {recent[-1]:.2f}): "
        "the data are too few for this long a run; use --augment or stop earlier"
    )


def _getting_worse(logged: _Logged) -> str | None:
    distances = logged.tick("fd")
    if len(distances) < 5 or min(distances[-3:]) < bound("fd", "high") * min(distances):
        return None
    return (
        f"the Fréchet distance is {distances[-1] / min(distances):.1f} times that of the best tick "
        "for 3 ticks: the best model is kept in best/; to train on from there, stop the training, "
        "copy checkpoint-best.pt over checkpoint.pt and continue with --resume and a lower "
        "learning rate (--set lr=...)"
    )


def _penalty_spike(logged: _Logged) -> str | None:
    penalties = logged.loss("r1")
    median = statistics.median(penalties) if len(penalties) >= 20 else 0.0
    if not median or penalties[-1] < bound("r1", "high") * median:
        return None
    return (
        f"R1 is {penalties[-1] / median:.0f} times its median: lower the learning rate "
        "(--set lr=...) or raise gamma (--set gamma=...)"
    )


_CHECKS: Mapping[str, Callable[[_Logged], str | None]] = {
    measurements.TOO_STRONG: _too_strong,
    measurements.AT_CHANCE: _at_chance,
    measurements.CAPTIONS_IGNORED: _captions_ignored,
    measurements.COLLAPSE: _collapsed,
    measurements.MEMORISING: _memorising,
    measurements.GETTING_WORSE: _getting_worse,
    measurements.PENALTY_SPIKE: _penalty_spike,
}
