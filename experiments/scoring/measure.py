"""One metric on the images of one generator: on all, or on those that all generators have."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from gandiff.common.errors import MetricError, environment_failure, reason_of
from gandiff.evaluate.features.cache import FeatureCache
from gandiff.evaluate.features.encoders import is_shipped
from gandiff.evaluate.metric import ImageRecord, Metric, MetricInput, MetricOutput
from gandiff.evaluate.numerics.proportions import mean_over_groups
from gandiff.evaluate.numerics.statistics import MIN_GROUPS
from gandiff.evaluate.result import MetricResult, split_metric


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scored:
    """One generator's images and what every metric said of them."""

    generator: str
    images: Sequence[ImageRecord]
    outputs: Sequence[MetricOutput]


def measure(metric: Metric, data: MetricInput, because: str = "") -> MetricOutput:
    """Measure, or say in a row why it was not possible; ``because`` is why images are missing.

    Raises ``EnvironmentFailure`` where the machine failed.
    """
    try:
        if not data.images:
            raise MetricError(f"there is no usable image{because}")
        if metric.needs_reference and not data.reference and data.statistics is None:
            raise MetricError("the comparison names no reference images")
        output = _finite(metric.measure(data))
        why = _too_few(data)
        odd = (
            ["outside of what its encoder knows"]
            if outside_domain([metric], data.shows_scenes)
            else []
        )
        rows = [_described(_with_interval(row, output, data), metric) for row in output.results]
        aimless = [row.metric for row in rows if row.direction == "target" and row.target is None]
        if aimless:
            raise MetricError(f"{aimless[0]} is best near a target and names none; give target=")
        results = [_noted(row, why, odd) for row in rows]
        return dataclasses.replace(output, results=results)
    except Exception as error:
        if failure := environment_failure(error):
            raise failure from error
        row = MetricResult(
            metric=str(metric.spec),
            value=None,
            images=len(data.images),
            note=f"not measured: {reason_of(error)}",
            about=metric.describe(),
        )
        return MetricOutput(results=[row])


def _finite(output: MetricOutput) -> MetricOutput:
    """The same with nothing but numbers: a value that is none was not measured, an interval without
    ends is none, and an image whose value is infinite has no value.
    """
    rows = []
    for row in output.results:
        if row.value is not None and not math.isfinite(row.value):
            note = f"not measured: its value is {row.value}, must be a finite number"
            row = dataclasses.replace(row, value=None, low=None, high=None, note=note)
        elif not all(end is None or math.isfinite(end) for end in (row.low, row.high)):
            row = dataclasses.replace(row, low=None, high=None)
        rows.append(row)
    per_image = {
        name: np.where(np.isfinite(values), values, np.nan)
        for name, values in output.per_image.items()
    }
    return dataclasses.replace(output, results=rows, per_image=per_image)


def _with_interval(row: MetricResult, output: MetricOutput, data: MetricInput) -> MetricResult:
    """A row with an interval over prompts, if it is the mean of the values of images and its metric
    gave none.
    """
    values = output.per_image.get(row.metric)
    if values is None or row.value is None or row.low is not None or row.high is not None:
        return row
    if row.metric in output.denominators:  # no mean, and none for a reason
        return row
    if np.isnan(values).all() or not math.isclose(np.nanmean(values), row.value, rel_tol=1e-6):
        return row
    found = mean_over_groups(np.asarray(values, dtype=np.float64), data.clusters, data.seed)
    return dataclasses.replace(row, low=found.low, high=found.high)


def _too_few(data: MetricInput) -> str | None:
    """Why there is no interval where there would be one but for equal pictures."""
    prompts, clusters = len(data.cluster_of), len(set(data.cluster_of.values()))
    if clusters >= MIN_GROUPS or prompts < MIN_GROUPS:
        return None
    return (
        f"no interval: equal pictures leave {clusters} of the {MIN_GROUPS} independent groups "
        "that it takes"
    )


