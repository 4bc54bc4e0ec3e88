"""Whether a training is healthy, in plain words, with advice: what holds for every generator."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from gandiff.common.measurements import bound

EARLY = 0.2  # of the phase that counts, before which little is expected
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
class Logged:
    """What a training has logged: measurements of its ticks, and rows of losses between them.

    ``fraction`` is how much is spent of the phase that counts.
    """

    ticks: Sequence[Mapping[str, float]]
    losses: Sequence[Mapping[str, float]]
    fraction: float

    def tick(self, name: str) -> list[float]:
        """A measurement, at all ticks that have it."""
        return [row[name] for row in self.ticks if name in row]

    def loss(self, name: str) -> list[float]:
        """A loss, of all rows that have it."""
        return [row[name] for row in self.losses if name in row]


Check = Callable[[Logged], str | None]


def raised(checks: Mapping[str, Check], logged: Logged) -> list[Alarm]:
    """What is wrong at the last tick, by the name of the alarm; nothing before the first."""
    if not logged.ticks:
        return []
    texts = [(name, check(logged)) for name, check in checks.items()]
    return [Alarm(name, text) for name, text in texts if text is not None]


def collapsed(advice: str) -> Check:
    """The check for pictures of one prompt that hardly differ; ``advice`` is what to do then."""

    def check(logged: Logged) -> str | None:
        if logged.fraction < EARLY:
            return None
        for name, real in _BESIDE.items():
            value = logged.ticks[-1].get(name)
            if value is not None and value < bound(name, "low"):
                return (
                    f"pictures of one prompt vary {value:.0%} as much as {real} ({name}): {advice}"
                )
        return None

    return check


def getting_worse(logged: Logged) -> str | None:
    """The check for a distance from real pictures that has grown for three ticks."""
    distances = logged.tick("fd")
    if len(distances) < 5 or min(distances[-3:]) < bound("fd", "high") * min(distances):
        return None
    return (
        f"the Fréchet distance is {distances[-1] / min(distances):.1f} times that of the best tick "
        "for 3 ticks: the best model is kept in best/; to train on from there, stop the training, "
        "copy checkpoint-best.pt over checkpoint.pt and continue with --resume and a lower "
        "learning rate (--set lr=...)"
    )
