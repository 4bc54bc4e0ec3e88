"""What a comparison of two results stands on: prompts enough, and a scale with marks on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from gandiff.common.words import counted
from gandiff.evaluate.result import REFERENCE_COPIES, MetricResult, split_metric
from gandiff.reports.values import show_beside

REAL, NOISE, PLAIN = "real", "noise", "plain"
NAMES = {REAL: "real images", NOISE: "uniform noise", PLAIN: "plain grounds"}
_IN_PAPERS = {"fd": "FID", "kid": "KID", "cmmd": "CMMD"}  # what they are called there
FEWEST = 30  # prompts behind anything that is called better
FEWEST_COPIES = 0.01  # of the images, from which on copies of the reference stand against it


@dataclasses.dataclass(frozen=True, kw_only=True)
class Anchor:
    """What images that are no generator's get: ``anchor`` is real, noise or plain."""

    anchor: str
    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    images: int | None = None
    references: int | None = None


@dataclasses.dataclass(frozen=True)
class Ground:
    """The anchors of a run by (anchor, metric), how many prompts it has (None: not known), of each
    metric the result of most images, whether there are reference images (None: not known), and
    why metrics of an axis were left out.
    """

    anchors: Mapping[tuple[str, str], Anchor] = dataclasses.field(default_factory=dict)
    prompts: int | None = None
    results: Mapping[str, MetricResult] = dataclasses.field(default_factory=dict)
    reference: bool | None = None
    left_out: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(
        cls,
        anchors: Sequence[Anchor],
        prompts: int | None,
        results: Iterable[MetricResult] = (),
        reference: bool | None = None,
    ) -> Ground:
        """From what a run holds."""
        most = {one.metric: one for one in sorted(results, key=lambda one: one.images or 0)}
        return cls({(one.anchor, one.metric): one for one in anchors}, prompts, most, reference)

    def doubt(
        self,
        one: MetricResult,
        two: MetricResult,
        paired: int | None,
        clusters: int | None = None,
    ) -> str | None:
        """Why neither of two results is called better, whatever their intervals say; None if
        nothing speaks against it. What something costs does not depend on prompts.

        ``paired`` are the prompts that both have values for, and ``clusters`` how many they are if
        those with equal pictures are one, where that is known.
        """
        if one.described.axis == "cost":
            return None
        if paired == 0:
            return "they have images of no prompt in common"
        known = [n for n in (self.prompts, one.images, two.images) if n is not None]
        prompts = min(known, default=None) if paired is None else paired
        if prompts is not None and prompts < FEWEST:
            few = counted(prompts, "prompt is", "prompts are")
            return f"{few} too few to call one better: it takes {FEWEST}"
        if prompts is not None and clusters is not None and clusters < FEWEST:
            return (
                f"equal pictures leave {clusters} of {prompts} prompts independent, too few to "
                f"call one better: it takes {FEWEST}"
            )
        if copied := _copied(one) or _copied(two):
            return copied
        noise = self.anchors.get((NOISE, one.metric))
        if noise is None or (one.described.axis == "diversity" and one.direction != "target"):
            return None  # where more variety is always better, nothing has as much as noise
        if not (_is_comparable(noise, one) and _is_comparable(noise, two)):
            return None
        if not _no_better(one, noise) or not _no_better(two, noise):
            return None
        gets = f"which gets {show_beside(noise.value, one)}{_number(noise, one)}"
        return f"neither is better than uniform noise, {gets}"

    def named(self, metric: str) -> list[tuple[str, Anchor]]:
        """The anchors of a metric by their names, which say the number of images if it is another
        one than that of the results.
        """
        like = self.results.get(metric)
        found = ((name, self.anchors.get((key, metric))) for key, name in NAMES.items())
        return [(f"{name}{_number(one, like)}", one) for name, one in found if one is not None]

    def marks(self, metric: str) -> list[tuple[str, float]]:
        """Names and values of the anchors that can stand on one scale with a metric's results."""
        like = self.results.get(metric)
        return [(name, one.value) for name, one in self.named(metric) if _is_comparable(one, like)]

    def beside(self, result: MetricResult, *others: MetricResult) -> str:
        """What stands beside distances: what as many real images get, whether any is biased, and
        what of papers they are not.
        """
        if not result.described.is_distance:
            return ""
        parts = []
        real = self.anchors.get((REAL, result.metric))
        if real is not None:
            many = "" if real.images is None else f"{real.images:,} "
            parts.append(f"{many}real images get {show_beside(real.value, result)}")
        if any("N < d" in (one.note or "") for one in (result, *others)):
            parts.append("there are fewer images than dimensions, which biases all upwards")
        named = _IN_PAPERS.get(split_metric(result.metric)[0])
        if named and "encoder" in result.protocol and named not in result.described.label:
            parts.append(f"not comparable with {named} in papers")
        return "".join(f"; {part}" for part in parts)


def _has_other_number(anchor: Anchor, result: MetricResult | None) -> bool:
    """Whether an anchor is of fewer or more images than a result, as far as both are known."""
    if anchor.images is None or result is None or result.images is None:
        return False
    return anchor.images != result.images


def _is_comparable(anchor: Anchor, result: MetricResult | None) -> bool:
    """Whether an anchor and a result can be compared: what is measured on images as a set depends
    on their number.
    """
    of_a_set = result is not None and (
        result.described.is_distance or result.described.axis == "distribution"
    )
    return not of_a_set or not _has_other_number(anchor, result)


def _number(anchor: Anchor, result: MetricResult | None) -> str:
    """The number of an anchor's images, to follow it, where a result has another one."""
    return f" (n = {anchor.images:,})" if _has_other_number(anchor, result) else ""


def leaves_room(mark: float, numbers: Sequence[float]) -> bool:
    """Whether numbers keep a fifth of a scale or more if a mark is on it, too."""
    span = max(numbers) - min(numbers)
    return span >= 0.2 * (max(*numbers, mark) - min(*numbers, mark))


def _copied(result: MetricResult) -> str | None:
    """What is said of a distance to images that are among those that it is measured on."""
    copies, images = result.protocol.get(REFERENCE_COPIES), result.images
    on_axis = result.described.axis == "distribution"
    if not on_axis or not isinstance(copies, int) or copies < FEWEST_COPIES * (images or 0):
        return None
    many = f"{copies:,}" if images is None else f"{copies:,} of {images:,}"
    return (
        f"{many} images that get {show_beside(result.value or 0.0, result)} are images of the "
        "reference"
    )


def _no_better(result: MetricResult, noise: Anchor) -> bool:
    """Whether a result is no better than noise by its metric's direction.

    Near a target noise may be by chance: it stands against a result only where its own interval
    leaves the target out.
    """
    value, target = result.value, result.target
    if value is None:
        return False
    if result.direction == "target" and target is not None:
        if noise.low is None or noise.high is None or noise.low <= target <= noise.high:
            return False
        return abs(value - target) >= abs(noise.value - target)
    if result.direction == "higher":
        return value <= noise.value
    return result.direction == "lower" and value >= noise.value
