"""Metrics of a plain folder of images, without prompts and without a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gandiff.evaluate.features import FeatureCache
from gandiff.evaluate.images import image_records
from gandiff.evaluate.metric import Metric, MetricInput
from gandiff.evaluate.result import MetricError, MetricResult, MetricSpec
from gandiff.experiments.errors import RequestError
from gandiff.experiments.plugins import make_metric
from gandiff.experiments.provenance import resolve_device


def measure_folders(
    folder: Path,
    reference: Path | None,
    metrics: str | Sequence[str],
    *,
    weights: Mapping[str, str] | None,
    device: str,
    quiet: bool,
) -> list[MetricResult]:
    """Measure a folder against another one; ``metrics`` may be one text with commas between.

    Raises ``RequestError`` for a metric that is unknown or cannot be measured on folders.
    """
    names = split_metrics(metrics) if isinstance(metrics, str) else list(metrics)
    if not names:
        raise RequestError('no metric is named; say what to measure, such as "fid,kid"')
    device = resolve_device(device)
    try:
        chosen = [make_metric(MetricSpec.parse(name)) for name in names]
        for metric in chosen:
            _check(metric, reference)
        data = MetricInput(
            images=image_records(folder),
            reference=image_records(reference) if reference is not None else None,
            matched=None,
            features=_open_encoders(chosen, weights, device, quiet),
            device=device,
        )
        return [row for metric in chosen for row in metric.measure(data).results]
    except MetricError as error:
        raise RequestError(str(error)) from error


def _check(metric: Metric, reference: Path | None) -> None:
    if metric.needs_reference and reference is None:
        raise MetricError(f"{metric.spec} compares with real images; give --reference FOLDER")
    if metric.needs_prompts:
        raise MetricError(f"{metric.spec} needs prompts, which a plain folder has not; make a run")


def _open_encoders(
    metrics: Sequence[Metric], weights: Mapping[str, str] | None, device: str, quiet: bool
) -> FeatureCache:
    cache = FeatureCache(weights=weights, device=device, progress=not quiet)
    for metric in metrics:
        for encoder in metric.encoders:
            cache.protocol(encoder)
    return cache


def split_metrics(text: str) -> list[str]:
    """Split at commas outside parentheses."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]
