"""The contract between a metric and whatever has images to measure."""

from __future__ import annotations

import abc
import dataclasses
import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from gandiff.evaluate.clusters import tie_groups
from gandiff.evaluate.numerics.rows import Rows
from gandiff.evaluate.numerics.statistics import Replicates
from gandiff.evaluate.result import About, MetricResult, MetricSpec, Value

NO_FACTS = "needs prompts with stated facts and none has any; use the suite 'scenes'"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class EditRecord:
    """What an edited image began from and what it was to become, as far as that is known.

    ``region`` is a mask, 255 where the image may differ from ``init_image`` and 0 elsewhere;
    ``target`` a right result; ``uncomposited`` the image before known pixels were put back.
    ``changed`` and ``kept`` have the form of ``ImageRecord.expected`` and hold what is true of a
    right result: what the edit makes so, and what was so before.
    """

    init_image: ImageRecord | None = None
    region: ImageRecord | None = None
    control_image: ImageRecord | None = None
    target: ImageRecord | None = None
    uncomposited: ImageRecord | None = None
    caption_before: str | None = None
    changed: Mapping[str, Any] | None = None
    kept: Mapping[str, Any] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ImageRecord:
    """One image on disk and what was asked for; ``expected`` are the facts that the prompt states.

    ``group`` keeps samples of one prompt together (the prompt's id); a plain folder has one group
    per image. ``edit`` is there where the image was made from another picture.
    """

    path: Path
    sha256: str
    group: str
    prompt: str | None = None
    sample: int = 0
    key: str | None = None
    category: str | None = None
    expected: Mapping[str, Any] | None = None
    edit: EditRecord | None = None


