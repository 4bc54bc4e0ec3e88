"""Whether a GAN's training is healthy, in plain words, with advice."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

_WARM_UP = 0.2  # of the budget, before which little is expected


@dataclasses.dataclass(frozen=True)
class Alarm:
    """One finding: what was seen, what it means and what to do."""

    name: str
    text: str


def alarms(
    ticks: Sequence[Mapping[str, float]],
    losses: Sequence[Mapping[str, float]],
    fraction: float,
) -> list[Alarm]:
    """What is wrong at the last tick; ``ticks`` are measurements, ``losses`` logged rows."""
    if not ticks:
        return []
    checks = (_starved, _blind, _deaf, _collapsed, _memorising, _worse, _steep)
    found = [check(ticks, losses, fraction) for check in checks]
    return [alarm for alarm in found if alarm is not None]


def _column(rows: Sequence[Mapping[str, float]], name: str) -> list[float]:
    return [row[name] for row in rows if name in row]


def _starved(
    ticks: Sequence[Mapping[str, float]], losses: Sequence[Mapping[str, float]], fraction: float
) -> Alarm | None:
    """Always above is normal while the score rises: only standing still makes it starvation."""
    wins, scores = _column(losses, "p_real_above_fake")[-20:], _column(ticks, "score")
    if len(scores) < 6 or len(wins) < 5 or min(wins) < 0.98:
        return None
    if max(scores[-5:]) > max(scores[:-5]):
        return None
    return Alarm(
        "starved generator",
        f"the discriminator tells real from fake in {min(wins):.0%} of pairs and the score has not "
        "risen for 5 ticks: raise gamma (twice to four times) or lower the learning rate",
    )


def _blind(
    ticks: Sequence[Mapping[str, float]], losses: Sequence[Mapping[str, float]], fraction: float
) -> Alarm | None:
    wins, scores = _column(losses, "p_real_above_fake")[-20:], _column(ticks, "score")
    if fraction < _WARM_UP or len(wins) < 5 or max(wins) > 0.55 or scores[-1] > 0.9:
        return None
    return Alarm(
        "blind discriminator",
        f"it tells real from fake in {max(wins):.0%} of pairs only, which is guessing: lower gamma "
        "or widen the discriminator",
    )


def _deaf(
    ticks: Sequence[Mapping[str, float]], losses: Sequence[Mapping[str, float]], fraction: float
) -> Alarm | None:
    reads = _column(losses, "p_caption")[-5:]
    if fraction < _WARM_UP or not reads or statistics.fmean(reads) >= 0.6:
        return None
    return Alarm(
        "deaf discriminator",
        f"a right caption beats a wrong one in {statistics.fmean(reads):.0%} of cases: pictures "
        "cannot follow captions that it does not read; let it read longer (--set reading=0.15) or "
        "check that captions describe the pictures",
    )


def _collapsed(
    ticks: Sequence[Mapping[str, float]], losses: Sequence[Mapping[str, float]], fraction: float
) -> Alarm | None:
    for name in ("diversity", "unstated_coverage"):
        value = ticks[-1].get(name)
        if value is not None and value < 0.25 and fraction >= _WARM_UP:
            return Alarm(
                "collapse within prompts",
                f"pictures of one prompt vary {value:.0%} as much as real ones ({name}): raise the "
                "weight of the energy score (--set energy=8) or gamma, and start again",
            )
    return None


def _memorising(
    ticks: Sequence[Mapping[str, float]], losses: Sequence[Mapping[str, float]], fraction: float
) -> Alarm | None:
    recent = _column(ticks, "r_v")[-3:]
    if len(recent) < 3 or min(recent) < 0.5:
        return None
    return Alarm(
        "memorising",
        f"pictures that it never saw look like fakes to the discriminator (r_v {recent[-1]:.2f}): "
        "the data are too few for this long a run; use --augment or stop earlier",
    )


def _worse(
    ticks: Sequence[Mapping[str, float]], losses: Sequence[Mapping[str, float]], fraction: float
) -> Alarm | None:
    distances = _column(ticks, "fd")
    if len(distances) < 5 or min(distances[-3:]) < 1.5 * min(distances):
        return None
    return Alarm(
        "getting worse",
        f"the Fréchet distance is {distances[-1] / min(distances):.1f} times that of the best tick "
        "for 3 ticks: the best model is kept; go on from it with a lower learning rate",
    )


def _steep(
    ticks: Sequence[Mapping[str, float]], losses: Sequence[Mapping[str, float]], fraction: float
) -> Alarm | None:
    slopes = _column(losses, "r1")
    if len(slopes) < 20 or slopes[-1] < 10 * statistics.median(slopes):
        return None
    return Alarm(
        "steep discriminator",
        f"R1 is {slopes[-1] / statistics.median(slopes):.0f} times its median: lower the learning "
        "rate or raise gamma",
    )
