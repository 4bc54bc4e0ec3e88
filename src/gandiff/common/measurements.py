"""What trainings measure: the one description of each number that logs, cards and reports show.

A new measurement is an entry here: the progress bar, the messages at ticks, the sweep's table,
model cards, the report's figures and tables and the bounds of alarms all read it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Panel = Literal[
    "loss", "share of pairs", "penalty, gradient norm", "share or ratio", "squared error", "its own"
]
_LOSS: Panel = "loss"
_SHARE: Panel = "share of pairs"
_SLOPE: Panel = "penalty, gradient norm"
_RATIO: Panel = "share or ratio"
_ERROR: Panel = "squared error"
_OWN: Panel = "its own"

TOO_STRONG, AT_CHANCE = "discriminator too strong", "discriminator at chance"
CAPTIONS_IGNORED, PENALTY_SPIKE = "captions ignored", "gradient penalty spike"
COLLAPSE, MEMORISING = "mode collapse within prompts", "memorising"
GETTING_WORSE, WEAK_AUTOENCODER = "getting worse", "weak autoencoder"


class Measurement(NamedTuple):
    """One number that a training logs.

    ``panel`` is the figure of the report that shows it (the first three over training time, the
    others over images shown), ``places`` where else it appears: the progress ``bar``, the message
    at a ``tick``, the model ``card``, the tables of a ``sweep`` and of a ``truncation`` sweep,
    and the ``curve`` over steps and guidance; what is measured ``once`` is in the record alone.
    ``healthy`` says where it should be; beyond ``low`` or ``high`` its ``alarms`` may be raised.
    """

    name: str
    label: str  # in figures and tables of the report
    panel: Panel | None
    places: str
    meaning: str
    healthy: str = ""
    alarms: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None


# fmt: off
_ALL = (
    Measurement("p_real_above_fake", "real above fake", _SHARE, "bar",
                "how often a real picture is judged above the fake of its caption",
                "above 0.55; below 0.98 unless `score` rises",
                alarms=(TOO_STRONG, AT_CHANCE), low=0.55, high=0.98),
    Measurement("caption_accuracy", "right caption (matching head)", _SHARE, "bar",
                "how often the matching head prefers the right caption to a mismatched one",
                "above 0.6; rises", alarms=(CAPTIONS_IGNORED,), low=0.6),
    Measurement("caption_accuracy_adversarial", "right caption (adversarial head)", _SHARE, "",
                "how often the adversarial head prefers the right caption to a mismatched one",
                "above 0.5"),
    Measurement("loss", "loss", _LOSS, "", "what is minimised", "falls"),
    Measurement("d_loss", "d loss", _LOSS, "bar", "the discriminator's loss"),
    Measurement("g_loss", "g loss", _LOSS, "bar", "the generator's loss"),
    Measurement("match_loss_real", "matching loss (real)", _LOSS, "bar",
                "cross-entropy of real pictures' captions among mismatched ones, in nats", "falls"),
    Measurement("match_loss_fake", "matching loss (fake)", _LOSS, "",
                "the same of generated pictures", "falls"),
    Measurement("energy_score", "energy score", _LOSS, "bar",
                "distance between the distributions of generated and real pictures of a caption",
                "falls"),
    Measurement("guidance", "guidance", _LOSS, "",
                "squared angle between pictures and captions in the guiding CLIP model, in rad²",
                "falls"),
    Measurement("mse", "mse", _LOSS, "bar",
                "diffusion: squared error of what the denoiser predicts, not weighted", "falls"),
    Measurement("psnr_db", "PSNR (dB)", None, "bar",
                "autoencoder: peak signal-to-noise ratio of reconstructed training pictures, in dB",
                "rises"),
    Measurement("reconstruction_all", "all facts right in reconstructions", None, "once",
                "diffusion, scenes: share of them with every stated fact right once they have "
                "passed through the autoencoder (`autoencoder.reconstruction.all`)", "above 0.97",
                alarms=(WEAK_AUTOENCODER,), low=0.97),
    Measurement("mse_low", "little noise", _ERROR, "",
                "diffusion: error for unseen pictures in the third of steps with the least noise",
                "falls"),
    Measurement("mse_middle", "some noise", _ERROR, "", "diffusion: in the middle third",
                "falls"),
    Measurement("mse_high", "much noise", _ERROR, "",
                "diffusion: in the third with most noise", "falls"),
    Measurement("caption_gain", "error saved by the caption", _OWN, "tick",
                "diffusion: share of the error for unseen pictures with captions of others that "
                "their own save", "above 0.005; rises", alarms=(CAPTIONS_IGNORED,), low=0.005),
    Measurement("mse_spared", "error spared for seen pictures", _RATIO, "tick",
                "diffusion: share of the error for unseen pictures that pictures of the training "
                "are spared: 0 where both are denoised alike, 1 where only those of the training "
                "are", "near 0; below 0.5", alarms=(MEMORISING,), high=0.5),
    Measurement("r1", "R1", _SLOPE, "",
                "gradient penalty on real pictures", "below 10 times its median",
                alarms=(PENALTY_SPIKE,), high=10.0),
    Measurement("r2", "R2", _SLOPE, "", "gradient penalty on generated pictures"),
    Measurement("d_grad_norm", "discriminator's gradient", _SLOPE, "",
                "norm of the discriminator's gradient"),
    Measurement("grad_norm", "gradient", _SLOPE, "", "norm of the denoiser's gradient"),
    Measurement("g_grad_norm", "generator's gradient", _SLOPE, "",
                "norm of the generator's gradient"),
    Measurement("score", "score", None, "sweep",
                "the best model has the highest: `all` times `unstated_coverage`, or minus `fd`",
                "rises"),
    Measurement("all", "all facts right", _RATIO,
                "tick card sweep truncation curve",
                "scenes: share of pictures with every stated fact right", "rises"),
    Measurement("held_out_all", "all facts right, held-out pairs", None, "tick card",
                "scenes: the same for prompts with a (shape, colour) pair that was never shown",
                "rises"),
    Measurement("control_iou", "foreground where it is asked for", _RATIO, "tick card",
                "ControlNets: overlap (IoU) of the drawn foreground with that of the scene whose "
                "outline or depth is given", "rises"),
    Measurement("unstated_coverage", "coverage of what is open", _RATIO,
                "tick card sweep truncation",
                "scenes: how much of the variety that prompts leave open is generated", "near 1",
                alarms=(COLLAPSE,), low=0.25),
    Measurement("diversity", "diversity", _RATIO, "tick card sweep truncation",
                "scenes: distance between pictures of one prompt, over that of real scenes",
                "near 1", alarms=(COLLAPSE,), low=0.25),
    # Compared with pictures of all prompts, so what captions settle lowers it in health, too: real
    # scenes reach 0.70 in thumbnails, those of a twentieth of the prompts only 0.20 or less. A
    # quarter of that is as far from health as a quarter is for ratios near 1.
    Measurement("variation", "variation within prompts", _RATIO, "tick card truncation",
                "folders: distance between pictures of one prompt, over that of real ones of all",
                "above 0.05", alarms=(COLLAPSE,), low=0.05),
    Measurement("fd", "Fréchet distance", _OWN, "tick card sweep truncation curve",
                "Fréchet distance from real pictures", "falls; below 1.5 times its best",
                alarms=(GETTING_WORSE,), high=1.5),
    Measurement("reverse_kl", "reverse KL (nats)", _OWN, "truncation",
                "scenes: distance of what prompts leave open from its distribution, in nats",
                "near 0"),
    Measurement("recall", "recall", _RATIO, "tick card sweep truncation",
                "share of real pictures that lie among generated ones", "rises"),
    Measurement("coverage", "coverage", None, "tick card",
                "share of real pictures with a generated one as near as their own neighbours",
                "rises"),
    Measurement("r_v", "r_v (1: memorised)", _RATIO, "tick",
                "how unseen real pictures are judged: 0 like seen ones, 1 like fakes",
                "below 0.5", alarms=(MEMORISING,), high=0.5),
    Measurement("p_held_out_above_fake", "unseen above fake", None, "",
                "how often an unseen real picture is judged above the fake of its caption",
                "near `p_real_above_fake`"),
)
# fmt: on
MEASUREMENTS = {one.name: one for one in _ALL}


def shown_in(place: str) -> list[str]:
    """Names of what a place shows, in order."""
    return [name for name, one in MEASUREMENTS.items() if place in one.places.split()]


def in_panel(panel: Panel) -> dict[str, str]:
    """Label by name of what a figure shows, in order."""
    return {name: one.label for name, one in MEASUREMENTS.items() if one.panel == panel}


def bound(name: str, side: Literal["low", "high"]) -> float:
    """The value beyond which an alarm of the measurement may be raised."""
    value = getattr(MEASUREMENTS[name], side)
    assert value is not None, f"{name} has no {side} bound"
    return float(value)
