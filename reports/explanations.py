"""How to read a report: a sentence or two a section, for readers who know neither family."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gandiff.evaluate.result import MetricResult
from gandiff.reports.sentence import listed

VERDICT = (
    "A GAN draws an image in one pass of its network; a diffusion model begins with noise and "
    "removes it in many passes. Undecided: these images do not show which of the two is better."
)
RESULTS = (
    "The 95 % interval beside a value says how far other prompts and seeds may move it: in 95 of "
    "100 such runs it would hold the true value. An arrow says which way is better."
)
NOTHING = "Nothing has been measured yet."
BEST = (
    "only where the paired difference to every other generator leaves out 0 or, without one, where "
    "its interval overlaps no other; costs go by the ratio in the same rounds. Never by fewer than "
    "30 prompts, or where all are no better than noise; exact numbers, such as parameters, need "
    "neither."
)
DIFFERENCES = (
    "Effect size: the difference over the standard deviation of the prompts' differences (Cohen's "
    "d for pairs). p after Holm: corrected for the number of pairs. Prompts needed: how many would "
    "show a difference as large as this one in four of five such runs (power 0.8), though fewer "
    "than 30 call nothing better; visible from: the smallest difference that this run's prompts "
    "would show as often. The verdict is on one "
    "pair that was chosen beforehand and goes by the interval; of a metric with a target, by that "
    "of the difference in distance from it. An interval is by bootstrap and p by turning the signs "
    "of differences; where p is 0.05 or more the interval reaches to 0, for few prompts that "
    "differ prove little. Where p finds what the interval does not, it has the mark \u2021. "
    "Distances between sets leave out the same prompts on both sides; times and rates are "
    "compared by their ratio in the same rounds."
)
TAU = (
    "\u03c4 is Kendall's: 1 where two conventions put all pairs of generators in the same order, "
    "\u22121 where in the opposite one."
)
CATEGORIES = (
    "Means over the prompts of a category, each with its 95 % interval: with few prompts it is "
    "wide. report/categories.csv and categories.parquet in the run folder hold the same numbers."
)
FIGURES = (
    "Each mark is a generator, and its whiskers are 95 % intervals: where those of two overlap "
    "widely, more images may turn the order round. An arrow at an axis says which way is better."
)
TRAINING = (
    "What is known of how each model was trained. One that saw more images or trained for longer "
    "may be better for that reason alone, whatever its family."
)
REPRODUCE = "What the numbers were made with, and what to type to make them again."
TROUBLE = "An image that failed counts in no score; all numbers are of the images that were made."
_WATCHED = "a"  # the judge by which trainings are measured at every tick
_TABLES = {
    "Alignment": "Does an image show what its prompt asks for? A model can be right each time and "
    "still draw one picture over and over, which diversity tells.",
    "Distribution": "How near all images together come to real ones, whatever their prompts. Even "
    "real images have a Fréchet distance above 0 from other real ones.",
    "Diversity": "How much the images of one prompt differ. A model that draws the same picture "
    "each time is weak here, however good that picture is.",
    "Accuracy by attribute": "Alignment taken apart: how often facts of each kind are right where "
    "a prompt states them.",
    "Variation by attribute": "What a prompt leaves open, such as a colour, should vary as it does "
    "in real images: coverage is then 1, and 0 where it never varies.",
    "Cost": "What an image costs on the machine of this run. A network evaluation is one pass: "
    "a GAN needs one, a diffusion model one or more a step.",
}


def table_notes(title: str, results: Iterable[MetricResult]) -> tuple[str, ...]:
    """How to read a table of results, and what its numbers must not be taken for."""
    results = tuple(results)
    notes = (_TABLES.get(title), _judge_took_part(results), not_as_in_papers(results))
    return tuple(note for note in notes if note)


def _judge_took_part(results: Sequence[MetricResult]) -> str | None:
    """What a judge had to do with the training of gandiff's own models; None for other metrics."""
    if not any(r.protocol.get("judge") == _WATCHED for r in results):
        return None
    return (
        "The judge also measured gandiff's own models while they were trained, and so chose which "
        "state of them was kept; the other judge had no part in it."
    )


def not_as_in_papers(results: Iterable[MetricResult]) -> str | None:
    """Which distances are no FID and no KID of papers, which are on Inception-v3; None if none."""
    distances = [r for r in results if r.described.is_distance and "encoder" in r.protocol]
    named = ((r.protocol["encoder"], r.protocol.get("model")) for r in distances)
    encoders = dict.fromkeys(":".join(str(part) for part in parts if part) for parts in named)
    own = [encoder for encoder in encoders if encoder != "inception"]
    if not own:
        return None
    return (
        f"Distances in the features of {listed(own)} are not comparable with FID and KID in "
        "papers, which are in those of Inception-v3: compare them within this report."
    )
