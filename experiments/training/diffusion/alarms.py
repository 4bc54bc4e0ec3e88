"""Whether the training of a diffusion model is healthy, in plain words, with advice."""

from __future__ import annotations

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

    ``fraction`` is how much of the denoiser's budget is spent.
    """
    return raised(_CHECKS, Logged(ticks, losses, fraction))


def _captions_ignored(logged: Logged) -> str | None:
    gains = logged.tick("caption_gain")[-3:]
    if logged.fraction < EARLY or not gains or max(gains) >= bound("caption_gain", "low"):
        return None
    return (
        f"with captions of other pictures its error grows by {max(gains):.1%} at most, so it does "
        "not read them: check that captions describe the pictures; --set train_text=0.5 trains the "
        "text encoder along, and --set attention=16 lets larger levels look at it"
    )


_CHECKS: Mapping[str, Check] = {
    measurements.CAPTIONS_IGNORED: _captions_ignored,
    measurements.COLLAPSE: collapsed(
        "guidance narrows them, so look at samples/guidance.png first; a lower one is "
        "--set guidance=2"
    ),
    measurements.GETTING_WORSE: getting_worse,
}
