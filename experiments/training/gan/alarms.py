"""Whether a GAN's training is healthy, in plain words, with advice."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence

_WARM_UP = 0.2  # of the budget, before which little is expected

# What tells that pictures of one prompt are alike: below which value, beside which pictures.
# ``variation`` compares with pictures of all prompts, so what captions settle lowers it in health,
# too: real scenes reach 0.70 in thumbnails, those of a twentieth of the prompts only 0.20 or less.
# A quarter of that is as far from health as a quarter is for the ratios whose healthy value is 1.
_VARIES: Mapping[str, tuple[float, str]] = {
    "diversity": (0.25, "real ones"),
    "unstated_coverage": (0.25, "real ones"),
    "variation": (0.05, "real ones of all prompts"),
}


@dataclasses.dataclass(frozen=True)
class Alarm:
    """One finding: what was seen, what it means and what to do."""

    name: str
    text: str


@dataclasses.dataclass(frozen=True)
class _Seen:
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
    """What is wrong at the last tick; ``ticks`` are measurements, ``losses`` logged rows."""
    if not ticks:
        return []
    seen = _Seen(ticks, losses, fraction)
    found = [(name, check(seen)) for name, check in _CHECKS.items()]
    return [Alarm(name, text) for name, text in found if text is not None]


def _starved(seen: _Seen) -> str | None:
    """Always above is normal while the score rises: only standing still makes it starvation."""
    wins, scores = seen.loss("p_real_above_fake")[-20:], seen.tick("score")
    if len(scores) < 6 or len(wins) < 5 or min(wins) < 0.98:
        return None
    if max(scores[-5:]) > max(scores[:-5]):
        return None
    return (
        f"the discriminator tells real from fake in {min(wins):.0%} of pairs and the score has not "
        "risen for 5 ticks: raise gamma two to four times (--set gamma=...) or lower the learning "
        "rate (--set lr=...)"
    )


def _blind(seen: _Seen) -> str | None:
    wins, scores = seen.loss("p_real_above_fake")[-20:], seen.tick("score")
    if seen.fraction < _WARM_UP or len(wins) < 5 or max(wins) > 0.55 or scores[-1] > 0.9:
        return None
    return (
        f"it tells real from fake in {max(wins):.0%} of pairs only, which is guessing: lower gamma "
        "(--set gamma=...)"
    )


def _deaf(seen: _Seen) -> str | None:
    reads = seen.loss("p_caption")[-5:]
    if seen.fraction < _WARM_UP or not reads or statistics.fmean(reads) >= 0.6:
        return None
    return (
        f"a right caption beats a wrong one in {statistics.fmean(reads):.0%} of cases: pictures "
        "cannot follow captions that it does not read; check that captions describe the pictures, "
        "and start again in another --out, with more --minutes or with --set reading=0.15"
    )


def _collapsed(seen: _Seen) -> str | None:
    if seen.fraction < _WARM_UP:
        return None
    for name, (least, real) in _VARIES.items():
        value = seen.ticks[-1].get(name)
        if value is not None and value < least:
            return (
                f"pictures of one prompt vary {value:.0%} as much as {real} ({name}): raise the "
                "weight of the energy score (--set energy=8) or gamma, and start again in "
                "another --out"
            )
    return None


def _memorising(seen: _Seen) -> str | None:
    recent = seen.tick("r_v")[-3:]
    if len(recent) < 3 or min(recent) < 0.5:
        return None
    return (
        f"pictures that it never saw look like fakes to the discriminator (r_v {recent[-1]:.2f}): "
        "the data are too few for this long a run; use --augment or stop earlier"
    )


def _worse(seen: _Seen) -> str | None:
    distances = seen.tick("fd")
    if len(distances) < 5 or min(distances[-3:]) < 1.5 * min(distances):
        return None
    return (
        f"the Fréchet distance is {distances[-1] / min(distances):.1f} times that of the best tick "
        "for 3 ticks: the best model is kept in best/; to train on from there, stop the training, "
        "copy checkpoint-best.pt over checkpoint.pt and go on with --resume and a lower learning "
        "rate (--set lr=...)"
    )


def _steep(seen: _Seen) -> str | None:
    slopes = seen.loss("r1")
    if len(slopes) < 20 or slopes[-1] < 10 * statistics.median(slopes):
        return None
    return (
        f"R1 is {slopes[-1] / statistics.median(slopes):.0f} times its median: lower the learning "
        "rate (--set lr=...) or raise gamma (--set gamma=...)"
    )


_CHECKS: Mapping[str, Callable[[_Seen], str | None]] = {
    "starved generator": _starved,
    "blind discriminator": _blind,
    "deaf discriminator": _deaf,
    "collapse within prompts": _collapsed,
    "memorising": _memorising,
    "getting worse": _worse,
    "steep discriminator": _steep,
}
