"""What each metric is called in prose and what it says, in one sentence."""

from __future__ import annotations

import dataclasses
import re

from gandiff.evaluate.result import MetricResult

_NAME = re.compile(r"^(?P<base>[^(/]+)(?P<params>\(.*\))?(?:/(?P<part>.*))?$", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Term:
    """The words for a metric: ``label`` for headings and sentences, ``meaning`` for the reader."""

    label: str
    meaning: str


_TERMS = {
    "fd": Term(
        "Fréchet distance",
        "How far the made images as a whole are from the reference "
        "images, in the features of the named encoder.",
    ),
    "fd_inf": Term(
        "Fréchet distance, infinite",
        "The Fréchet distance extrapolated to infinitely many made images, which takes away its "
        "dependence on their number; for small distances it may be slightly below 0.",
    ),
    "fid": Term("FID", "Fréchet distance in the features of Inception-v3."),
    "kid": Term(
        "KID",
        "Kernel distance between made and reference images in the features of the "
        "named encoder; unbiased, so it may be slightly below 0.",
    ),
    "cmmd": Term("CMMD", "Kernel distance between made and reference images in CLIP's features."),
    "scene_accuracy": Term(
        "scene accuracy", "Share of images in which a classifier finds what the prompt states."
    ),
    "clip_score": Term(
        "CLIP score", "Mean similarity of image and prompt in the features of the named CLIP model."
    ),
    "diversity": Term(
        "diversity",
        "How much images of one prompt differ from each other, relative "
        "to real images of that prompt; above 1.0 is no improvement.",
    ),
    "r_precision": Term(
        "R-precision",
        "Share of images that lie nearer to their own prompt than to any other prompt, in the "
        "features of the named CLIP model.",
    ),
    "unstated": Term(
        "what prompts leave open",
        "How the images vary in colour, size, background, relation and count where the prompt "
        "leaves these open, beside real images of the same prompts.",
    ),
    "near_duplicates": Term(
        "near-duplicates",
        "Share of images that show nearly what another image shows: one of the same prompt (over "
        "seeds), or of another prompt (over prompts).",
    ),
    "vendi": Term("Vendi score", "Effective number of different images among all that were made."),
    "precision": Term("precision", "Share of made images that lie among the reference images."),
    "recall": Term("recall", "Share of reference images that lie among the made images."),
    "density": Term("density", "How densely reference images surround the made images."),
    "coverage": Term("coverage", "Share of reference images with a made image nearby."),
    "latency_seconds": Term(
        "time per image", "Median time to make one image alone (batch 1), after a warm-up."
    ),
    "images_per_second": Term("images per second", "Throughput at the fastest batch size tried."),
    "load_seconds": Term("load time", "Time to read the weights and get ready."),
    "peak_memory_bytes": Term("peak memory", "Most memory held while making images."),
    "parameters": Term(
        "parameters", "Numbers learnt in training, over all networks that run to make an image."
    ),
    "nfe": Term(
        "network evaluations", "Evaluations of the main network for one image, guidance included."
    ),
    "training_seconds": Term(
        "training time", "Time that training took, on the device named under Training."
    ),
}
_PARTS = {
    "all": Term(
        "scene accuracy",
        "Share of images in which a classifier finds everything that the prompt states.",
    ),
    "held_out_all": Term(
        "held-out pairs",
        "Scene accuracy on prompts that ask for pairs of shape and colour never seen in training.",
    ),
}
COST_METRICS = (
    "latency_seconds",
    "images_per_second",
    "load_seconds",
    "peak_memory_bytes",
    "parameters",
    "nfe",
    "training_seconds",
)
ARROWS = {"higher": "\u2191", "lower": "\u2193", "none": ""}
_BETTER = {"higher": "Higher is better.", "lower": "Lower is better.", "none": ""}


def split_metric(metric: str) -> tuple[str, str, str]:
    """Split a printed metric into base name, parameters with parentheses, and part.

    >>> split_metric("scene_accuracy(judge=a)/shape")
    ('scene_accuracy', '(judge=a)', 'shape')
    """
    match = _NAME.match(metric)
    if match is None:
        return metric, "", ""
    return match["base"], match["params"] or "", match["part"] or ""


def base_name(metric: str) -> str:
    """Return the name of a metric without parameters and part."""
    return split_metric(metric)[0]


def term(metric: str) -> Term:
    """Return the words for a metric; one that nobody described keeps its own name."""
    base, _, part = split_metric(metric)
    if base == "scene_accuracy" and part:
        plain = f"Share of images in which a classifier finds the {part.replace('_', ' ')} that "
        return _PARTS.get(part, Term(part.replace("_", " "), plain + "the prompt states."))
    known = _TERMS.get(
        base,
        Term(
            base.replace("_", " "),
            "A metric that this report has no description of; see its protocol.",
        ),
    )
    return Term(f"{known.label}, {part.replace('_', ' ')}", known.meaning) if part else known


def arrow(result: MetricResult) -> str:
    """Return the sign of a metric's better direction: up, down, or the target."""
    if result.direction == "target":
        return f"\u2192\u00a0{result.target:g}" if result.target is not None else ""
    return ARROWS[result.direction]


def explain(metric: str, result: MetricResult) -> str:
    """Return one or two sentences: what the metric says, and which way is better."""
    if result.direction == "target":
        better = f"Nearest to {result.target:g} is best." if result.target is not None else ""
    else:
        better = _BETTER[result.direction]
    return f"{term(metric).meaning} {better}".strip()
