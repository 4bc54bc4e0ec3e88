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
        f"their own captions save {max(gains):.1%} at most of the error that unseen pictures have "
        "with captions of others, so it does not read them: check that captions describe the "
        "pictures; --set train_text=0.5 trains the text encoder jointly, and --set attention=16 "
        "gives larger levels cross-attention"
    )


def _memorising(logged: Logged) -> str | None:
    recent = logged.tick("mse_spared")[-3:]
    if len(recent) < 3 or min(recent) < bound("mse_spared", "high"):
        return None
    return (
        f"its error for pictures of the training is {recent[-1]:.0%} below that for unseen ones: "
        "the data are too few for this long a run; stop earlier (best/ has the best model), use "
        "more pictures, or a smaller U-Net (--set channels=...) in another --out"
    )


def weak_autoencoder(reconstruction: Mapping[str, float], share: float) -> Alarm | None:
    """What is wrong with an autoencoder, once it is trained; None where scenes survive it.

    ``reconstruction`` is what was measured of it (``all`` of scenes only), ``share`` its share of
    the budget.
    """
    survives, least = reconstruction.get("all"), bound("reconstruction_all", "low")
    if survives is None or survives >= least:
        return None
    return Alarm(
        measurements.WEAK_AUTOENCODER,
        f"in {survives:.1%} of reconstructed scenes the judge sees every stated fact, and no "
        f"denoiser can draw more ({least:.0%} is well): start again with more --minutes, or with "
        f"--set autoencoder_share={min(2 * share, (1 + share) / 2):.2g} instead of {share:g}",
    )


_CHECKS: Mapping[str, Check] = {
    measurements.CAPTIONS_IGNORED: _captions_ignored,
    measurements.COLLAPSE: collapsed(
        "guidance narrows them, so look at samples/guidance.png first; a lower one is "
        "--set guidance=2"
    ),
    measurements.MEMORISING: _memorising,
    measurements.GETTING_WORSE: getting_worse,
}