class Features(abc.ABC):
    """Gives features of images; the one implementation caches them by content."""

    @abc.abstractmethod
    def __call__(self, encoder: str, images: Sequence[ImageRecord]) -> Float[np.ndarray, "n d"]:
        """Features of the images in order, float32; raises ``MetricError`` if the encoder is not to
        be had.
        """

    def rows(self, encoder: str, images: Sequence[ImageRecord]) -> Rows:
        """The same in slices, for what needs them one after another only."""
        return self(encoder, images)

    @abc.abstractmethod
    def protocol(self, encoder: str) -> dict[str, Any]:
        """What the features depend on: encoder, weights sha256, resize filter, crop."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReferenceStatistics:
    """Reference images as the mean and covariance of their features, read from a file.

    ``count`` and ``protocol`` are None where the file does not say (pytorch-fid's does not);
    ``features`` is None where it keeps none. ``sha256`` is that of the images as a set, else of
    the file.
    """

    source: str
    encoder: str | None
    mean: Float[np.ndarray, " d"]
    covariance: Float[np.ndarray, "d d"]
    count: int | None
    features: Float[np.ndarray, "n d"] | None
    protocol: Mapping[str, Any] | None
    sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetricInput:
    """What one generator made, beside the reference.

    ``reference`` are real images (None: there is none), ``statistics`` what a file says of them
    instead. ``matched`` are real images of the same prompts, with the same groups, where the suite
    can provide them. ``shows_scenes`` says whether the pictures are rendered scenes, which alone
    the shipped encoders know (None: not known). ``seed`` feeds every resampling. ``memo`` is where
    metrics of one input share what is expensive, under keys that name all that it depends on.
    """

    images: Sequence[ImageRecord]
    reference: Sequence[ImageRecord] | None
    matched: Sequence[ImageRecord] | None
    features: Features
    statistics: ReferenceStatistics | None = None
    seed: int = 0
    device: str = "cpu"
    shows_scenes: bool | None = None
    memo: dict[Any, Any] = dataclasses.field(default_factory=dict, compare=False, repr=False)

    @functools.cached_property
    def cluster_of(self) -> Mapping[str, str]:
        """What every interval resamples as one, by prompt: the prompt with those that equal
        pictures tie to it (``gandiff.evaluate.clusters``).
        """
        every = itertools.chain(self.images, self.matched or ())
        return tie_groups((image.group, image.sha256) for image in every)

    @property
    def clusters(self) -> list[str]:
        """The same by image: the ``groups`` of all resampling."""
        return self.clusters_of(image.group for image in self.images)

    def clusters_of(self, prompts: Iterable[str]) -> list[str]:
        """The cluster of each of some prompts; one without an image is its own."""
        return [self.cluster_of.get(prompt, prompt) for prompt in prompts]

    def by_prompt(self, found: Replicates) -> Replicates:
        """Estimates that left out clusters, with the part of each prompt."""
        parts = {
            image.group: found.part_of.get(self.cluster_of[image.group], -1)
            for image in self.images
        }
        return dataclasses.replace(found, part_of=parts)

    @property
    def contents(self) -> list[str]:
        """The sha256 of each image, by which equal pictures are known."""
        return [image.sha256 for image in self.images]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlannedSets:
    """What a metric will be given, as far as it is known before the first image is made."""

    images: int  # of each generator, if none fails
    samples: int  # of each prompt
    prompts: int
    texts: int  # different ones among the prompts
    facts: bool  # whether a prompt says what a scene shows
    references: int | None  # None: there are none
    task: str = "text_to_image"
    edits: frozenset[str] = frozenset()  # the fields of ``EditRecord`` that a prompt brings along


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetricOutput:
    """Rows for the results table, and per-image values (aligned with ``images``; NaN: not
    applicable). A row is the mean of its images' values, or, where it has ``denominators`` (also of
    images), the sum of the values over that of the denominators, so that it can be formed over any
    prompts. ``replicates`` of rows that are measured on the set as a whole, without each part of
    the prompts, let two generators be compared on the same prompts.
    """

    results: Sequence[MetricResult]
    per_image: Mapping[str, Float[np.ndarray, " n"]] = dataclasses.field(default_factory=dict)
    denominators: Mapping[str, Float[np.ndarray, " n"]] = dataclasses.field(default_factory=dict)
    replicates: Mapping[str, Replicates] = dataclasses.field(default_factory=dict)


class Metric(abc.ABC):
    """A measurement with its parameters bound. Subclasses take their parameters as keyword
    arguments.

    ``about`` says how a report speaks of it: label, meaning, table, unit, axis, direction.
    ``encoders`` are opened before the first image is made, so that missing weights show early;
    where ``optional`` is set, a missing one is no error but a row that says "not measured".
    ``reads_statistics`` says that mean and covariance of the reference are enough.
    ``scene_defaults`` are parameters that have another default where the suite or the reference is
    ``scenes``: elsewhere the shipped encoders know nothing of the pictures.
    ``compares_sets`` marks a value that depends on the number of images: generators are then
    compared at equal numbers. ``tasks`` are those whose images it measures, of any if empty;
    ``needs_edit`` the fields of ``EditRecord`` that it cannot do without.
    """

    spec: MetricSpec
    about: About | None = None
    encoders: tuple[str, ...] = ()
    scene_defaults: ClassVar[Mapping[str, Value]] = {}
    optional = False
    needs_reference = False
    needs_prompts = False
    needs_facts = False
    compares_sets = False
    reads_statistics = False
    tasks: tuple[str, ...] = ()
    needs_edit: tuple[str, ...] = ()

    @abc.abstractmethod
    def measure(self, data: MetricInput) -> MetricOutput:
        """Measure; raises ``MetricError`` when the data does not allow it."""

    def files(self) -> Sequence[Path]:
        """The files of weights that it reads itself, without an encoder: which those of the last
        values were decides whether they are still valid.
        """
        return ()

    def shortage(self, planned: PlannedSets) -> str | None:
        """Why it cannot be measured on what is planned, as a sentence; None if it can."""
        if self.tasks and planned.task not in self.tasks:
            named = ", ".join(self.tasks)
            return f"{self.spec} is for the tasks {named}, and the task is {planned.task}"
        if lacking := [field for field in self.needs_edit if field not in planned.edits]:
            return (
                f"{self.spec} needs prompts with {' and '.join(lacking)}, and none has any; use "
                "the suite 'scene-edits', or give prompts that column"
            )
        if self.needs_facts and not planned.facts:
            return f"{self.spec} {NO_FACTS}"
        if self.needs_reference and planned.images < 2:
            return (
                f"{self.spec} compares distributions and needs 2 images or more of each generator; "
                f"{planned.images} is planned (raise samples_per_prompt or give more prompts)"
            )
        return None

    def describe(self, part: str = "") -> About:
        """The words for a row; a metric without ``about`` has its name and its class's first line.

        ``part`` is what the row's name has behind the stroke, such as ``shape``.
        """
        if self.about is not None:
            return self.about.part(part)
        plain = About.named(self.spec.name)
        line = (type(self).__doc__ or "").strip().split("\n\n")[0]
        meaning = " ".join(line.replace("``", "").split()) or plain.meaning
        return dataclasses.replace(plain, meaning=meaning).part(part)
