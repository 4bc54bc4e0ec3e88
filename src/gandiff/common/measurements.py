"""What trainings measure: the one description of each number that logs, cards and reports show.

A new measurement is an entry here: the progress bar, the messages at ticks, the sweep's table,
model cards, the report's figures and tables and the bounds of alarms all read it.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

Panel = Literal["loss", "share of pairs", "penalty, gradient norm", "share or ratio", "its own"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement:
    """One number that a training logs.

    ``healthy`` says in words where it should be; beyond ``low`` or ``high`` the named ``alarm`` may
    be raised. ``panel`` is the figure that shows it (the first three over training time, the others
    over images shown), ``places`` where else it appears: the progress ``bar``, the message at a
    ``tick``, the model ``card``, the tables of a ``sweep`` and of a ``truncation`` sweep.
    """

    name: str
    label: str  # in figures and tables of the report
    meaning: str
    panel: Panel | None = None
    healthy: str = ""
    low: float | None = None
    high: float | None = None
    alarm: str | None = None
    places: frozenset[str] = frozenset()


def _measurement(name: str, label: str, meaning: str, places: str = "", **more: Any) -> Measurement:
    return Measurement(
        name=name, label=label, meaning=meaning, places=frozenset(places.split()), **more
    )


TOO_STRONG, AT_CHANCE = "discriminator too strong", "discriminator at chance"
CAPTIONS_IGNORED, PENALTY_SPIKE = "captions ignored", "gradient penalty spike"
COLLAPSE, MEMORISING, GETTING_WORSE = (
    *("mode collapse within prompts", "memorising", "getting worse"),
)

MEASUREMENTS = {
    one.name: one
    for one in (
        _measurement(
            "p_real_above_fake",
            "real above fake",
            "how often a real picture is judged above the fake of its caption",
            "bar",
            panel="share of pairs",
            healthy="above 0.55; below 0.98 unless `score` rises",
            low=0.55,
            high=0.98,
            alarm=f"{TOO_STRONG}, {AT_CHANCE}",
        ),
        _measurement(
            "caption_accuracy",
            "right caption (matching head)",
            "how often the matching head prefers the right caption to a mismatched one",
            "bar",
            panel="share of pairs",
            healthy="above 0.6; rises",
            low=0.6,
            alarm=CAPTIONS_IGNORED,
        ),
        _measurement(
            "caption_accuracy_adversarial",
            "right caption (adversarial head)",
            "how often the adversarial head prefers the right caption to a mismatched one",
            panel="share of pairs",
            healthy="above 0.5",
        ),
        _measurement("loss", "loss", "what is minimised", panel="loss", healthy="falls"),
        _measurement("d_loss", "d loss", "the discriminator's loss", "bar", panel="loss"),
        _measurement("g_loss", "g loss", "the generator's loss", "bar", panel="loss"),
        _measurement(
            "match_loss_real",
            "matching loss (real)",
            "cross-entropy of the right caption of real pictures among mismatched ones, in nats",
            "bar",
            panel="loss",
            healthy="falls",
        ),
        _measurement(
            "match_loss_fake",
            "matching loss (fake)",
            "the same of generated pictures",
            panel="loss",
            healthy="falls",
        ),
        _measurement(
            "energy_score",
            "energy score",
            "distance between the distributions of generated and real pictures of a caption",
            "bar",
            panel="loss",
            healthy="falls",
        ),
        _measurement(
            "guidance",
            "guidance",
            "squared angle between pictures and captions in the guiding CLIP model, in rad²",
            panel="loss",
            healthy="falls",
        ),
        _measurement("mse", "mse", "squared error of the predicted noise", panel="loss"),
        _measurement(
            "r1",
            "R1",
            "gradient penalty on real pictures",
            panel="penalty, gradient norm",
            healthy="below 10 times its median",
            high=10.0,
            alarm=PENALTY_SPIKE,
        ),
        _measurement(
            "r2", "R2", "gradient penalty on generated pictures", panel="penalty, gradient norm"
        ),
        _measurement(
            "d_grad_norm",
            "discriminator's gradient",
            "norm of the discriminator's gradient",
            panel="penalty, gradient norm",
        ),
        _measurement(
            "g_grad_norm",
            "generator's gradient",
            "norm of the generator's gradient",
            panel="penalty, gradient norm",
        ),
        _measurement(
            "score",
            "score",
            "decides which model is best: `all` times `unstated_coverage`; for folders minus `fd`",
            "sweep",
            healthy="rises",
        ),
        _measurement(
            "all",
            "all facts right",
            "scenes: share of pictures with every stated fact right",
            "tick card sweep truncation",
            panel="share or ratio",
            healthy="rises",
        ),
        _measurement(
            "held_out_all",
            "all facts right, held-out pairs",
            "scenes: the same for prompts with a (shape, colour) pair that was never shown",
            "tick card",
            healthy="rises",
        ),
        _measurement(
            "unstated_coverage",
            "coverage of what is open",
            "scenes: how much of the variety that prompts leave open is generated",
            "tick card sweep truncation",
            panel="share or ratio",
            healthy="near 1",
            low=0.25,
            alarm=COLLAPSE,
        ),
        _measurement(
            "diversity",
            "diversity",
            "scenes: distance between pictures of one prompt, over that of real scenes",
            "tick card sweep truncation",
            panel="share or ratio",
            healthy="near 1",
            low=0.25,
            alarm=COLLAPSE,
        ),
        # Compared with pictures of all prompts, so what captions settle lowers it in health, too:
        # real scenes reach 0.70 in thumbnails, those of a twentieth of the prompts only 0.20 or
        # less. A quarter of that is as far from health as a quarter is for ratios near 1.
        _measurement(
            "variation",
            "variation within prompts",
            "folders: distance between pictures of one prompt, over that of real ones of all",
            "tick card truncation",
            panel="share or ratio",
            healthy="above 0.05",
            low=0.05,
            alarm=COLLAPSE,
        ),
        _measurement(
            "fd",
            "Fréchet distance",
            "Fréchet distance from real pictures",
            "tick card sweep truncation",
            panel="its own",
            healthy="falls; below 1.5 times its best",
            high=1.5,
            alarm=GETTING_WORSE,
        ),
        _measurement(
            "reverse_kl",
            "reverse KL (nats)",
            "scenes: distance of what prompts leave open from its distribution, in nats",
            "truncation",
            panel="its own",
            healthy="near 0",
        ),
        _measurement(
            "recall",
            "recall",
            "share of real pictures that lie among generated ones",
            "tick card sweep truncation",
            panel="share or ratio",
            healthy="rises",
        ),
        _measurement(
            "coverage",
            "coverage",
            "share of real pictures with a generated one as near as their own neighbours",
            "tick card",
            healthy="rises",
        ),
        _measurement(
            "r_v",
            "r_v (1: memorised)",
            "how the discriminator judges unseen real pictures: 0 like seen ones, 1 like fakes",
            "tick",
            panel="share or ratio",
            healthy="below 0.5",
            high=0.5,
            alarm=MEMORISING,
        ),
        _measurement(
            "p_held_out_above_fake",
            "unseen above fake",
            "how often an unseen real picture is judged above the fake of its caption",
            healthy="near `p_real_above_fake`",
        ),
    )
}


def shown_in(place: str) -> list[str]:
    """Names of what a place shows, in order."""
    return [name for name, one in MEASUREMENTS.items() if place in one.places]


def in_panel(panel: Panel) -> dict[str, str]:
    """Label by name of what a figure shows, in order."""
    return {name: one.label for name, one in MEASUREMENTS.items() if one.panel == panel}


def bound(name: str, side: Literal["low", "high"]) -> float:
    """The value beyond which the measurement's alarm may be raised."""
    value = getattr(MEASUREMENTS[name], side)
    assert value is not None, f"{name} has no {side} bound"
    return float(value)
