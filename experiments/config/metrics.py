"""The metrics of a comparison: read, checked, and with their encoders written out."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable

from gandiff.common.errors import MetricError, RequestError
from gandiff.evaluate.result import MetricSpec
from gandiff.experiments.config.types import Comparison
from gandiff.experiments.config.yaml_source import Document
from gandiff.experiments.plugins.registry import make_metric, with_encoder


def check_metrics(document: Document, comparison: Comparison) -> Comparison:
    """The comparison with metrics that can be built and name their encoders: what is recorded
    means the same later. Raises the document's error with the field.
    """
    resolved: list[str] = []
    seen: set[str] = set()
    for i, text in enumerate(comparison.metrics):
        field = ("metrics", i)
        try:
            resolved.append(with_encoder(text, scenes=comparison.is_on_scenes))
            spec = MetricSpec.parse(resolved[-1])
            metric = make_metric(spec)
        except MetricError as error:
            hint = ""
            if text.count("(") > text.count(")"):
                hint = " (inside [ ] a metric with commas needs quotes)"
            raise document.error(field, f"{error}{hint}") from None
        except RequestError as error:
            raise document.error(field, str(error)) from None
        if str(spec) in seen:
            raise document.error(field, f"{spec} is asked for twice")
        seen.add(str(spec))
        if comparison.reference is None and metric.needs_reference:
            raise document.error(
                field,
                f"{spec} compares with real images; add 'reference:' (type: scenes, or a folder)",
            )
    return dataclasses.replace(comparison, metrics=tuple(resolved))


def recorded_metrics(comparison: Comparison) -> Comparison:
    """The metrics of a run as they were meant: one that names no encoder was recorded when the
    default was ``scenes`` whatever the pictures.
    """
    return dataclasses.replace(
        comparison, metrics=tuple(name_encoders(comparison.metrics, scenes=True))
    )


def name_encoders(metrics: Iterable[str], *, scenes: bool) -> list[str]:
    """Metrics with their default encoders written out; what cannot be read stays as it is."""
    named = []
    for text in metrics:
        with contextlib.suppress(MetricError, RequestError):
            text = with_encoder(text, scenes=scenes)
        named.append(text)
    return named
