"""A run folder in memory: the only thing that a report is made from."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gandiff.common.run_record import OFF_NATIVE, ImageCounts, RunRecord
from gandiff.evaluate.result import About, MetricResult, reaching_0
from gandiff.reports.ground import Anchor, Ground
from gandiff.reports.sentence import reason
from gandiff.reports.values import is_significant


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneratorFacts(ImageCounts):
    """What is known of one generator, and what became of the images it was asked for."""

    name: str
    family: str = "other"
    parameters: int | None = None
    training_seconds: float | None = None
    training_device: str | None = None
    weights_sha256: str | None = None
    unmade: str = ""  # why it stopped before all of its images were made
    info: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # all of GeneratorInfo

    @property
    def absence(self) -> str:
        """Why it made no image, in short, such as "cannot paint"; empty where nothing is known."""
        return self.unmade.partition(":")[0].rstrip(".")

    @property
    def yardstick(self) -> str:
        """What it shows where it is not a model, empty of models."""
        return str(self.info.get("yardstick") or "").rstrip(".")

    @property
    def off_native(self) -> str:
        """Which settings are far from what it was made for, empty if none are."""
        return "; ".join(self.info.get("off_native") or ())


@dataclasses.dataclass(frozen=True)
class ResultRow:
    """One number of one generator."""

    generator: str
    result: MetricResult


@dataclasses.dataclass(frozen=True, kw_only=True)
class DifferenceRow:
    """One paired comparison over the same prompts: ``difference`` is a minus b.

    ``farther`` is how much farther a is from the metric's target, |a - target| - |b - target|, with
    its interval; only of metrics that have one. ``ratio`` is a over b, with its interval, of costs
    that were timed in the same rounds.
    ``effect_size`` is the difference over the standard deviation of the prompts' differences,
    ``p_holm`` the p value corrected for the pairs of generators, ``prompts_needed`` the number that
    shows this difference with power 0.8, ``detectable`` what this number of prompts shows.
    """

    a: str
    b: str
    metric: str
    difference: float | None
    low: float | None = None
    high: float | None = None
    win_rate: float | None = None  # share of prompts on which a is larger
    p_value: float | None = None
    prompts: int | None = None
    clusters: int | None = None  # of the prompts; those with equal pictures are one
    effect_size: float | None = None
    p_holm: float | None = None
    prompts_needed: int | None = None
    detectable: float | None = None
    farther: float | None = None
    farther_low: float | None = None
    farther_high: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None

    @property
    def p_alone_is_sure(self) -> bool:
        """Whether the p value shows a difference that the interval does not."""
        if self.p_value is None or self.low is None or self.high is None:
            return False
        return is_significant(self.p_value) and self.low <= 0 <= self.high

    def reaching_0(self) -> DifferenceRow:
        """The same, with intervals that hold 0 where the p value does not deny it, as scoring has
        them by now: older versions left out 0 where few prompts differed. Distances from a target
        have the p value of the values where both lie on one side of it.
        """
        if self.p_value is None:
            return self
        low, high = reaching_0(self.low, self.high, self.p_value)
        farther = self.farther_low, self.farther_high
        if self.farther is not None and self.difference is not None:
            one_side = math.isclose(abs(self.farther), abs(self.difference), abs_tol=1e-12)
            farther = reaching_0(*farther, self.p_value) if one_side else farther
        return dataclasses.replace(
            self, low=low, high=high, farther_low=farther[0], farther_high=farther[1]
        )

    def flipped(self) -> DifferenceRow:
        """Return the same comparison seen from b."""
        rate = None if self.win_rate is None else 1 - self.win_rate
        return dataclasses.replace(
            self,
            a=self.b,
            b=self.a,
            difference=_negated(self.difference),
            low=_negated(self.high),
            high=_negated(self.low),
            win_rate=rate,
            effect_size=_negated(self.effect_size),
            farther=_negated(self.farther),
            farther_low=_negated(self.farther_high),
            farther_high=_negated(self.farther_low),
            ratio=_inverted(self.ratio),
            ratio_low=_inverted(self.ratio_high),
            ratio_high=_inverted(self.ratio_low),
        )


def _negated(x: float | None) -> float | None:
    return None if x is None else -x


def _inverted(x: float | None) -> float | None:
    return 1 / x if x else None


@dataclasses.dataclass(frozen=True, slots=True)
class ImageLine:
    """What became of one planned image."""

    generator: str
    prompt_id: str
    sample: int
    seed: int | None
    key: str | None
    path: str | None  # relative to the run folder
    sha256: str | None
    status: str | None
    reason: str | None
    uncomposited: str | None = None  # sha256 of what it was before known pixels were put back

    @property
    def is_ok(self) -> bool:
        """Whether there is an image; lines without a status are of images that were made."""
        return self.status in ("ok", None)


@dataclasses.dataclass(frozen=True, slots=True)
class Score:
    """One metric of one image. Over some prompts it is the sum of the values over that of the
    denominators, which are 1 where it is a mean.
    """

    generator: str
    prompt_id: str
    sample: int
    category: str
    metric: str
    value: float
    denominator: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class CategoryScore:
    """The mean of one metric of a generator's images over the prompts of one category."""

    generator: str
    metric: str
    category: str
    value: float
    low: float | None
    high: float | None
    prompts: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunData:
    """Everything that a run folder holds; parts that are not there yet are empty."""

    folder: Path
    record: RunRecord
    generators: Mapping[str, GeneratorFacts]
    prompts: list[dict[str, Any]]
    images: list[ImageLine]
    results: list[ResultRow]
    differences: list[DifferenceRow]
    scores: list[Score]
    traces: list[dict[str, Any]]
    notices: list[str]  # what could not be read
    abouts: Mapping[str, About] = dataclasses.field(default_factory=dict)  # by metric
    categories: Sequence[CategoryScore] = ()
    anchors: Sequence[Anchor] = ()

    @functools.cached_property
    def ground(self) -> Ground:
        """What comparisons of its generators stand on."""
        results = (row.result for row in self.results)
        asked = self.record.comparison
        reference = bool(asked.get("reference")) if asked else None
        ground = Ground.of(self.anchors, len(self.prompts) or None, results, reference)
        return dataclasses.replace(ground, left_out=self.record.left_out)

    @property
    def name(self) -> str:
        """The name of the run."""
        return self.record.name or self.folder.name

    def about(self, metric: str) -> About:
        """What the run says of a metric, else what its name does."""
        return self.abouts.get(metric) or About.named(metric)

    def marked(self, name: str) -> str:
        """The name of a generator for a table, with a mark if it runs off its native point."""
        facts = self.generators.get(name)
        return f"{name} {OFF_NATIVE}" if facts is not None and facts.off_native else name

    @property
    def yardsticks(self) -> list[str]:
        """What each generator shows that is not a model, a sentence each."""
        shown = {name: facts.yardstick for name, facts in self.generators.items()}
        return [
            f"{name} is a yardstick, not a model: {what}. The best is chosen among the others."
            for name, what in shown.items()
            if what
        ]

    @property
    def off_native(self) -> list[str]:
        """What the mark means for each generator that has it, a sentence each."""
        off = {name: facts.off_native for name, facts in self.generators.items()}
        return [
            f"{OFF_NATIVE} {name} runs off its native point: {o}." for name, o in off.items() if o
        ]

    @property
    def marks(self) -> list[str]:
        """What stands below the tables: of single generators, and what has no table."""
        return [*self.yardsticks, *self.off_native, *self.unmeasured]

    @property
    def unmeasured(self) -> list[str]:
        """Why nothing of a group of metrics was measured, a sentence for each of these groups."""
        groups: dict[str, list[MetricResult]] = {}
        for row in self.results:
            groups.setdefault(row.result.described.group, []).append(row.result)
        said = []
        for group, rows in groups.items():
            if all(row.value is None for row in rows):
                why = "; ".join(dict.fromkeys(reason(row.note) for row in rows if row.note))
                said.append(f"Not measured: {group} ({why})." if why else f"Not measured: {group}.")
        return said

    @property
    def headline(self) -> tuple[str, ...]:
        """The two generators that the verdict is about; one, if only one was run."""
        chosen = tuple(name for name in self.record.headline if name in self.generators)
        return chosen or tuple(self.generators)[:2]

    def file(self, relative: object) -> Path | None:
        """Return a file of the run by its relative path; None if missing or outside the folder."""
        if not isinstance(relative, str) or not relative or "\0" in relative:
            return None
        path = (self.folder / relative).resolve()
        return path if path.is_relative_to(self.folder.resolve()) and path.is_file() else None