def outside_domain(metrics: Sequence[Metric], shows_scenes: bool | None) -> list[str]:
    """A line on shipped encoders before pictures that are not rendered scenes, if there are any."""
    named = [str(m.spec) for m in metrics if m.encoders and all(map(is_shipped, m.encoders))]
    if not named or shows_scenes is not False:
        return []
    return [
        f"{', '.join(named)}: the shipped encoders know rendered scenes of 32 px and nothing else; "
        "of other pictures these numbers say little"
    ]


def _noted(row: MetricResult, why: str | None, odd: Sequence[str]) -> MetricResult:
    """A row with what is to be noted of it, and ``why`` it has no interval if it has none."""
    added = [*odd, *([why] if why and row.low is None else [])]
    if row.value is None or not added:
        return row
    return dataclasses.replace(row, note="; ".join(filter(None, [row.note, *added])))


def _described(row: MetricResult, metric: Metric) -> MetricResult:
    """A row with its words, and with the unit and direction that they say where it says none."""
    if row.about is not None:
        return row
    about = metric.describe(split_metric(row.metric)[2])
    unit, direction, target = row.unit, row.direction, row.target
    if direction == "none":
        direction, target = about.direction, about.target
    return dataclasses.replace(
        row, about=about, unit=unit or about.unit, direction=direction, target=target
    )


def equal_sets(
    images: Mapping[str, Sequence[ImageRecord]],
) -> tuple[dict[str, list[ImageRecord]], list[str]]:
    """The images that every generator has, by prompt and sample, and a line if these are fewer.

    A distance between sets depends on their number, so generators are compared at equal numbers.
    One without any image is left out of account.
    """
    have = {
        name: {(image.group, image.sample) for image in records}
        for name, records in images.items()
        if records
    }
    common = set.intersection(*have.values()) if have else set()
    equal = {
        name: [image for image in records if (image.group, image.sample) in common]
        for name, records in images.items()
    }
    counts = {name: len(keys) for name, keys in have.items()}
    if all(count == len(common) for count in counts.values()):
        return equal, []
    alike = len(set(counts.values())) == 1
    differ = "images of different prompts or samples" if alike else "unequal numbers of images"
    listed = ", ".join(f"{name} {count}" for name, count in counts.items())
    compared = (
        f"compare the {len(common)} that all of them have"
        if common
        else "are not measured, as no prompt and sample has an image of every generator"
    )
    return equal, [f"the generators have {differ} ({listed}); metrics of whole sets {compared}"]


def encode_at_once(
    cache: FeatureCache, metrics: Sequence[Metric], images: Sequence[ImageRecord]
) -> dict[str, str]:
    """Decode every file once for all encoders; returns the sha256 of those that cannot be read,
    and why.
    """
    wanted: dict[str, None] = {}
    for metric in metrics:
        for encoder in metric.encoders:
            with contextlib.suppress(MetricError):
                cache.protocol(encoder)
                wanted[encoder] = None
    with contextlib.suppress(MetricError):  # the metrics will say it
        return cache.compute(list(wanted), images)
    return {}


def measure_one(
    metric: Metric, every: MetricInput, same: MetricInput, because: str = ""
) -> MetricOutput:
    """Measure what depends on the number of images on the images that all generators have."""
    if not metric.compares_sets or len(same.images) == len(every.images):
        return measure(metric, every, because)
    if every.images and not same.images:
        because = ": no prompt and sample has an image of every generator"
    measured = measure(metric, same, because)
    places = {image.key: place for place, image in enumerate(every.images)}
    chosen = np.array([places[image.key] for image in same.images], dtype=np.int64)

    def among_all(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = {name: np.full(len(every.images), np.nan) for name in columns}
        for name, values in columns.items():
            found[name][chosen] = values
        return found

    return dataclasses.replace(
        measured,
        per_image=among_all(measured.per_image),
        denominators=among_all(measured.denominators),
    )
